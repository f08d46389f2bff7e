// SPDX-License-Identifier: GPL-2.0-or-later
/* The last rung: memory that is in use is moved only under pressure, when proven idle, and where there is room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy-world.h"

#define TEN_MIN (10 * MIN_US)

/* Nothing is free; 300 MiB could be moved, of a process that has been asleep for long. */
static void init(struct world *w, const char *remedies)
{
	world_init(w);
	world_set(w, "Reclaim", "Remedies", remedies);
	w->urgency = URGENCY_PRESSURE;
	w->p.still_us = TEN_MIN;
	w->p.settled = POLICY_UNKNOWN;
	w->p.swap_room = 1000 * MIB;
	w->found = (struct prospect){
		.known = true,
		.n = 3,
		.v = { { .remedy = POLICY_TRIM, .possible = true, .predicted = 1 * MIB },
		       { .remedy = POLICY_COLD, .possible = true },
		       { .remedy = POLICY_PAGEOUT, .possible = true, .predicted = 300 * MIB } },
	};
}

static void decided(struct world *w, enum verdict verdict, uint32_t remedies, uint64_t predicted, const char *words)
{
	world_decide(w);
	if (w->d.verdict != verdict || w->d.remedies != remedies || !strstr(w->d.words, words) ||
	    (remedies && w->d.predicted != predicted))
		fail_msg("%s %x %zu MiB: %s; expected '%s'", policy_verdict_name(w->d.verdict), w->d.remedies,
			 (size_t)(w->d.predicted / MIB), w->d.words, words);
}

static void acts(struct world *w, uint32_t remedy, uint64_t predicted, const char *words)
{
	decided(w, VERDICT_ACT, remedy, predicted, words);
	assert_int_equal(w->d.reason, REASON_WORTH_IT);
}

static void leaves(struct world *w, const char *words)
{
	decided(w, VERDICT_LEAVE, 0, 0, words);
}

static void test_default(void **state)
{
	struct world w;

	(void)state;
	init(&w, "trim purge");
	leaves(&w, "1.0MiB would come back");
	world_done(&w);
	world_init(&w);
	assert_false(w.s.defaults.remedies & POLICY_MOVES);
	world_done(&w);
}

static void test_pageout(void **state)
{
	struct world w;

	(void)state;
	init(&w, "trim pageout");
	acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout: 300.0MiB would be moved to swap");
	assert_false(w.d.by_ages);
	/* What is free comes first. */
	w.found.v[0].predicted = 100 * MIB;
	acts(&w, POLICY_TRIM, 100 * MIB, "trim: 100.0MiB would come back");
	w.found.v[0].predicted = 1 * MIB;
	/* Nobody waits for memory. */
	w.urgency = URGENCY_NONE;
	leaves(&w, "1.0MiB would come back");
	w.urgency = URGENCY_PRESSURE;
	/* It was awake a moment ago. */
	w.p.still_us = TEN_MIN - 1;
	leaves(&w, "1.0MiB would come back");
	w.p.still_us = TEN_MIN;
	/* The look has found it impossible, or nothing at all. */
	w.found.v[2].possible = false;
	leaves(&w, "1.0MiB would come back");
	w.found.n = 2;
	leaves(&w, "1.0MiB would come back");
	/* An allocator that nobody can read is no reason against it. */
	w.found.n = 3;
	w.found.v[2].possible = true;
	w.found.v[0].possible = false;
	w.found.v[0].reason = "its malloc is jemalloc's";
	acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout");
	world_set(&w, "Daemon", "Mode", "advise");
	decided(&w, VERDICT_WOULD, POLICY_PAGEOUT, 300 * MIB, "the mode forbids it");
	world_done(&w);
}

static void test_alone(void **state)
{
	struct world w;

	(void)state;
	init(&w, "pageout");
	acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout");
	w.urgency = URGENCY_NONE;
	leaves(&w, "only moved when programs wait for memory");
	w.urgency = URGENCY_PRESSURE;
	w.p.still_us = 0;
	leaves(&w, "has been left alone for SettledSec=");
	w.p.still_us = TEN_MIN;
	w.p.swap_room = 0;
	leaves(&w, "swap has no room");
	w.found.v[2].possible = false;
	w.found.v[2].reason = "none of its memory\x1b";
	leaves(&w, "none of its memory\\x1b");
	world_done(&w);
}

