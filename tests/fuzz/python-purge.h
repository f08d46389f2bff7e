/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A purge of pymalloc over hostile memory. Two readers that have no code in common watch each other: what the planner
 * is about to touch must be free by what pymalloc_look() has seen, and when it is done nothing else may have changed.
 */
#ifndef RECLAIM_TESTS_PYTHON_PURGE_H
#define RECLAIM_TESTS_PYTHON_PURGE_H

#include <string.h>

#include "fuzz.h"
#include "inspect/pypurge.h"

#define PURGE_ROUNDS 3
#define PURGE_ARENAS 8

/* Memory that can be written to. */
struct purge_memory {
	struct target *t;
	void *(*at)(void *ctx, uint64_t addr, size_t len); /* NULL unless all of it is there */
	uint8_t *(*flags)(void *ctx, uint64_t addr); /* enum remote_page_flags of its page; NULL: there is none */
	void *ctx;
};

/* ---- what must not be touched ---- */

static inline int purge_read(const struct purge_memory *m, uint64_t addr, void *buf, size_t len)
{
	const void *p = m->at(m->ctx, addr, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

struct purge_held {
	uint64_t base;
	uint32_t slots;
	struct pymalloc_pool pools[PYMALLOC_POOLS_MAX];
};

struct purge_truth {
	const struct cpython *py;
	size_t n;
	bool odd; /* arenas that lie over each other, or more than we keep: nothing can be said of them */
	bool torn; /* of some one reader says that they contradict themselves; perhaps it is only a pool in them */
	int r; /* of the look that has seen it; < 0: nothing can be said at all */
	struct pymalloc_facts facts;
	struct purge_held arenas[PURGE_ARENAS];
};

static inline int purge_hold_arena(void *ctx, const struct pymalloc_arena *a)
{
	struct purge_truth *t = ctx;

	if (t->n == PURGE_ARENAS) {
		t->odd = true;
		return -E2BIG;
	}
	for (size_t i = 0; i < t->n; i++)
		t->odd |= a->base < t->arenas[i].base + t->py->arena_size &&
			  t->arenas[i].base < a->base + t->py->arena_size;
	t->arenas[t->n++] = (struct purge_held){ .base = a->base, .slots = a->slots };
	return 0;
}

static inline int purge_hold_pool(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p)
{
	struct purge_truth *t = ctx;

	(void)a;
	t->arenas[t->n - 1].pools[p->slot] = *p;
	return 0;
}

/* Does [lo, hi) of this pool, offsets in it, meet a live block? */
static inline bool purge_meets_live(const struct cpython *py, const struct pymalloc_pool *p, uint64_t lo, uint64_t hi)
{
	const uint32_t bs = PYMALLOC_BLOCK_SIZE(p->h.szidx);

	if (p->state == PYMALLOC_FULL)
		return hi > PYMALLOC_POOL_HEADER;
	/* Without a map, since a page is swapped out, nothing is known of them. */
	for (uint32_t i = 0; p->state == PYMALLOC_USED && p->blocks_valid && i < pymalloc_blocks(py, p->h.szidx); i++) {
		const uint64_t at = PYMALLOC_POOL_HEADER + (uint64_t)i * bs;

		if (at < hi && at + bs > lo && !(p->free_map[i / 64] >> i % 64 & 1))
			return true;
	}
	return false;
}

/* The part of [lo, hi) that is in this arena. */
static inline void purge_check_part(const struct purge_truth *t, const struct purge_held *a, uint64_t lo, uint64_t hi)
{
	const uint64_t size = t->py->pool_size;

	for (uint32_t s = (uint32_t)((lo - a->base) / size); s < a->slots && a->base + s * size < hi; s++) {
		const uint64_t pool = a->base + s * size;

		MUST(!purge_meets_live(t->py, &a->pools[s], MAX(lo, pool) - pool, MIN(hi, pool + size) - pool));
		/* The headers of pools in use are their owner's: never dropped. */
		MUST(lo > pool || hi - lo < REMOTE_PAGE || a->pools[s].state > PYMALLOC_FULL);
	}
}

/* True when all of it is in arenas: those that border on each other are dropped at once. */
static inline bool purge_check_touched(const struct purge_truth *t, uint64_t lo, uint64_t hi)
{
	while (lo < hi) {
		uint64_t end = 0;

		for (size_t k = 0; k < t->n && !end; k++) {
			const struct purge_held *a = &t->arenas[k];

			if (lo < a->base || lo >= a->base + a->slots * t->py->pool_size)
				continue;
			end = a->base + a->slots * t->py->pool_size;
			purge_check_part(t, a, lo, MIN(hi, end));
		}
		if (!end)
			return false;
		lo = end;
	}
	return true;
}

static inline bool purge_header_at(const struct purge_memory *m, uint64_t addr, struct pymalloc_pool_header *ret)
{
	return purge_read(m, addr, ret, sizeof(*ret)) == 0;
}

/* Counted by hand: its pools are live, on its list, or have never been used, and as many as it says. */
static inline bool purge_adds_up(const struct purge_memory *m, const struct cpython *py,
				 const struct pymalloc_arena_object *o)
{
	const uint64_t size = py->pool_size, base = (o->address + size - 1) & ~(size - 1);
	const uint64_t slots = (o->address + py->arena_size - base) / size;
	struct pymalloc_pool_header h;
	uint64_t listed = 0, live = 0;

	for (uint64_t at = o->freepools; at && listed <= slots; at = h.nextpool, listed++)
		if (!purge_header_at(m, at, &h) || h.count)
			return false;
	for (uint64_t at = base; at < o->pool_address && at - base < slots * size; at += size)
		live += purge_header_at(m, at, &h) && h.count;
	return o->pool_address >= base && live == o->ntotalpools - o->nfreepools &&
	       listed + slots - (o->pool_address - base) / size == o->nfreepools;
}

/* Of an arena that one reader calls torn, the other may at most do without one of its pools. */
static inline bool purge_torn_but_adds_up(const struct purge_memory *m, const struct purge_truth *t, uint64_t vector,
					  uint32_t n, uint64_t at)
{
	for (uint32_t i = 0; i < n; i++) {
		struct pymalloc_arena_object o;

		if (purge_read(m, vector + 48ull * i, &o, sizeof(o)) == 0 && o.address <= at &&
		    at < o.address + t->py->arena_size && o.address && purge_adds_up(m, t->py, &o))
			return true;
	}
	return false;
}

/* ---- the purge ---- */

static inline bool purge_in_roots(const struct cpython *py, uint64_t vector, uint32_t n, uint64_t lo, uint64_t len)
{
	return (lo >= vector && lo + len <= vector + 48ull * n) || (lo == py->usable_arenas_at && len == 8) ||
	       (py->nfp2lasta_at && lo >= py->nfp2lasta_at &&
		lo + len <= py->nfp2lasta_at + 8 * (PYMALLOC_POOLS_MAX + 1));
}

static inline void purge_check_lists(const struct purge_memory *m, const struct purge_truth *t,
				     const struct pypurge_limits *limits, const struct pypurge_lists *l)
{
	uint64_t vector = 0, resident = 0, max = 0;

	MUST(purge_read(m, t->py->arenas_at, &vector, 8) == 0);
	MUST(purge_read(m, t->py->maxarenas_at, &max, 4) == 0);
	MUST(l->n_writes <= PYPURGE_WRITES_MAX && l->n_ranges <= PYPURGE_RANGES_MAX);
	MUST(!limits->max_writes || l->n_writes <= limits->max_writes);
	MUST(!limits->max_ranges || l->n_ranges <= limits->max_ranges);
	for (uint32_t i = 0; i < l->n_writes; i++) {
		const struct pypurge_write *w = &l->writes[i];

		MUST(w->len && w->offset <= l->n_values && w->len <= l->n_values - w->offset);
		MUST(t->odd || purge_in_roots(t->py, vector, (uint32_t)max, w->addr, w->len) ||
		     purge_check_touched(t, w->addr, w->addr + w->len) ||
		     (t->torn && purge_torn_but_adds_up(m, t, vector, (uint32_t)max, w->addr)));
	}
	for (uint32_t i = 0; i < l->n_ranges; i++) {
		const struct pypurge_range *r = &l->ranges[i];

		MUST(r->len && r->addr % REMOTE_PAGE == 0 && r->len % REMOTE_PAGE == 0);
		MUST(t->odd || purge_check_touched(t, r->addr, r->addr + r->len) ||
		     (t->torn && purge_torn_but_adds_up(m, t, vector, (uint32_t)max, r->addr)));
		for (uint64_t at = r->addr; at < r->addr + r->len; at += REMOTE_PAGE)
			resident += *m->flags(m->ctx, at) & REMOTE_PRESENT ? REMOTE_PAGE : 0;
	}
	MUST(t->odd || resident == l->resident);
}

/* As a kernel carries them out: what is written there is there, what is dropped is zero. */
static inline void purge_apply(const struct purge_memory *m, const struct pypurge_lists *l)
{
	for (uint32_t i = 0; i < l->n_writes; i++) {
		unsigned char *p = m->at(m->ctx, l->writes[i].addr, l->writes[i].len);

		if (p)
			memcpy(p, l->values + l->writes[i].offset, l->writes[i].len);
		*m->flags(m->ctx, l->writes[i].addr) |= REMOTE_PRESENT;
		*m->flags(m->ctx, l->writes[i].addr + l->writes[i].len - 1) |= REMOTE_PRESENT;
	}
	for (uint32_t i = 0; i < l->n_ranges; i++) {
		for (uint64_t at = l->ranges[i].addr; at < l->ranges[i].addr + l->ranges[i].len; at += REMOTE_PAGE) {
			unsigned char *p = m->at(m->ctx, at, REMOTE_PAGE);

			if (p)
				memset(p, 0, REMOTE_PAGE);
			*m->flags(m->ctx, at) = 0;
		}
	}
}

static inline void purge_budget(const struct purge_memory *m)
{
	remote_forget(&m->t->mem);
	m->t->mem.reads_left = 5000;
	m->t->mem.bytes_left = 1ull << 24;
}

static inline void purge_see(const struct purge_memory *m, const struct cpython *py, struct purge_truth *t)
{
	const struct pymalloc_visitor v = { purge_hold_arena, purge_hold_pool, t };

	t->py = py;
	t->n = 0;
	t->odd = false;
	purge_budget(m);
	t->r = pymalloc_look(m->t, py, PYMALLOC_BLOCKS, &v, &t->facts);
	t->torn = t->r == 0 && t->facts.torn_arenas;
}

/* What was whole is whole, no live block was lost, and as much as was promised is gone. */
static inline void purge_check_after(const struct pymalloc_facts *before, bool torn, const struct pypurge_lists *l,
				     const struct pymalloc_facts *after)
{
	MUST(after->torn_arenas <= before->torn_arenas && after->arenas >= before->arenas);
	MUST(torn || (after->used_blocks == before->used_blocks && after->in_use == before->in_use));
	MUST(torn || before->resident - after->resident >= l->resident - MIN(l->resident, l->touched));
}

/* One round: what it is about to do is checked against what the other reader, in @t, sees. False at the end. */
static inline bool purge_round_once(const struct purge_memory *m, struct purge_truth *t, struct pypurge *p,
				    const struct pypurge_limits *limits)
{
	static struct pypurge_lists lists;
	const struct pymalloc_facts before = t->facts;
	const bool torn = t->torn, known = t->r == 0 && !t->odd;
	struct pypurge_round round;

	purge_budget(m);
	if (pypurge_scan(p, &m->t->mem, limits, &round) != 1)
		return false;
	purge_budget(m);
	if (pypurge_check(p, &m->t->mem, limits, &lists) < 0) {
		MUST(!lists.n_writes && !lists.n_ranges);
		pypurge_failed(p, 1);
		return true;
	}
	if (t->r == 0)
		purge_check_lists(m, t, limits, &lists);
	purge_apply(m, &lists);
	pypurge_applied(p, &lists);
	purge_see(m, t->py, t);
	if (known && t->r == 0)
		purge_check_after(&before, torn, &lists, &t->facts);
	return true;
}

static inline void python_purge(const struct purge_memory *m, const struct cpython *py, bool deep, uint32_t few)
{
	const struct pypurge_limits limits = {
		.deep = deep,
		.reserve = deep ? 3 : 0,
		.max_retired = UINT64_MAX,
		.max_writes = few,
		.max_ranges = few,
	};
	static struct purge_truth truth;
	struct pypurge_prediction predicted;
	struct pypurge *p;

	if (pypurge_new(py, &p) < 0)
		return;
	purge_budget(m);
	if (pypurge_predict(p, &m->t->mem, &limits, &predicted) == 0)
		MUST(predicted.can_deep || !py->usable_arenas_at || !py->nfp2lasta_at || py->debug);
	purge_see(m, py, &truth);
	for (int i = 0; i < PURGE_ROUNDS && purge_round_once(m, &truth, p, &limits); i++)
		continue;
	MUST(pypurge_sweep_stats(p)->rounds <= PURGE_ROUNDS);
	pypurge_free(p);
}

#endif
