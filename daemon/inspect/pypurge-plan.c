// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pypurge-plan.h"

#include <errno.h>
#include <string.h>

#define AT(field) offsetof(struct pymalloc_pool_header, field)

/* Slots from here on hold nothing. Without "deep" a retired pool can't become virgin: it would have to be counted. */
static uint32_t shape_carved(const struct pypurge_rules *rules, const struct pypurge_arena *a)
{
	uint32_t s = a->carved;

	while (s > 0 && (a->state[s - 1] == PYMALLOC_FREE || (rules->deep && a->state[s - 1] == PYMALLOC_RETIRED)))
		s--;
	return s;
}

/*
 * How many of the @n empty pools below the carve window stay on the list. An
 * arena that counts a single pool would be taken from usable_arenas through
 * stale links by the free that makes it whole (insert_to_freepool(): nf ==
 * ntotalpools is tested before nf == 1).
 */
static uint32_t shape_kept(const struct pypurge_rules *rules, const struct pypurge_arena *a,
			   const struct pypurge_vector *v, uint32_t virgin, uint32_t n)
{
	const uint64_t others = v->free_pools - a->o.nfreepools + virgin;
	const uint64_t retired = v->retired_pools - a->retired;
	uint64_t keep = 0;

	if (a->live + virgin < 2)
		keep = 2 - (a->live + virgin);
	if (others < rules->reserve)
		keep = MAX(keep, rules->reserve - others);
	if (retired >= rules->retired)
		keep = n;
	else if (n > rules->retired - retired)
		keep = MAX(keep, n - (rules->retired - retired));
	return (uint32_t)MIN(keep, (uint64_t)n);
}

void pypurge_shape_choose(const struct pypurge_rules *rules, const struct pypurge_arena *a,
			  const struct pypurge_vector *v, struct pypurge_shape *ret)
{
	uint32_t listed = 0, empty = 0, keep, more;
	bool kept[PYMALLOC_POOLS_MAX] = { false };

	ret->carved = shape_carved(rules, a);
	ret->n_listed = 0;
	for (uint32_t s = 0; s < ret->carved; s++) {
		listed += a->state[s] == PYMALLOC_FREE;
		empty += a->state[s] == PYMALLOC_FREE || a->state[s] == PYMALLOC_RETIRED;
	}
	keep = rules->deep ? shape_kept(rules, a, v, a->slots - ret->carved, empty) : listed;

	/* Those on the list first, the lower ones: the upper end is where the window may grow. */
	more = keep > listed ? keep - listed : 0;
	for (uint32_t s = 0; s < ret->carved && keep > more; s++)
		if (a->state[s] == PYMALLOC_FREE) {
			kept[s] = true;
			keep--;
		}
	for (uint32_t s = 0; s < ret->carved && more; s++)
		if (a->state[s] == PYMALLOC_RETIRED) {
			ret->list[ret->n_listed++] = (uint8_t)s;
			more--;
		}
	for (uint32_t k = 0; k < a->n_listed; k++)
		if (kept[a->list[k]])
			ret->list[ret->n_listed++] = a->list[k];
}

/* A pool that comes back needs a header, written over whatever its page holds. */
static bool pool_unretire(const struct pypurge_arena *a, uint32_t s, uint64_t next, struct pypurge_lists *l)
{
	const struct pymalloc_pool_header h = {
		.nextpool = next,
		.arenaindex = a->index,
		.szidx = PYMALLOC_NO_CLASS,
	};

	if (!(*pypurge_arena_flags(a, s) & REMOTE_PRESENT))
		l->touched += REMOTE_PAGE;
	return pypurge_lists_write(l, pypurge_arena_slot(a, s), &h, AT(nextoffset));
}

/* The list's links first, then, with the vector's writes, the arena's own fields at once. */
static int shape_apply(const struct pypurge_rules *rules, const struct pypurge_arena *a,
		       const struct pypurge_shape *shape, struct pypurge_vector *v, struct pypurge_lists *l,
		       struct pypurge_outcome *ret)
{
	struct pymalloc_arena_object o = a->o;
	uint64_t next = 0;

	for (uint32_t k = shape->n_listed; k > 0; k--) {
		const uint32_t s = shape->list[k - 1];
		bool done = true;

		if (a->state[s] == PYMALLOC_RETIRED)
			done = pool_unretire(a, s, next, l);
		else if (a->h[s].nextpool != next)
			done = pypurge_lists_write(l, pypurge_arena_slot(a, s) + AT(nextpool), &next, sizeof(next));
		if (!done)
			return -ENOBUFS;
		next = pypurge_arena_slot(a, s);
	}
	o.freepools = next;
	o.pool_address = pypurge_arena_slot(a, shape->carved);
	o.nfreepools = shape->n_listed + (a->slots - shape->carved);
	o.ntotalpools = a->live + o.nfreepools;
	if (!rules->deep && (o.nfreepools != a->o.nfreepools || o.ntotalpools != a->o.ntotalpools))
		return -EBADMSG;
	if (o.freepools == a->o.freepools && o.pool_address == a->o.pool_address && o.nfreepools == a->o.nfreepools &&
	    o.ntotalpools == a->o.ntotalpools)
		return 0;
	if (!pypurge_vector_set(rules->py, v, l, a->index, &o))
		return -ENOBUFS;
	ret->changed = true;
	ret->recounted = o.nfreepools != a->o.nfreepools;
	return 0;
}

