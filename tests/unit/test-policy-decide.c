// SPDX-License-Identifier: GPL-2.0-or-later
/* Every reason, reached and just not reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy-world.h"

static unsigned int reached[REASON_N];

static void expect(struct world *w, enum verdict verdict, enum reason reason, const char *words)
{
	const bool waits = verdict == VERDICT_WAIT;

	if (w->d.verdict != verdict || w->d.reason != reason)
		fail_msg("%s, %s (%s); expected %s, %s", policy_verdict_name(w->d.verdict),
			 policy_reason_name(w->d.reason), w->d.words, policy_verdict_name(verdict),
			 policy_reason_name(reason));
	if (!strstr(w->d.words, words))
		fail_msg("'%s' doesn't say '%s'", w->d.words, words);
	assert_true(*w->d.words);
	assert_int_equal(w->d.not_before_us > w->now, waits);
	assert_int_equal(!!w->d.remedies, verdict == VERDICT_ACT || verdict == VERDICT_WOULD);
	reached[reason]++;
}

static void screened(struct world *w, enum verdict verdict, enum reason reason, const char *words)
{
	world_screen(w);
	expect(w, verdict, reason, words);
	/* What a screening forbids, a decision forbids too; but for what is about looks only. */
	if (verdict == VERDICT_LOOK || reason == REASON_LOOKED)
		return;
	world_decide(w);
	expect(w, verdict, reason, words);
}

static void passes(struct world *w)
{
	screened(w, VERDICT_LOOK, REASON_NONE, "worth a look");
	world_decide(w);
	expect(w, VERDICT_ACT, REASON_WORTH_IT, "trim: 100.0MiB would come back");
}

static void test_out_of_bounds(void **state)
{
	static const struct {
		size_t offset;
		enum reason reason;
		const char *words;
	} rows[] = {
		{ offsetof(struct subject, kthread), REASON_KTHREAD, "kernel thread" },
		{ offsetof(struct subject, zombie), REASON_ZOMBIE, "exited" },
		{ offsetof(struct subject, stopped), REASON_STOPPED, "stopped" },
		{ offsetof(struct subject, traced), REASON_TRACED, "traced" },
		{ offsetof(struct subject, tracer), REASON_TRACER, "traces" },
		{ offsetof(struct subject, realtime), REASON_REALTIME, "real-time" },
		{ offsetof(struct subject, vmm), REASON_VMM, "virtual machines" },
		{ offsetof(struct subject, avoid), REASON_AVOID, "user.reclaim_avoid" },
	};
	struct world w;

	(void)state;
	world_init(&w);
	passes(&w);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		*(bool *)((char *)&w.p + rows[i].offset) = true;
		screened(&w, VERDICT_LEAVE, rows[i].reason, rows[i].words);
		*(bool *)((char *)&w.p + rows[i].offset) = false;
		passes(&w);
	}
	/* No rule brings it back. */
	world_set(&w, "Rule all", "Comm", "*");
	world_set(&w, "Rule all", "Never", "no");
	w.p.pid = 1;
	screened(&w, VERDICT_LEAVE, REASON_PROTECTED, "pid 1");
	w.p.pid = 2;
	passes(&w);
	world_done(&w);
}

static void test_never(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_set(&w, "Rule mine", "Exe", "/opt/app/*");
	world_set(&w, "Rule mine", "Never", "yes");
	screened(&w, VERDICT_LEAVE, REASON_NEVER, "[Rule mine] says Never=yes");
	assert_string_equal(w.d.rule, "mine");
	w.p.exe = "/opt/apps/worker";
	passes(&w);
	assert_null(w.d.rule);
	w.p.exe = "/opt/app/worker";
	world_set(&w, "Rule later", "Unit", "app.service");
	world_set(&w, "Rule later", "Never", "no");
	passes(&w);
	world_set(&w, "Rule later", "Never", "");
	screened(&w, VERDICT_LEAVE, REASON_NEVER, "[Rule later]");
	world_done(&w);
}

static void test_small(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.p.anon = 64 * MIB - 1;
	w.found.v[0].predicted = 63 * MIB;
	screened(&w, VERDICT_LEAVE, REASON_SMALL, "less than MinAnon=, 64.0MiB");
	w.p.anon = 64 * MIB;
	screened(&w, VERDICT_LOOK, REASON_NONE, "");
	/* What can't be read is never taken for little or much. */
	w.p.anon = POLICY_UNKNOWN;
	screened(&w, VERDICT_LOOK, REASON_NONE, "");
	w.p.rss = 63 * MIB;
	screened(&w, VERDICT_LEAVE, REASON_SMALL, "63.0MiB");
	w.p.rss = POLICY_UNKNOWN;
	screened(&w, VERDICT_LEAVE, REASON_UNREADABLE, "size");
	world_done(&w);
}

