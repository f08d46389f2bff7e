/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc's malloc (2.31 to 2.44) seen from outside: found without symbols,
 * proven in the running target before it is believed, and read without
 * stopping it. Figures of a target that works meanwhile are of different
 * moments; what contradicts itself is read again, then reported as `torn`.
 */
#ifndef RECLAIM_INSPECT_GLIBC_H
#define RECLAIM_INSPECT_GLIBC_H

#include "inspect/allocator.h"
#include "inspect/page-runs.h"
#include "inspect/target.h"

struct cells; /* inspect/cells.h */
struct glibc_layout; /* inspect/glibc-layout.h */

enum glibc_locks {
	GLIBC_LOCKS_UNKNOWN, /* one thread, in a glibc that doesn't tell: take it for skipped */
	GLIBC_LOCKS_SKIPPED, /* never had a second thread: malloc doesn't take its locks, a free mutex proves nothing */
	GLIBC_LOCKS_USED,
};

/* A located allocator. Addresses are the target's, load bias included. */
struct glibc {
	unsigned int major, minor; /* of the version in its banner */
	const struct glibc_layout *layout;
	uint64_t main_arena, mp;
	uint64_t lock_wait; /* __lll_lock_wait_private; 0: not found */
	enum glibc_locks locks;
	bool unused; /* nothing was ever allocated from it */
	bool has_tls;
	int64_t tls_offset; /* of libc's TLS block from the thread pointer; when has_tls */
	uint64_t tls_size;
	uint64_t heap_max; /* size and alignment of a thread arena's heaps */
};

/*
 * Finds the allocator in the file and proves it in the target. 0; -ENOTSUP not
 * a version known here; -EBADMSG what is there isn't what it should be; the
 * error of a read. On failure @why says it in words (not NULL).
 */
int glibc_locate(struct target *t, const struct allocator_info *info, struct glibc *ret, char *why, size_t why_size)
	__must_check;

/* The second half alone, for recorded images: @g has version, main_arena and mp. */
int glibc_prove(struct target *t, struct glibc *g, char *why, size_t why_size) __must_check;

enum glibc_range_kind {
	GLIBC_BINNED, /* inside of a chunk in a bin: malloc_trim returns these */
	GLIBC_TOP, /* of any arena: malloc_trim returns only what sbrk() can cut off from the main one */
	GLIBC_CACHED, /* inside of a chunk in a thread's cache (only where that was made large: 2.42+) */
};

/* Whole pages that may be dropped while the chunk stays free. */
struct glibc_range {
	uint64_t arena;
	uint64_t chunk; /* its header */
	uint64_t lo, hi; /* page-aligned */
	uint64_t resident; /* bytes of it */
	enum glibc_range_kind kind;
};

struct glibc_visitor {
	/* 0 goes on; anything else ends the look, which returns it. A torn heap is visited once, in part. */
	int (*range)(void *ctx, const struct glibc_range *range);
	void *ctx;
	struct cells *cells; /* NULL, or a map to enter all heaps in */
};

/*
 * What holds memory back: the 1 MiB stretches of all heaps that contain free
 * and resident pages, by log2 of the live bytes in them. [0] is none or one.
 */
struct glibc_pins {
	uint64_t stretches, live_bytes, live_blocks, free_resident;
};

#define GLIBC_STRETCH (1ull << 20)
#define GLIBC_PINS 22
#define GLIBC_LITTLE (GLIBC_STRETCH / 16) /* live bytes that keep a stretch without filling it */

struct glibc_arena {
	uint64_t address;
	bool is_main;
	bool torn; /* figures are estimates */
	bool cut; /* there are chunks that GLIBC_CHEAP left out: what isn't free is unknown */
	bool locked; /* somebody held its lock when it was looked at */
	uint64_t system; /* got from the kernel: in_use + cached + free (+ unknown) */
	uint64_t in_use, cached, free;
	uint64_t free_resident; /* whole pages, top included */
	/* Couldn't be read: swapped out, or torn; under GLIBC_CHEAP wherever chunks are left out. In in_use's stead. */
	uint64_t unknown;
	uint64_t foreign; /* somebody else's sbrk() amid the main heap (counted in system and in_use) */
	uint64_t fastbins, tcaches; /* the two parts of cached */
	uint64_t top, top_resident; /* the top chunk; whole pages of it that are resident */
	uint64_t trim; /* what malloc_trim(0) would return, resident pages */
	uint64_t live_blocks; /* in use, neither cached nor free; 0 under GLIBC_CHEAP */
	uint64_t live_smallest; /* size of the smallest, 0 when none */
	uint64_t free_blocks; /* chunks in bins */
	uint64_t attached_threads;
	uint32_t heaps; /* 1 for the main one */
	/* None of these under GLIBC_CHEAP. */
	struct page_runs runs; /* of what free_resident counts */
	struct glibc_pins pinned; /* all its stretches with live blocks, but less than GLIBC_LITTLE bytes of them */
};

