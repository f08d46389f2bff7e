/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pymalloc's arena vector, as it is and as it shall be, with the list of
 * arenas that have free pools: usable_arenas, ascending by nfreepools, and
 * nfp2lasta[n], the last one in it with n free pools (3.8 and later).
 */
#ifndef RECLAIM_INSPECT_PYPURGE_VECTOR_H
#define RECLAIM_INSPECT_PYPURGE_VECTOR_H

#include "inspect/pymalloc.h"
#include "inspect/pypurge-lists.h"

/* 256 GiB of 1 MiB arenas. Deep purging reads all of it under the lock, so less there. */
#define PYPURGE_VECTOR_MAX (1u << 18)
#define PYPURGE_VECTOR_DEEP (1u << 16)

struct pypurge_vector {
	uint64_t at; /* of the vector: it moves when it grows */
	uint32_t n;
	uint32_t room; /* of the arrays */
	struct pymalloc_arena_object *now, *then;
	uint32_t *order, *sorted; /* usable arenas, as they are and as they shall be */
	uint32_t n_order;
	uint32_t *dirty, n_dirty; /* those whose own fields are to change */
	uint64_t usable; /* list head */
	uint64_t lasta[PYMALLOC_POOLS_MAX + 1];
	uint64_t free_pools; /* of all arenas, as they shall be */
	uint64_t retired_pools;
};

void pypurge_vector_free(struct pypurge_vector *v); /* accepts zeroed ones */

/*
 * Reads where the vector is, and all of it when @whole (then is now, sums are
 * made). 0; -ENOENT there is none; -EBADMSG; -E2BIG; -ENOMEM; a read's error.
 */
int pypurge_vector_read(const struct cpython *py, struct remote *mem, bool whole, struct pypurge_vector *v)
	__must_check;
/* One entry, when not the whole was read. */
int pypurge_vector_entry(struct pypurge_vector *v, struct remote *mem, uint32_t index) __must_check;

/*
 * Reads the list and the table and proves that they and the whole vector tell
 * the same. 0; -EBADMSG; -EOPNOTSUPP their addresses aren't known.
 */
int pypurge_vector_lists(const struct cpython *py, struct remote *mem, struct pypurge_vector *v) __must_check;

/* Pools of one arena that are in neither of its counts. */
uint32_t pypurge_vector_retired(const struct cpython *py, const struct pymalloc_arena_object *o);

/* Sets what arena @index shall be (once for each), and holds room in the lists. False when there is none. */
bool pypurge_vector_set(const struct cpython *py, struct pypurge_vector *v, struct pypurge_lists *l, uint32_t index,
			const struct pymalloc_arena_object *o);

/* Adds the writes that make it so; @relink: nfreepools changed, so the list is made anew. 0 or -ENOBUFS. */
int pypurge_vector_emit(const struct cpython *py, struct pypurge_vector *v, bool relink, struct pypurge_lists *l)
	__must_check;

#endif