static void test_module_idle(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	/* 10 % of 400 MiB are worth it. */
	w.p.idle_age_us = MIN_US;
	w.p.idle = 39 * MIB;
	screened(&w, VERDICT_LEAVE, REASON_NOT_WORTH_IT, "only 39.0MiB of its memory is idle");
	w.p.idle = 41 * MIB;
	passes(&w);
	w.p.idle = 0;
	w.p.idle_age_us = 0;
	passes(&w);
	w.p.idle = POLICY_UNKNOWN;
	w.p.idle_age_us = MIN_US;
	passes(&w);
	/* What the module calls idle is older than what is wanted: its figure says nothing. */
	w.p.idle = 0;
	w.p.idle_age_us = MIN_US + 1;
	passes(&w);
	w.p.idle_age_us = MIN_US;
	screened(&w, VERDICT_LEAVE, REASON_NOT_WORTH_IT, "only 0B of its memory is idle");
	w.urgency = URGENCY_PRESSURE;
	passes(&w);
	world_done(&w);
}

static void test_idle(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.p.cpu_permille = 11;
	screened(&w, VERDICT_LEAVE, REASON_BUSY, "1.1 % of a CPU, idle is at most 1.0 %");
	w.p.cpu_permille = 10;
	passes(&w);
	w.p.quiet_us = MIN_US - 1;
	screened(&w, VERDICT_WAIT, REASON_NOT_IDLE_YET, "not yet for 1min 0s");
	assert_int_equal(w.d.not_before_us, w.now + 1);
	w.p.quiet_us = MIN_US;
	passes(&w);
	/* Pressure halves the time, and not the limit of CPU. */
	w.urgency = URGENCY_PRESSURE;
	w.p.quiet_us = MIN_US / 2;
	passes(&w);
	w.p.quiet_us--;
	screened(&w, VERDICT_WAIT, REASON_NOT_IDLE_YET, "");
	w.p.quiet_us = HOUR_US;
	w.p.cpu_permille = 11;
	screened(&w, VERDICT_LEAVE, REASON_BUSY, "");
	world_done(&w);
}

static void test_cooldown(void **state)
{
	struct world w;
	uint64_t begin;

	(void)state;
	world_init(&w);
	begin = w.now;
	world_act(&w, 100 * MIB, 400 * MIB);
	screened(&w, VERDICT_WAIT, REASON_COOLDOWN, "acted on 0us ago: again in 10min 0s");
	assert_int_equal(w.d.not_before_us, begin + 10 * MIN_US);
	w.now = begin + 10 * MIN_US - 1;
	screened(&w, VERDICT_WAIT, REASON_COOLDOWN, "");
	w.now++;
	passes(&w);
	w.urgency = URGENCY_PRESSURE;
	w.now = begin + 5 * MIN_US - 1;
	screened(&w, VERDICT_WAIT, REASON_COOLDOWN, "");
	w.now++;
	passes(&w);
	world_done(&w);
}

static void test_backoff(void **state)
{
	struct world w;
	uint64_t begin;

	(void)state;
	world_init(&w);
	begin = w.now;
	world_act(&w, 100 * MIB, 400 * MIB);
	world_check(&w, 10 * SEC, 450 * MIB);
	screened(&w, VERDICT_WAIT, REASON_BACKOFF, "came straight back, 1 times");
	assert_int_equal(w.d.not_before_us, begin + 20 * MIN_US);
	/* What came straight back would do so again: pressure changes nothing. */
	w.urgency = URGENCY_PRESSURE;
	screened(&w, VERDICT_WAIT, REASON_BACKOFF, "");
	assert_int_equal(w.d.not_before_us, begin + 20 * MIN_US);
	w.now = begin + 20 * MIN_US;
	passes(&w);
	world_done(&w);
}

static void test_refused(void **state)
{
	const struct outcome refused = { .refused = true };
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned int i = 0; i < 4; i++) {
		policy_learn_action(&w.s, &w.s.defaults, &w.process, &w.program, &refused, w.now);
		screened(&w, VERDICT_WAIT, REASON_BACKOFF, "refused");
		assert_int_equal(w.d.not_before_us, w.now + (MIN_US << i));
		/* What was unsafe isn't made safe by pressure. */
		w.urgency = URGENCY_PRESSURE;
		screened(&w, VERDICT_WAIT, REASON_BACKOFF, "refused");
		w.urgency = URGENCY_NONE;
		w.now = w.d.not_before_us;
		passes(&w);
	}
	assert_int_equal(w.process.actions, 0);
	world_act(&w, 100 * MIB, 400 * MIB);
	assert_int_equal(w.process.refusals, 0);
	world_done(&w);
}

