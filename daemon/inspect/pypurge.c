// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pypurge.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "inspect/pypurge-plan.h"

#define CANDIDATES_MAX 256
#define SCAN_TRIES 3
#define REVISITS_MAX PYMALLOC_POOLS_MAX
#define READ_NS 1000
#define READS_TELLING 100
#define LATE_TRIES 8
#define RETIRED_MIN (256ull << 20)

struct candidate {
	uint32_t index;
	uint64_t address;
	struct pypurge_slots pools;
	bool partly; /* the lists had no room for all of it: it comes again after this round */
};

struct pypurge {
	const struct cpython *py;
	uint32_t next; /* the first arena that this sweep has not dealt with */
	uint32_t after; /* what next becomes when the lists of the last check are applied */
	uint32_t failed; /* checks in a row without any progress */
	uint64_t read_ns; /* what one read takes here, as the scans saw it */
	uint32_t revisits; /* rounds in a row that ended in the arena they began with */
	uint64_t first; /* the first range that the last of them dropped */
	bool fruitless; /* the last check's first arena took part in it, but nothing came of it */
	bool late; /* the same, for want of time */
	uint32_t scanned; /* where the last scan ended */
	uint32_t n_candidates;
	struct candidate candidates[CANDIDATES_MAX];
	struct pypurge_stats stats;
	struct pypurge_vector vector;
	struct pypurge_arena arena;
	struct pypurge_pool pool;
	struct pypurge_lists lists; /* of scans, whose lists nobody sees */
};

int pypurge_new(const struct cpython *py, struct pypurge **ret)
{
	struct pypurge *p;

	if (!py->usedpools || !py->arenas_at || !py->maxarenas_at)
		return -EOPNOTSUPP;
	if (py->pool_size != REMOTE_PAGE && py->pool_size != PYPURGE_POOL_PAGES * REMOTE_PAGE)
		return -EOPNOTSUPP;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->py = py;
	p->read_ns = READ_NS;
	*ret = p;
	return 0;
}

void pypurge_free(struct pypurge *p)
{
	if (!p)
		return;
	pypurge_vector_free(&p->vector);
	free(p);
}

void pypurge_restart(struct pypurge *p)
{
	p->next = p->after = p->scanned = p->failed = p->n_candidates = 0;
	p->revisits = 0;
	p->first = 0;
	p->fruitless = false;
	p->stats = (struct pypurge_stats){ 0 };
}

const struct pypurge_stats *pypurge_sweep_stats(const struct pypurge *p)
{
	return &p->stats;
}

/* A debug build asserts that each pool without live blocks is on its arena's list (_PyObject_DebugMallocStats()). */
static bool can_deep(const struct pypurge *p)
{
	return !p->py->debug && p->py->usable_arenas_at && p->py->nfp2lasta_at && !p->stats.lists_torn;
}

static struct pypurge_rules rules_of(const struct pypurge *p, const struct pypurge_limits *limits)
{
	return (struct pypurge_rules){
		.py = p->py,
		.deep = limits->deep && can_deep(p),
		.reserve = limits->reserve,
		.retired = limits->max_retired / p->py->pool_size,
	};
}

static void lists_start(struct pypurge_lists *l, const struct pypurge_limits *limits)
{
	pypurge_lists_init(l, limits->max_writes, limits->max_ranges, limits->max_values, limits->max_bytes);
}

/* An arena that changes under our eyes is read again. */
static int scan_arena(struct pypurge *p, struct remote *mem, uint32_t index)
{
	int r = -EBADMSG;

	for (int i = 0; i < SCAN_TRIES && r == -EBADMSG; i++) {
		if (i)
			r = pypurge_vector_entry(&p->vector, mem, index);
		if (i && r < 0)
			return r;
		if (!p->vector.now[index].address)
			return -ENOENT;
		r = pypurge_arena_read(p->py, mem, &p->vector.now[index], index, &p->arena);
	}
	return r;
}

static bool out_of_budget(int r)
{
	return r == -EDQUOT || r == -ETIME;
}

/* What a race, a contradiction or swapped pages look like: no reason to give up the rest. */
static bool is_torn(int r)
{
	return r == -EBADMSG || r == -ENXIO || r == -EFAULT;
}

static void round_add(struct pypurge_round *round, const struct pypurge_arena *a, const struct pypurge_outcome *out,
		      const struct pypurge_lists *l)
{
	round->arenas++;
	round->writes += l->n_writes + l->held_writes;
	round->values += l->n_values + l->held_values;
	round->ranges += l->n_ranges;
	round->resident += l->resident;
	round->reads += 2 + a->carved + out->pool_reads;
}

