// SPDX-License-Identifier: GPL-2.0-or-later
/* Days of a process's life in milliseconds: who takes its memory back is acted on ever more rarely. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy-world.h"
#include "under-valgrind.h"

#define ACTIONS_MAX 1024
#define BASE (200 * MIB) /* what the process really needs */
#define TOP (500 * MIB) /* what it grows to */

/* A process of which a manager takes care: sweeps every 30 s, checks 10 s, 1 min and 10 min after each action. */
struct life {
	struct world w;
	uint64_t begin;
	double held; /* bytes */
	double growth; /* bytes per second */
	uint64_t acted[ACTIONS_MAX]; /* since the begin */
	size_t n;
};

static void life_init(struct life *l, double growth)
{
	memset(l, 0, sizeof(*l));
	world_init(&l->w);
	l->begin = l->w.now;
	l->held = (double)TOP;
	l->growth = growth;
}

static void life_go(struct life *l, uint64_t us)
{
	l->w.now += us;
	l->held += l->growth * (double)us / 1e6;
	if (l->held > (double)TOP)
		l->held = (double)TOP;
	l->w.p.rss = l->w.p.anon = (uint64_t)l->held;
	l->w.found.v[0].predicted = l->w.p.rss - BASE;
}

static void life_checks(struct life *l, uint64_t acted_us, uint64_t since_us)
{
	static const uint64_t delays[] = { 10 * SEC, MIN_US, 10 * MIN_US };

	for (size_t i = 0; i < ARRAY_SIZE(delays); i++)
		if (acted_us && acted_us + delays[i] > since_us && acted_us + delays[i] <= l->w.now)
			policy_learn_check(&l->w.s, &l->w.s.defaults, &l->w.process, &l->w.program, delays[i],
					   l->w.p.rss, l->w.now);
}

static void life_act(struct life *l)
{
	const uint64_t freed = l->w.p.rss - BASE;

	assert_true(l->n < ACTIONS_MAX);
	l->acted[l->n++] = l->w.now - l->begin;
	l->held = (double)BASE;
	life_go(l, 0);
	world_act(&l->w, freed, BASE);
}

/* @step_us: of the sweep */
static void life_run(struct life *l, uint64_t us, uint64_t step_us)
{
	const uint64_t end = l->w.now + us;

	if (under_valgrind() && us >= 24 * HOUR_US)
		step_us = MAX(step_us, MIN_US);
	while (l->w.now < end) {
		const uint64_t since = l->w.now, acted = l->w.process.acted_us;

		life_go(l, step_us);
		life_checks(l, acted, since);
		world_screen(&l->w);
		if (l->w.d.verdict != VERDICT_LOOK)
			continue;
		world_decide(&l->w);
		policy_learn_look(&l->w.s, &l->w.process, &l->w.program, l->w.found.v[0].predicted, l->w.now);
		if (l->w.d.verdict == VERDICT_ACT)
			life_act(l);
	}
}

static void life_done(struct life *l)
{
	world_done(&l->w);
}

static void test_regrower(void **state)
{
	struct life l;

	(void)state;
	life_init(&l, 5.0 * (double)MIB);
	life_run(&l, 20 * 24 * HOUR_US, 10 * SEC);
	/* 20 min, 40 min, ... and in the end once a day. */
	assert_in_range(l.n, 20, 30);
	for (size_t i = 1; i < l.n; i++) {
		const uint64_t gap = l.acted[i] - l.acted[i - 1], doubled = (10 * MIN_US) << i;
		const uint64_t want = i < 9 && doubled < 24 * HOUR_US ? doubled : 24 * HOUR_US;

		assert_in_range(gap, want, want + 20 * SEC);
	}
	life_done(&l);
}

static void test_stays_small(void **state)
{
	struct life l;

	(void)state;
	/* It takes seven hours to need it again. */
	life_init(&l, 12.0 * 1024);
	life_run(&l, 10 * 24 * HOUR_US, 30 * SEC);
	assert_int_equal(l.w.process.in_vain, 0);
	assert_true(l.n > 50);
	for (size_t i = 1; i < l.n; i++)
		assert_true(l.acted[i] - l.acted[i - 1] < 4 * HOUR_US);
	life_done(&l);
}

