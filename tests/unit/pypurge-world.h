/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A model allocator with live blocks whose contents are known, and this process's own memory as the target. */
#ifndef RECLAIM_TESTS_PYPURGE_WORLD_H
#define RECLAIM_TESTS_PYPURGE_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "inspect/pypurge.h"
#include "pypurge-obmalloc.h"

#define WORLD_BLOCKS 200000u

struct world_block {
	uint64_t addr;
	uint32_t szidx, seed;
};

struct world {
	struct ob ob;
	struct cpython py;
	int pagemap_fd;
	struct remote mem;
	struct pypurge *purge;
	struct pypurge_lists lists;
	uint64_t random;
	uint32_t n, seed;
	struct world_block blocks[WORLD_BLOCKS];
};

static inline uint32_t world_random(struct world *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)((w->random >> 20) % below);
}

static inline bool world_within(uint64_t addr, size_t len, const void *p, size_t size)
{
	return p && addr >= ob_addr(p) && len <= size && addr - ob_addr(p) <= size - len;
}

/* Only what a target would have: its variables, the vector, arenas. Many times faster than /proc/self/mem. */
static inline int world_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	const struct world *w = ctx;
	bool found = world_within(addr, len, &w->ob, sizeof(w->ob)) ||
		     world_within(addr, len, w->ob.arenas, OB_ARENAS * sizeof(*w->ob.arenas));

	for (uint32_t i = 0; i < OB_ARENAS && !found; i++)
		found = world_within(addr, len, w->ob.maps[i], w->ob.arena_size + 8 * w->ob.pool_size);
	if (!found)
		return -EFAULT;
	memcpy(buf, (const void *)(uintptr_t)addr, len);
	return 0;
}

static inline int world_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	struct world *w = ctx;
	uint64_t entries[PYMALLOC_POOLS_MAX * 4];

	if (n > ARRAY_SIZE(entries) ||
	    pread(w->pagemap_fd, entries, n * 8, (off_t)(addr / REMOTE_PAGE * 8)) != (ssize_t)(n * 8))
		return -EFAULT;
	for (size_t i = 0; i < n; i++)
		ret[i] = entries[i] >> 63 ? REMOTE_PRESENT : 0;
	return 0;
}

static inline void world_budget(struct world *w)
{
	w->mem = (struct remote){ .read = world_read, .pages = world_pages, .ctx = w };
	w->mem.reads_left = w->mem.bytes_left = UINT64_MAX;
}

static inline struct world *world_new(uint64_t arena_size, uint64_t pool_size, uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert(w);
	w->random = seed * 0x9e3779b97f4a7c15ull + 1;
	ob_init(&w->ob, arena_size, pool_size);
	ob_cpython(&w->ob, &w->py);
	w->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	assert(w->pagemap_fd >= 0);
	world_budget(w);
	assert(pypurge_new(&w->py, &w->purge) == 0);
	return w;
}

static inline void world_free(struct world *w)
{
	pypurge_free(w->purge);
	ob_done(&w->ob);
	close(w->pagemap_fd);
	free(w);
}

/* The first word holds the number, the last one its inverse: a block that is handed out twice shows. */
static inline void world_alloc(struct world *w, uint32_t szidx)
{
	struct world_block *b = &w->blocks[w->n];
	uint32_t *words;

	assert(w->n < WORLD_BLOCKS);
	*b = (struct world_block){ .addr = ob_alloc(&w->ob, szidx), .szidx = szidx, .seed = ++w->seed };
	words = (uint32_t *)(uintptr_t)b->addr;
	for (uint32_t i = 0; i < PYMALLOC_BLOCK_SIZE(szidx) / 4; i++)
		words[i] = b->seed * 2654435761u + i;
	w->n++;
}

static inline void world_verify(const struct world *w, uint32_t k)
{
	const struct world_block *b = &w->blocks[k];
	const uint32_t *words = (const uint32_t *)(uintptr_t)b->addr;

	for (uint32_t i = 0; i < PYMALLOC_BLOCK_SIZE(b->szidx) / 4; i++)
		assert(words[i] == b->seed * 2654435761u + i);
}

static inline void world_drop(struct world *w, uint32_t k)
{
	world_verify(w, k);
	ob_free(&w->ob, w->blocks[k].addr);
	w->blocks[k] = w->blocks[--w->n];
}

static inline void world_verify_all(const struct world *w)
{
	for (uint32_t k = 0; k < w->n; k++)
		world_verify(w, k);
}

/* Poisoned instead of dropped: whatever reads it is found out. Headers of dropped pools count as empty. */
static inline void world_apply(struct world *w, const struct pypurge_lists *l, uint32_t writes, bool drop, bool poison)
{
	const uint64_t size = w->ob.pool_size;

	assert(writes <= l->n_writes);
	for (uint32_t i = 0; i < writes; i++)
		memcpy((void *)(uintptr_t)l->writes[i].addr, l->values + l->writes[i].offset, l->writes[i].len);
	for (uint32_t i = 0; drop && i < l->n_ranges; i++) {
		const struct pypurge_range *r = &l->ranges[i];

		assert(r->addr % REMOTE_PAGE == 0 && r->len % REMOTE_PAGE == 0 && r->len);
		if (!poison) {
			assert(madvise((void *)(uintptr_t)r->addr, r->len, MADV_DONTNEED) == 0);
			continue;
		}
		memset((void *)(uintptr_t)r->addr, 0xa5, r->len);
		for (uint64_t p = (r->addr + size - 1) / size * size; p < r->addr + r->len; p += size)
			memset((void *)(uintptr_t)p, 0, sizeof(struct pymalloc_pool_header));
	}
}

/* One sweep of at most @rounds rounds (0: all of it); returns the bytes that were resident. */
static inline uint64_t world_sweep(struct world *w, const struct pypurge_limits *limits, uint32_t rounds, bool poison)
{
	struct pypurge_round round;
	int r;

	pypurge_restart(w->purge);
	for (uint32_t n = 0; !rounds || n < rounds; n++) {
		r = pypurge_scan(w->purge, &w->mem, limits, &round);
		assert(r >= 0 || r == -ENOENT);
		if (r <= 0)
			break;
		assert(pypurge_check(w->purge, &w->mem, limits, &w->lists) == 0);
		world_apply(w, &w->lists, w->lists.n_writes, true, poison);
		ob_check(&w->ob);
		pypurge_applied(w->purge, &w->lists);
		assert(n < 100000);
	}
	assert(pypurge_sweep_stats(w->purge)->torn == 0 && !pypurge_sweep_stats(w->purge)->lists_torn);
	return pypurge_sweep_stats(w->purge)->resident;
}

/* Bytes of the arenas that are there. */
static inline uint64_t world_resident(struct world *w)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < OB_ARENAS; i++) {
		uint8_t flags[512];

		if (!w->ob.arenas[i].address)
			continue;
		assert(remote_pages(&w->mem, w->ob.arenas[i].address, w->ob.arena_size / REMOTE_PAGE, flags) == 0);
		for (uint32_t g = 0; g < w->ob.arena_size / REMOTE_PAGE; g++)
			n += flags[g] & REMOTE_PRESENT ? REMOTE_PAGE : 0;
	}
	return n;
}

#endif
