// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pymalloc-cells.h"

#define PAGE ((uint32_t)REMOTE_PAGE)
#define PAGES_MAX 4 /* of a pool */

/* One page of a pool. */
struct pool_page {
	uint32_t live, free; /* bytes of blocks */
	uint32_t blocks; /* live ones that begin in it */
};

void pymalloc_cells_arena(struct cells *c, const struct cpython *py, const struct pymalloc_arena *a)
{
	const uint64_t end = a->base + a->slots * py->pool_size;

	cells_add(c, CELLS_PYMALLOC, a->index, a->o.address, a->base, CELLS_OVERHEAD);
	cells_add(c, CELLS_PYMALLOC, a->index, end, MAX(end, a->o.address + py->arena_size), CELLS_OVERHEAD);
}

/* An empty pool is as much free as it is there: its header is no more than a link. */
static void cells_empty(struct cells *c, const struct cpython *py, const struct pymalloc_arena *a,
			const struct pymalloc_pool *p)
{
	for (uint32_t i = 0; i < py->pool_size / PAGE; i++) {
		const uint64_t at = p->address + (uint64_t)i * PAGE;

		cells_add(c, CELLS_PYMALLOC, a->index, at, at + PAGE,
			  p->present >> i & 1 ? CELLS_FREE_RESIDENT : CELLS_FREE_GONE);
	}
}

/* Bytes [from, from + size) of the pool are a block: over one page or two. */
static void pages_block(struct pool_page pages[PAGES_MAX], uint32_t from, uint32_t size, bool is_free)
{
	const uint32_t first = from / PAGE, here = MIN(size, PAGE - from % PAGE);

	pages[first].blocks += !is_free;
	for (uint32_t i = 0; i < 2; i++) {
		const uint32_t n = i ? size - here : here;

		if (!n)
			break;
		if (is_free)
			pages[first + i].free += n;
		else
			pages[first + i].live += n;
	}
}

/* A pool whose free list was torn has so many live blocks, wherever they are: the last ones are taken for free. */
static void pages_fill(const struct cpython *py, const struct pymalloc_pool *p, struct pool_page pages[PAGES_MAX])
{
	const uint32_t size = PYMALLOC_BLOCK_SIZE(p->h.szidx), blocks = pymalloc_blocks(py, p->h.szidx);

	for (uint32_t i = 0; i < blocks; i++)
		pages_block(pages, PYMALLOC_POOL_HEADER + i * size, size,
			    p->state == PYMALLOC_USED && p->blocks_valid ? p->free_map[i / 64] >> (i % 64) & 1 :
									   i >= p->h.count);
}

void pymalloc_cells_pool(struct cells *c, const struct cpython *py, const struct pymalloc_arena *a,
			 const struct pymalloc_pool *p)
{
	struct pool_page pages[PAGES_MAX] = { { 0 } };

	if (p->state != PYMALLOC_USED && p->state != PYMALLOC_FULL) {
		cells_empty(c, py, a, p);
		return;
	}
	if (py->pool_size > PAGES_MAX * PAGE || p->h.szidx >= PYMALLOC_CLASSES)
		return;
	pages_fill(py, p, pages);
	for (uint32_t i = 0; i < py->pool_size / PAGE; i++) {
		const struct pool_page *page = &pages[i];
		const uint64_t at = p->address + (uint64_t)i * PAGE;
		/* The first page has the header. */
		const bool whole = i && !page->live, there = p->present >> i & 1;
		const enum cells_kind kind = !there ? CELLS_FREE_GONE : whole ? CELLS_FREE_RESIDENT : CELLS_FREE_SHARED;
		/* What is left of a page that can go goes with it. */
		const uint32_t free = whole ? PAGE : page->free;

		cells_add(c, CELLS_PYMALLOC, a->index, at, at + page->live, CELLS_IN_USE);
		cells_add(c, CELLS_PYMALLOC, a->index, at, at + free, kind);
		cells_add(c, CELLS_PYMALLOC, a->index, at, at + (PAGE - page->live - free), CELLS_OVERHEAD);
		cells_live(c, CELLS_PYMALLOC, at, page->blocks);
	}
}
