/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One arena of pymalloc's, read as a whole, with all proof that its parts fit together. */
#ifndef RECLAIM_INSPECT_PYPURGE_ARENA_H
#define RECLAIM_INSPECT_PYPURGE_ARENA_H

#include "inspect/pymalloc.h"

#define PYPURGE_ARENA_PAGES 512 /* of 2 MiB */

struct pypurge_arena {
	uint32_t index; /* in the vector */
	struct pymalloc_arena_object o;
	uint64_t base; /* of the first pool */
	uint32_t pool_pages; /* pages of a pool */
	uint32_t slots; /* pools that fit */
	uint32_t carved; /* slots below pool_address */
	uint32_t live; /* pools with live blocks */
	uint32_t n_listed;
	uint32_t retired; /* pools in neither count */
	uint8_t list[PYMALLOC_POOLS_MAX]; /* the slots of the free ones, in the list's order */
	uint8_t state[PYMALLOC_POOLS_MAX]; /* enum pymalloc_pool_state */
	struct pymalloc_pool_header h[PYMALLOC_POOLS_MAX]; /* of carved ones; zero where there is no page */
	uint8_t flags[PYPURGE_ARENA_PAGES]; /* from base on: enum remote_page_flags */
};

/* Arithmetic on an allocated arena's fields: fills base, slots, carved. -EBADMSG when they are impossible. */
int pypurge_arena_shape(const struct cpython *py, const struct pymalloc_arena_object *o, uint32_t index,
			struct pypurge_arena *ret) __must_check;

/*
 * Reads where the pages are and the headers of carved pools, and proves: each
 * free pool is on the list once, all counts agree, each live header is
 * possible. With the GIL held that is the whole truth; without it a race
 * looks like a contradiction. 0; -EBADMSG; -ENXIO a header is swapped out; a
 * read's error.
 */
int pypurge_arena_read(const struct cpython *py, struct remote *mem, const struct pymalloc_arena_object *o,
		       uint32_t index, struct pypurge_arena *ret) __must_check;

static inline uint64_t pypurge_arena_slot(const struct pypurge_arena *a, uint32_t slot)
{
	return a->base + (uint64_t)slot * a->pool_pages * REMOTE_PAGE;
}

static inline const uint8_t *pypurge_arena_flags(const struct pypurge_arena *a, uint32_t slot)
{
	return a->flags + (size_t)slot * a->pool_pages;
}

/* Bytes that are there of a slot's pages [lo, hi). */
uint64_t pypurge_arena_resident(const struct pypurge_arena *a, uint32_t slot, uint32_t lo, uint32_t hi);

#endif
