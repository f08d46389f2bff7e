/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPython's small object allocator (Objects/obmalloc.c), read while the target
 * runs: arenas of 256 KiB or 1 MiB, pools of 4 or 16 KiB, blocks up to 512
 * bytes. The layouts of arena_object and pool_header are the same in 3.8-3.15.
 */
#ifndef RECLAIM_INSPECT_PYMALLOC_H
#define RECLAIM_INSPECT_PYMALLOC_H

#include "inspect/cpython.h"
#include "inspect/window.h"

#define PYMALLOC_CLASSES 32
#define PYMALLOC_POOLS_MAX 128 /* in one arena: 2 MiB / 16 KiB */
#define PYMALLOC_ARENAS_MAX 4194304u
#define PYMALLOC_POOL_HEADER 48u
#define PYMALLOC_NO_CLASS 0xffffu /* szidx of a pool that has none: DUMMY_SIZE_IDX */
#define PYMALLOC_BLOCK_SIZE(szidx) (16u * ((szidx) + 1u))

/* struct arena_object, 48 bytes. */
struct pymalloc_arena_object {
	uint64_t address; /* 0: slot not in use, the rest is stale */
	uint64_t pool_address; /* the carve window: pools from here on were never carved */
	uint32_t nfreepools, ntotalpools; /* free ones: listed and not carved */
	uint64_t freepools; /* list, through nextpool */
	uint64_t nextarena, prevarena;
};

/* struct pool_header, 48 bytes. */
struct pymalloc_pool_header {
	uint32_t count; /* live blocks */
	uint32_t garbage; /* upper half of a union with a pointer */
	uint64_t freeblock, nextpool, prevpool;
	uint32_t arenaindex, szidx, nextoffset, maxnextoffset;
};

_Static_assert(sizeof(struct pymalloc_arena_object) == 48 && sizeof(struct pymalloc_pool_header) == 48,
	       "layouts of CPython 3.8-3.15");

enum pymalloc_pool_state {
	PYMALLOC_USED, /* some blocks live, some free */
	PYMALLOC_FULL,
	PYMALLOC_FREE, /* in the arena's list of free pools */
	PYMALLOC_VIRGIN, /* at or above pool_address */
	PYMALLOC_RETIRED, /* below it, empty and in no list: taken out by a deep purge, not by Python */
};

struct pymalloc_arena {
	struct pymalloc_arena_object o;
	uint32_t index; /* in the vector */
	uint64_t object; /* its address in the target */
	uint64_t base; /* of the first pool: address rounded up to a pool */
	uint32_t slots; /* pools that fit; more than ntotalpools when some are retired */
	uint32_t npools[PYMALLOC_RETIRED + 1]; /* by state */
	uint64_t live_blocks, live_bytes;
};

struct pymalloc_pool {
	uint64_t address;
	uint32_t slot; /* in its arena */
	enum pymalloc_pool_state state;
	struct pymalloc_pool_header h; /* zero for virgin ones and where the page is not resident */
	/*
	 * PYMALLOC_BLOCKS only, and only in used pools: resident bytes in whole
	 * pages without a live block (never the first page), and the blocks'
	 * map: bit set = free. blocks_valid is false when the free list was torn.
	 */
	bool blocks_valid;
	uint32_t free_pages_resident;
	uint32_t resident; /* bytes of the pool's pages that are resident */
	uint8_t present; /* bit N: its page N is */
	uint64_t free_map[16]; /* 16 KiB / 16 bytes = 1021 blocks at most */
};

/*
 * Called for each arena that holds together, then for each of its pools in
 * address order. 0 goes on; anything else ends the look and is returned.
 */
struct pymalloc_visitor {
	int (*arena)(void *ctx, const struct pymalloc_arena *a);
	int (*pool)(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p);
	void *ctx;
};

struct pymalloc_class_facts {
	uint64_t pools, full_pools; /* with live blocks */
	uint64_t used_blocks, free_blocks;
};