static bool round_full(const struct pypurge *p, const struct pypurge_round *round, const struct pypurge_limits *limits)
{
	const struct pypurge_lists *l = &p->lists;

	return round->writes >= l->max_writes || round->values >= l->max_values || round->ranges >= l->max_ranges ||
	       round->resident >= l->max_bytes || (limits->max_reads && round->reads >= limits->max_reads) ||
	       round->arenas >= CANDIDATES_MAX ||
	       (limits->budget_ns && round->reads * p->read_ns >= limits->budget_ns - limits->budget_ns / 4);
}

/* 1 when there is something to be done about arena @index, else 0 or an error. */
static int scan_one(struct pypurge *p, struct remote *mem, const struct pypurge_limits *limits, uint32_t index,
		    struct pypurge_round *round)
{
	static const struct pypurge_slots all = PYPURGE_ALL_SLOTS;
	const struct pypurge_rules rules = rules_of(p, limits);
	struct pypurge_outcome out;
	int r;

	if (!p->vector.now[index].address)
		return 0;
	r = scan_arena(p, mem, index);
	if (r == -ENOENT)
		return 0;
	p->stats.arenas++;
	if (is_torn(r)) {
		p->stats.torn++;
		return 0;
	}
	if (r < 0)
		return r;
	lists_start(&p->lists, limits);
	r = pypurge_plan_arena(&rules, &p->arena, &all, mem, &p->vector, &p->pool, &p->lists, &out);
	if (r < 0 && !p->lists.n_ranges && !p->lists.n_writes)
		return r == -ENOBUFS || r == -EBADMSG ? 0 : r;
	if (!out.changed && !p->lists.n_ranges && !p->lists.n_writes)
		return 0;
	p->candidates[p->n_candidates++] = (struct candidate){
		.index = index,
		.address = p->arena.o.address,
		.pools = out.pools,
		.partly = out.full,
	};
	round_add(round, &p->arena, &out, &p->lists);
	return 1;
}

int pypurge_scan(struct pypurge *p, struct remote *mem, const struct pypurge_limits *limits, struct pypurge_round *ret)
{
	const uint64_t began = clock_ns(), reads = mem->reads_left;
	struct pypurge_round round = { 0 };
	uint32_t i = p->next;
	int r = pypurge_vector_read(p->py, mem, true, &p->vector);

	p->n_candidates = 0;
	if (r < 0)
		return r;
	for (; i < p->vector.n; i++) {
		r = scan_one(p, mem, limits, i, &round);
		if (r < 0 && !out_of_budget(r))
			return r;
		if (r < 0)
			break;
		if (round_full(p, &round, limits)) {
			i++;
			break;
		}
	}
	p->scanned = i;
	if (reads - mem->reads_left > READS_TELLING)
		p->read_ns = (clock_ns() - began) / (reads - mem->reads_left);
	if (!p->n_candidates) {
		p->next = i;
		return r < 0 ? r : 0;
	}
	round.writes = MIN(round.writes, p->lists.max_writes);
	round.ranges = MIN(round.ranges, p->lists.max_ranges);
	round.values = MIN(round.values, p->lists.max_values);
	*ret = round;
	return 1;
}

/* Under the lock there are no races: a contradiction is one. */
static int check_one(struct pypurge *p, struct remote *mem, const struct pypurge_rules *rules,
		     const struct candidate *c, struct pypurge_lists *l, struct pypurge_outcome *out)
{
	int r = 0;

	*out = (struct pypurge_outcome){ 0 };
	if (c->index >= p->vector.n)
		return 0;
	if (!rules->deep)
		r = pypurge_vector_entry(&p->vector, mem, c->index);
	if (r < 0)
		return r;
	if (p->vector.now[c->index].address != c->address)
		return 0; /* gone, or another one */
	r = pypurge_arena_read(p->py, mem, &p->vector.now[c->index], c->index, &p->arena);
	if (r < 0)
		return r;
	return pypurge_plan_arena(rules, &p->arena, &c->pools, mem, &p->vector, &p->pool, l, out);
}

/* The whole vector when arenas may be retired. Finds out whether they may. */
static int check_start(struct pypurge *p, struct remote *mem, struct pypurge_rules *rules)
{
	int r = pypurge_vector_read(p->py, mem, rules->deep, &p->vector);

	if (r < 0 || !rules->deep)
		return r;
	r = pypurge_vector_lists(p->py, mem, &p->vector);
	if (r == -EBADMSG || r == -EOPNOTSUPP || r == -EFAULT) {
		p->stats.lists_torn = true;
		rules->deep = false;
		return 0;
	}
	return r;
}

