// SPDX-License-Identifier: GPL-2.0-or-later
/* The purge of pymalloc against a model of it: contents, structure, limits, figures. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "pypurge-world.h"

#define KIB 1024ull
#define NO_CAP UINT64_MAX

struct geometry {
	uint64_t arena_size, pool_size;
};

static const struct geometry geometries[] = {
	{ 256 * KIB, 4 * KIB }, /* 3.8, 3.9 */
	{ 1024 * KIB, 16 * KIB }, /* 3.10 and later */
	{ 2048 * KIB, 16 * KIB }, /* 3.15 with huge pages */
};

static struct pypurge_limits random_limits(struct world *w)
{
	static const uint64_t reserves[] = { 0, 0, 0, 1, 7, 70, UINT64_MAX },
			      caps[] = { NO_CAP, NO_CAP, NO_CAP, 100 * KIB, 0 };
	struct pypurge_limits limits = {
		.deep = world_random(w, 3),
		.reserve = reserves[world_random(w, ARRAY_SIZE(reserves))],
		.max_retired = caps[world_random(w, ARRAY_SIZE(caps))],
	};

	if (world_random(w, 4) == 0) {
		limits.max_writes = 8 + world_random(w, 60);
		limits.max_ranges = 1 + world_random(w, 30);
		limits.max_values = 1200 + world_random(w, 3000);
		limits.max_reads = 1 + world_random(w, 300);
		limits.max_bytes = world_random(w, 2) * 4096 * (1 + world_random(w, 50));
	}
	return limits;
}

static void churn(struct world *w, uint32_t most)
{
	const uint32_t classes = 1 + world_random(w, 6), first = world_random(w, OB_CLASSES);
	uint32_t n = world_random(w, most), keep;

	switch (world_random(w, 4)) {
	case 0:
	case 1:
		for (uint32_t i = 0; i < n && w->n < most; i++)
			world_alloc(w, (first + world_random(w, classes) * 5) % OB_CLASSES);
		break;
	case 2:
		for (uint32_t i = 0; i < n && w->n; i++)
			world_drop(w, world_random(w, w->n));
		break;
	default:
		keep = 2 + world_random(w, 400);
		for (uint32_t k = w->n; k > 0; k--)
			if (k % keep)
				world_drop(w, k - 1);
	}
}

static void fuzz(const struct geometry *g, uint64_t seed, uint32_t sweeps, bool poison)
{
	struct world *w = world_new(g->arena_size, g->pool_size, seed);

	for (uint32_t i = 0; i < sweeps; i++) {
		struct pypurge_limits limits = random_limits(w);

		churn(w, (uint32_t)(g->arena_size / 64));
		ob_check(&w->ob);
		world_sweep(w, &limits, world_random(w, 4) ? 0 : 1 + world_random(w, 4), poison && world_random(w, 2));
		if (i % 16 == 0)
			world_verify_all(w);
	}
	world_verify_all(w);
	while (w->n)
		world_drop(w, w->n - 1);
	ob_check(&w->ob);
	/* An arena is unmapped when it is empty, whatever was retired in it. Only one may be left. */
	assert_int_equal(w->ob.mapped - w->ob.unmapped, w->ob.mapped ? 1 : 0);
	world_free(w);
}

static void test_churn(void **state)
{
	const char *many = getenv("PYPURGE_SWEEPS");
	const uint32_t sweeps = many ? (uint32_t)strtoul(many, NULL, 10) : 100;

	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(geometries); g++)
		for (uint64_t seed = 1; seed <= 4; seed++)
			fuzz(&geometries[g], seed + (many ? (uint64_t)getpid() : 0), sweeps, seed % 2);
}

/* Many blocks of some classes, of which one in @keep stays. */
static struct world *bloated(const struct geometry *g, uint32_t keep)
{
	struct world *w = world_new(g->arena_size, g->pool_size, 5);