static void test_room(void **state)
{
	struct world w;

	(void)state;
	init(&w, "pageout");
	w.p.swap_room = 50 * MIB;
	acts(&w, POLICY_PAGEOUT, 50 * MIB, "50.0MiB");
	/* Worth it is a tenth of its 400 MiB. */
	w.p.swap_room = 39 * MIB;
	leaves(&w, "swap has no room");
	world_done(&w);
}

static void test_ages(void **state)
{
	struct world w;

	(void)state;
	init(&w, "pageout");
	/* It is awake, but that part of its memory was left alone. */
	w.p.still_us = 0;
	w.p.settled = 200 * MIB;
	acts(&w, POLICY_PAGEOUT, 200 * MIB, "200.0MiB");
	assert_true(w.d.by_ages);
	/* The module says no: that it sleeps is no better proof. */
	w.p.still_us = TEN_MIN;
	w.p.settled = 0;
	leaves(&w, "has been left alone");
	world_done(&w);
}

static void test_cold(void **state)
{
	struct world w;

	(void)state;
	init(&w, "cold");
	/* Not without ages. */
	leaves(&w, "only moved when");
	w.p.settled = 200 * MIB;
	acts(&w, POLICY_COLD, 0, "cold: 200.0MiB would be the first to go");
	assert_true(w.d.by_ages);
	w.urgency = URGENCY_NONE;
	leaves(&w, "only moved when");
	w.urgency = URGENCY_PRESSURE;
	w.p.settled = 1 * MIB;
	leaves(&w, "only moved when");
	w.p.settled = 200 * MIB;
	w.found.v[1].possible = false;
	w.found.v[1].reason = "locked";
	leaves(&w, "only moved when");
	w.found.v[1].possible = true;
	/* Where there is room for it, to be paged out is better. */
	world_set(&w, "Reclaim", "Remedies", "cold pageout");
	acts(&w, POLICY_PAGEOUT, 200 * MIB, "pageout");
	w.p.swap_room = 0;
	acts(&w, POLICY_COLD, 0, "cold");
	world_done(&w);
}

/* What never is touched isn't paged out, and it is looked at again as long as memory is short. */
static void test_bounds(void **state)
{
	struct world w;

	(void)state;
	init(&w, "trim pageout");
	w.p.vmm = true;
	leaves(&w, "virtual machines");
	w.p.vmm = false;
	policy_learn_look(&w.s, &w.process, &w.program, 1 * MIB, w.now);
	w.now += MIN_US;
	world_screen(&w);
	assert_int_equal(w.d.verdict, VERDICT_LOOK);
	w.p.still_us = 0;
	world_screen(&w);
	assert_int_equal(w.d.verdict, VERDICT_WAIT);
	w.p.idle = 300 * MIB;
	world_screen(&w);
	assert_int_equal(w.d.verdict, VERDICT_LOOK);
	w.urgency = URGENCY_NONE;
	world_screen(&w);
	assert_int_equal(w.d.verdict, VERDICT_WAIT);
	world_done(&w);
}

static void paged_out(struct world *w, uint64_t moved)
{
	const struct outcome what = {
		.acted = true,
		.moves = true,
		.predicted = moved,
		.freed = (int64_t)moved,
		.moved = moved,
		.rss_after = 100 * MIB,
	};

	policy_learn_action(&w->s, &w->s.defaults, &w->process, &w->program, &what, w->now);
}

static uint64_t rests_us(const struct world *w)
{
	return w->process.not_before_us - w->process.acted_us;
}

