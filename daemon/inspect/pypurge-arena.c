// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pypurge-arena.h"

#include <errno.h>
#include <string.h>

#define USER_MAX (1ull << 47)
#define NOT_OURS (REMOTE_SWAPPED | REMOTE_SHARED)

int pypurge_arena_shape(const struct cpython *py, const struct pymalloc_arena_object *o, uint32_t index,
			struct pypurge_arena *ret)
{
	const uint64_t size = py->pool_size;
	uint64_t end;

	if (size < REMOTE_PAGE || size % REMOTE_PAGE || size & (size - 1) || py->arena_size % size ||
	    py->arena_size / size > PYMALLOC_POOLS_MAX || py->arena_size > PYPURGE_ARENA_PAGES * REMOTE_PAGE)
		return -EBADMSG;
	if (!o->address || o->address % REMOTE_PAGE || o->address > USER_MAX - py->arena_size)
		return -EBADMSG;
	ret->index = index;
	ret->o = *o;
	ret->pool_pages = (uint32_t)(size / REMOTE_PAGE);
	ret->base = (o->address + size - 1) & ~(size - 1);
	ret->slots = (uint32_t)((o->address + py->arena_size - ret->base) / size);
	end = ret->base + ret->slots * size;
	if (o->pool_address < ret->base || o->pool_address > end || o->pool_address % size)
		return -EBADMSG;
	ret->carved = (uint32_t)((o->pool_address - ret->base) / size);
	if (!o->ntotalpools || o->ntotalpools > ret->slots || o->nfreepools > o->ntotalpools ||
	    o->nfreepools < ret->slots - ret->carved)
		return -EBADMSG;
	ret->retired = ret->slots - o->ntotalpools;
	return 0;
}

static int arena_headers(struct pypurge_arena *a, struct remote *mem)
{
	for (uint32_t s = 0; s < a->carved; s++) {
		const uint8_t flags = *pypurge_arena_flags(a, s);
		int r;

		if (flags & NOT_OURS)
			return -ENXIO;
		if (!(flags & REMOTE_PRESENT)) {
			memset(&a->h[s], 0, sizeof(a->h[s]));
			continue;
		}
		r = remote_read(mem, pypurge_arena_slot(a, s), &a->h[s], sizeof(a->h[s]));
		if (r < 0)
			return r;
	}
	return 0;
}

/* The list of free pools; marks what is on it. Without a repeat it can't be longer than the carved pools. */
static int arena_list(struct pypurge_arena *a)
{
	const uint64_t size = a->pool_pages * REMOTE_PAGE;
	uint64_t p = a->o.freepools;

	a->n_listed = 0;
	while (p) {
		uint32_t s;

		if (p < a->base || p >= a->o.pool_address || (p - a->base) % size)
			return -EBADMSG;
		s = (uint32_t)((p - a->base) / size);
		if (a->state[s] == PYMALLOC_FREE || !(*pypurge_arena_flags(a, s) & REMOTE_PRESENT) || a->h[s].count ||
		    a->h[s].arenaindex != a->index)
			return -EBADMSG;
		a->state[s] = PYMALLOC_FREE;
		a->list[a->n_listed++] = (uint8_t)s;
		p = a->h[s].nextpool;
	}
	return a->n_listed + (a->slots - a->carved) == a->o.nfreepools ? 0 : -EBADMSG;
}

static int arena_live(struct pypurge_arena *a)
{
	const uint32_t size = a->pool_pages * (uint32_t)REMOTE_PAGE;

	a->live = 0;
	for (uint32_t s = 0; s < a->carved; s++) {
		const struct pymalloc_pool_header *h = &a->h[s];
		uint32_t n;

		if (!h->count)
			continue;
		if (h->szidx >= PYMALLOC_CLASSES || h->arenaindex != a->index)
			return -EBADMSG;
		n = (size - PYMALLOC_POOL_HEADER) / PYMALLOC_BLOCK_SIZE(h->szidx);
		if (h->count > n || (h->count == n) != !h->freeblock)
			return -EBADMSG;
		a->state[s] = h->count == n ? PYMALLOC_FULL : PYMALLOC_USED;
		a->live++;
	}
	/* With that, what is neither live, listed nor virgin is as many as were retired. */
	return a->live == a->o.ntotalpools - a->o.nfreepools ? 0 : -EBADMSG;
}

int pypurge_arena_read(const struct cpython *py, struct remote *mem, const struct pymalloc_arena_object *o,
		       uint32_t index, struct pypurge_arena *ret)
{
	int r = pypurge_arena_shape(py, o, index, ret);

	if (r == 0)
		r = remote_pages(mem, ret->base, (size_t)ret->slots * ret->pool_pages, ret->flags);
	if (r < 0)
		return r;
	memset(ret->state, PYMALLOC_RETIRED, ret->carved);
	memset(ret->state + ret->carved, PYMALLOC_VIRGIN, ret->slots - ret->carved);
	r = arena_headers(ret, mem);
	if (r == 0)
		r = arena_list(ret);
	return r < 0 ? r : arena_live(ret);
}

uint64_t pypurge_arena_resident(const struct pypurge_arena *a, uint32_t slot, uint32_t lo, uint32_t hi)
{
	const uint8_t *flags = pypurge_arena_flags(a, slot);
	uint64_t n = 0;

	for (uint32_t g = lo; g < hi; g++)
		n += flags[g] & REMOTE_PRESENT ? REMOTE_PAGE : 0;
	return n;
}
