/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies of glibc's own structures, checked. For the files of the glibc reader only. */
#ifndef RECLAIM_INSPECT_GLIBC_STATE_H
#define RECLAIM_INSPECT_GLIBC_STATE_H

#include "inspect/glibc-layout.h"
#include "inspect/glibc.h"

#define GLIBC_ARENAS_MAX 16384
#define GLIBC_HEAPS_MAX 262144 /* of 64 MiB: more than an address space holds */
#define GLIBC_ADDR_MAX (1ull << 56) /* user addresses end below: five-level page tables */

/* struct malloc_chunk; the flags are the low bits of the size. */
#define CHUNK_HEADER 16ull
#define CHUNK_MIN 32ull
#define CHUNK_LINKS 48ull /* what a binned chunk keeps in itself: up to bk_nextsize */
#define CHUNK_PREV_INUSE 1ull
#define CHUNK_MMAPPED 2ull
#define CHUNK_NON_MAIN 4ull
#define CHUNK_FLAGS 7ull
#define CHUNK_FENCE 16ull /* size of the fence posts that end a heap */

#define GLIBC_NONCONTIGUOUS 2u /* malloc_state.flags */

/* struct malloc_state, as it was read */
struct glibc_state {
	uint64_t addr;
	unsigned char bytes[GLIBC_ARENA_MAX];
};

static inline bool glibc_is_chunk_addr(uint64_t p)
{
	return p % 16 == 0 && p >= REMOTE_PAGE && p < GLIBC_ADDR_MAX;
}

static inline uint64_t chunk_align(uint64_t v)
{
	return (v + 15) & ~15ull;
}

static inline uint64_t page_up(uint64_t v)
{
	return (v + REMOTE_PAGE - 1) & ~(REMOTE_PAGE - 1);
}

static inline uint64_t page_down(uint64_t v)
{
	return v & ~(REMOTE_PAGE - 1);
}

/* Bytes of whole pages inside of [lo, hi). */
static inline uint64_t page_span(uint64_t lo, uint64_t hi)
{
	return page_up(lo) < page_down(hi) ? page_down(hi) - page_up(lo) : 0;
}

/* Small structures outside of heaps. -ENXIO: swapped out, and left there; otherwise as remote_read(). */
int glibc_read(struct target *t, uint64_t addr, void *buf, size_t len) __must_check;

int glibc_state_read(struct target *t, const struct glibc *g, uint64_t arena, struct glibc_state *ret) __must_check;
uint64_t glibc_state_u64(const struct glibc_state *s, uint16_t offset);
uint32_t glibc_state_mutex(const struct glibc_state *s);

/* bin_at(@i) of the arena: the address that an empty bin's links hold. 1 <= i <= 127 */
uint64_t glibc_bin_at(const struct glibc *g, uint64_t arena, unsigned int i);
/* The first chunk of bin @i, 0 when empty. */
uint64_t glibc_state_bin(const struct glibc *g, const struct glibc_state *s, unsigned int i);

struct glibc_par {
	uint64_t trim_threshold, top_pad, mmap_threshold;
	uint64_t mmapped_mem, sbrk_base;
	uint64_t thp_pagesize, hp_pagesize; /* 0 when there is none */
	uint64_t tcache_count;
	int32_t n_mmaps, no_dyn_threshold;
};

int glibc_par_read(struct target *t, const struct glibc *g, struct glibc_par *ret) __must_check;

/* Addresses of all arenas, the main one first. The caller frees *ret. -EBADMSG, -EAGAIN, -ENOMEM. */
int glibc_arena_list(struct target *t, const struct glibc *g, uint64_t **ret, size_t *ret_n) __must_check;

/* One stretch of address space that an arena's chunks lie in. */
struct glibc_heap {
	uint64_t start; /* of its struct heap_info; of the first chunk in the main arena */
	uint64_t first; /* first chunk */
	uint64_t end; /* where it is used up to */
	uint32_t arena; /* index */
	bool last; /* holds the top chunk */
	bool is_main;
	bool scattered; /* a mapping of a main arena that couldn't use sbrk(): among its parts may be anything */
};

/*
 * Is what lies at @addr made of pages that can be dropped one by one? Not when
 * the tunable hugetlb=2 has put a heap into hugetlbfs: there nothing smaller
 * than a huge page goes, and Linux 5.18 to 6.0 rounds the end of a range up, so
 * that live data behind it would be lost.
 */
bool glibc_droppable(const struct target *t, uint64_t addr);

/*
 * Appends the heaps of an arena to a growing array, oldest first. The caller
 * frees *heaps. -EBADMSG they contradict the arena; -ENXIO; -ENOMEM.
 */
int glibc_heaps_add(struct target *t, const struct glibc *g, const struct glibc_par *par, const struct glibc_state *s,
		    uint32_t index, struct glibc_heap **heaps, size_t *n, size_t *room) __must_check;

#endif
