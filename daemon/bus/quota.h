/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one user may keep us busy with, so that nobody keeps the others out.
 * Root is bounded too, but by far more.
 */
#ifndef RECLAIM_BUS_QUOTA_H
#define RECLAIM_BUS_QUOTA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

enum quota_kind {
	QUOTA_CONNECTION, /* to the private socket */
	QUOTA_REQUEST, /* that has no answer yet */
	QUOTA_WORKER, /* of these, one that takes a worker */
	QUOTA_N,
};

struct quota_user {
	uid_t uid;
	uint32_t used[QUOTA_N];
	uint64_t paid_us; /* see quota_pace() */
};

struct quota {
	struct quota_user *v; /* malloc'ed */
	size_t n, room;
	uint32_t all[QUOTA_N]; /* of everybody but root */
};

void quota_done(struct quota *q);

/* 0; -EDQUOT: @uid has enough of these; -EUSERS: all users together have; -ENOMEM. Only 0 has to be given back. */
int quota_take(struct quota *q, uid_t uid, enum quota_kind kind) __must_check;
void quota_give(struct quota *q, uid_t uid, enum quota_kind kind);

/* May @uid, who has taken something, ask once more now? QUOTA_BURST at once, then QUOTA_RATE each second. Root may. */
#define QUOTA_BURST 50
#define QUOTA_RATE 10
int quota_pace(struct quota *q, uid_t uid, uint64_t now_us) __must_check; /* 0 or -EDQUOT */
void quota_charge(struct quota *q, uid_t uid, uint64_t us); /* and waits for so much longer */

#endif
