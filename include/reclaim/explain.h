/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the worker answers to WORKER_OP_EXPLAIN and WORKER_OP_GLANCE: facts, in
 * numbers. One struct explain_head, then parts until the counts of the head
 * are reached: arenas first, then ranges, then the cells of the map, which are
 * there only when they were asked for. The target is never stopped.
 *
 * The process that found these facts parsed hostile input: whoever receives
 * them checks them with reclaim/explain-check.h and escapes every text.
 */
#ifndef RECLAIM_EXPLAIN_H
#define RECLAIM_EXPLAIN_H

#include <stdint.h>

#define EXPLAIN_MAGIC 0x6e6c7078u /* "xpln" */
#define EXPLAIN_VERSION 3u
#define EXPLAIN_TEXT_MAX 192
#define EXPLAIN_UNKNOWN UINT64_MAX /* a figure that could not be told */

#define EXPLAIN_LOGS 48
#define EXPLAIN_PINS 22
#define EXPLAIN_RUN_LOGS 16
#define EXPLAIN_STRETCH (1ull << 20)
#define EXPLAIN_LITTLE (EXPLAIN_STRETCH / 16)
#define EXPLAIN_CLASSES 32
#define EXPLAIN_PYTHON_PINS 8
#define EXPLAIN_REMEDIES_MAX 8
#define EXPLAIN_ARENAS_MAX 4096 /* more are summed up, not listed */
#define EXPLAIN_RANGES_MAX 8192
#define EXPLAIN_PART_ARENAS 128 /* entries of one part */
#define EXPLAIN_PART_RANGES 512
#define EXPLAIN_CELLS_MAX 65536 /* their size grows until there are no more */
#define EXPLAIN_CELL_MIN 4096u
#define EXPLAIN_CELL_MAX (1u << 31)
#define EXPLAIN_PART_CELLS 512

enum explain_allocator {
	EXPLAIN_ALLOC_UNKNOWN,
	EXPLAIN_ALLOC_GLIBC,
	EXPLAIN_ALLOC_MUSL,
	EXPLAIN_ALLOC_JEMALLOC,
	EXPLAIN_ALLOC_TCMALLOC,
	EXPLAIN_ALLOC_MIMALLOC,
	EXPLAIN_ALLOC_TBB,
	EXPLAIN_ALLOC_GO,
	EXPLAIN_ALLOC_OTHER, /* its own, or one we don't know */
	EXPLAIN_NALLOCATORS,
};

enum explain_runtime {
	EXPLAIN_RUNTIME_NONE, /* none that we know */
	EXPLAIN_RUNTIME_CPYTHON,
	EXPLAIN_RUNTIME_GO,
	EXPLAIN_RUNTIME_JAVA,
	EXPLAIN_RUNTIME_NODE,
	EXPLAIN_RUNTIME_RUBY,
	EXPLAIN_NRUNTIMES,
};

enum explain_layer {
	EXPLAIN_ABSENT, /* not in this process: nothing else is filled */
	EXPLAIN_READ,
	EXPLAIN_ESTIMATE, /* it changed while it was read */
	EXPLAIN_UNREADABLE, /* why says so; figures are EXPLAIN_UNKNOWN */
	EXPLAIN_NLAYERS,
};

enum explain_glibc_flag {
	EXPLAIN_G_DYNAMIC = 1 << 0, /* thresholds grow when a mapped block is freed */
	EXPLAIN_G_PARTIAL = 1 << 1, /* free and free_resident are lower bounds */
	EXPLAIN_G_UNUSED = 1 << 2, /* nothing was ever allocated from it */
};

/* Free chunks of [2^N, 2^(N+1)) bytes, tops not included. */
struct explain_runs {
	uint64_t count, bytes, resident;
};

/* Stretches of EXPLAIN_STRETCH bytes with free resident pages, by log2 of the live bytes in them; [0]: none or one. */
struct explain_pins {
	uint64_t stretches, live_bytes, live_blocks, free_resident;
};

