/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is to be done about one arena: which pools stay listed, which pages go. */
#ifndef RECLAIM_INSPECT_PYPURGE_PLAN_H
#define RECLAIM_INSPECT_PYPURGE_PLAN_H

#include "inspect/pypurge-arena.h"
#include "inspect/pypurge-pool.h"
#include "inspect/pypurge-vector.h"

/* Bits of slots. */
struct pypurge_slots {
	uint64_t bits[PYMALLOC_POOLS_MAX / 64];
};

#define PYPURGE_ALL_SLOTS                      \
	{                                      \
		{                              \
			UINT64_MAX, UINT64_MAX \
		}                              \
	}

static inline bool pypurge_slots_has(const struct pypurge_slots *s, uint32_t slot)
{
	return s->bits[slot / 64] >> slot % 64 & 1;
}

struct pypurge_rules {
	const struct cpython *py;
	bool deep; /* free pools may leave the counts, or come back into them */
	uint64_t reserve; /* free pools that shall remain, of all arenas */
	uint64_t retired; /* pools that may be retired, of all arenas */
};

/* An arena as it shall be. */
struct pypurge_shape {
	uint32_t carved; /* slots below pool_address */
	uint32_t n_listed;
	uint8_t list[PYMALLOC_POOLS_MAX];
};

/* From the counts and the rules; without "deep" nfreepools and ntotalpools stay. */
void pypurge_shape_choose(const struct pypurge_rules *rules, const struct pypurge_arena *a,
			  const struct pypurge_vector *v, struct pypurge_shape *ret);

struct pypurge_outcome {
	struct pypurge_slots pools; /* partly used pools that something is done about */
	uint32_t pool_reads; /* reads that these took */
	bool changed; /* the arena's own fields */
	bool recounted; /* nfreepools among them: the list must be made anew */
	bool full; /* not all fitted: the rest is for another round */
	uint32_t torn; /* pools that contradict themselves, or could not be read */
	uint64_t torn_resident;
	uint64_t pool_bytes; /* of resident - touched: the part in partly used pools */
};

/*
 * Adds all that can be done about the arena to the lists, looking into the
 * partly used pools in @pools only. 0; -ENOBUFS not even the arena's own
 * fields fit; -EDQUOT, -ETIME when reading @mem was cut short (what has been
 * added is whole, and @ret->full is set).
 */
int pypurge_plan_arena(const struct pypurge_rules *rules, const struct pypurge_arena *a,
		       const struct pypurge_slots *pools, struct remote *mem, struct pypurge_vector *v,
		       struct pypurge_pool *scratch, struct pypurge_lists *l, struct pypurge_outcome *ret) __must_check;

#endif