/* Twice as long as one whose memory merely came back: four times the cooldown after the first time. */
static void test_refaults(void **state)
{
	static const struct {
		uint64_t back, faults, rss;
		unsigned int cooldowns;
	} rows[] = {
		{ 0, 0, 100 * MIB, 1 },	       { 49 * MIB, 100, 100 * MIB, 1 },	     { 0, 0, 200 * MIB, 2 },
		{ 50 * MIB, 0, 150 * MIB, 4 }, { 0, 50 * MIB / 4096, 100 * MIB, 4 }, { 200 * MIB, 60000, 300 * MIB, 4 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world w;

		init(&w, "pageout");
		paged_out(&w, 200 * MIB);
		assert_int_equal(rests_us(&w), w.s.defaults.cooldown_us);
		w.now += 10 * SEC;
		policy_learn_refaults(&w.s, &w.s.defaults, &w.process, &w.program, rows[i].back, rows[i].faults, w.now);
		policy_learn_check(&w.s, &w.s.defaults, &w.process, &w.program, 10 * SEC, rows[i].rss, w.now);
		if (rests_us(&w) != rows[i].cooldowns * w.s.defaults.cooldown_us)
			fail_msg("row %zu: %zu s", i, (size_t)(rests_us(&w) / SEC));
		/* Counted once, however often it is looked at. */
		w.now += 50 * SEC;
		policy_learn_refaults(&w.s, &w.s.defaults, &w.process, &w.program, rows[i].back, rows[i].faults, w.now);
		assert_int_equal(rests_us(&w), rows[i].cooldowns * w.s.defaults.cooldown_us);
		/* One that stays away makes up for it. */
		w.now = w.process.not_before_us;
		paged_out(&w, 200 * MIB);
		w.now += TEN_MIN;
		policy_learn_refaults(&w.s, &w.s.defaults, &w.process, &w.program, 0, 0, w.now);
		policy_learn_check(&w.s, &w.s.defaults, &w.process, &w.program, TEN_MIN, 100 * MIB, w.now);
		assert_int_equal(rests_us(&w), w.s.defaults.cooldown_us);
		world_done(&w);
	}
}

/* That nothing comes of it at once isn't in vain; and faults of others' doing aren't its harm. */
static void test_learn_cold(void **state)
{
	const struct outcome cold = { .acted = true, .moves = true, .cold = true, .rss_after = 100 * MIB };
	struct world w;

	(void)state;
	init(&w, "cold");
	policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &cold, w.now);
	policy_learn_refaults(&w.s, &w.s.defaults, &w.process, &w.program, 0, 1000000, w.now + SEC);
	policy_learn_check(&w.s, &w.s.defaults, &w.process, &w.program, 10 * SEC, 400 * MIB, w.now + 10 * SEC);
	assert_int_equal(rests_us(&w), w.s.defaults.cooldown_us);
	assert_int_equal(w.process.in_vain, 0);
	world_done(&w);
}

static void was_refused(struct world *w, bool moves)
{
	const struct outcome what = { .refused = true, .moves = moves };

	policy_learn_action(&w->s, &w->s.defaults, &w->process, &w->program, &what, w->now);
}

/* That no call could be made in it is no reason to leave in RAM what can be moved without one. */
static void test_refused(void **state)
{
	struct world w;

	(void)state;
	init(&w, "trim pageout");
	w.found.v[0].predicted = POLICY_UNKNOWN;
	acts(&w, POLICY_TRIM, POLICY_UNKNOWN, "nobody knows how much");
	was_refused(&w, false);
	w.now += SEC;
	world_screen(&w);
	assert_int_equal(w.d.verdict, VERDICT_LOOK);
	/* Whoever had planned a call before that. */
	assert_true(w.d.moves_only);
	acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout: 300.0MiB would be moved to swap");
	/* The screen knows nothing of swap. */
	w.p.swap_room = 0;
	w.p.settled = POLICY_UNKNOWN;
	world_screen(&w);
	assert_int_equal(w.d.verdict, VERDICT_LOOK);
	decided(&w, VERDICT_WAIT, 0, 0, "an action on it was refused 1 times: again in 59");
	w.p.swap_room = 1000 * MIB;
	/* The call has to wait, whatever it promises, and whatever there is to be moved. */
	w.found.v[0].predicted = 100 * MIB;
	acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout: 300.0MiB would be moved to swap");
	w.found.v[2].predicted = 0;
	decided(&w, VERDICT_WAIT, 0, 0, "an action on it was refused 1 times: again in 59");
	assert_int_equal(w.d.not_before_us, w.process.not_before_us);
	w.found.v[2].predicted = 300 * MIB;
	w.urgency = URGENCY_NONE;
	decided(&w, VERDICT_WAIT, 0, 0, "an action on it was refused 1 times");
	w.urgency = URGENCY_PRESSURE;
	/* What was refused itself isn't asked for again at once. */
	was_refused(&w, true);
	w.now += SEC;
	decided(&w, VERDICT_WAIT, 0, 0, "an action on it was refused 1 times");
	/* And says nothing of calls. */
	w.now = w.process.not_before_us;
	assert_true(w.now < w.process.moves_not_before_us);
	acts(&w, POLICY_TRIM, 100 * MIB, "trim: 100.0MiB would come back");
	w.found.v[0].predicted = 1 * MIB;
	leaves(&w, "1.0MiB would come back");
	w.now = w.process.moves_not_before_us;
	acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout");
	world_done(&w);
}