struct explain_glibc {
	uint32_t layer; /* enum explain_layer */
	uint32_t flags; /* enum explain_glibc_flag */
	uint32_t major, minor;
	/* totals of all arenas; mmapped is beside them */
	uint64_t system, in_use, cached, free, free_resident;
	uint64_t fastbins, tcaches; /* the two parts of cached */
	uint64_t unknown, foreign; /* unreadable, or left out by a glance; somebody else's sbrk() */
	uint64_t live_blocks, free_blocks;
	uint64_t mmapped, mmapped_blocks;
	uint64_t trim_threshold, mmap_threshold, top_pad;
	uint64_t thp_pagesize; /* 0: doesn't ask for huge pages */
	uint64_t threads, threads_read;
	struct explain_runs runs[EXPLAIN_LOGS];
	struct explain_pins pins[EXPLAIN_PINS];
	char why[EXPLAIN_TEXT_MAX];
};

enum explain_python_flag {
	EXPLAIN_P_FREE_THREADED = 1 << 0, /* its objects are in mimalloc, not in pymalloc */
	EXPLAIN_P_NO_PYMALLOC = 1 << 1, /* nothing is in pymalloc (PYTHONMALLOC=malloc): why says so */
};

/* Pools of one size class. */
struct explain_class {
	uint64_t pools, full_pools; /* with live blocks */
	uint64_t used_blocks, free_blocks;
};

/* Arenas by how little keeps them: at most limit live bytes, and more than the limit before. */
struct explain_python_pins {
	uint64_t limit; /* UINT64_MAX in the last one */
	uint64_t arenas, live_blocks, live_bytes, free_bytes;
};

struct explain_python {
	uint32_t layer; /* enum explain_layer */
	uint32_t flags; /* enum explain_python_flag */
	uint32_t version; /* PY_VERSION_HEX */
	uint32_t pad;
	uint64_t arena_size, pool_size;
	uint64_t arenas, arena_bytes;
	uint64_t pools_used, pools_full; /* partly used; full */
	uint64_t pools_free; /* listed and virgin: as Python counts them */
	uint64_t pools_virgin, pools_retired;
	uint64_t used_blocks, free_blocks;
	uint64_t in_use, free, resident;
	uint64_t free_resident, free_resident_pools, free_resident_blocks; /* whole, and its two parts */
	uint64_t unknown; /* swapped out, or left out by a glance */
	struct explain_class classes[EXPLAIN_CLASSES]; /* of blocks of 16, 32, ... bytes */
	struct explain_python_pins pins[EXPLAIN_PYTHON_PINS];
	char why[EXPLAIN_TEXT_MAX];
};

/* What a remedy would do. */
struct explain_remedy {
	uint32_t remedy; /* one enum worker_remedy bit */
	uint32_t possible;
	uint64_t predicted, lower, upper; /* bytes, or EXPLAIN_UNKNOWN */
	uint64_t deep; /* what depth deep adds to each of them, or EXPLAIN_UNKNOWN */
	char reason[EXPLAIN_TEXT_MAX]; /* why not, "" when possible */
};

struct explain_head {
	uint32_t magic, version;
	int32_t pid;
	uint32_t outcome; /* enum worker_outcome: WORKER_NOTHING when there are facts */
	uint64_t start_time;
	uint32_t allocator, also; /* enum explain_allocator; also: another one in it, or UNKNOWN */
	uint32_t runtime; /* enum explain_runtime */
	uint32_t nremedies;
	uint32_t narenas, nranges; /* that follow in parts */
	uint64_t arenas_total;
	uint64_t elapsed_us; /* what the looking took */
	uint32_t ncells, cell_size; /* of the map; a power of two */
	struct explain_glibc glibc;
	struct explain_python python;
	struct explain_remedy remedies[EXPLAIN_REMEDIES_MAX];
	char reason[EXPLAIN_TEXT_MAX]; /* unless there are facts; also why the allocator is unknown */
};

