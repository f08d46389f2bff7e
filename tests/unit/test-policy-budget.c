// SPDX-License-Identifier: GPL-2.0-or-later
/* Limits of all processes together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy-world.h"

struct limits {
	struct world w;
	struct budget b;
	enum reason reason;
	uint64_t again;
};

static void limits_init(struct limits *l)
{
	memset(l, 0, sizeof(*l));
	world_init(&l->w);
}

static bool take(struct limits *l)
{
	return budget_take(&l->w.s, &l->b, 2, l->w.now, &l->reason, &l->again);
}

static void give(struct limits *l, uint64_t stopped_us)
{
	budget_give(&l->w.s, &l->b, stopped_us, l->w.now);
}

static void test_rate(void **state)
{
	struct limits l;

	(void)state;
	limits_init(&l);
	for (unsigned int i = 0; i < 6; i++) {
		assert_true(take(&l));
		give(&l, 0);
	}
	assert_false(take(&l));
	assert_int_equal(l.reason, REASON_RATE);
	assert_in_range(l.again, l.w.now + 10 * SEC, l.w.now + 10 * SEC + 2);
	l.w.now += 10 * SEC - 1000;
	assert_false(take(&l));
	l.w.now = l.again;
	assert_true(take(&l));
	give(&l, 0);
	assert_false(take(&l));
	/* Long rest doesn't add up to more than a minute's worth. */
	l.w.now += 24 * HOUR_US;
	for (unsigned int i = 0; i < 6; i++) {
		assert_true(take(&l));
		give(&l, 0);
	}
	assert_false(take(&l));
	world_done(&l.w);
}

static void test_rate_over_time(void **state)
{
	struct limits l;
	unsigned int n = 0;

	(void)state;
	limits_init(&l);
	for (unsigned int i = 0; i < 3600; i++, l.w.now += SEC) {
		if (!take(&l))
			continue;
		give(&l, 0);
		n++;
	}
	assert_in_range(n, 6 * 60, 6 * 60 + 6);
	world_done(&l.w);
}

static void test_stop_budget(void **state)
{
	struct limits l;

	(void)state;
	limits_init(&l);
	assert_true(take(&l));
	give(&l, 199999);
	assert_true(take(&l));
	give(&l, 100001);
	/* 100 ms too many: half a minute. */
	assert_false(take(&l));
	assert_int_equal(l.reason, REASON_STOP_BUDGET);
	assert_in_range(l.again, l.w.now + 30 * SEC - 1000, l.w.now + 30 * SEC + 1000);
	l.w.now += 30 * SEC - 1000;
	assert_false(take(&l));
	l.w.now = l.again;
	assert_true(take(&l));
	give(&l, 0);
	world_done(&l.w);
}

static void test_workers(void **state)
{
	struct limits l;

	(void)state;
	limits_init(&l);
	assert_true(take(&l));
	assert_true(budget_take_look(&l.w.s, &l.b, 2));
	assert_false(budget_take_look(&l.w.s, &l.b, 2));
	assert_false(take(&l));
	assert_int_equal(l.reason, REASON_WORKERS);
	assert_int_equal(l.again, POLICY_UNKNOWN);
	give(&l, 0);
	assert_true(take(&l));
	world_set(&l.w, "Daemon", "MaxWorkers", "3");
	assert_true(take(&l));
	assert_false(budget_take_look(&l.w.s, &l.b, 2));
	for (unsigned int i = 0; i < 3; i++)
		give(&l, 0);
	/* What was refused for want of a worker cost no action: three were taken. */
	world_set(&l.w, "Daemon", "MaxWorkers", "64");
	for (unsigned int i = 0; i < 3; i++)
		assert_true(take(&l));
	assert_false(take(&l));
	assert_int_equal(l.reason, REASON_RATE);
	/* Without a single processor known there is one worker. */
	l.b.running = 0;
	world_set(&l.w, "Daemon", "MaxWorkers", "0");
	assert_true(budget_take_look(&l.w.s, &l.b, 0));
	assert_false(budget_take_look(&l.w.s, &l.b, 0));
	world_done(&l.w);
}

/* Neither a clock that seems to go back nor one end too many breaks it. */
static void test_robust(void **state)
{
	struct limits l;

	(void)state;
	limits_init(&l);
	give(&l, 0);
	assert_int_equal(l.b.running, 0);
	for (unsigned int i = 0; i < 6; i++) {
		assert_true(take(&l));
		give(&l, 0);
	}
	l.w.now -= HOUR_US;
	assert_false(take(&l));
	l.w.now += HOUR_US;
	assert_false(take(&l));
	/* A reload that lowers the limit holds at once. */
	l.w.now += HOUR_US;
	world_set(&l.w, "Daemon", "ActionsPerMinute", "1");
	assert_true(take(&l));
	assert_false(take(&l));
	world_done(&l.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),	    cmocka_unit_test(test_rate_over_time),
		cmocka_unit_test(test_stop_budget), cmocka_unit_test(test_workers),
		cmocka_unit_test(test_robust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
