// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/glibc-state.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

#define HEAP_MAX (64ull << 20) /* HEAP_MAX_SIZE on 64-bit machines: arena.c, 2.31-2.44 */

int glibc_read(struct target *t, uint64_t addr, void *buf, size_t len)
{
	uint64_t first = page_down(addr), pages;
	uint8_t flags[4];
	int r;

	if (addr >= GLIBC_ADDR_MAX || len > (ARRAY_SIZE(flags) - 1) * REMOTE_PAGE)
		return -EFAULT;
	pages = (page_up(addr + len) - first) / REMOTE_PAGE;
	r = remote_pages(&t->mem, first, pages, flags);
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	for (uint64_t i = 0; r == 0 && i < pages; i++)
		if (flags[i] & REMOTE_SWAPPED)
			return -ENXIO;
	return remote_read(&t->mem, addr, buf, len);
}

int glibc_state_read(struct target *t, const struct glibc *g, uint64_t arena, struct glibc_state *ret)
{
	ret->addr = arena;
	return glibc_read(t, arena, ret->bytes, g->layout->arena.size);
}

uint64_t glibc_state_u64(const struct glibc_state *s, uint16_t offset)
{
	uint64_t v;

	memcpy(&v, s->bytes + offset, sizeof(v));
	return v;
}

uint32_t glibc_state_mutex(const struct glibc_state *s)
{
	uint32_t v;

	memcpy(&v, s->bytes, sizeof(v));
	return v;
}

uint64_t glibc_bin_at(const struct glibc *g, uint64_t arena, unsigned int i)
{
	return arena + g->layout->arena.bins + (i - 1) * 16ull - CHUNK_HEADER;
}

uint64_t glibc_state_bin(const struct glibc *g, const struct glibc_state *s, unsigned int i)
{
	uint64_t fd = glibc_state_u64(s, (uint16_t)(g->layout->arena.bins + (i - 1) * 16));

	return fd == glibc_bin_at(g, s->addr, i) ? 0 : fd;
}

static uint64_t par_u64(const unsigned char *bytes, uint16_t offset)
{
	uint64_t v = 0;

	if (offset != GLIBC_NONE)
		memcpy(&v, bytes + offset, sizeof(v));
	return v;
}

int glibc_par_read(struct target *t, const struct glibc *g, struct glibc_par *ret)
{
	const struct glibc_layout *l = g->layout;
	unsigned char bytes[GLIBC_PAR_MAX];
	struct glibc_par par;
	int r = glibc_read(t, g->mp, bytes, l->par.size);

	if (r < 0)
		return r;
	par = (struct glibc_par){
		.trim_threshold = par_u64(bytes, 0),
		.top_pad = par_u64(bytes, 8),
		.mmap_threshold = par_u64(bytes, 16),
		.mmapped_mem = par_u64(bytes, l->par.mmapped_mem),
		.sbrk_base = par_u64(bytes, l->par.sbrk_base),
		.thp_pagesize = par_u64(bytes, l->par.thp_pagesize),
		.hp_pagesize = par_u64(bytes, l->par.hp_pagesize),
		.tcache_count = par_u64(bytes, l->par.tcache_count),
	};
	memcpy(&par.n_mmaps, bytes + l->par.n_mmaps, sizeof(par.n_mmaps));
	memcpy(&par.no_dyn_threshold, bytes + l->par.no_dyn_threshold, sizeof(par.no_dyn_threshold));
	*ret = par;
	return 0;
}

static uint64_t heap_of(const struct glibc *g, uint64_t addr)
{
	return addr & ~(g->heap_max - 1);
}

/* A thread's arena lies directly behind the first header of its first heap. */
static bool arena_plausible(const struct glibc *g, uint64_t arena)
{
	return arena == g->main_arena ||
	       (glibc_is_chunk_addr(arena) && arena - heap_of(g, arena) == g->layout->heap_info);
}

