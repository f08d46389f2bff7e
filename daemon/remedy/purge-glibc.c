// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/purge-glibc.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define TORN_MAX 8

int purge_glibc_init(struct purge_glibc *p, struct target *t, const struct allocator_info *info, char *why,
		     size_t why_size)
{
	struct glibc_facts facts = { 0 };
	int r = glibc_locate(t, info, &p->glibc, why, why_size);

	if (r < 0)
		return r;
	r = glibc_look(t, &p->glibc, GLIBC_CHEAP, NULL, &facts);
	if (r < 0)
		return r;
	p->target = t;
	p->arenas = calloc(facts.n_arenas ?: 1, sizeof(*p->arenas));
	if (!p->arenas) {
		glibc_facts_done(&facts);
		return -ENOMEM;
	}
	for (size_t i = 0; i < facts.n_arenas; i++)
		p->arenas[i] = facts.arenas[i].address;
	p->n_arenas = facts.n_arenas;
	glibc_facts_done(&facts);
	return 0;
}

void purge_glibc_done(struct purge_glibc *p)
{
	freep(&p->arenas);
	p->arenas = NULL;
}

static void purge_glibc_next_arena(struct purge_glibc *p)
{
	p->at++;
	p->cursor = (struct glibc_cursor){ 0 };
	p->n = p->used = p->judged = 0;
}

/* New candidates of the present arena or of one after it. */
static int purge_glibc_fill(struct purge_glibc *p, const struct purge_ask *ask)
{
	size_t max = MIN(ask->max_ranges, (size_t)PURGE_RANGES_MAX);
	unsigned int torn = 0;

	p->n = p->used = p->judged = 0;
	while (p->at < p->n_arenas) {
		int r = p->cursor.end ? 0 :
					glibc_prescan(p->target, &p->glibc, p->arenas[p->at], &p->cursor, p->v, max,
						      ask->max_bytes, &p->n);

		/* Caught in the middle of a change, or of a trim: once more, then this arena is for the next purge. */
		if (r == -EBADMSG || r == -EAGAIN || r == -EFAULT) {
			p->n = 0;
			p->cursor = (struct glibc_cursor){ 0 };
			if (++torn < TORN_MAX)
				continue;
			torn = 0;
			p->passed++;
			purge_glibc_next_arena(p);
			continue;
		}
		if (r < 0 || p->n)
			return r;
		if (p->cursor.end)
			purge_glibc_next_arena(p);
	}
	return 0;
}

int purge_glibc_scan(struct purge_glibc *p, const struct purge_ask *ask, struct purge_round *ret, bool *ret_done)
{
	struct purge_round round = { .kind = PURGE_ARENA };
	int r = 0;

	if (ask->applied)
		p->used += p->judged;
	p->judged = 0;
	if (ask->skip)
		purge_glibc_next_arena(p);
	if (p->used >= p->n)
		r = purge_glibc_fill(p, ask);
	if (r < 0)
		return r;
	for (size_t i = p->used; i < p->n; i++)
		round.resident += p->v[i].resident;
	round.ranges = (uint32_t)(p->n - p->used);
	/* The lock is the first word of an arena: struct malloc_state, glibc 2.31-2.44. */
	round.lock = p->at < p->n_arenas ? p->arenas[p->at] : 0;
	*ret_done = p->used >= p->n;
	*ret = round;
	return 0;
}

int purge_glibc_check(struct purge_glibc *p, const struct purge_ask *ask, struct purge_lists *ret)
{
	const struct glibc_check check = {
		.deadline_ns = ask->budget_ns ? clock_ns() + ask->budget_ns : 0,
		.max_bytes = ask->max_bytes,
		.max_ranges = MIN(ask->max_ranges, (uint32_t)PURGE_RANGES_MAX),
	};
	size_t n = 0, used = 0;
	int r;

	if (p->used >= p->n)
		return -EINVAL;
	r = glibc_check_ranges(p->target, &p->glibc, p->arenas[p->at], p->v + p->used, p->n - p->used, &check, p->good,
			       &n, &used);
	if (r < 0)
		return r;
	used = MIN(used, p->n - p->used);
	/* What no longer holds needs no second look. */
	if (n == 0)
		p->used += used;
	p->judged = n ? used : 0;
	ret->nranges = (uint32_t)MIN(n, check.max_ranges);
	for (size_t i = 0; i < ret->nranges; i++) {
		ret->ranges[i] = (struct purge_range){ .addr = p->good[i].lo, .len = p->good[i].hi - p->good[i].lo };
		ret->resident += p->good[i].resident;
	}
	return 0;
}