	for (uint32_t i = 0; i < g->arena_size * 6 / 64; i++)
		world_alloc(w, 2 + i % 3);
	for (uint32_t k = w->n; k > 0; k--)
		if (k % keep)
			world_drop(w, k - 1);
	return w;
}

static void test_prediction(void **state)
{
	(void)state;
	for (size_t g = 0; g < ARRAY_SIZE(geometries); g++) {
		for (int deep = 0; deep < 2; deep++) {
			const struct pypurge_limits limits = { .deep = deep, .max_retired = NO_CAP };
			struct world *w = bloated(&geometries[g], 3000);
			struct pypurge_prediction p;
			uint64_t before = world_resident(w), freed;

			assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
			assert_true(p.can_deep && !p.unknown && !p.retired_pools && p.free_pools);
			assert_int_equal(world_sweep(w, &limits, 0, false), deep ? p.deep : p.normal);
			freed = before - world_resident(w);
			assert_int_equal(freed, deep ? p.deep : p.normal);
			assert_true(freed > before / 2 || (!deep && geometries[g].pool_size == 4096));
			assert_int_equal(world_sweep(w, &limits, 0, false), 0);
			assert_int_equal(pypurge_sweep_stats(w->purge)->rounds, 0);
			assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
			assert_int_equal(deep ? p.deep : p.normal, 0);
			world_verify_all(w);
			world_free(w);
		}
	}
}

/* The reserve is left, restored when it is used up, and all can be brought back. */
static void test_reserve(void **state)
{
	struct world *w = bloated(&geometries[1], 9000);
	struct pypurge_limits limits = { .deep = true, .max_retired = NO_CAP };
	struct pypurge_prediction p;
	uint64_t all;

	(void)state;
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	all = p.free_pools;
	limits.reserve = all - 100;
	world_sweep(w, &limits, 0, false);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	assert_int_equal(p.free_pools, all - 100);
	assert_int_equal(p.retired_pools, 100);
	limits.reserve = 0;
	world_sweep(w, &limits, 0, false);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	assert_true(p.retired_pools > 200 && p.free_pools + p.retired_pools == all);
	limits.reserve = p.free_pools + 37;
	world_sweep(w, &limits, 0, false);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	assert_int_equal(p.free_pools, limits.reserve);
	limits.reserve = UINT64_MAX;
	world_sweep(w, &limits, 0, false);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	assert_true(p.free_pools == all && p.retired_pools == 0);
	world_verify_all(w);
	world_free(w);
}

static void test_cap(void **state)
{
	struct world *w = bloated(&geometries[1], 9000);
	struct pypurge_limits limits = { .deep = true, .max_retired = 50 * 16 * KIB };
	struct pypurge_prediction p;
	uint64_t all;

	(void)state;
	world_sweep(w, &limits, 0, false);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	assert_int_equal(p.retired_pools, 50);
	limits.max_retired = 0;
	world_sweep(w, &limits, 0, false);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	assert_int_equal(p.retired_pools, 0);
	/* A cap from a prediction brings nothing back that a sweep under it has retired. */
	limits.max_retired = NO_CAP;
	world_sweep(w, &limits, 0, false);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	all = p.retired_pools;
	limits.max_retired = pypurge_retired_cap(&p);
	assert_int_equal(world_sweep(w, &limits, 0, false), 0);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	assert_true(all > 0 && p.retired_pools == all && p.retired_bytes == all * 16 * KIB);
	assert_int_equal(pypurge_retired_cap(&(struct pypurge_prediction){ .live_bytes = 1 }), 256 * KIB * KIB);
	assert_int_equal(pypurge_retired_cap(&(struct pypurge_prediction){ .live_bytes = KIB * KIB * KIB, .deep = 5 }),
			 KIB * KIB * KIB + 5);
	world_free(w);
}

