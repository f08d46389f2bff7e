// SPDX-License-Identifier: GPL-2.0-or-later
/* Candidates for the purge engine: free pages that are resident, found without the lock. */
#include <errno.h>
#include <string.h>

#include "inspect/glibc-walk.h"

#define FULL 1 /* what the visitor stops a walk with */

struct prescan {
	struct target *t;
	const struct glibc *g;
	struct glibc_cursor *cursor;
	struct glibc_range *v;
	size_t n, max;
	uint64_t piece, arena;
	struct glibc_state s;
	struct glibc_par par;
	struct glibc_heap *heaps;
	size_t n_heaps, room;
	struct window w, probe;
};

static void prescan_freep(struct prescan **p)
{
	if (*p)
		free((*p)->heaps);
	free(*p);
}

/* Cuts [lo, hi) of a chunk into pieces and keeps those that are resident. FULL: cursor->lo is where to go on. */
static int prescan_add(struct prescan *p, uint64_t chunk, uint64_t lo, uint64_t hi, enum glibc_range_kind kind)
{
	struct glibc_range range = { .arena = p->arena, .chunk = chunk, .kind = kind };
	uint64_t piece = p->piece ? p->piece : UINT64_MAX;

	if (!glibc_droppable(p->t, lo)) {
		p->cursor->lo = 0;
		return 0;
	}
	for (range.lo = MAX(lo, p->cursor->lo); range.lo < hi; range.lo = range.hi) {
		int r;

		range.hi = hi - range.lo > piece ? range.lo + piece : hi;
		if (p->n == p->max) {
			p->cursor->lo = range.lo;
			return FULL;
		}
		r = window_resident(&p->w, range.lo, range.hi, &range.resident);
		if (r < 0)
			return r;
		if (range.resident)
			p->v[p->n++] = range;
	}
	p->cursor->lo = 0;
	return 0;
}

static int prescan_chunk(void *ctx, uint64_t chunk, uint64_t size, bool is_free)
{
	struct prescan *p = ctx;
	uint64_t lo = page_up(chunk + CHUNK_LINKS), hi = page_down(chunk + size);
	int r = 0;

	/* Where the last one stopped there may be another chunk by now. */
	if (chunk != p->cursor->chunk)
		p->cursor->lo = 0;
	if (is_free && lo < hi)
		r = prescan_add(p, chunk, lo, hi, GLIBC_BINNED);
	p->cursor->chunk = r == FULL ? chunk : chunk + size;
	return r;
}

static int prescan_gap(void *ctx, uint64_t lo, uint64_t hi, bool foreign)
{
	struct prescan *p = ctx;

	(void)lo;
	(void)foreign;
	p->cursor->chunk = hi;
	p->cursor->lo = 0;
	return 0;
}

static int prescan_top(struct prescan *p, uint64_t top)
{
	uint64_t size, end = 0;
	int r = glibc_read(p->t, top + 8, &size, sizeof(size));

	if (r < 0)
		return r;
	size &= ~CHUNK_FLAGS;
	for (size_t i = 0; i < p->n_heaps; i++)
		if (p->heaps[i].last)
			end = p->heaps[i].end;
	if (size < CHUNK_HEADER || top >= end || size > end - top)
		return -EBADMSG;
	return prescan_add(p, top, page_up(top + CHUNK_HEADER), page_down(top + size), GLIBC_TOP);
}

static int prescan_heap(struct prescan *p, const struct glibc_heap *heap, uint64_t top)
{
	const struct glibc_walk_visitor v = { .chunk = prescan_chunk, .gap = prescan_gap, .ctx = p };
	struct glibc_walk walk = { .g = p->g, .w = &p->w, .probe = &p->probe };
	uint64_t from = heap->first;
	int r;

	if (heap->start != p->cursor->heap) {
		p->cursor->heap = heap->start;
		p->cursor->chunk = 0;
		p->cursor->lo = 0;
	}
	if (p->cursor->chunk >= heap->end)
		return 0;
	if (p->cursor->chunk > heap->first && glibc_is_chunk_addr(p->cursor->chunk))
		from = p->cursor->chunk;
	if (top && from >= top && !heap->scattered)
		return 0;
	r = glibc_walk_heap(&walk, heap, from, heap->last ? top : 0, &v);
	return r == -EFAULT ? 0 : r;
}

static int heap_compare(const void *a, const void *b)
{
	const struct glibc_heap *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

#define PRESCAN_TRIES 3

/* The arena as it is now. Its header and its heaps are read at different moments: what doesn't fit is read again. */
static int prescan_head(struct prescan *p)
{
	int r = -EBADMSG;

	for (int i = 0; r == -EBADMSG && i < PRESCAN_TRIES; i++) {
		p->n_heaps = 0;
		r = glibc_state_read(p->t, p->g, p->arena, &p->s);
		if (r == 0)
			r = glibc_par_read(p->t, p->g, &p->par);
		if (r == 0 && !glibc_state_u64(&p->s, p->g->layout->arena.system_mem))
			return 0;
		if (r == 0)
			r = glibc_heaps_add(p->t, p->g, &p->par, &p->s, 0, &p->heaps, &p->n_heaps, &p->room);
	}
	if (r == 0 && p->n_heaps)
		qsort(p->heaps, p->n_heaps, sizeof(*p->heaps), heap_compare);
	return r;
}

static int prescan_all(struct prescan *p)
{
	uint64_t top;
	int r = prescan_head(p);

	if (r < 0)
		return r;
	top = glibc_state_u64(&p->s, p->g->layout->arena.top);
	if (!p->cursor->top_done && p->n_heaps) {
		r = prescan_top(p, top);
		if (r != 0)
			return r;
		p->cursor->top_done = true;
	}
	for (size_t i = 0; i < p->n_heaps; i++) {
		const struct glibc_heap *heap = &p->heaps[i];

		if (heap->start < p->cursor->heap)
			continue;
		r = prescan_heap(p, heap, heap->last ? top : 0);
		if (r != 0)
			return r;
		/* Done with this one, whatever becomes of it until the next call. */
		p->cursor->heap = heap->start + 1;
		p->cursor->chunk = p->cursor->lo = 0;
	}
	p->cursor->end = true;
	return 0;
}

int glibc_prescan(struct target *t, const struct glibc *g, uint64_t arena, struct glibc_cursor *cursor,
		  struct glibc_range *v, size_t max, uint64_t piece, size_t *ret_n)
{
	_cleanup_(prescan_freep) struct prescan *p = malloc(sizeof(*p));
	struct glibc_cursor at = *cursor;
	int r;

	if (!p)
		return -ENOMEM;
	p->t = t;
	p->g = g;
	p->cursor = &at;
	p->v = v;
	p->n = 0;
	p->max = max;
	p->piece = page_down(piece);
	p->arena = arena;
	p->heaps = NULL;
	p->n_heaps = p->room = 0;
	window_init(&p->w, &t->mem);
	window_init(&p->probe, &t->mem);
	r = prescan_all(p);
	if (r < 0)
		return r;
	*cursor = at;
	*ret_n = p->n;
	return 0;
}