/*
 * An empty pool that stays: all pages but the first. Without the new class its
 * next user would trust a free list that is no longer there
 * (allocate_from_new_pool(): szidx == size).
 */
static bool pool_hollow(const struct pypurge_arena *a, uint32_t s, struct pypurge_lists *l)
{
	const struct pypurge_mark mark = pypurge_lists_mark(l);
	const uint64_t pool = pypurge_arena_slot(a, s), size = a->pool_pages * REMOTE_PAGE;
	const uint64_t resident = pypurge_arena_resident(a, s, 1, a->pool_pages);
	const uint32_t none = PYMALLOC_NO_CLASS;

	if (!resident)
		return pypurge_lists_drop(l, pool + REMOTE_PAGE, size - REMOTE_PAGE, 0);
	if (a->state[s] == PYMALLOC_FREE && a->h[s].szidx != none &&
	    !pypurge_lists_write(l, pool + AT(szidx), &none, sizeof(none)))
		return false;
	if (pypurge_lists_drop(l, pool + REMOTE_PAGE, size - REMOTE_PAGE, resident))
		return true;
	pypurge_lists_rollback(l, &mark);
	return false;
}

/* A partly used pool. 0, also when there is something wrong with it, or -ENOBUFS, -EDQUOT, -ETIME. */
static int pool_partly(const struct pypurge_arena *a, uint32_t s, struct remote *mem, struct pypurge_pool *pool,
		       struct pypurge_lists *l, struct pypurge_outcome *ret)
{
	const uint64_t reads = mem->reads_left, before = l->resident - l->touched;
	int r;

	pool->addr = pypurge_arena_slot(a, s);
	pool->pages = a->pool_pages;
	pool->h = a->h[s];
	pool->flags = pypurge_arena_flags(a, s);
	if (!pypurge_pool_promising(pool))
		return 0;
	r = pypurge_pool_plan(pool, mem, l);
	if (r > 0) {
		ret->pools.bits[s / 64] |= 1ull << s % 64;
		ret->pool_reads += (uint32_t)(reads - mem->reads_left);
		ret->pool_bytes += l->resident - l->touched - before;
	}
	if (r == -ENOBUFS || r == -EDQUOT || r == -ETIME)
		return r;
	if (r < 0) {
		ret->torn++;
		ret->torn_resident += pypurge_arena_resident(a, s, 1, a->pool_pages);
	}
	return 0;
}

/* The pages of slot @s. */
static int plan_slot(const struct pypurge_arena *a, const struct pypurge_shape *shape, const bool *listed, uint32_t s,
		     struct remote *mem, struct pypurge_pool *pool, struct pypurge_lists *l,
		     struct pypurge_outcome *ret)
{
	const uint64_t size = a->pool_pages * REMOTE_PAGE;

	if (s < shape->carved && (a->state[s] == PYMALLOC_USED || a->state[s] == PYMALLOC_FULL))
		return a->state[s] == PYMALLOC_USED ? pool_partly(a, s, mem, pool, l, ret) : 0;
	if (s < shape->carved && listed[s])
		return pool_hollow(a, s, l) ? 0 : -ENOBUFS;
	if (!pypurge_lists_drop(l, pypurge_arena_slot(a, s), size, pypurge_arena_resident(a, s, 0, a->pool_pages)))
		return -ENOBUFS;
	return 0;
}

int pypurge_plan_arena(const struct pypurge_rules *rules, const struct pypurge_arena *a,
		       const struct pypurge_slots *pools, struct remote *mem, struct pypurge_vector *v,
		       struct pypurge_pool *scratch, struct pypurge_lists *l, struct pypurge_outcome *ret)
{
	const struct pypurge_mark mark = pypurge_lists_mark(l);
	bool listed[PYMALLOC_POOLS_MAX] = { false };
	struct pypurge_shape shape;
	int r;

	*ret = (struct pypurge_outcome){ 0 };
	pypurge_shape_choose(rules, a, v, &shape);
	r = shape_apply(rules, a, &shape, v, l, ret);
	if (r < 0) {
		pypurge_lists_rollback(l, &mark);
		return r;
	}
	for (uint32_t k = 0; k < shape.n_listed; k++)
		listed[shape.list[k]] = true;
	for (uint32_t s = 0; s < a->slots; s++) {
		if (s < shape.carved && a->state[s] == PYMALLOC_USED && !pypurge_slots_has(pools, s))
			continue;
		r = plan_slot(a, &shape, listed, s, mem, scratch, l, ret);
		if (r < 0) {
			ret->full = true;
			return r == -ENOBUFS ? 0 : r;
		}
	}
	return 0;
}