/* One that can never be called isn't called more often since its memory can be moved. */
static void test_refused_again_and_again(void **state)
{
	struct world w;
	uint64_t until;

	(void)state;
	init(&w, "trim pageout");
	for (int i = 0; i < 9; i++) {
		w.now = MAX(w.now, w.process.not_before_us);
		was_refused(&w, false);
	}
	until = w.process.not_before_us;
	assert_int_equal(until, w.now + (MIN_US << 8));
	w.now += MIN_US;
	acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout");
	paged_out(&w, 200 * MIB);
	assert_int_equal(w.process.refusals, 9);
	assert_int_equal(w.process.not_before_us, until);
	/* A cooldown holds for both; it isn't halved where calls are refused. */
	assert_int_equal(w.process.rest_until_us, w.now + w.s.defaults.cooldown_us);
	w.now += SEC;
	decided(&w, VERDICT_WAIT, 0, 0, "an action on it was refused 9 times");
	world_done(&w);
}

/* Where nothing but that is allowed, it backs off as calls do. */
static void test_refused_alone(void **state)
{
	struct world w;

	(void)state;
	init(&w, "pageout");
	for (int i = 0; i < 3; i++) {
		was_refused(&w, true);
		w.now += SEC;
		decided(&w, VERDICT_WAIT, 0, 0, "an action on it was refused");
		assert_int_equal(w.d.not_before_us, w.now - SEC + (MIN_US << i));
		w.now = w.d.not_before_us;
		acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout");
	}
	paged_out(&w, 200 * MIB);
	assert_int_equal(w.process.moves_refused, 0);
	world_done(&w);
}

/* What was trimmed a while ago may be moved when its cooldown, which pressure halves, is over. */
static void test_moved_after_a_trim(void **state)
{
	struct world w;

	(void)state;
	init(&w, "trim pageout");
	world_act(&w, 100 * MIB, 400 * MIB);
	w.now += w.s.defaults.cooldown_us / 2 - SEC;
	decided(&w, VERDICT_WAIT, 0, 0, "acted on");
	w.now += SEC;
	acts(&w, POLICY_PAGEOUT, 300 * MIB, "pageout");
	world_done(&w);
}

static void test_budget(void **state)
{
	struct budget b = { .since_us = 0 };
	uint64_t again = 0;
	struct world w;

	(void)state;
	init(&w, "pageout");
	/* 256 MiB in a minute. */
	assert_int_equal(budget_take_pageout(&w.s, &b, 100 * MIB, 16 * MIB, w.now, &again), 100 * MIB);
	assert_int_equal(budget_take_pageout(&w.s, &b, 300 * MIB, 16 * MIB, w.now, &again), 156 * MIB);
	assert_int_equal(budget_take_pageout(&w.s, &b, 300 * MIB, 16 * MIB, w.now, &again), 0);
	assert_in_range(again, w.now + 3 * SEC, w.now + 4 * SEC);
	assert_int_equal(budget_take_pageout(&w.s, &b, 300 * MIB, 16 * MIB, again, &again) / MIB, 16);
	/* What wasn't used comes back, and what was more is owed. */
	budget_give_pageout(&b, 156 * MIB, 56 * MIB);
	assert_int_equal(budget_take_pageout(&w.s, &b, 300 * MIB, 16 * MIB, again, &again) / MIB, 100);
	budget_give_pageout(&b, 0, 256 * MIB);
	assert_int_equal(budget_take_pageout(&w.s, &b, 300 * MIB, 16 * MIB, w.now + 10 * SEC, &again), 0);
	assert_in_range(again, w.now + 60 * SEC, w.now + 70 * SEC);
	/* More than a minute's worth is never asked for. */
	assert_int_equal(budget_take_pageout(&w.s, &b, 900 * MIB, 800 * MIB, w.now + HOUR_US, &again), 256 * MIB);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),	      cmocka_unit_test(test_pageout),
		cmocka_unit_test(test_alone),	      cmocka_unit_test(test_room),
		cmocka_unit_test(test_ages),	      cmocka_unit_test(test_cold),
		cmocka_unit_test(test_bounds),	      cmocka_unit_test(test_refaults),
		cmocka_unit_test(test_learn_cold),    cmocka_unit_test(test_budget),
		cmocka_unit_test(test_refused),	      cmocka_unit_test(test_refused_again_and_again),
		cmocka_unit_test(test_refused_alone), cmocka_unit_test(test_moved_after_a_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
