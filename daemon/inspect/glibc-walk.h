/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks a heap chunk by chunk, in address order, while its owner may be
 * working on it. What is handed out has been checked against its neighbours;
 * where the chain breaks it is read again, then taken up farther on.
 */
#ifndef RECLAIM_INSPECT_GLIBC_WALK_H
#define RECLAIM_INSPECT_GLIBC_WALK_H

#include "inspect/glibc-state.h"
#include "inspect/window.h"

struct glibc_walk_visitor {
	/* A chunk: free (in a bin), or not (live or cached). 0 goes on. */
	int (*chunk)(void *ctx, uint64_t chunk, uint64_t size, bool is_free);
	/* Bytes that couldn't be made out; @foreign: not malloc's at all. Chunks on both sides aren't neighbours. */
	int (*gap)(void *ctx, uint64_t lo, uint64_t hi, bool foreign);
	void *ctx;
};

struct glibc_walk {
	const struct glibc *g;
	struct window *w; /* the heap */
	struct window *probe; /* looks ahead, when the chain is taken up again */
};

/*
 * Walks from @from (a chunk of @heap; unproven unless it is heap->first) up to
 * the top chunk or the heap's end. @top: the arena's, 0 when not in this heap.
 * 0, what a visitor returned, or the error of a read (-EDQUOT, -ETIME, -EFAULT).
 */
int glibc_walk_heap(struct glibc_walk *walk, const struct glibc_heap *heap, uint64_t from, uint64_t top,
		    const struct glibc_walk_visitor *v) __must_check;

#endif
