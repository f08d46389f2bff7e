/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adds up what a walk hands out: figures of each arena, free runs, what pins
 * what, and what malloc_trim would return. For the files of the glibc reader.
 */
#ifndef RECLAIM_INSPECT_GLIBC_TALLY_H
#define RECLAIM_INSPECT_GLIBC_TALLY_H

#include "inspect/cells.h"
#include "inspect/glibc-cache.h"
#include "inspect/glibc-walk.h"

struct glibc_tally {
	struct window *w; /* of the walk: knows about the pages around already */
	struct glibc_cache *cache;
	const struct glibc_visitor *v;
	struct glibc_facts *f;
	struct glibc_arena *a; /* the one whose heap is walked */
	struct cells *cells; /* NULL: no map is wanted */
	bool fixed; /* its pages can't be dropped: glibc_droppable() */
	/* neighbours that malloc_trim would find joined: free, or in a fast bin */
	uint64_t run, run_end, run_resident;
	bool run_fast;
	/* the present 1 MiB */
	uint64_t stretch;
	struct glibc_pins pin;
};

void glibc_tally_begin(struct glibc_tally *ta, struct glibc_arena *a);
/*
 * The heap has ended; its top chunk is at @top, 0 when it has none. *ret_top: where that will
 * begin once malloc_trim() has folded fast bins into it. 0 or the error of a read.
 */
int glibc_tally_end(struct glibc_tally *ta, uint64_t top, uint64_t *ret_top) __must_check;

/* for struct glibc_walk_visitor; @ctx is a struct glibc_tally */
int glibc_tally_chunk(void *ctx, uint64_t chunk, uint64_t size, bool is_free);
int glibc_tally_gap(void *ctx, uint64_t lo, uint64_t hi, bool foreign);

/* A free chunk, as found in a bin (GLIBC_CHEAP). */
int glibc_tally_free(struct glibc_tally *ta, uint64_t chunk, uint64_t size, uint64_t *ret_resident) __must_check;

#endif