/* One that fills up at once, but an hour later, is served as often as its cooldown allows. */
static void test_served_at_cooldown(void **state)
{
	struct life l;

	(void)state;
	life_init(&l, 0);
	world_set(&l.w, "Reclaim", "CooldownSec", "30min");
	for (unsigned int i = 0; i < 100; i++) {
		life_run(&l, 25 * MIN_US, 30 * SEC);
		l.held = (double)TOP;
		life_run(&l, 5 * MIN_US, 30 * SEC);
	}
	assert_in_range(l.n, 99, 101);
	assert_int_equal(l.w.process.in_vain, 0);
	life_done(&l);
}

static void test_reset(void **state)
{
	struct life l;
	size_t n;

	(void)state;
	life_init(&l, 5.0 * (double)MIB);
	life_run(&l, 24 * HOUR_US, 10 * SEC);
	assert_true(l.w.process.in_vain >= 6);
	/* Now it stays small. */
	l.growth = 0;
	n = l.n;
	while (l.n == n)
		life_run(&l, HOUR_US, 10 * SEC);
	life_run(&l, 11 * MIN_US, 10 * SEC);
	assert_int_equal(l.w.process.in_vain, 0);
	assert_int_equal(l.w.program.in_vain, 0);
	assert_true(l.w.process.not_before_us <= l.w.now);
	life_done(&l);
}

/* Cooldowns shorter than any check: the next action sees that the memory was there again. */
static void test_short_cooldown(void **state)
{
	struct life l;

	(void)state;
	life_init(&l, 100.0 * (double)MIB);
	world_set(&l.w, "Reclaim", "CooldownSec", "2s");
	world_set(&l.w, "Daemon", "IntervalSec", "1s");
	life_run(&l, HOUR_US, SEC);
	assert_in_range(l.n, 8, 13);
	for (size_t i = 2; i < l.n; i++)
		assert_true(l.acted[i] - l.acted[i - 1] >= (l.acted[i - 1] - l.acted[i - 2]) * 3 / 2);
	life_done(&l);

	life_init(&l, 0);
	world_set(&l.w, "Reclaim", "CooldownSec", "2s");
	world_set(&l.w, "Daemon", "IntervalSec", "1s");
	life_run(&l, HOUR_US, SEC);
	assert_int_equal(l.n, 1);
	life_done(&l);
}

static void test_came_back(void **state)
{
	static const struct {
		uint64_t after, rss;
		uint32_t in_vain;
	} rows[] = {
		{ 10 * SEC, 450 * MIB - 1, 0 },	 { 10 * SEC, 450 * MIB, 1 },	     { MIN_US, 450 * MIB, 1 },
		{ 10 * MIN_US, 450 * MIB, 1 },	 { 10 * MIN_US, 449 * MIB, 0 },	     { 11 * MIN_US, 500 * MIB, 0 },
		{ 10 * SEC, POLICY_UNKNOWN, 0 }, { 10 * MIN_US, POLICY_UNKNOWN, 0 }, { 10 * SEC, 0, 0 },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		world_init(&w);
		world_act(&w, 100 * MIB, 400 * MIB);
		world_check(&w, rows[i].after, rows[i].rss);
		if (w.process.in_vain != rows[i].in_vain)
			fail_msg("row %zu", i);
		/* Once for each action, however often it is looked at. */
		world_check(&w, 10 * MIN_US, 500 * MIB);
		assert_true(w.process.in_vain <= 1);
		world_done(&w);
	}
}

static void test_no_use(void **state)
{
	static const struct {
		int64_t freed;
		uint64_t predicted;
		uint32_t in_vain;
	} rows[] = {
		{ 8 << 20, 16 * MIB, 0 },   { (8 << 20) - 1, 16 * MIB, 1 },   { 8 << 20, POLICY_UNKNOWN, 0 },
		{ 25 << 20, 100 * MIB, 0 }, { (25 << 20) - 1, 100 * MIB, 1 }, { 0, 100 * MIB, 1 },
		{ -1, POLICY_UNKNOWN, 1 },
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct outcome what = {
			.acted = true, .predicted = rows[i].predicted, .freed = rows[i].freed, .rss_after = 400 * MIB
		};

		world_init(&w);
		policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &what, w.now);
		if (w.process.in_vain != rows[i].in_vain)
			fail_msg("row %zu", i);
		assert_int_equal(w.process.not_before_us, w.now + ((10 * MIN_US) << rows[i].in_vain));
		assert_int_equal(w.process.actions, 1);
		assert_int_equal(w.program.actions, 1);
		world_done(&w);
	}
}