int glibc_arena_list(struct target *t, const struct glibc *g, uint64_t **ret, size_t *ret_n)
{
	_cleanup_free_ uint64_t *v = NULL;
	uint64_t arena = g->main_arena;
	size_t n = 0, room = 0;

	/* The list only ever grows behind the main arena: a loop that misses that one has no end. */
	do {
		int r;

		if (n >= GLIBC_ARENAS_MAX || !arena_plausible(g, arena))
			return -EBADMSG;
		if (n == room) {
			uint64_t *more = reallocarray(v, room = room ? room * 2 : 16, sizeof(*v));

			if (!more)
				return -ENOMEM;
			v = more;
		}
		v[n++] = arena;
		r = glibc_read(t, arena + g->layout->arena.next, &arena, sizeof(arena));
		if (r < 0)
			return r;
	} while (arena != g->main_arena);
	*ret = TAKE_PTR(v);
	*ret_n = n;
	return 0;
}

static int heap_push(const struct glibc_heap *heap, struct glibc_heap **heaps, size_t *n, size_t *room)
{
	if (*n >= GLIBC_HEAPS_MAX)
		return -EBADMSG;
	if (*n == *room) {
		size_t more = *room ? *room * 2 : 16;
		struct glibc_heap *v = reallocarray(*heaps, more, sizeof(*v));

		if (!v)
			return -ENOMEM;
		*heaps = v;
		*room = more;
	}
	(*heaps)[(*n)++] = *heap;
	return 0;
}

/*
 * Without sbrk() (no room behind the heap, or the tunable for huge pages since
 * 2.35) the main arena goes on in mappings: those of its beginning and of its
 * top are known.
 */
static int heaps_add_scattered(struct target *t, const struct glibc *g, const struct glibc_par *par,
			       const struct glibc_state *s, uint32_t index, struct glibc_heap **heaps, size_t *n,
			       size_t *room)
{
	uint64_t top = glibc_state_u64(s, g->layout->arena.top);
	const uint64_t places[] = { par->sbrk_base, top };
	const struct map *done = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		const struct map *map = maps_find(&t->maps, places[i]);
		struct glibc_heap heap = { .arena = index, .is_main = true, .scattered = true };
		int r;

		if (!map || !(map->flags & MAP_F_WRITE))
			return -EBADMSG;
		if (map == done)
			continue;
		done = map;
		heap.start = map->start;
		heap.first = map->start;
		heap.end = map->end;
		heap.last = top >= map->start && top < map->end;
		r = heap_push(&heap, heaps, n, room);
		if (r < 0)
			return r;
	}
	return 0;
}

#define GROWTH (4ull << 30) /* what a heap may have grown by since its target's maps were read */

/* Where the mappings that follow each other from @addr on end; 0 when there is none. */
static uint64_t heaps_mapped_until(const struct target *t, uint64_t addr)
{
	const struct map *map = maps_find(&t->maps, addr), *end = t->maps.v + t->maps.n;

	if (!map)
		return 0;
	while (map + 1 < end && map[1].start == map->end)
		map++;
	return map->end;
}

static int heaps_add_main(struct target *t, const struct glibc *g, const struct glibc_par *par,
			  const struct glibc_state *s, uint32_t index, struct glibc_heap **heaps, size_t *n,
			  size_t *room)
{
	uint64_t top = glibc_state_u64(s, g->layout->arena.top), size;
	struct glibc_heap heap = {
		/* malloc aligns user addresses, and the first chunk's header with them: sysmalloc() */
		.start = chunk_align(par->sbrk_base),
		.first = chunk_align(par->sbrk_base),
		.arena = index,
		.last = true,
		.is_main = true,
	};
	uint32_t flags;
	int r;

	memcpy(&flags, s->bytes + g->layout->arena.flags, sizeof(flags));
	if (flags & GLIBC_NONCONTIGUOUS)
		return heaps_add_scattered(t, g, par, s, index, heaps, n, room);
	if (!glibc_is_chunk_addr(top) || !glibc_is_chunk_addr(heap.first))
		return -EBADMSG;
	r = glibc_read(t, top + 8, &size, sizeof(size));
	if (r < 0)
		return r;
	size &= ~CHUNK_FLAGS;
	if (top < heap.first || size < CHUNK_HEADER || size > GLIBC_ADDR_MAX)
		return -EBADMSG;
	heap.end = top + size;
	/* What others got by sbrk() in between is counted in: a longer heap is none. */
	if (heap.end - par->sbrk_base > glibc_state_u64(s, g->layout->arena.system_mem) ||
	    heap.end > heaps_mapped_until(t, par->sbrk_base) + GROWTH)
		return -EBADMSG;
	return heap_push(&heap, heaps, n, room);
}

