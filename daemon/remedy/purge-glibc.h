/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader's half of purge for malloc: arena after arena, candidates first, proof under the lock. */
#ifndef RECLAIM_REMEDY_PURGE_GLIBC_H
#define RECLAIM_REMEDY_PURGE_GLIBC_H

#include "inspect/glibc.h"
#include "remedy/purge.h"

struct purge_glibc {
	struct target *target;
	struct glibc glibc;
	uint64_t *arenas; /* of the first look; malloc never frees one */
	size_t n_arenas, at; /* at: the one that is worked on */
	struct glibc_cursor cursor;
	size_t n, used; /* candidates, and how many of them are done with */
	size_t passed; /* arenas that were caught in the middle of a change too often */
	size_t judged; /* by the last check: done with as soon as that has been carried out */
	struct glibc_range v[PURGE_RANGES_MAX];
	struct glibc_range good[PURGE_RANGES_MAX];
};

/* 0, or glibc_locate()'s errors with the reason in @why. The caller calls purge_glibc_done(). */
int purge_glibc_init(struct purge_glibc *p, struct target *t, const struct allocator_info *info, char *why,
		     size_t why_size) __must_check;
void purge_glibc_done(struct purge_glibc *p); /* accepts zeroed ones */

/* The next round: *ret_done when there is none. 0 or -errno. */
int purge_glibc_scan(struct purge_glibc *p, const struct purge_ask *ask, struct purge_round *ret, bool *ret_done)
	__must_check;

/* While the lock is held: what may be dropped now. 0; -EAGAIN it isn't held; -errno. */
int purge_glibc_check(struct purge_glibc *p, const struct purge_ask *ask, struct purge_lists *ret) __must_check;

#endif
