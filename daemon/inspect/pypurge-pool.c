// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pypurge-pool.h"

#include <errno.h>
#include <string.h>

/* Up to so many bytes of free blocks are written along to save a write. */
#define GAP_MAX 256u

#define FREEBLOCK offsetof(struct pymalloc_pool_header, freeblock)
#define OFFSETS offsetof(struct pymalloc_pool_header, nextoffset)

static uint32_t block_offset(const struct pypurge_pool *p, uint32_t i)
{
	return PYMALLOC_POOL_HEADER + i * p->bs;
}

static uint32_t pool_size(const struct pypurge_pool *p)
{
	return p->pages * (uint32_t)REMOTE_PAGE;
}

/* The link word of block @i. Blocks are multiples of 16 bytes: no word lies across two pages. */
static int pool_link(struct pypurge_pool *p, struct remote *mem, uint32_t i, uint64_t *ret)
{
	const uint32_t offset = block_offset(p, i), g = offset / (uint32_t)REMOTE_PAGE;
	unsigned char *page = p->bytes + g * REMOTE_PAGE;

	if (p->flags[g] & (REMOTE_SWAPPED | REMOTE_SHARED))
		return -ENXIO;
	if (!p->have[g]) {
		int r = 0;

		if (p->flags[g] & REMOTE_PRESENT)
			r = remote_read(mem, p->addr + g * REMOTE_PAGE, page, REMOTE_PAGE);
		else
			memset(page, 0, REMOTE_PAGE);
		if (r < 0)
			return r;
		p->have[g] = true;
	}
	memcpy(ret, p->bytes + offset, sizeof(*ret));
	return 0;
}

static int pool_window(struct pypurge_pool *p)
{
	const uint32_t lo = p->h.nextoffset, hi = p->h.maxnextoffset;

	p->win_lo = p->win_hi = 0;
	if (lo > hi)
		return 0; /* used up */
	if (lo < PYMALLOC_POOL_HEADER || hi > pool_size(p) - p->bs || (lo - PYMALLOC_POOL_HEADER) % p->bs)
		return -EBADMSG;
	p->win_lo = (lo - PYMALLOC_POOL_HEADER) / p->bs;
	p->win_hi = (hi - PYMALLOC_POOL_HEADER) / p->bs + 1;
	memset(p->block + p->win_lo, PYPURGE_WINDOW, p->win_hi - p->win_lo);
	return 0;
}

int pypurge_pool_walk(struct pypurge_pool *p, struct remote *mem)
{
	uint64_t link = p->h.freeblock;
	int r;

	if (p->pages > PYPURGE_POOL_PAGES || p->h.szidx >= PYMALLOC_CLASSES)
		return -EBADMSG;
	p->bs = PYMALLOC_BLOCK_SIZE(p->h.szidx);
	p->n = (pool_size(p) - PYMALLOC_POOL_HEADER) / p->bs;
	p->n_listed = 0;
	memset(p->have, 0, sizeof(p->have));
	memset(p->block, PYPURGE_LIVE, sizeof(p->block));
	if (p->h.count == 0 || p->h.count >= p->n)
		return -EBADMSG;
	r = pool_window(p);
	if (r < 0)
		return r;

	/* Each turn takes a block that was not taken before: that bounds it. */
	while (link) {
		const uint64_t offset = link - p->addr;
		uint32_t i;

		if (link < p->addr || offset < PYMALLOC_POOL_HEADER || offset >= block_offset(p, p->n) ||
		    (offset - PYMALLOC_POOL_HEADER) % p->bs)
			return -EBADMSG;
		i = (uint32_t)(offset - PYMALLOC_POOL_HEADER) / p->bs;
		if (p->block[i] != PYPURGE_LIVE)
			return -EBADMSG;
		p->block[i] = PYPURGE_LISTED;
		if (p->n_listed)
			p->next[p->order[p->n_listed - 1]] = (uint16_t)i;
		p->next[i] = (uint16_t)p->n;
		p->order[p->n_listed++] = (uint16_t)i;
		r = pool_link(p, mem, i, &link);
		if (r < 0)
			return r;
	}
	/* A used pool has a listed block: pymalloc_alloc() takes it without a look. */
	if (!p->n_listed || p->n_listed + p->h.count + (p->win_hi - p->win_lo) != p->n)
		return -EBADMSG;
	return 0;
}

static bool page_is_free(const struct pypurge_pool *p, uint32_t g)
{
	const uint32_t lo = g * (uint32_t)REMOTE_PAGE, hi = lo + (uint32_t)REMOTE_PAGE;
	uint32_t i = (lo - PYMALLOC_POOL_HEADER) / p->bs;

	for (; i < p->n && block_offset(p, i) < hi; i++)
		if (p->block[i] == PYPURGE_LIVE)
			return false;
	return true;
}