static void test_program(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	/* Each its own process, of the same program. */
	for (unsigned int i = 0; i < POLICY_PROGRAM_IN_VAIN; i++) {
		w.process = (struct track){ .acted_us = 0 };
		passes(&w);
		world_act(&w, 100 * MIB, 400 * MIB);
		world_check(&w, 10 * SEC, 500 * MIB);
	}
	w.process = (struct track){ .acted_us = 0 };
	screened(&w, VERDICT_WAIT, REASON_BACKOFF, "the last 3 processes of its program and user");
	w.now += 10 * MIN_US;
	passes(&w);
	/* Who has a good past of its own isn't judged by others. */
	w.now -= 10 * MIN_US;
	w.process = (struct track){ .actions = 1, .acted_us = w.now - HOUR_US, .settled = true };
	passes(&w);
	world_done(&w);
}

static void test_one_process_is_no_program(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned int i = 0; i < 8; i++) {
		world_act(&w, 100 * MIB, 400 * MIB);
		world_check(&w, 10 * SEC, 500 * MIB);
		w.now = w.process.not_before_us;
	}
	w.now = w.process.acted_us + 10 * SEC;
	screened(&w, VERDICT_WAIT, REASON_BACKOFF, "8 times");
	w.process = (struct track){ .acted_us = 0 };
	passes(&w);
	world_done(&w);
}

static void look(struct world *w, uint64_t predicted)
{
	policy_learn_look(&w->s, &w->process, &w->program, predicted, w->now);
}

static void test_looked(void **state)
{
	static const unsigned int spans[] = { 10, 20, 40, 60, 60 }; /* minutes */
	struct world w;

	(void)state;
	world_init(&w);
	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		look(&w, MIB);
		screened(&w, VERDICT_WAIT, REASON_LOOKED, "1.0MiB would come back, a look 0us ago says");
		assert_int_equal(w.d.not_before_us, w.now + spans[i] * MIN_US);
		w.now = w.d.not_before_us - 1;
		screened(&w, VERDICT_WAIT, REASON_LOOKED, "");
		w.now++;
		screened(&w, VERDICT_LOOK, REASON_NONE, "");
	}
	/* Another answer: at the beginning again. */
	look(&w, 20 * MIB);
	screened(&w, VERDICT_WAIT, REASON_LOOKED, "");
	assert_int_equal(w.d.not_before_us, w.now + 10 * MIN_US);
	w.urgency = URGENCY_PRESSURE;
	w.now += 5 * MIN_US;
	screened(&w, VERDICT_LOOK, REASON_NONE, "");
	world_done(&w);
}

/* What promised enough and had to wait for others is looked at again soon; but only where somebody acts. */
static void test_looked_promising(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	look(&w, 100 * MIB);
	screened(&w, VERDICT_WAIT, REASON_LOOKED, "");
	assert_int_equal(w.d.not_before_us, w.now + 30 * SEC);
	world_set(&w, "Daemon", "Mode", "observe");
	screened(&w, VERDICT_WAIT, REASON_LOOKED, "");
	assert_int_equal(w.d.not_before_us, w.now + 10 * MIN_US);
	world_set(&w, "Daemon", "Mode", "enforce");
	look(&w, POLICY_UNKNOWN);
	screened(&w, VERDICT_WAIT, REASON_LOOKED, "0B");
	assert_true(w.d.not_before_us >= w.now + 10 * MIN_US);
	world_done(&w);
}

static void decided(struct world *w, enum verdict verdict, enum reason reason, const char *words)
{
	world_decide(w);
	expect(w, verdict, reason, words);
}

static void test_found(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.found.known = false;
	w.found.why = "its structures make no\033[2J sense";
	decided(&w, VERDICT_LEAVE, REASON_UNREADABLE, "no\\x1b[2J sense");
	w.found.known = true;
	w.found.v[0].possible = false;
	w.found.v[0].reason = "it has no \nmalloc";
	decided(&w, VERDICT_LEAVE, REASON_NOTHING_POSSIBLE, "no \\nmalloc");
	w.found.n = 0;
	decided(&w, VERDICT_LEAVE, REASON_NOTHING_POSSIBLE, "no remedy fits it");
	w.found.n = 1;
	w.found.v[0].possible = true;
	passes(&w);
	world_set(&w, "Reclaim", "Remedies", "purge");
	decided(&w, VERDICT_LEAVE, REASON_NOTHING_POSSIBLE, "");
	world_set(&w, "Reclaim", "Remedies", "none");
	screened(&w, VERDICT_LEAVE, REASON_NOTHING_POSSIBLE, "Remedies=none");
	world_set(&w, "Reclaim", "Remedies", "");
	passes(&w);
	world_done(&w);
}

