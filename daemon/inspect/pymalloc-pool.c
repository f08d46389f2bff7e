// SPDX-License-Identifier: GPL-2.0-or-later
/* Arenas and pools by themselves: what can be told from a copy of them. */
#include <errno.h>
#include <string.h>

#include "inspect/pymalloc.h"

static bool pool_aligned(const struct cpython *py, uint64_t addr)
{
	return addr % py->pool_size == 0;
}

bool pymalloc_arena_sane(const struct cpython *py, struct pymalloc_arena *a)
{
	const struct pymalloc_arena_object *o = &a->o;
	uint64_t end;

	if (!o->address || o->address % REMOTE_PAGE || o->address >> 47)
		return false;
	end = o->address + py->arena_size;
	a->base = (o->address + py->pool_size - 1) & ~(py->pool_size - 1);
	a->slots = (uint32_t)((end - a->base) / py->pool_size);
	if (a->slots > PYMALLOC_POOLS_MAX || o->ntotalpools > a->slots || o->nfreepools > o->ntotalpools ||
	    o->pool_address < a->base || o->pool_address > a->base + a->slots * py->pool_size ||
	    !pool_aligned(py, o->pool_address))
		return false;
	if (!o->freepools)
		return true;
	return pool_aligned(py, o->freepools) && o->freepools >= a->base && o->freepools < o->pool_address;
}

bool pymalloc_header_sane(const struct cpython *py, uint64_t pool, const struct pymalloc_pool_header *h)
{
	uint32_t size;

	if (!h->count || h->szidx >= PYMALLOC_CLASSES || h->count > pymalloc_blocks(py, h->szidx))
		return false;
	size = PYMALLOC_BLOCK_SIZE(h->szidx);
	/* The window: up to pool_size, on the grid; empty when nextoffset > maxnextoffset. */
	if (h->nextoffset < PYMALLOC_POOL_HEADER || h->nextoffset > py->pool_size + size ||
	    h->maxnextoffset > py->pool_size - size)
		return false;
	if (!h->freeblock)
		return true;
	return h->freeblock >= pool + PYMALLOC_POOL_HEADER && h->freeblock - pool <= py->pool_size - size &&
	       (h->freeblock - pool - PYMALLOC_POOL_HEADER) % size == 0;
}

static bool map_take(uint64_t map[16], uint32_t i)
{
	const uint64_t bit = 1ull << (i % 64);
	bool taken = map[i / 64] & bit;

	map[i / 64] |= bit;
	return !taken;
}

int pymalloc_free_map(const struct cpython *py, uint64_t pool, const void *bytes, uint64_t ret_map[16],
		      uint32_t *ret_listed)
{
	const unsigned char *p = bytes;
	uint32_t size, blocks, listed = 0, window = 0;
	struct pymalloc_pool_header h;
	uint64_t map[16] = { 0 }, at;

	memcpy(&h, p, sizeof(h));
	if (!pymalloc_header_sane(py, pool, &h))
		return -EBADMSG;
	size = PYMALLOC_BLOCK_SIZE(h.szidx);
	blocks = pymalloc_blocks(py, h.szidx);
	for (at = h.freeblock; at; listed++) {
		const uint64_t offset = at - pool;

		/* Each block is taken once, so a cycle ends here too. */
		if (at < pool + PYMALLOC_POOL_HEADER || offset > py->pool_size - size ||
		    (offset - PYMALLOC_POOL_HEADER) % size ||
		    !map_take(map, (uint32_t)(offset - PYMALLOC_POOL_HEADER) / size))
			return -EBADMSG;
		memcpy(&at, p + offset, sizeof(at));
	}
	for (uint32_t next = h.nextoffset; next <= h.maxnextoffset; next += size, window++)
		if ((next - PYMALLOC_POOL_HEADER) % size || next > py->pool_size - size ||
		    !map_take(map, (next - PYMALLOC_POOL_HEADER) / size))
			return -EBADMSG;
	if (listed + window + h.count != blocks)
		return -EBADMSG;
	memcpy(ret_map, map, sizeof(map));
	*ret_listed = listed;
	return 0;
}
