/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "bus/quota.h"

#define STEP_US (1000000ull / QUOTA_RATE)
#define KEEP_MAX 256 /* users who are remembered though they have nothing, for their pace */

static const struct {
	uint32_t user, root, all;
} limits[QUOTA_N] = {
	[QUOTA_CONNECTION] = { 8, 64, 64 },
	[QUOTA_REQUEST] = { 4, 64, 64 },
	[QUOTA_WORKER] = { 1, 64, 8 },
};

void quota_done(struct quota *q)
{
	free(q->v);
	*q = (struct quota){ 0 };
}

static struct quota_user *find(struct quota *q, uid_t uid)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->v[i].uid == uid)
			return &q->v[i];
	return NULL;
}

static uint32_t used_by(const struct quota_user *u)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < QUOTA_N; i++)
		sum += u->used[i];
	return sum;
}

/* Those who have nothing are forgotten when they become many. */
static void forget_idle(struct quota *q)
{
	size_t kept = 0;

	for (size_t i = 0; i < q->n; i++)
		if (used_by(&q->v[i]))
			q->v[kept++] = q->v[i];
	q->n = kept;
}

static struct quota_user *find_or_add(struct quota *q, uid_t uid)
{
	struct quota_user *u = find(q, uid), *v;

	if (u)
		return u;
	if (q->n >= KEEP_MAX)
		forget_idle(q);
	if (q->n == q->room) {
		v = reallocarray(q->v, q->room + 16, sizeof(*v));
		if (!v)
			return NULL;
		q->v = v;
		q->room += 16;
	}
	u = &q->v[q->n++];
	*u = (struct quota_user){ .uid = uid };
	return u;
}

int quota_take(struct quota *q, uid_t uid, enum quota_kind kind)
{
	struct quota_user *u = find_or_add(q, uid);

	if (!u)
		return -ENOMEM;
	if (u->used[kind] >= (uid ? limits[kind].user : limits[kind].root))
		return -EDQUOT;
	if (uid && q->all[kind] >= limits[kind].all)
		return -EUSERS;
	u->used[kind]++;
	q->all[kind] += uid != 0;
	return 0;
}

void quota_give(struct quota *q, uid_t uid, enum quota_kind kind)
{
	struct quota_user *u = find(q, uid);

	if (!u || !u->used[kind])
		return;
	u->used[kind]--;
	q->all[kind] -= uid != 0;
}

int quota_pace(struct quota *q, uid_t uid, uint64_t now_us)
{
	struct quota_user *u = find(q, uid);
	const uint64_t floor_us = now_us > QUOTA_BURST * STEP_US ? now_us - QUOTA_BURST * STEP_US : 0;

	if (!uid)
		return 0;
	if (!u)
		return -EDQUOT;
	/* Each request pays a step; who hasn't asked for long has a burst of them, not more. */
	u->paid_us = MAX(u->paid_us, floor_us);
	if (u->paid_us + STEP_US > now_us)
		return -EDQUOT;
	u->paid_us += STEP_US;
	return 0;
}

void quota_charge(struct quota *q, uid_t uid, uint64_t us)
{
	struct quota_user *u = find(q, uid);

	if (u)
		u->paid_us += us;
}