/* Small rounds come to the same as a large one, and each keeps to its limits. */
static void small_rounds(uint32_t keep, bool deep)
{
	const struct pypurge_limits small = { .deep = deep,
					      .max_retired = NO_CAP,
					      .max_writes = 20,
					      .max_ranges = 7,
					      .max_values = 1500,
					      .max_bytes = 256 * KIB };
	struct world *w = bloated(&geometries[1], keep);
	struct pypurge_prediction p;
	struct pypurge_round round;
	uint64_t sum = 0;
	int r, rounds = 0;

	assert_int_equal(pypurge_predict(w->purge, &w->mem, &small, &p), 0);
	while ((r = pypurge_scan(w->purge, &w->mem, &small, &round)) == 1) {
		assert_int_equal(pypurge_check(w->purge, &w->mem, &small, &w->lists), 0);
		assert_true(w->lists.n_writes <= 20 && w->lists.n_ranges <= 7 && w->lists.n_values <= 1500);
		assert_true(w->lists.resident <= 256 * KIB || w->lists.n_ranges == 1);
		world_apply(w, &w->lists, w->lists.n_writes, true, false);
		ob_check(&w->ob);
		sum += w->lists.resident - w->lists.touched;
		pypurge_applied(w->purge, &w->lists);
		rounds++;
	}
	assert_int_equal(r, 0);
	assert_true(rounds > 20);
	assert_int_equal(sum, deep ? p.deep : p.normal);
	assert_int_equal(pypurge_sweep_stats(w->purge)->passed, 0);
	assert_int_equal(world_sweep(w, &small, 0, false), 0);
	world_verify_all(w);
	world_free(w);
}

static void test_limits(void **state)
{
	/* Of pools that are nearly all empty, and that are all partly used: an arena of those takes several rounds. */
	static const uint32_t keeps[] = { 3000, 200 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(keeps); i++)
		for (int deep = 0; deep < 2; deep++)
			small_rounds(keeps[i], deep);
}

/* Pages that stay although they are dropped (MADV_FREE): soon on to the next arena, and that is counted. */
static void test_pages_stay(void **state)
{
	const struct pypurge_limits small = { .max_bytes = 256 * KIB };
	struct world *w = bloated(&geometries[1], 200);
	struct pypurge_round round;
	int rounds = 0;

	(void)state;
	while (pypurge_scan(w->purge, &w->mem, &small, &round) == 1) {
		assert_int_equal(pypurge_check(w->purge, &w->mem, &small, &w->lists), 0);
		w->lists.n_ranges = MIN(w->lists.n_ranges, 1u);
		pypurge_applied(w->purge, &w->lists);
		assert_true(++rounds < 3 * (int)w->ob.mapped);
	}
	assert_true(rounds > 0 && pypurge_sweep_stats(w->purge)->passed > 0);
	world_verify_all(w);
	world_free(w);
}

/* Too little room for anything: the sweep ends all the same, and has harmed nobody. */
static void test_no_room(void **state)
{
	const struct pypurge_limits none = { .deep = true, .max_retired = NO_CAP, .max_writes = 1, .max_values = 4 };
	struct world *w = bloated(&geometries[1], 3000);
	struct pypurge_round round;

	(void)state;
	world_sweep(w, &none, 0, false);
	world_verify_all(w);
	pypurge_restart(w->purge);
	for (int i = 0; pypurge_scan(w->purge, &w->mem, &none, &round) == 1; i++) {
		assert_true(i < 3000);
		pypurge_failed(w->purge, 3);
	}
	world_free(w);
}

/* What changed between scan and check is not touched. */
static void test_stale(void **state)
{
	const struct pypurge_limits limits = { .deep = true, .max_retired = NO_CAP };
	struct world *w = bloated(&geometries[1], 3000);
	struct pypurge_round round;

	(void)state;
	for (int i = 0; i < 40; i++) {
		if (pypurge_scan(w->purge, &w->mem, &limits, &round) != 1)
			pypurge_restart(w->purge);
		churn(w, 60000);
		assert_int_equal(pypurge_check(w->purge, &w->mem, &limits, &w->lists), 0);
		world_apply(w, &w->lists, w->lists.n_writes, true, i % 2);
		ob_check(&w->ob);
		pypurge_applied(w->purge, &w->lists);
		churn(w, 60000);
		world_verify_all(w);
	}
	assert_false(pypurge_sweep_stats(w->purge)->lists_torn);
	world_free(w);
}