#define GLIBC_LOGS 48

/* Free chunks of [2^N, 2^(N+1)) bytes, tops not included. */
struct glibc_runs {
	uint64_t count, bytes, resident;
};

struct glibc_facts {
	/* totals of all arenas, mmapped chunks not included */
	uint64_t system, in_use, cached, free, free_resident, unknown, foreign;
	uint64_t fastbins, tcaches;
	uint64_t live_blocks, free_blocks;
	uint64_t mmapped, mmapped_blocks; /* chunks with a mapping of their own */
	uint64_t trim_threshold, mmap_threshold, top_pad;
	bool dynamic; /* thresholds grow when a mapped block is freed */
	uint64_t thp_pagesize; /* malloc asks for huge pages of this size; 0: it doesn't */
	uint64_t threads, threads_read; /* known; those whose cache was read */
	/*
	 * malloc_trim(0) now: resident bytes that it would return. It folds fast bins into neighbours first (up to
	 * 2.42), which is worked out in predicted; lower leaves out what could only be guessed, upper adds unknowns.
	 */
	uint64_t trim, trim_lower, trim_upper;
	bool torn; /* at least one arena is */
	bool partial; /* GLIBC_CHEAP or a bound left something out: free and free_resident are lower bounds */
	struct glibc_runs runs[GLIBC_LOGS];
	struct glibc_pins pins[GLIBC_PINS];
	struct glibc_arena *arenas; /* the main one first; glibc_facts_done() frees them */
	size_t n_arenas;
};

enum glibc_look_flags {
	GLIBC_CHEAP = 1
		      << 0, /* arena headers, tops, bins of large chunks; a bounded number of reads. @v must be NULL */
};

/*
 * Reads everything, without stopping the target. @v may be NULL. 0;
 * -EAGAIN the arena list itself kept changing: could not tell; -EBADMSG it
 * makes no sense; -ENOMEM; the error of a read (-EDQUOT, -ETIME: of t->mem).
 */
int glibc_look(struct target *t, const struct glibc *g, unsigned int flags, const struct glibc_visitor *v,
	       struct glibc_facts *ret) __must_check;
void glibc_facts_done(struct glibc_facts *f); /* accepts zeroed and finished ones */

/* ---- for the purge engine: candidates without the lock, proof under it ---- */

/* Where the next prescan goes on. Zeroed: from the beginning. */
struct glibc_cursor {
	uint64_t heap; /* in this heap, or in the next one when it has gone; 0: in the first */
	uint64_t chunk; /* at this chunk; 0: at the heap's first */
	uint64_t lo; /* what lies below has been handed out (of the top chunk, of a large one) */
	bool top_done, end; /* end: there is nothing more in this arena */
};

/*
 * Collects up to @max droppable, resident ranges of one arena (an address out
 * of glibc_facts), each at most @piece bytes (page-aligned; 0: no limit) so
 * that a round's work can be bounded. Without the lock: what it returns are
 * candidates. Chunk order, the top first. Sets *ret_n; 0 or as glibc_look().
 */
int glibc_prescan(struct target *t, const struct glibc *g, uint64_t arena, struct glibc_cursor *cursor,
		  struct glibc_range *v, size_t max, uint64_t piece, size_t *ret_n) __must_check;

struct glibc_check {
	uint64_t deadline_ns; /* stop then, with what has been proven; 0: none */
	uint64_t max_bytes; /* resident bytes to return at most; 0: no limit */
	size_t max_ranges;
};

/*
 * While somebody holds the lock of @arena: which of the @n candidates in @in
 * still hold? Everything is read anew. Writes to @ret (room for max_ranges;
 * may be @in itself) the part of each candidate that may be dropped now, sets
 * *ret_n, and *ret_used: candidates judged, the next round begins behind them.
 * 0; -EAGAIN the lock isn't held (nothing was judged); -EBADMSG the arena
 * isn't what it was; the error of a read.
 */
int glibc_check_ranges(struct target *t, const struct glibc *g, uint64_t arena, const struct glibc_range *in, size_t n,
		       const struct glibc_check *c, struct glibc_range *ret, size_t *ret_n, size_t *ret_used)
	__must_check;

#endif