/* struct heap_info: ar_ptr, prev, size, mprotect_size */
static int heap_info_read(struct target *t, const struct glibc *g, uint64_t arena, uint64_t heap, uint64_t ret[3])
{
	uint64_t info[4];
	int r;

	if (!heap || heap % g->heap_max || heap >= GLIBC_ADDR_MAX)
		return -EBADMSG;
	r = glibc_read(t, heap, info, sizeof(info));
	if (r < 0)
		return r;
	if (info[0] != arena || info[2] > g->heap_max || info[2] % REMOTE_PAGE || info[2] < REMOTE_PAGE)
		return -EBADMSG;
	memcpy(ret, info + 1, 3 * sizeof(*ret));
	return 0;
}

int glibc_heaps_add(struct target *t, const struct glibc *g, const struct glibc_par *par, const struct glibc_state *s,
		    uint32_t index, struct glibc_heap **heaps, size_t *n, size_t *room)
{
	uint64_t top = glibc_state_u64(s, g->layout->arena.top), at;
	const size_t from = *n;

	if (s->addr == g->main_arena)
		return heaps_add_main(t, g, par, s, index, heaps, n, room);
	if (!glibc_is_chunk_addr(top))
		return -EBADMSG;
	for (at = heap_of(g, top); at;) {
		struct glibc_heap heap = { .start = at, .arena = index, .last = at == heap_of(g, top) };
		uint64_t info[3];
		int r = heap_info_read(t, g, s->addr, at, info);

		if (r == 0) {
			heap.end = at + info[1];
			heap.first = at + g->layout->heap_info;
			/* The arena itself lies in its first heap: arena.c, _int_new_arena() */
			if (!info[0])
				heap.first = chunk_align(s->addr + g->layout->arena.size);
			if (!info[0] && at != heap_of(g, s->addr))
				r = -EBADMSG;
		}
		if (r == 0)
			r = heap_push(&heap, heaps, n, room);
		if (r < 0)
			return r;
		/* Each is visited once, or the chain is a loop. */
		at = info[0];
		if (*n - from > GLIBC_ADDR_MAX / HEAP_MAX || at == heap.start)
			return -EBADMSG;
	}
	/* Found newest first. */
	for (size_t i = from, j = *n; i + 1 < j; i++) {
		struct glibc_heap swap = (*heaps)[--j];

		(*heaps)[j] = (*heaps)[i];
		(*heaps)[i] = swap;
	}
	return 0;
}

bool glibc_droppable(const struct target *t, uint64_t addr)
{
	const struct map *map = maps_find(&t->maps, addr);

	/* What isn't found is newer than the maps: heaps that have grown since. */
	return !map || strcmp(map->name, "/anon_hugepage") != 0;
}

static uint64_t prove_heap_max(const struct glibc *g, const struct glibc_par *par)
{
	/* heap_max_size(), 2.35-2.41 */
	return g->layout->heap_max_by_hugetlb && par->hp_pagesize ? par->hp_pagesize * 4 : HEAP_MAX;
}

