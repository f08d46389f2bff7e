// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "inspect/glibc-tally.h"

#define LOOK_TRIES 3
#define CHEAP_CHUNKS 512 /* looked at under GLIBC_CHEAP: some 3 us each */
#define CACHE_STEPS (64u << 20)

/* Everything that one look needs; 3 MiB, so not on the stack. */
struct look {
	struct target *t;
	const struct glibc *g;
	unsigned int flags;
	struct glibc_par par;
	struct window w, probe;
	struct glibc_pages pages;
	struct glibc_cache cache;
	struct glibc_state *states; /* of each arena */
	struct glibc_heap *heaps;
	size_t n_heaps, room;
	unsigned int chunks_left; /* GLIBC_CHEAP */
	struct glibc_facts f;
};

static void look_freep(struct look **l)
{
	if (!*l)
		return;
	glibc_cache_done(&(*l)->cache);
	free((*l)->states);
	free((*l)->heaps);
	glibc_facts_done(&(*l)->f);
	free(*l);
}

void glibc_facts_done(struct glibc_facts *f)
{
	free(f->arenas);
	f->arenas = NULL;
	f->n_arenas = 0;
}

/* What ends a look, apart from what only spoils the figures of one arena. */
static bool look_fatal(int r)
{
	return r != 0 && r != -EBADMSG && r != -ENXIO && r != -EFAULT;
}

static int look_arenas(struct look *l)
{
	_cleanup_free_ uint64_t *addrs = NULL;
	size_t n;
	int r = glibc_arena_list(l->t, l->g, &addrs, &n);

	if (r < 0)
		return r;
	l->f.arenas = calloc(n, sizeof(*l->f.arenas));
	l->states = malloc(n * sizeof(*l->states));
	if (!l->f.arenas || !l->states)
		return -ENOMEM;
	l->f.n_arenas = n;
	for (size_t i = 0; i < n; i++) {
		l->f.arenas[i].address = addrs[i];
		l->f.arenas[i].is_main = i == 0;
	}
	return 0;
}

/* The header of one arena: its size, its top chunk, its heaps. */
static int arena_head(struct look *l, size_t i)
{
	const struct glibc_layout *la = l->g->layout;
	struct glibc_arena *a = &l->f.arenas[i];
	struct glibc_state *s = &l->states[i];
	uint64_t size = 0;
	int r = glibc_state_read(l->t, l->g, a->address, s);

	if (r < 0)
		return r;
	a->system = glibc_state_u64(s, la->arena.system_mem);
	a->attached_threads = glibc_state_u64(s, la->arena.attached_threads);
	a->locked = glibc_state_mutex(s) != 0;
	if (a->system > GLIBC_ADDR_MAX)
		return -EBADMSG;
	if (!a->system)
		return 0;
	r = glibc_read(l->t, glibc_state_u64(s, la->arena.top) + 8, &size, sizeof(size));
	if (r < 0)
		return r;
	a->top = size & ~CHUNK_FLAGS;
	return a->top > a->system || a->top % 16 ? -EBADMSG : 0;
}

/* Does the top chunk end in the heap that it is said to be in? */
static bool arena_top_fits(const struct look *l, size_t i, size_t from)
{
	uint64_t top = glibc_state_u64(&l->states[i], l->g->layout->arena.top), size = l->f.arenas[i].top;

	for (size_t k = from; k < l->n_heaps; k++)
		if (l->heaps[k].last)
			return top >= l->heaps[k].first && top < l->heaps[k].end && size <= l->heaps[k].end - top;
	return false;
}

static int arena_heaps(struct look *l, size_t i)
{
	struct glibc_arena *a = &l->f.arenas[i];
	size_t before = l->n_heaps;
	int r;

	if (!a->system)
		return 0;
	r = glibc_heaps_add(l->t, l->g, &l->par, &l->states[i], (uint32_t)i, &l->heaps, &l->n_heaps, &l->room);
	if (r == 0 && !arena_top_fits(l, i, before))
		r = -EBADMSG;
	if (r < 0)
		l->n_heaps = before;
	else
		a->heaps = (uint32_t)(l->n_heaps - before);
	return r;
}