/* Arenas by how little keeps them from going back: at most limit live bytes. */
#define PYMALLOC_PINS 8
struct pymalloc_pin {
	uint64_t limit; /* bytes; UINT64_MAX in the last one */
	uint64_t arenas, live_blocks, live_bytes, free_bytes;
};

struct pymalloc_facts {
	uint64_t arenas, arena_bytes; /* allocated ones */
	uint64_t pools_used, pools_full; /* partly used; full */
	uint64_t pools_free; /* Python's count: listed and virgin */
	uint64_t pools_listed, pools_virgin, pools_retired;
	uint64_t used_blocks, free_blocks; /* of pools with live blocks */
	struct pymalloc_class_facts classes[PYMALLOC_CLASSES];
	uint64_t in_use; /* bytes in live blocks */
	uint64_t free; /* bytes in free blocks, free, virgin and retired pools */
	uint64_t resident; /* bytes of arenas that are resident */
	/* In whole resident pages that hold nothing; without PYMALLOC_BLOCKS in free, virgin and retired pools only. */
	uint64_t free_resident;
	uint64_t free_resident_pools, free_resident_blocks; /* the two parts of it */
	struct pymalloc_pin pins[PYMALLOC_PINS];
	uint64_t torn_arenas; /* changing all the time: taken as last seen, so the figures are estimates */
	bool sampled; /* pymalloc_glance(): an estimate from a part of the arenas */
	/* Bytes that are swapped out, or whatever pymalloc_glance() left out: in none of the other figures. */
	uint64_t unknown;
	uint64_t ns; /* it took */
};

enum pymalloc_flags {
	PYMALLOC_BLOCKS = 1 << 0, /* walk the free blocks of each used pool as well */
};

/*
 * Walks everything without stopping the target. 0; -ENOENT pymalloc isn't in
 * use; -EBADMSG contradictions that don't go away; a read's or visitor's error.
 * An arena that stays contradictory is counted as torn and not visited.
 */
int pymalloc_look(struct target *t, const struct cpython *py, unsigned int flags, const struct pymalloc_visitor *v,
		  struct pymalloc_facts *ret) __must_check;

/*
 * A look that takes 5 ms at most, whatever the size: the arenas' own counts,
 * and pagemap of 128 MiB of them. Of @ret it fills arenas, arena_bytes,
 * pools_free, pools_retired, sampled, and lower bounds of free, free_resident
 * and free_resident_pools: free pools only, and those in use are taken as wholly
 * resident. Where there is more than 128 MiB, the last two are estimated from
 * the sample. unknown is where there may be more: what pools in use have beyond
 * their first page. 0; as pymalloc_look().
 */
int pymalloc_glance(struct target *t, const struct cpython *py, struct pymalloc_facts *ret) __must_check;

/* ---- the parts, for whoever validates on his own ---- */

/* The vector and its length as they are now. 0, -EBADMSG, or the read's error. */
int pymalloc_vector(struct target *t, const struct cpython *py, uint64_t *ret_arenas, uint32_t *ret_max) __must_check;

/* Is this a possible allocated arena? Only arithmetic. Fills base and slots from o. */
bool pymalloc_arena_sane(const struct cpython *py, struct pymalloc_arena *a);

/* Is this the header of a pool with live blocks, as far as it can tell by itself? */
bool pymalloc_header_sane(const struct cpython *py, uint64_t pool, const struct pymalloc_pool_header *h);

/* Blocks that fit in a pool of class @szidx. */
static inline uint32_t pymalloc_blocks(const struct cpython *py, uint32_t szidx)
{
	return (uint32_t)((py->pool_size - PYMALLOC_POOL_HEADER) / PYMALLOC_BLOCK_SIZE(szidx));
}

/*
 * Maps the free blocks of a used pool from its contents (@bytes: pool_size
 * bytes): the list and the carve window, bit set = free. Checks all of it:
 * links in the pool and on the grid, no block twice, disjoint from the window,
 * and count + list + window == all. -EBADMSG when anything doesn't fit.
 */
int pymalloc_free_map(const struct cpython *py, uint64_t pool, const void *bytes, uint64_t ret_map[16],
		      uint32_t *ret_listed) __must_check;

#endif