/* Who was held up for too long waits twice as long, each time, and no longer for having been so before. */
static void test_overran(void **state)
{
	struct outcome what = { .acted = true, .predicted = 100 * MIB, .freed = 100 << 20, .rss_after = 400 * MIB };
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned int i = 0; i < 5; i++) {
		what.stopped_us = 20001;
		policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &what, w.now);
		assert_int_equal(w.process.not_before_us, w.now + 20 * MIN_US);
		world_check(&w, 10 * MIN_US, 400 * MIB);
		assert_int_equal(w.process.not_before_us, w.now + 10 * MIN_US);
		assert_int_equal(w.process.in_vain, 0);
		w.now = w.process.not_before_us;
	}
	what.stopped_us = 20000;
	policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &what, w.now);
	assert_int_equal(w.process.not_before_us, w.now + 10 * MIN_US);
	w.now += 11 * MIN_US;
	what.stopped_us = 20001;
	policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &what, w.now);
	world_check(&w, 10 * SEC, 500 * MIB);
	assert_int_equal(w.process.not_before_us, w.process.acted_us + 40 * MIN_US);
	world_done(&w);
}

/* What is learned of an action doesn't shorten the wait after a refusal since. */
static void test_refused_since(void **state)
{
	const struct outcome refused = { .refused = true };
	struct world w;
	uint64_t until;

	(void)state;
	world_init(&w);
	world_act(&w, 100 * MIB, 400 * MIB);
	w.now += 9 * MIN_US;
	for (unsigned int i = 0; i < 5; i++)
		policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &refused, w.now);
	until = w.now + 16 * MIN_US;
	assert_int_equal(w.process.not_before_us, until);
	world_check(&w, 10 * MIN_US, 400 * MIB);
	assert_int_equal(w.process.not_before_us, until);
	world_done(&w);
}

/* A check of the action before the last one says nothing of the last one. */
static void test_late_check(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_act(&w, 100 * MIB, 400 * MIB);
	w.now += 10 * MIN_US - 5 * SEC;
	world_act(&w, 10 * MIB, 400 * MIB);
	w.now += 5 * SEC;
	policy_learn_check(&w.s, &w.s.defaults, &w.process, &w.program, 10 * MIN_US, 500 * MIB, w.now);
	assert_int_equal(w.process.in_vain, 0);
	world_check(&w, 10 * SEC, 500 * MIB);
	assert_int_equal(w.process.in_vain, 1);
	world_done(&w);
}

/* Whatever happens, waiting ends, and never later than the longest time allows. */
static void test_bounds(void **state)
{
	const struct outcome refused = { .refused = true };
	struct world w;

	(void)state;
	world_init(&w);
	w.process.in_vain = w.process.refusals = w.program.in_vain = UINT32_MAX - 2;
	world_act(&w, 100 * MIB, 400 * MIB);
	assert_int_equal(w.process.not_before_us, w.now + 24 * HOUR_US);
	policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &refused, w.now);
	assert_int_equal(w.process.not_before_us, w.now + 24 * HOUR_US);
	w.process.refusals = UINT32_MAX - 2;
	policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &refused, w.now);
	assert_int_equal(w.process.not_before_us, w.now + 24 * HOUR_US);
	/* A rule may want a cooldown that is longer than the longest back-off. */
	w.process = (struct track){ .acted_us = 0 };
	w.s.defaults.cooldown_us = 48 * HOUR_US;
	world_act(&w, 100 * MIB, 400 * MIB);
	world_check(&w, 10 * SEC, 500 * MIB);
	assert_int_equal(w.process.not_before_us, w.process.acted_us + 48 * HOUR_US);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regrower),
		cmocka_unit_test(test_stays_small),
		cmocka_unit_test(test_served_at_cooldown),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_short_cooldown),
		cmocka_unit_test(test_came_back),
		cmocka_unit_test(test_no_use),
		cmocka_unit_test(test_overran),
		cmocka_unit_test(test_late_check),
		cmocka_unit_test(test_refused_since),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
