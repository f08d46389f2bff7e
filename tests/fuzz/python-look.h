/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold of whatever the readers say of pymalloc and of a thread, however hostile the memory is. */
#ifndef RECLAIM_TESTS_PYTHON_LOOK_H
#define RECLAIM_TESTS_PYTHON_LOOK_H

#include "fuzz.h"
#include "inspect/pymalloc.h"

struct python_seen {
	const struct cpython *py;
	uint64_t arenas, pools, last;
};

static inline int python_see_arena(void *ctx, const struct pymalloc_arena *a)
{
	struct python_seen *s = ctx;

	MUST(a->slots <= PYMALLOC_POOLS_MAX && a->base >= a->o.address && a->base % s->py->pool_size == 0);
	MUST(a->o.ntotalpools <= a->slots && a->o.nfreepools <= a->o.ntotalpools);
	s->arenas++;
	s->last = a->base - 1;
	return 0;
}

static inline int python_see_pool(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p)
{
	struct python_seen *s = ctx;
	uint32_t free_blocks = 0;

	MUST(p->address > s->last && p->slot < a->slots && p->address - a->base == p->slot * s->py->pool_size);
	MUST(p->resident <= s->py->pool_size && p->free_pages_resident < s->py->pool_size);
	s->last = p->address;
	s->pools++;
	if (p->state != PYMALLOC_USED && p->state != PYMALLOC_FULL)
		return 0;
	MUST(p->h.count && p->h.count <= pymalloc_blocks(s->py, p->h.szidx));
	for (size_t i = 0; p->blocks_valid && i < ARRAY_SIZE(p->free_map); i++)
		free_blocks += (uint32_t)__builtin_popcountll(p->free_map[i]);
	MUST(!p->blocks_valid || free_blocks + p->h.count == pymalloc_blocks(s->py, p->h.szidx));
	return 0;
}

/* Whatever it is told, the figures must be possible. */
static inline void python_look(struct target *t, const struct cpython *py)
{
	struct python_seen s = { .py = py };
	const struct pymalloc_visitor v = { python_see_arena, python_see_pool, &s };
	struct pymalloc_facts f;

	for (unsigned int flags = 0; flags <= PYMALLOC_BLOCKS; flags++) {
		s.arenas = s.pools = 0;
		if (pymalloc_look(t, py, flags, &v, &f) < 0)
			continue;
		MUST(s.arenas <= f.arenas && f.resident <= f.arena_bytes && f.free_resident <= f.resident);
		MUST(f.in_use + f.free + f.unknown <= f.arena_bytes && f.pools_free <= f.arenas * PYMALLOC_POOLS_MAX);
	}
}

static inline void python_thread(struct target *t, const struct cpython *py, uint64_t tp)
{
	struct cpython_thread th;

	cpython_thread(t, py, tp, &th);
	MUST(!th.released || th.known);
	MUST(!th.holds || !th.released);
	MUST(!th.absent || !th.known);
	MUST(th.released || th.why[0]);
}

#endif