/* Every bin is empty, with both links to itself, or leads to chunks on both sides. */
static bool prove_bins(const struct glibc *g, const struct glibc_state *s)
{
	for (unsigned int i = 1; i <= GLIBC_BINS; i++) {
		uint64_t at = glibc_bin_at(g, s->addr, i);
		uint64_t fd = glibc_state_u64(s, (uint16_t)(g->layout->arena.bins + (i - 1) * 16));
		uint64_t bk = glibc_state_u64(s, (uint16_t)(g->layout->arena.bins + (i - 1) * 16 + 8));

		if (fd == at && bk == at)
			continue;
		if (fd == at || bk == at || !glibc_is_chunk_addr(fd) || !glibc_is_chunk_addr(bk))
			return false;
	}
	return true;
}

/* Is @addr in memory that a heap could be in? */
static bool prove_heap_addr(const struct target *t, uint64_t addr)
{
	const struct map *map = maps_find(&t->maps, addr);

	return map && (map->flags & MAP_F_WRITE) && !(map->flags & MAP_F_SHARED) &&
	       (map->kind == MAP_KIND_HEAP || map->kind == MAP_KIND_ANON);
}

static const char *prove_arena(struct target *t, const struct glibc *g, const struct glibc_par *par,
			       const struct glibc_state *s)
{
	uint64_t system = glibc_state_u64(s, g->layout->arena.system_mem);
	uint64_t top = glibc_state_u64(s, g->layout->arena.top), size;

	if (!prove_bins(g, s))
		return "the lists of free blocks";
	/* Not always whole pages: 2.31's loader takes a copy of GLIBC_TUNABLES by sbrk(). */
	if (system > GLIBC_ADDR_MAX)
		return "its size";
	if (!prove_heap_addr(t, par->sbrk_base))
		return "where the heap begins";
	if (!glibc_is_chunk_addr(top) || glibc_read(t, top + 8, &size, sizeof(size)) < 0)
		return "the top chunk";
	size &= ~CHUNK_FLAGS;
	if (size < CHUNK_HEADER || size > system || (top + size) % REMOTE_PAGE)
		return "the size of the top chunk";
	return NULL;
}

#define PROVE_TRIES 8

/* What is wrong, NULL when nothing is. */
static const char *prove_once(struct target *t, struct glibc *g)
{
	_cleanup_free_ uint64_t *arenas = NULL;
	struct glibc_state s;
	struct glibc_par par;
	size_t n;

	if (glibc_par_read(t, g, &par) < 0 || glibc_state_read(t, g, g->main_arena, &s) < 0)
		return "nothing: it can't be read";
	if (par.n_mmaps < 0 || par.no_dyn_threshold < 0 || par.no_dyn_threshold > 1 || par.tcache_count > UINT16_MAX)
		return "the parameters";
	if (par.hp_pagesize && (par.hp_pagesize & (par.hp_pagesize - 1) || par.hp_pagesize > (1ull << 30) ||
				par.hp_pagesize < REMOTE_PAGE))
		return "the size of huge pages";
	if (glibc_state_mutex(&s) > 2)
		return "the lock";
	g->heap_max = prove_heap_max(g, &par);
	g->unused = !glibc_state_u64(&s, g->layout->arena.system_mem) &&
		    glibc_state_u64(&s, g->layout->arena.next) == g->main_arena;
	if (g->unused)
		return NULL;
	if (glibc_arena_list(t, g, &arenas, &n) < 0)
		return "the list of arenas";
	/* Threads have arenas of their own: the main one may never have been used. */
	return glibc_state_u64(&s, g->layout->arena.system_mem) ? prove_arena(t, g, &par, &s) : NULL;
}

int glibc_prove(struct target *t, struct glibc *g, char *why, size_t why_size)
{
	const char *wrong = NULL;

	/* It may be working at this very moment. */
	for (int i = 0; i < PROVE_TRIES; i++) {
		remote_forget(&t->mem);
		wrong = prove_once(t, g);
		if (!wrong)
			return 0;
	}
	text_format(why, why_size, "its malloc doesn't look like glibc 2.%u's: %s", g->minor, wrong);
	return -EBADMSG;
}