static void test_worth(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.p.anon = 400000 * 1000;
	w.found.v[0].predicted = 40000 * 1000 - 1;
	decided(&w, VERDICT_LEAVE, REASON_NOT_WORTH_IT, "38.1MiB would come back; worth an action are 38.1MiB");
	w.found.v[0].predicted++;
	decided(&w, VERDICT_ACT, REASON_WORTH_IT, "");
	assert_int_equal(w.d.predicted, 40000 * 1000);
	w.p.anon = 100 * MIB;
	w.found.v[0].predicted = 16 * MIB - 1;
	decided(&w, VERDICT_LEAVE, REASON_NOT_WORTH_IT, "");
	w.found.v[0].predicted++;
	decided(&w, VERDICT_ACT, REASON_WORTH_IT, "");
	/* Without the figure the one limit is left. */
	w.p.anon = POLICY_UNKNOWN;
	decided(&w, VERDICT_ACT, REASON_WORTH_IT, "");
	world_done(&w);
}

static void test_modes(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_set(&w, "Daemon", "Mode", "observe");
	decided(&w, VERDICT_WOULD, REASON_MODE, "trim: 100.0MiB would come back; the mode forbids it");
	assert_int_equal(w.d.remedies, POLICY_TRIM);
	world_set(&w, "Daemon", "Mode", "advise");
	decided(&w, VERDICT_WOULD, REASON_MODE, "");
	world_set(&w, "Daemon", "Mode", "enforce");
	decided(&w, VERDICT_ACT, REASON_WORTH_IT, "");
	world_done(&w);
}

static void test_ladder(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.found.n = 3;
	w.found.v[0] =
		(typeof(w.found.v[0])){ .remedy = POLICY_COLLECT, .possible = true, .predicted = POLICY_UNKNOWN };
	w.found.v[1] = (typeof(w.found.v[0])){ .remedy = POLICY_TRIM, .possible = true, .predicted = 90 * MIB };
	w.found.v[2] = (typeof(w.found.v[0])){ .remedy = POLICY_PURGE, .possible = true, .predicted = 120 * MIB };
	/* The two are for the most part the same bytes, and collect has to be asked for. */
	decided(&w, VERDICT_ACT, REASON_WORTH_IT, "trim, purge: 120.0MiB");
	assert_int_equal(w.d.remedies, POLICY_TRIM | POLICY_PURGE);
	assert_int_equal(w.d.predicted, 120 * MIB);
	world_set(&w, "Reclaim", "Remedies", "collect trim purge");
	decided(&w, VERDICT_ACT, REASON_WORTH_IT, "trim, purge, collect: 120.0MiB");
	w.found.v[1].predicted = w.found.v[2].predicted = MIB;
	decided(&w, VERDICT_ACT, REASON_WORTH_IT, "nobody knows how much");
	assert_int_equal(w.d.predicted, POLICY_UNKNOWN);
	w.found.v[0].possible = false;
	decided(&w, VERDICT_LEAVE, REASON_NOT_WORTH_IT, "1.0MiB would come back");
	world_done(&w);
}

/* A rule by allocator has a say as soon as a look has told it. */
static void test_rule_after_look(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_set(&w, "Rule je", "Allocator", "je* tcmalloc");
	world_set(&w, "Rule je", "Never", "yes");
	passes(&w);
	w.p.allocator = "jemalloc";
	screened(&w, VERDICT_LEAVE, REASON_NEVER, "je");
	world_done(&w);
}

static void test_names(void **state)
{
	/* Those of the budget: see test-policy-budget.c. */
	reached[REASON_RATE] = reached[REASON_STOP_BUDGET] = reached[REASON_WORKERS] = 1;
	(void)state;
	for (size_t i = 0; i < REASON_N; i++) {
		assert_int_equal(policy_reason_from_name(policy_reason_name((enum reason)i)), i);
		assert_true(strlen(policy_reason_name((enum reason)i)) < 24);
		if (!reached[i])
			fail_msg("no test reaches %s", policy_reason_name((enum reason)i));
	}
	assert_int_equal(policy_reason_from_name("nonsense"), REASON_N);
	assert_string_equal(policy_reason_name(REASON_N), "unknown");
	assert_string_equal(policy_verdict_name(VERDICT_WOULD), "would");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_out_of_bounds),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_module_idle),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_cooldown),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_one_process_is_no_program),
		cmocka_unit_test(test_looked),
		cmocka_unit_test(test_looked_promising),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_worth),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_ladder),
		cmocka_unit_test(test_rule_after_look),
		cmocka_unit_test(test_names), /* last: it sums up */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