enum explain_arena_flag {
	EXPLAIN_A_MAIN = 1 << 0,
	EXPLAIN_A_TORN = 1 << 1, /* figures are estimates */
};

/* Runs of [2^N, 2^(N+1)) pages that are free and resident, in the last one also longer ones. */
struct explain_page_runs {
	uint64_t count, bytes;
};

struct explain_arena {
	uint64_t address;
	uint32_t flags; /* enum explain_arena_flag */
	uint32_t heaps;
	uint64_t system, in_use, cached, free, free_resident;
	uint64_t top, top_resident;
	uint64_t trim; /* what malloc_trim(0) would return of it */
	uint64_t live_blocks, free_blocks, threads;
	struct explain_page_runs runs[EXPLAIN_RUN_LOGS]; /* together they are free_resident */
	struct explain_pins pinned; /* stretches in which something lives, but less than EXPLAIN_LITTLE bytes */
};

enum explain_owner {
	EXPLAIN_OWNER_GLIBC_HEAP = 1, /* of an arena, the main one too */
	EXPLAIN_OWNER_GLIBC_MMAP, /* a large block with a mapping of its own */
	EXPLAIN_OWNER_PYMALLOC,
	EXPLAIN_NOWNERS,
};

/* Whose memory an address range is. Ascending, not overlapping. */
struct explain_range {
	uint64_t lo, hi;
	uint64_t resident;
	uint32_t owner; /* enum explain_owner */
	uint32_t pad;
};

/*
 * One square of the map: what the allocators hold between @at and @at + cell_size, as far as it is
 * @owner's. Ascending by address, then by owner.
 */
struct explain_cell {
	uint64_t at; /* a multiple of the cells' size */
	uint32_t owner; /* enum explain_owner */
	uint32_t arena; /* whose it is, or that of the first: glibc's index, Python's number */
	/* bytes, together at most a cell's size */
	uint32_t in_use, cached;
	uint32_t free_resident; /* in whole pages that are resident: what can go back */
	uint32_t free_shared; /* in pages that hold something alive too */
	uint32_t free_gone; /* in whole pages that went back, or never came */
	uint32_t overhead; /* headers, and what is too small for another block */
	uint32_t unknown; /* couldn't be read */
	/* and once more, by pages */
	uint32_t resident, swapped;
	uint32_t live_blocks;
};

enum explain_kind { EXPLAIN_ARENAS = 1, EXPLAIN_RANGES, EXPLAIN_CELLS };

/* Sent as long as its entries need. */
struct explain_part {
	uint32_t magic, kind; /* enum explain_kind */
	uint32_t first, n; /* entries [first, first + n) of the whole */
	union {
		struct explain_arena arenas[EXPLAIN_PART_ARENAS];
		struct explain_range ranges[EXPLAIN_PART_RANGES];
		struct explain_cell cells[EXPLAIN_PART_CELLS];
	};
};

_Static_assert(sizeof(struct explain_glibc) == 168 + EXPLAIN_LOGS * 24 + EXPLAIN_PINS * 32 + EXPLAIN_TEXT_MAX,
	       "explain_glibc is a wire format");
_Static_assert(sizeof(struct explain_python) ==
		       160 + EXPLAIN_CLASSES * 32 + EXPLAIN_PYTHON_PINS * 40 + EXPLAIN_TEXT_MAX,
	       "explain_python is a wire format");
_Static_assert(sizeof(struct explain_arena) == 136 + EXPLAIN_RUN_LOGS * 16, "explain_arena is a wire format");
_Static_assert(sizeof(struct explain_range) == 32, "explain_range is a wire format");
_Static_assert(sizeof(struct explain_cell) == 56, "explain_cell is a wire format");
_Static_assert(sizeof(struct explain_remedy) == 40 + EXPLAIN_TEXT_MAX, "explain_remedy is a wire format");

#endif
