/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program has freed and malloc keeps in its caches: each thread's
 * tcache, each arena's fast bins. Chunks in there look used from outside.
 */
#ifndef RECLAIM_INSPECT_GLIBC_CACHE_H
#define RECLAIM_INSPECT_GLIBC_CACHE_H

#include "inspect/glibc-marks.h"
#include "inspect/glibc-pages.h"
#include "inspect/glibc-state.h"

struct glibc_cache {
	struct glibc_marks fast, thread; /* chunk addresses */
	uint64_t threads, threads_read;
	uint64_t unread; /* lists cut short: swapped out, or they kept changing */
	bool full; /* too many to remember each */
	uint64_t steps_left;
};

/* Chunks of one arena's fast bins, of all threads' caches. The bytes go to the arena that owns each. */
int glibc_cache_fast(struct target *t, const struct glibc *g, const struct glibc_state *s, struct glibc_pages *pages,
		     struct glibc_cache *cache, struct glibc_arena *arena) __must_check;
int glibc_cache_threads(struct target *t, const struct glibc *g, const struct glibc_par *par,
			const struct glibc_heap *heaps, size_t n_heaps, struct glibc_pages *pages,
			struct glibc_cache *cache, struct glibc_arena *arenas) __must_check;
void glibc_cache_done(struct glibc_cache *cache);

/* The heap that holds @addr, or NULL. @heaps sorted by start. */
const struct glibc_heap *glibc_heap_find(const struct glibc_heap *heaps, size_t n, uint64_t addr);

#endif