/* Blocks of the present window that [lo, hi) does not cover. */
static uint32_t window_outside(const struct pypurge_pool *p, uint32_t lo, uint32_t hi)
{
	const uint32_t from = MAX(lo, p->win_lo), to = MIN(hi, p->win_hi);

	return p->win_hi - p->win_lo - (from < to ? to - from : 0);
}

/*
 * The window for the pages [page_lo, page_hi). A block that begins before
 * them and one that begins in them but ends behind: the first stays on the
 * list (its link word lies outside), the second does not. Blocks of the
 * present window next to it stay in the window: that saves link words.
 */
static bool run_window(const struct pypurge_pool *p, struct pypurge_run *run)
{
	const uint32_t lo = run->page_lo * (uint32_t)REMOTE_PAGE, hi = run->page_hi * (uint32_t)REMOTE_PAGE;
	const uint32_t n_free = p->n - p->h.count;
	const uint32_t n0 = MIN(p->n, (lo - PYMALLOC_POOL_HEADER + p->bs - 1) / p->bs);
	const uint32_t n1 = MIN(p->n, (hi - PYMALLOC_POOL_HEADER + p->bs - 1) / p->bs);

	if (n0 >= n1)
		return false;
	run->win_lo = n0;
	run->win_hi = n1;
	if (p->win_lo < n0 && p->win_hi >= n0)
		run->win_lo = p->win_lo;
	if (p->win_hi > n1 && p->win_lo <= n1)
		run->win_hi = p->win_hi;
	/* One has to be on the list. */
	if (run->win_hi - run->win_lo >= n_free) {
		if (run->win_lo < n0)
			run->win_lo++;
		else if (run->win_hi > n1)
			run->win_hi--;
		else
			return false;
	}
	run->relisted = window_outside(p, run->win_lo, run->win_hi);
	return true;
}

/* Will a link word of a block that comes from the window to the list lie in page @g? */
static bool run_touches(const struct pypurge_pool *p, const struct pypurge_run *run, uint32_t g)
{
	for (uint32_t i = p->win_lo; i < p->win_hi; i++)
		if ((i < run->win_lo || i >= run->win_hi) && block_offset(p, i) / REMOTE_PAGE == g)
			return true;
	return false;
}

static void run_weigh(const struct pypurge_pool *p, struct pypurge_run *run)
{
	run->resident = run->touched = 0;
	for (uint32_t g = 0; g < p->pages; g++) {
		if (g >= run->page_lo && g < run->page_hi)
			continue;
		if (p->flags[g] & REMOTE_PRESENT) {
			run->resident++;
		} else if (run->relisted && run_touches(p, run, g)) {
			run->resident++;
			run->touched++;
		}
	}
}

static uint32_t pages_present(const struct pypurge_pool *p, uint32_t lo, uint32_t hi)
{
	uint32_t n = 0;

	for (uint32_t g = lo; g < hi; g++)
		n += !!(p->flags[g] & REMOTE_PRESENT);
	return n;
}

/* With a tie the later run wins: fresh pools are used from below. */
static bool run_better(const struct pypurge_run *a, const struct pypurge_run *b)
{
	return a->resident < b->resident || (a->resident == b->resident && a->relisted <= b->relisted);
}

bool pypurge_pool_run(const struct pypurge_pool *p, struct pypurge_run *ret)
{
	struct pypurge_run best = { .resident = pages_present(p, 0, p->pages), .relisted = 0 };
	bool found = false;

	for (uint32_t lo = 1; lo < p->pages; lo++) {
		for (uint32_t hi = lo + 1; hi <= p->pages && page_is_free(p, hi - 1); hi++) {
			struct pypurge_run run = { .page_lo = lo, .page_hi = hi };

			if (!run_window(p, &run))
				continue;
			run_weigh(p, &run);
			if (found ? run_better(&run, &best) : run.resident < best.resident) {
				best = run;
				found = true;
			}
		}
	}
	if (found)
		*ret = best;
	return found;
}

bool pypurge_pool_promising(const struct pypurge_pool *p)
{
	uint32_t bs, n;

	if (p->pages < 2 || p->h.szidx >= PYMALLOC_CLASSES || !pages_present(p, 1, p->pages))
		return false;
	bs = PYMALLOC_BLOCK_SIZE(p->h.szidx);
	n = (pool_size(p) - PYMALLOC_POOL_HEADER) / bs;
	/* The last page may be short by the pool's unused end, less than a block. */
	return p->h.count > 0 && p->h.count < n && (n - p->h.count + 1) * bs >= REMOTE_PAGE;
}