/* The lock can't be held for long: what was proven until then is whole, the rest comes later. */
static void test_budgets(void **state)
{
	const struct pypurge_limits limits = { .deep = true, .max_retired = NO_CAP };
	struct world *w = bloated(&geometries[1], 3000);
	struct pypurge_prediction p;
	struct pypurge_round round;
	uint64_t sum = 0;
	int r, n = 0;

	(void)state;
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &limits, &p), 0);
	for (;;) {
		world_budget(w);
		w->mem.reads_left = 400;
		r = pypurge_scan(w->purge, &w->mem, &limits, &round);
		if (r == -EDQUOT)
			continue;
		if (r == 0)
			break;
		assert_int_equal(r, 1);
		world_budget(w);
		w->mem.reads_left = n++ % 2 ? 10 : 100;
		r = pypurge_check(w->purge, &w->mem, &limits, &w->lists);
		assert_int_equal(r, 0);
		world_apply(w, &w->lists, w->lists.n_writes, true, false);
		ob_check(&w->ob);
		sum += w->lists.resident - w->lists.touched;
		if (w->lists.n_ranges)
			pypurge_applied(w->purge, &w->lists);
		else
			pypurge_failed(w->purge, 10);
		assert_true(n < 2000);
	}
	assert_true(sum > p.deep / 2 && sum <= p.deep);
	world_verify_all(w);
	world_free(w);
}

static void test_refusals(void **state)
{
	const struct pypurge_limits deep = { .deep = true, .max_retired = NO_CAP };
	struct world *w = bloated(&geometries[1], 3000);
	struct pypurge_prediction p;
	struct pypurge *other;
	struct cpython py = w->py;

	(void)state;
	py.usedpools = 0;
	assert_int_equal(pypurge_new(&py, &other), -EOPNOTSUPP);
	py = w->py;
	py.pool_size = 65536;
	assert_int_equal(pypurge_new(&py, &other), -EOPNOTSUPP);

	/* Without the lists' addresses, and in a debug build, nothing is retired. */
	w->py.nfp2lasta_at = 0;
	assert_true(world_sweep(w, &deep, 0, false) > 0);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &deep, &p), 0);
	assert_true(!p.can_deep && !p.retired_pools && p.deep);
	w->py = py;
	w->py.pool_size = 16 * KIB;
	w->py.debug = true;
	world_sweep(w, &deep, 0, false);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &deep, &p), 0);
	assert_true(!p.can_deep && !p.retired_pools);
	world_verify_all(w);
	world_free(w);
}

/* A list of arenas that contradicts itself: nothing is retired, the rest is done. */
static void test_torn_lists(void **state)
{
	const struct pypurge_limits deep = { .deep = true, .max_retired = NO_CAP };

	(void)state;
	for (int how = 0; how < 7; how++) {
		struct world *w = bloated(&geometries[1], 9000);
		struct pymalloc_arena_object *head = ob_arena(w->ob.usable);
		struct pymalloc_arena_object *second = ob_arena(head->nextarena);
		struct pypurge_prediction p;
		struct pypurge_round round;

		if (how == 0)
			w->ob.lasta[3] ^= 48;
		if (how == 1)
			second->prevarena = 0;
		if (how == 2)
			second->nextarena = ob_addr(head);
		if (how == 3)
			w->ob.usable = head->nextarena;
		if (how == 4)
			w->ob.usable += 8;
		if (how == 5)
			head->nextarena = 0;
		if (how == 6)
			second->nextarena = 0x1000;
		while (pypurge_scan(w->purge, &w->mem, &deep, &round) == 1) {
			assert_int_equal(pypurge_check(w->purge, &w->mem, &deep, &w->lists), 0);
			world_apply(w, &w->lists, w->lists.n_writes, true, false);
			pypurge_applied(w->purge, &w->lists);
		}
		assert_true(pypurge_sweep_stats(w->purge)->lists_torn);
		assert_true(pypurge_sweep_stats(w->purge)->resident > 0);
		assert_int_equal(pypurge_predict(w->purge, &w->mem, &deep, &p), 0);
		assert_int_equal(p.retired_pools, 0);
		world_verify_all(w);
		world_free(w);
	}
}

