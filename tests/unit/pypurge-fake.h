/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pool made by hand, as a target would hold it, and what pymalloc would make of it. */
#ifndef RECLAIM_TESTS_PYPURGE_FAKE_H
#define RECLAIM_TESTS_PYPURGE_FAKE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inspect/pypurge-pool.h"

#define AT 0x7f0000010000ull
#define SIZE 16384u

/* A pool as the target holds it. */
struct fake {
	union {
		unsigned char bytes[SIZE];
		struct pymalloc_pool_header h;
	};
	uint8_t flags[4];
	uint32_t szidx, bs, n, count;
	bool live[PYPURGE_BLOCKS];
	struct remote mem;
	struct pypurge_pool pool;
	struct pypurge_lists lists;
};

static inline int fake_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	const struct fake *f = ctx;

	if (addr < AT || addr - AT > SIZE - len)
		return -EFAULT;
	memcpy(buf, f->bytes + (addr - AT), len);
	return 0;
}

static inline struct pymalloc_pool_header *header(struct fake *f)
{
	return &f->h;
}

static inline uint64_t block(const struct fake *f, uint32_t i)
{
	return AT + PYMALLOC_POOL_HEADER + i * f->bs;
}

/* Not inlined: gcc 12 takes the bytes for the header's first field otherwise. */
static __attribute__((__noinline__, __unused__)) void link_set(struct fake *f, uint32_t i, uint64_t to)
{
	const uint64_t offset = block(f, i) - AT;

	assert_true(offset <= SIZE - sizeof(to));
	memcpy(f->bytes + offset, &to, sizeof(to));
}

/* All blocks live, window used up. */
static inline struct fake *fake_new(uint32_t szidx)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->szidx = szidx;
	f->bs = PYMALLOC_BLOCK_SIZE(szidx);
	f->n = (SIZE - PYMALLOC_POOL_HEADER) / f->bs;
	f->count = f->n;
	memset(f->bytes, 0x11, sizeof(f->bytes));
	memset(f->live, true, sizeof(f->live));
	memset(f->flags, REMOTE_PRESENT, sizeof(f->flags));
	*header(f) = (struct pymalloc_pool_header){
		.szidx = szidx,
		.nextoffset = PYMALLOC_POOL_HEADER + f->n * f->bs,
		.maxnextoffset = SIZE - f->bs,
	};
	f->mem = (struct remote){ .read = fake_read, .ctx = f, .reads_left = 100, .bytes_left = UINT64_MAX };
	return f;
}

static inline void fake_free(struct fake *f, uint32_t i)
{
	assert_true(i < f->n && f->live[i]);
	link_set(f, i, header(f)->freeblock);
	header(f)->freeblock = block(f, i);
	f->live[i] = false;
	f->count--;
}

/* Blocks [lo, hi), which are live so far, become the window. */
static inline void fake_window(struct fake *f, uint32_t lo, uint32_t hi)
{
	for (uint32_t i = lo; i < hi; i++) {
		assert_true(f->live[i]);
		f->live[i] = false;
		f->count--;
	}
	header(f)->nextoffset = PYMALLOC_POOL_HEADER + lo * f->bs;
	header(f)->maxnextoffset = hi == f->n ? SIZE - f->bs : PYMALLOC_POOL_HEADER + (hi - 1) * f->bs;
}

static inline int plan(struct fake *f)
{
	header(f)->count = f->count;
	f->pool.addr = AT;
	f->pool.pages = 4;
	f->pool.h = *header(f);
	f->pool.flags = f->flags;
	f->mem.reads_left = 100;
	return pypurge_pool_plan(&f->pool, &f->mem, &f->lists);
}

static inline int plan_anew(struct fake *f)
{
	pypurge_lists_init(&f->lists, 0, 0, 0, 0);
	return plan(f);
}

static inline void apply(struct fake *f, uint32_t writes, bool drop, int fill)
{
	for (uint32_t i = 0; i < writes; i++) {
		const struct pypurge_write *w = &f->lists.writes[i];

		assert_true(w->addr >= AT + 8 && w->addr + w->len <= AT + SIZE);
		memcpy(f->bytes + (w->addr - AT), f->lists.values + w->offset, w->len);
	}
	for (uint32_t i = 0; drop && i < f->lists.n_ranges; i++) {
		const uint64_t offset = f->lists.ranges[i].addr - AT;

		assert_true(offset >= 4096 && offset % 4096 == 0 && f->lists.ranges[i].len <= SIZE - offset);
		memset(f->bytes + offset, fill, f->lists.ranges[i].len);
		memset(f->flags + offset / 4096, 0, f->lists.ranges[i].len / 4096);
	}
}

/* As pymalloc_alloc() until the pool is full: only free blocks, none twice. Returns how many. */
static inline uint32_t drain(const struct fake *f)
{
	struct fake copy = *f;
	struct pymalloc_pool_header *h = header(&copy);
	uint32_t n = 0;

	assert_true(h->freeblock != 0);
	while (h->freeblock) {
		const uint64_t offset = h->freeblock - AT;
		uint32_t i;

		assert_true(offset >= PYMALLOC_POOL_HEADER && offset < SIZE);
		assert_int_equal((offset - PYMALLOC_POOL_HEADER) % f->bs, 0);
		i = (uint32_t)(offset - PYMALLOC_POOL_HEADER) / f->bs;
		assert_true(i < f->n && !copy.live[i]);
		copy.live[i] = true;
		memcpy(&h->freeblock, copy.bytes + offset, 8);
		/* the program fills what it gets */
		memset(copy.bytes + offset, 0xee, f->bs);
		n++;
		if (!h->freeblock && h->nextoffset <= h->maxnextoffset) {
			h->freeblock = AT + h->nextoffset;
			h->nextoffset += f->bs;
			assert_true(h->freeblock - AT <= SIZE - f->bs);
			memset(copy.bytes + (h->freeblock - AT), 0, 8);
		}
	}
	/* and no live block has changed */
	for (uint32_t k = 0; k < f->n; k++)
		for (uint32_t b = 0; f->live[k] && b < f->bs; b++)
			assert_int_equal(copy.bytes[block(f, k) - AT + b], 0x11);
	return n;
}

/* Each prefix of the writes leaves a pool that can be used; all of them lose no block. */
static inline void check_states(struct fake *f)
{
	static struct fake before;
	const uint32_t n_free = f->n - f->count;

	before = *f;
	for (uint32_t k = 0; k <= f->lists.n_writes; k++) {
		*f = before;
		apply(f, k, false, 0);
		assert_true(drain(f) <= n_free);
	}
	*f = before;
	apply(f, f->lists.n_writes, true, 0xa5);
	assert_int_equal(drain(f), n_free);
	*f = before;
	apply(f, f->lists.n_writes, true, 0);
	assert_int_equal(drain(f), n_free);
}

#endif