static int look_heads(struct look *l)
{
	for (size_t i = 0; i < l->f.n_arenas; i++) {
		int r = -EBADMSG;

		/* Its header and its heaps are read at different moments: what doesn't fit is read again. */
		for (int try = 0; r < 0 && try < LOOK_TRIES; try++) {
			struct glibc_arena blank = { .address = l->f.arenas[i].address,
						     .is_main = l->f.arenas[i].is_main };

			l->f.arenas[i] = blank;
			r = arena_head(l, i);
			if (r == 0)
				r = arena_heaps(l, i);
			if (look_fatal(r))
				return r;
		}
		if (r < 0) {
			l->f.arenas[i].torn = true;
			l->f.arenas[i].unknown = l->f.arenas[i].system;
			l->f.arenas[i].top = 0;
		}
	}
	return 0;
}

static int heap_compare(const void *a, const void *b)
{
	const struct glibc_heap *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* ---- tops ---- */

static uint64_t top_of(const struct look *l, size_t i)
{
	return glibc_state_u64(&l->states[i], l->g->layout->arena.top);
}

static int look_top(struct look *l, size_t i, const struct glibc_visitor *v)
{
	struct glibc_arena *a = &l->f.arenas[i];
	struct glibc_range range = {
		.arena = a->address,
		.chunk = top_of(l, i),
		.kind = GLIBC_TOP,
	};
	int r;

	if (!a->top || !a->heaps)
		return 0;
	range.lo = page_up(range.chunk + CHUNK_HEADER);
	range.hi = page_down(range.chunk + a->top);
	a->free += a->top;
	if (v && v->cells) {
		r = cells_free(v->cells, CELLS_GLIBC, &l->w, range.chunk, a->top, range.lo,
			       glibc_droppable(l->t, range.lo) ? range.hi : range.lo);
		if (r < 0)
			return r;
	}
	if (range.lo >= range.hi || !glibc_droppable(l->t, range.lo))
		return 0;
	r = window_resident_runs(&l->w, range.lo, range.hi, &a->runs, &range.resident);
	page_runs_end(&a->runs);
	if (r < 0)
		return r;
	a->top_resident = range.resident;
	a->free_resident += range.resident;
	return v ? v->range(v->ctx, &range) : 0;
}

/*
 * What systrim(0) would cut off: the main top, all but a smallest chunk, in
 * whole (huge, where malloc asks for them) pages; and only when nobody else
 * has moved the break. @from: where the top will begin once fast bins are
 * folded into it.
 */
static int look_systrim(struct look *l, uint64_t from)
{
	struct glibc_arena *a = &l->f.arenas[0];
	uint64_t end = top_of(l, 0) + a->top, page = REMOTE_PAGE, extra, resident;
	const struct map *map = maps_find(&l->t->maps, end - 1);
	int r;

	if (l->par.thp_pagesize && !(l->par.thp_pagesize & (l->par.thp_pagesize - 1)))
		page = MAX(page, l->par.thp_pagesize);
	if (!a->top || !a->heaps || !map || map->kind != MAP_KIND_HEAP || map->end != end ||
	    end - from <= CHUNK_MIN + 1)
		return 0;
	extra = (end - from - CHUNK_MIN - 1) & ~(page - 1);
	r = window_resident(&l->w, end - extra, end, &resident);
	if (r == 0)
		a->trim += resident;
	return r;
}

/* ---- the whole walk ---- */

static int look_heap(struct look *l, struct glibc_tally *ta, const struct glibc_heap *heap)
{
	const struct glibc_walk_visitor v = { .chunk = glibc_tally_chunk, .gap = glibc_tally_gap, .ctx = ta };
	struct glibc_walk walk = { .g = l->g, .w = &l->w, .probe = &l->probe };
	struct glibc_arena *a = &l->f.arenas[heap->arena];
	uint64_t top = heap->last ? top_of(l, heap->arena) : 0, joined;
	int r;

	glibc_tally_begin(ta, a);
	ta->fixed = !glibc_droppable(l->t, heap->first);
	r = glibc_walk_heap(&walk, heap, heap->first, top, &v);
	if (r == -EFAULT) {
		a->torn = true;
		r = 0;
	}
	if (r != 0)
		return r;
	r = glibc_tally_end(ta, top, &joined);
	if (r == 0 && heap->last && heap->is_main)
		r = look_systrim(l, joined);
	return r;
}

static int look_walk(struct look *l, const struct glibc_visitor *v)
{
	struct glibc_tally ta = {
		.w = &l->w,
		.cache = &l->cache,
		.v = v,
		.f = &l->f,
		.cells = v ? v->cells : NULL,
	};
	int r = 0;

	/* All of it is in use, until something else is found in it: as the sums go. */
	for (size_t i = 0; ta.cells && i < l->n_heaps; i++)
		cells_add(ta.cells, CELLS_GLIBC, l->heaps[i].arena, l->heaps[i].start, l->heaps[i].end, CELLS_IN_USE);
	l->cache.steps_left = CACHE_STEPS;
	for (size_t i = 0; i < l->f.n_arenas && r == 0; i++)
		if (l->f.arenas[i].heaps)
			r = glibc_cache_fast(l->t, l->g, &l->states[i], &l->pages, &l->cache, &l->f.arenas[i]);
	if (r == 0)
		r = glibc_cache_threads(l->t, l->g, &l->par, l->heaps, l->n_heaps, &l->pages, &l->cache, l->f.arenas);
	for (size_t i = 0; i < l->f.n_arenas && r == 0; i++)
		r = look_top(l, i, v);
	for (size_t i = 0; i < l->n_heaps && r == 0; i++)
		r = look_heap(l, &ta, &l->heaps[i]);
	l->f.partial = l->cache.full || l->cache.unread;
	return r;
}

/* ---- the cheap one ---- */

/* Bins in which a chunk may have a whole page: the unsorted one, and from largebin_index(4096) on. */
#define BIN_UNSORTED 1
#define BIN_PAGE 99

static int cheap_bin(struct look *l, struct glibc_tally *ta, size_t i, unsigned int bin)
{
	uint64_t p = glibc_state_bin(l->g, &l->states[i], bin), at = glibc_bin_at(l->g, l->f.arenas[i].address, bin);

	while (p && p != at) {
		const struct glibc_heap *heap = glibc_heap_find(l->heaps, l->n_heaps, p);
		uint64_t words[2], resident;
		int r;

		if (!glibc_is_chunk_addr(p) || !heap)
			return -EBADMSG;
		l->f.arenas[i].cut |= !l->chunks_left;
		if (!l->chunks_left)
			return 0;
		l->chunks_left--;
		ta->fixed = !glibc_droppable(l->t, p);
		r = glibc_pages_read(&l->pages, p + 8, words, sizeof(words));
		if (r < 0)
			return r;
		if ((words[0] & ~CHUNK_FLAGS) > heap->end - p || (words[0] & ~CHUNK_FLAGS) < CHUNK_MIN)
			return -EBADMSG;
		r = glibc_tally_free(ta, p, words[0] & ~CHUNK_FLAGS, &resident);
		if (r < 0)
			return r;
		l->f.arenas[i].trim += resident;
		p = words[1];
	}
	return 0;
}

static int look_cheap(struct look *l)
{
	struct glibc_tally ta = { .w = &l->w, .cache = &l->cache, .f = &l->f };
	int r = 0;

	l->chunks_left = CHEAP_CHUNKS;
	l->f.partial = true;
	for (size_t i = 0; i < l->f.n_arenas && r == 0; i++) {
		r = look_top(l, i, NULL);
		if (r == 0 && i == 0)
			r = look_systrim(l, top_of(l, 0));
	}
	/* The largest first: they are what matters, should there be too many. */
	for (unsigned int bin = GLIBC_BINS - 1; bin >= BIN_UNSORTED && !look_fatal(r); bin--) {
		if (bin < BIN_PAGE && bin != BIN_UNSORTED)
			continue;
		for (size_t i = 0; i < l->f.n_arenas && !look_fatal(r); i++) {
			glibc_tally_begin(&ta, &l->f.arenas[i]);
			r = l->f.arenas[i].heaps ? cheap_bin(l, &ta, i, bin) : 0;
			if (r < 0)
				l->f.arenas[i].torn = l->f.arenas[i].cut = true;
		}
	}
	/* What pins what can't be told from the bins alone, and not all chunks were looked at. */
	memset(l->f.pins, 0, sizeof(l->f.pins));
	for (size_t i = 0; i < l->f.n_arenas; i++) {
		struct glibc_arena *a = &l->f.arenas[i];

		a->runs = (struct page_runs){ 0 };
		a->pinned = (struct glibc_pins){ 0 };
		/* In use or free, who knows: what was left out may be anywhere in it. */
		if (a->cut)
			a->unknown = a->system - MIN(a->system, a->free);
	}
	return look_fatal(r) ? r : 0;
}

/* ---- sums ---- */

static void arena_sum(struct glibc_arena *a)
{
	uint64_t parts;

	a->cached = a->fastbins + a->tcaches;
	parts = a->free + a->cached + a->unknown;
	if (parts > a->system) {
		/* Read at different moments of a busy program: the parts that are proven win. */
		a->torn = true;
		a->unknown = 0;
		a->cached = MIN(a->cached, a->system);
		a->free = MIN(a->free, a->system - a->cached);
		parts = a->free + a->cached;
	}
	a->in_use = a->system - parts;
}

static void look_sum(struct look *l)
{
	struct glibc_facts *f = &l->f;

	for (size_t i = 0; i < f->n_arenas; i++) {
		struct glibc_arena *a = &f->arenas[i];

		arena_sum(a);
		f->system += a->system;
		f->in_use += a->in_use;
		f->cached += a->cached;
		f->free += a->free;
		f->free_resident += a->free_resident;
		f->unknown += a->unknown;
		f->foreign += a->foreign;
		f->fastbins += a->fastbins;
		f->tcaches += a->tcaches;
		f->live_blocks += a->live_blocks;
		f->free_blocks += a->free_blocks;
		f->trim += a->trim;
		f->torn |= a->torn;
	}
	f->trim_lower = f->torn || f->partial ? f->trim - f->trim / 8 : f->trim;
	f->trim_upper = f->trim + f->unknown + (f->torn || f->partial ? f->trim / 8 : 0);
	f->trim_threshold = l->par.trim_threshold;
	f->mmap_threshold = l->par.mmap_threshold;
	f->top_pad = l->par.top_pad;
	f->dynamic = !l->par.no_dyn_threshold;
	f->thp_pagesize = l->par.thp_pagesize;
	f->mmapped = l->par.mmapped_mem;
	f->mmapped_blocks = (uint64_t)MAX(l->par.n_mmaps, 0);
	f->threads = l->cache.threads;
	f->threads_read = l->cache.threads_read;
}

static int look_all(struct look *l, const struct glibc_visitor *v)
{
	int r = glibc_par_read(l->t, l->g, &l->par);

	if (r == 0)
		r = look_arenas(l);
	if (r == 0)
		r = look_heads(l);
	if (r != 0)
		return r;
	if (l->n_heaps)
		qsort(l->heaps, l->n_heaps, sizeof(*l->heaps), heap_compare);
	return l->flags & GLIBC_CHEAP ? look_cheap(l) : look_walk(l, v);
}

int glibc_look(struct target *t, const struct glibc *g, unsigned int flags, const struct glibc_visitor *v,
	       struct glibc_facts *ret)
{
	_cleanup_(look_freep) struct look *l = malloc(sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	memset(&l->cache, 0, sizeof(l->cache));
	memset(&l->f, 0, sizeof(l->f));
	l->t = t;
	l->g = g;
	l->flags = flags;
	l->states = NULL;
	l->heaps = NULL;
	l->n_heaps = l->room = 0;
	window_init(&l->w, &t->mem);
	window_init(&l->probe, &t->mem);
	glibc_pages_init(&l->pages, &t->mem);
	r = look_all(l, v);
	if (r != 0)
		return r;
	look_sum(l);
	*ret = l->f;
	l->f.arenas = NULL;
	return 0;
}