/* One arena that contradicts itself under the lock: it is left alone, and nothing is retired anywhere. */
static void test_torn_arena(void **state)
{
	const struct pypurge_limits deep = { .deep = true, .max_retired = NO_CAP };
	struct world *w = bloated(&geometries[1], 9000);
	struct pymalloc_arena_object *ao = ob_arena(ob_arena(w->ob.usable)->nextarena), was;
	struct pypurge_prediction p;
	struct pypurge_round round;
	int r = pypurge_scan(w->purge, &w->mem, &deep, &round);

	(void)state;
	assert_int_equal(r, 1);
	was = *ao;
	ao->ntotalpools--;
	for (; r == 1; r = pypurge_scan(w->purge, &w->mem, &deep, &round)) {
		assert_int_equal(pypurge_check(w->purge, &w->mem, &deep, &w->lists), 0);
		for (uint32_t i = 0; i < w->lists.n_ranges; i++)
			assert_true(w->lists.ranges[i].addr + w->lists.ranges[i].len <= was.address ||
				    w->lists.ranges[i].addr >= was.address + w->ob.arena_size);
		world_apply(w, &w->lists, w->lists.n_writes, true, false);
		pypurge_applied(w->purge, &w->lists);
	}
	assert_true(pypurge_sweep_stats(w->purge)->torn > 0 && pypurge_sweep_stats(w->purge)->lists_torn);
	ao->ntotalpools++;
	assert_memory_equal(ao, &was, sizeof(was));
	ob_check(&w->ob);
	assert_int_equal(pypurge_predict(w->purge, &w->mem, &deep, &p), 0);
	assert_int_equal(p.retired_pools, 0);
	world_verify_all(w);
	world_free(w);
}

static void test_hostile_roots(void **state)
{
	const struct pypurge_limits deep = { .deep = true, .max_retired = NO_CAP };
	struct world *w = bloated(&geometries[1], 9000);
	struct pypurge_round round;

	(void)state;
	w->ob.maxarenas = 0;
	assert_int_equal(pypurge_scan(w->purge, &w->mem, &deep, &round), -ENOENT);
	w->ob.maxarenas = UINT32_MAX;
	assert_int_equal(pypurge_scan(w->purge, &w->mem, &deep, &round), -E2BIG);
	w->ob.maxarenas = OB_ARENAS;
	w->ob.vector_at += 4;
	assert_int_equal(pypurge_scan(w->purge, &w->mem, &deep, &round), -EBADMSG);
	w->ob.vector_at = UINT64_MAX - 7;
	assert_int_equal(pypurge_scan(w->purge, &w->mem, &deep, &round), -EBADMSG);
	w->ob.vector_at = 0x1000;
	assert_int_equal(pypurge_scan(w->purge, &w->mem, &deep, &round), -EFAULT);
	w->ob.vector_at = ob_addr(w->ob.arenas);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_churn),	   cmocka_unit_test(test_prediction),
		cmocka_unit_test(test_reserve),	   cmocka_unit_test(test_cap),
		cmocka_unit_test(test_limits),	   cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_stale),	   cmocka_unit_test(test_budgets),
		cmocka_unit_test(test_refusals),   cmocka_unit_test(test_torn_lists),
		cmocka_unit_test(test_torn_arena), cmocka_unit_test(test_hostile_roots),
		cmocka_unit_test(test_pages_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
