/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that pymalloc holds free, of a process that runs on: what has to be
 * written, and what can be dropped then. In rounds: pypurge_scan() looks for
 * candidates without any lock, pypurge_check() reads them again while the GIL
 * is held, and only what it proves is in its lists. Nothing is remembered from
 * sweep to sweep: what a sweep has done shows in the allocator's own state.
 *
 * Depth normal: empty pools keep their first page (their class is unset), or
 * become virgin where they border on virgin ones; in partly used pools, the
 * carve window moves onto the longest run of empty pages. No block is lost.
 * Depth deep: empty pools also leave their arena's counts ("retired"), header
 * and all. The price is address space: growth takes new arenas instead. A
 * reserve of free pools is left, or restored when it is used up.
 */
#ifndef RECLAIM_INSPECT_PYPURGE_H
#define RECLAIM_INSPECT_PYPURGE_H

#include "inspect/pymalloc.h"
#include "inspect/pypurge-lists.h"

#define PYPURGE_RESERVE 1024ull /* pools: 16 MiB where they have 16 KiB */

struct pypurge_limits {
	bool deep;
	uint64_t reserve; /* deep: free pools to be left to the allocator; UINT64_MAX brings all back */
	uint64_t max_retired; /* deep: bytes of pools that may be retired, see pypurge_retired_cap() */
	/* Of one round; 0: as much as there is room for. */
	uint32_t max_writes, max_ranges, max_values;
	uint64_t max_bytes; /* resident ones to drop */
	uint32_t max_reads; /* under the lock */
	uint64_t budget_ns; /* of a check, so that a scan offers no more than it can do; its end is @mem's deadline */
};

/* What one sweep came to, and where. */
struct pypurge_stats {
	uint64_t rounds, arenas, torn; /* looked at; contradictory, or partly swapped out */
	uint64_t passed; /* arenas passed over: they came to nothing too often */
	uint64_t resident, touched; /* bytes dropped; bytes that our writes brought in */
	bool lists_torn; /* the arenas' list contradicted itself under the lock: nothing more is retired */
};

struct pypurge;

/* @py stays the caller's and outlives it. 0; -EOPNOTSUPP pymalloc isn't in use or has odd pools; -ENOMEM. */
int pypurge_new(const struct cpython *py, struct pypurge **ret) __must_check;
void pypurge_free(struct pypurge *p); /* accepts NULL */

static inline void pypurge_freep(struct pypurge **p)
{
	pypurge_free(*p);
}

/* The next scan starts a new sweep. */
void pypurge_restart(struct pypurge *p);

/* What the next round is about, as far as it can be told without the lock. */
struct pypurge_round {
	uint32_t arenas, writes, ranges, values, reads;
	uint64_t resident; /* bytes */
};

/*
 * Goes on where the last applied round ended, until there is work for one
 * round. 1; 0 the sweep is done; -EDQUOT, -ETIME before anything was found
 * (the next scan goes on from there); -EBADMSG; a read's error.
 */
int pypurge_scan(struct pypurge *p, struct remote *mem, const struct pypurge_limits *limits, struct pypurge_round *ret)
	__must_check;

/*
 * With the GIL held, and held until the lists are carried out: all of them, in
 * their order, or none. Reads what the scan has found once more, with @mem's
 * deadline. May come out empty. 0; -ETIME not even the start was made in time
 * (pypurge_failed() then); a read's error.
 */
int pypurge_check(struct pypurge *p, struct remote *mem, const struct pypurge_limits *limits, struct pypurge_lists *ret)
	__must_check;

/*
 * What has become of the lists of the last check. Of an arena that nothing
 * fits of, or that comes to nothing @tries times in a row, the sweep goes on
 * behind.
 */
void pypurge_applied(struct pypurge *p, const struct pypurge_lists *lists);
void pypurge_failed(struct pypurge *p, uint32_t tries);

const struct pypurge_stats *pypurge_sweep_stats(const struct pypurge *p);

/* Bytes that a sweep would give back now, by depth. */
struct pypurge_prediction {
	uint64_t normal, deep;
	uint64_t unknown; /* resident bytes of arenas and pools that could not be told: on top of both at most */
	uint64_t live_bytes; /* of pools with live blocks */
	uint64_t free_pools, retired_pools;
	uint64_t retired_bytes; /* what the retired ones span */
	bool can_deep;
};

/* Looks at everything, without the lock. 0; as pypurge_scan(). */
int pypurge_predict(struct pypurge *p, struct remote *mem, const struct pypurge_limits *limits,
		    struct pypurge_prediction *ret) __must_check;

/*
 * How much may be retired: growth takes new address space for as much, so no
 * more than what the pools with live blocks span and what is saved, by sweeps
 * so far and by the next one.
 */
uint64_t pypurge_retired_cap(const struct pypurge_prediction *p);

#endif