int pypurge_check(struct pypurge *p, struct remote *mem, const struct pypurge_limits *limits, struct pypurge_lists *ret)
{
	struct pypurge_rules rules = rules_of(p, limits);
	bool relink = false;
	uint32_t i;
	int r;

	lists_start(ret, limits);
	p->after = p->n_candidates ? p->candidates[0].index : p->scanned;
	p->fruitless = p->late = false;
	r = check_start(p, mem, &rules);
	if (r < 0)
		return r;
	for (i = 0; i < p->n_candidates; i++) {
		struct pypurge_outcome out;

		r = check_one(p, mem, &rules, &p->candidates[i], ret, &out);
		if (rules.deep && r == -EBADMSG) {
			/* What is wrong in one place may be wrong in the list that is made of all. */
			p->stats.lists_torn = true;
			lists_start(ret, limits);
			return 0;
		}
		relink |= out.recounted;
		if (out.full || out_of_budget(r) || r == -ENOBUFS)
			break;
		if (r < 0 && !is_torn(r))
			return r;
		p->stats.torn += r < 0;
		if (r == 0 && p->candidates[i].partly)
			break;
	}
	if (i == 0 && p->n_candidates && !ret->n_writes && !ret->n_ranges && !p->vector.n_dirty) {
		p->late = out_of_budget(r);
		p->fruitless = !p->late;
	}
	p->after = i < p->n_candidates ? p->candidates[i].index : p->scanned;
	r = pypurge_vector_emit(p->py, &p->vector, relink, ret);
	if (r < 0)
		lists_start(ret, limits);
	return r;
}

/* Pages that stay where they are for all our advice (MADV_FREE, locked ones) must not keep us in one arena. */
static bool comes_to_nothing(struct pypurge *p, const struct pypurge_lists *lists)
{
	const uint64_t first = lists->n_ranges ? lists->ranges[0].addr : 0;
	const bool again = p->after == p->next, same = again && first && first == p->first;

	p->first = first;
	p->revisits = again ? p->revisits + 1 : 0;
	if (!same && p->revisits <= REVISITS_MAX)
		return false;
	p->revisits = 0;
	p->stats.passed++;
	return true;
}

void pypurge_applied(struct pypurge *p, const struct pypurge_lists *lists)
{
	bool stays;

	p->stats.rounds++;
	p->stats.resident += lists->resident;
	p->stats.touched += lists->touched;
	if (p->late) {
		pypurge_failed(p, LATE_TRIES);
		return;
	}
	stays = comes_to_nothing(p, lists);
	p->next = p->after;
	if (p->fruitless || stays)
		p->next++;
	p->failed = 0;
	p->fruitless = false;
}

void pypurge_failed(struct pypurge *p, uint32_t tries)
{
	if (++p->failed < tries)
		return;
	p->failed = 0;
	p->stats.passed++;
	p->next = p->n_candidates ? p->candidates[0].index + 1 : p->scanned;
}

/* Both depths on the same arena; its pools are looked into once. */
static int predict_one(struct pypurge *p, struct remote *mem, const struct pypurge_limits *limits,
		       struct pypurge_prediction *ret)
{
	static const struct pypurge_slots all = PYPURGE_ALL_SLOTS, none = { { 0 } };
	struct pypurge_rules rules = { .py = p->py, .reserve = limits->reserve };
	struct pypurge_outcome out, deep;
	int r;

	pypurge_lists_init(&p->lists, 0, 0, 0, 0);
	r = pypurge_plan_arena(&rules, &p->arena, &all, mem, &p->vector, &p->pool, &p->lists, &out);
	if (r < 0)
		return r;
	ret->normal += p->lists.resident - p->lists.touched;
	ret->unknown += out.torn_resident;
	ret->live_bytes += p->arena.live * p->py->pool_size;
	p->vector.n_dirty = 0;
	pypurge_lists_init(&p->lists, 0, 0, 0, 0);
	rules.deep = true;
	rules.retired = limits->max_retired / p->py->pool_size;
	r = pypurge_plan_arena(&rules, &p->arena, &none, mem, &p->vector, &p->pool, &p->lists, &deep);
	p->vector.n_dirty = 0;
	if (r < 0)
		return r;
	ret->deep += p->lists.resident - p->lists.touched + out.pool_bytes;
	return 0;
}

int pypurge_predict(struct pypurge *p, struct remote *mem, const struct pypurge_limits *limits,
		    struct pypurge_prediction *ret)
{
	struct pypurge_prediction sum = { .can_deep = can_deep(p) };
	int r = pypurge_vector_read(p->py, mem, true, &p->vector);

	if (r < 0)
		return r;
	sum.free_pools = p->vector.free_pools;
	sum.retired_pools = p->vector.retired_pools;
	sum.retired_bytes = sum.retired_pools * p->py->pool_size;
	for (uint32_t i = 0; i < p->vector.n; i++) {
		if (!p->vector.now[i].address)
			continue;
		r = scan_arena(p, mem, i);
		if (r == -ENOENT)
			continue;
		if (r == 0)
			r = predict_one(p, mem, limits, &sum);
		if (is_torn(r))
			sum.unknown += p->py->arena_size;
		else if (r < 0)
			return r;
	}
	*ret = sum;
	return 0;
}

uint64_t pypurge_retired_cap(const struct pypurge_prediction *p)
{
	return MAX(RETIRED_MIN, p->live_bytes + p->deep + p->retired_bytes);
}