/* One write for the links of the blocks from @i on that need a new one; returns the block behind, 0 when full. */
static uint32_t links_span(const struct pypurge_pool *p, const struct pypurge_run *run, const uint16_t *next,
			   uint32_t i, struct pypurge_lists *l)
{
	uint32_t last = i;
	unsigned char *room;

	for (uint32_t j = i + 1; j < p->n && block_offset(p, j) - block_offset(p, last) <= GAP_MAX + 8; j++) {
		if (p->block[j] == PYPURGE_LIVE || (j >= run->win_lo && j < run->win_hi))
			break;
		if (p->block[j] == PYPURGE_WINDOW || next[j] != p->next[j])
			last = j;
	}
	room = pypurge_lists_room(l, p->addr + block_offset(p, i), (last - i) * p->bs + sizeof(uint64_t));
	if (!room)
		return 0;
	for (uint32_t j = i; j <= last; j++) {
		const uint64_t link = next[j] < p->n ? p->addr + block_offset(p, next[j]) : 0;

		memcpy(room + (j - i) * p->bs, &link, sizeof(link));
	}
	return last + 1;
}

/* The list as it will be: blocks of the old window, then what remains of the list in its present order. */
static uint32_t links_new(const struct pypurge_pool *p, const struct pypurge_run *run, uint16_t *next)
{
	uint32_t head = p->n, last = p->n;

	for (uint32_t k = 0; k < p->win_hi - p->win_lo + p->n_listed; k++) {
		const uint32_t n_win = p->win_hi - p->win_lo;
		const uint32_t i = k < n_win ? p->win_lo + k : p->order[k - n_win];

		if (i >= run->win_lo && i < run->win_hi)
			continue;
		if (last < p->n)
			next[last] = (uint16_t)i;
		else
			head = i;
		next[i] = (uint16_t)p->n;
		last = i;
	}
	return head;
}

static bool offsets_write(const struct pypurge_pool *p, uint32_t next, uint32_t max, struct pypurge_lists *l)
{
	const uint32_t word[2] = { next, max };

	return pypurge_lists_write(l, p->addr + OFFSETS, word, sizeof(word));
}

static int pool_edit(const struct pypurge_pool *p, const struct pypurge_run *run, struct pypurge_lists *l)
{
	const uint32_t end = pool_size(p) - p->bs;
	const uint32_t next_offset = block_offset(p, run->win_lo);
	const uint32_t max_offset = run->win_hi == p->n ? end : block_offset(p, run->win_hi - 1);
	uint16_t next[PYPURGE_BLOCKS] = { 0 };
	uint32_t head = links_new(p, run, next);
	uint64_t link;

	if (run->relisted && !offsets_write(p, pool_size(p), end, l))
		return -ENOBUFS;
	for (uint32_t i = 0; i < p->n;) {
		const bool kept = p->block[i] != PYPURGE_LIVE && (i < run->win_lo || i >= run->win_hi);

		if (!kept || (p->block[i] == PYPURGE_LISTED && next[i] == p->next[i])) {
			i++;
			continue;
		}
		i = links_span(p, run, next, i, l);
		if (!i)
			return -ENOBUFS;
	}
	link = p->addr + block_offset(p, head);
	if (link != p->h.freeblock && !pypurge_lists_write(l, p->addr + FREEBLOCK, &link, sizeof(link)))
		return -ENOBUFS;
	if (next_offset == p->h.nextoffset && max_offset == p->h.maxnextoffset)
		return 0;
	return offsets_write(p, next_offset, max_offset, l) ? 0 : -ENOBUFS;
}

int pypurge_pool_plan(struct pypurge_pool *p, struct remote *mem, struct pypurge_lists *l)
{
	const struct pypurge_mark mark = pypurge_lists_mark(l);
	struct pypurge_run run;
	int r = pypurge_pool_walk(p, mem);

	if (r < 0)
		return r;
	if (!pypurge_pool_run(p, &run))
		return 0;
	r = pool_edit(p, &run, l);
	if (r == 0 &&
	    !pypurge_lists_drop(l, p->addr + run.page_lo * REMOTE_PAGE, (run.page_hi - run.page_lo) * REMOTE_PAGE,
				pages_present(p, run.page_lo, run.page_hi) * REMOTE_PAGE))
		r = -ENOBUFS;
	if (r < 0) {
		pypurge_lists_rollback(l, &mark);
		return r;
	}
	l->touched += run.touched * REMOTE_PAGE;
	return 1;
}
