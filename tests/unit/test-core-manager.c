// SPDX-License-Identifier: GPL-2.0-or-later
/* REAL: core */
/* The manager whole, over made-up processes: from seeing one to remembering what was done to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "manager-world.h"

#define ALICE 1000
#define BOB 1001

static struct manager_world w;

static int done(void **state)
{
	(void)state;
	manager_world_done(&w);
	return 0;
}

static void begin(const char *more)
{
	manager_world_init(&w, more);
}

static pid_t put(int number, uid_t uid)
{
	const struct proc_tree_process p = manager_world_process(number, uid);

	proc_tree_put(&w.tree, &p);
	return p.pid;
}

static struct candidate *found(int number)
{
	return candidates_find(&w.m->candidates, PROC_TREE_PID + number, 1000 + (uint64_t)number);
}

/* Seen, looked into, acted on, written down, and remembered by the next one. */
static void test_whole_way(void **state)
{
	struct proc_tree_process small = manager_world_process(2, ALICE);
	const struct ledger_record *rec;

	(void)state;
	begin("");
	put(1, ALICE);
	small.anon = 8 * MIB;
	proc_tree_put(&w.tree, &small);
	manager_world_open(&w);
	rec = manager_world_wait(&w, LEDGER_ACTION, 1);
	assert_int_equal(rec->pid, PROC_TREE_PID + 1);
	assert_string_equal(rec->reason, "reclaimed");
	assert_int_equal(rec->freed, 100 * MIB);
	assert_int_equal(rec->predicted, 100 * MIB);
	assert_string_equal(rec->exe, "/usr/bin/big");
	assert_string_equal(rec->unit, "big.service");
	assert_string_equal(rec->slice, "back-data.slice");
	assert_string_equal(rec->cgroup, "/back.slice/back-data.slice/big.service");
	assert_int_equal(rec->real_uid, ALICE);
	assert_int_equal(manager_world_count(&w, LEDGER_LOOK), 1);
	assert_int_equal(manager_world_count(&w, LEDGER_BEGIN), 1);
	assert_null(found(2));
	/* In its cooldown it isn't touched again. */
	manager_sweep_soon(w.m, 0);
	manager_world_rest(&w);
	assert_int_equal(w.m->state.sweeps, 2);
	assert_int_equal(found(1)->decision.reason, REASON_COOLDOWN);

	manager_world_close(&w);
	manager_world_open(&w);
	assert_int_equal(memory_of_process(&w.m->memory, PROC_TREE_PID + 1, 1001)->actions, 1);
	assert_int_equal(memory_of_program(&w.m->memory, "/usr/bin/big", ALICE)->actions, 1);
	assert_int_equal(memory_of_program(&w.m->memory, "/usr/bin/big", BOB)->actions, 0);
	manager_world_rest(&w);
	assert_int_equal(found(1)->decision.reason, REASON_COOLDOWN);
}

/* Alice's processes take their memory straight back: that is no reason to leave Bob's alone. */
static void test_back_off_of_one_user(void **state)
{
	(void)state;
	begin("");
	for (int i = 1; i <= POLICY_PROGRAM_IN_VAIN; i++)
		put(i, ALICE);
	manager_world_open(&w);
	manager_world_wait(&w, LEDGER_ACTION, POLICY_PROGRAM_IN_VAIN);
	for (int i = 1; i <= POLICY_PROGRAM_IN_VAIN; i++) {
		struct memory_process *past;
		struct memory_program *program = memory_program(&w.m->memory, "/usr/bin/big", ALICE);

		past = memory_process(&w.m->memory, PROC_TREE_PID + i, 1000 + (uint64_t)i);
		policy_learn_check(&w.m->settings, &w.m->settings.defaults, &past->track, &program->track, 10 * SECOND,
				   300 * MIB, manager_now() + 10 * SECOND);
	}
	put(8, ALICE);
	put(9, BOB);
	manager_sweep_soon(w.m, 0);
	assert_int_equal(manager_world_wait(&w, LEDGER_ACTION, POLICY_PROGRAM_IN_VAIN + 1)->pid, PROC_TREE_PID + 9);
	assert_int_equal(found(8)->decision.reason, REASON_BACKOFF);
}

/* Who traces is read once for a sweep, whatever is announced, but anew before anything is done. */
static void test_tracers(void **state)
{
	const struct bloat_event e = { .proc = { .pid = PROC_TREE_PID + 1,
						 .start_time = 1001,
						 .anon = 300 * MIB,
						 .rss = 300 * MIB,
						 .swap = PROC_UNKNOWN,
						 .idle = PROC_UNKNOWN } };
	struct proc_tree_process traced = manager_world_process(7, ALICE);
	struct decision d;

	(void)state;
	/* What a look finds isn't acted on, and it isn't looked at again: it stays a candidate. */
	begin("MinReclaim=1G\n");
	put(1, ALICE);
	traced.anon = MIB;
	manager_world_open(&w);
	manager_world_wait(&w, LEDGER_LOOK, 1);
	assert_true(w.m->tracers_us > 0);
	traced.tracer = PROC_TREE_PID + 1;
	proc_tree_put(&w.tree, &traced);
	for (int i = 0; i < 3; i++) {
		found(1)->judged_us = 0;
		manager_bloated(w.m, &e);
		assert_true(found(1)->judged_us > 0);
		assert_false(found(1)->tracer);
	}
	manager_screen(w.m, found(1), true, manager_now(), &d);
	assert_int_equal(d.reason, REASON_TRACER);
	/* Which all know from then on. */
	found(1)->judged_us = 0;
	manager_bloated(w.m, &e);
	assert_true(found(1)->tracer);
	/* The next sweep sees that it has let go. */
	proc_tree_end(&w.tree, traced.pid);
	manager_sweep_soon(w.m, 0);
	manager_world_rest(&w);
	assert_false(found(1)->tracer);
}

/* The kernel's word: at once, and not twice within the window; written down when it begins. */
static void test_pressure(void **state)
{
	(void)state;
	begin("[Pressure]\nWindowSec=10s\n");
	manager_world_open(&w);
	manager_world_rest(&w);
	assert_int_equal(w.m->state.sweeps, 1);
	assert_int_equal(manager_urgency(w.m, manager_now()), URGENCY_NONE);
	manager_pressure(w.m);
	assert_int_equal(manager_urgency(w.m, manager_now()), URGENCY_PRESSURE);
	assert_int_equal(w.m->state.sweeps, 1);
	w.m->last_sweep_us -= w.m->settings.pressure_window_us;
	manager_pressure(w.m);
	assert_int_equal(w.m->state.sweeps, 2);
	assert_int_equal(manager_world_count(&w, LEDGER_PRESSURE), 1);
	assert_int_equal(manager_urgency(w.m, w.m->urgent_until_us), URGENCY_NONE);
}

/* What may be moved in a minute is used up by the first: the others wait for that, and take nobody's turn meanwhile. */
static void test_turns(void **state)
{
	const struct timespec settled = { .tv_sec = 1, .tv_nsec = 100000000 };

	(void)state;
	begin("[Daemon]\nActionsPerMinute=3\nIntervalSec=2s\n[Pressure]\nPageoutPerMinute=100M\n"
	      "[Reclaim]\nRemedies=pageout\nMinReclaim=90M\nSettledSec=1s\n");
	conf_tree_put(&w.tree, "proc/meminfo", "SwapTotal: 4194304 kB\nSwapFree: 4194304 kB\n");
	conf_tree_put(&w.tree, "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/swap file 4194304 0 -2\n");
	for (int i = 1; i <= 3; i++)
		put(i, ALICE);
	manager_world_open(&w);
	manager_world_rest(&w);
	nanosleep(&settled, NULL);
	w.m->last_sweep_us -= w.m->settings.pressure_window_us;
	manager_pressure(w.m);
	manager_world_wait(&w, LEDGER_ACTION, 1);
	manager_world_rest(&w);
	assert_int_equal(manager_world_count(&w, LEDGER_ACTION), 1);
	assert_int_equal((found(1)->decision.reason == REASON_RATE) + (found(2)->decision.reason == REASON_RATE) +
				 (found(3)->decision.reason == REASON_RATE),
			 2);
	assert_true(w.m->budget.actions >= 2);
	assert_int_equal(w.m->budget.running, 0);
}

struct told {
	unsigned int calls;
	int error;
	uint32_t outcome;
};

static void on_told(void *arg, const struct manager_result *r)
{
	struct told *t = arg;

	t->calls++;
	t->error = r->error;
	t->outcome = r->worker ? r->worker->outcome : r->facts ? r->facts->head.outcome : 0;
}

static void test_requests(void **state)
{
	struct manager_request q = { .pid = PROC_TREE_PID + 1, .remedies = WORKER_REMEDY_TRIM, .owner = (uid_t)-1 };
	struct told t = { 0 };
	uint64_t start_time;
	uid_t owner;

	(void)state;
	begin("[Rule all]\nComm=*\nNever=yes\n");
	put(1, ALICE);
	manager_world_open(&w);
	manager_world_rest(&w);
	assert_int_equal(manager_world_count(&w, LEDGER_LOOK), 0);
	assert_int_equal(manager_owner(w.m, q.pid, &owner, &start_time), 0);
	assert_int_equal(owner, geteuid());
	assert_int_equal(start_time, 1001);
	assert_int_equal(manager_owner(w.m, q.pid + 1, &owner, &start_time), -ESRCH);

	/* Not it, not there. */
	q.start_time = 5;
	assert_int_equal(manager_trim(w.m, &q, on_told, &t), 0);
	assert_true(t.calls == 1 && t.error == -ESRCH);
	q.start_time = 0;
	q.pid++;
	assert_int_equal(manager_explain(w.m, &q, on_told, &t), 0);
	assert_true(t.calls == 2 && t.error == -ESRCH);
	q.pid--;

	assert_int_equal(manager_explain(w.m, &q, on_told, &t), 0);
	/* One worker at a time. */
	assert_int_equal(manager_trim(w.m, &q, on_told, &t), 0);
	assert_true(t.calls == 3 && t.error == -EBUSY);
	while (t.calls < 4)
		assert_true(sd_event_run(w.event, SECOND) >= 0);
	assert_true(t.error == 0 && t.outcome == WORKER_NOTHING);
	while (w.m->tasks.n)
		assert_true(sd_event_run(w.event, SECOND) >= 0);

	/* Asked for is done, whatever the rules say; but not again in its cooldown. */
	assert_int_equal(manager_trim(w.m, &q, on_told, &t), 0);
	manager_world_wait(&w, LEDGER_ACTION, 1);
	assert_true(t.calls == 5 && t.error == 0 && t.outcome == WORKER_RECLAIMED);
	assert_int_equal(manager_trim(w.m, &q, on_told, &t), 0);
	assert_true(t.calls == 6 && t.error == -EBUSY);

	/* Whoever has gone isn't told. */
	assert_int_equal(manager_explain(w.m, &q, on_told, &t), 0);
	manager_forget(w.m, &t);
	while (w.m->tasks.n)
		assert_true(sd_event_run(w.event, SECOND) >= 0);
	assert_int_equal(t.calls, 6);
}

/* Begun, and then the daemon died: it counts as done. */
static void test_interrupted(void **state)
{
	struct ledger_record rec = { .kind = LEDGER_BEGIN,
				     .pid = PROC_TREE_PID + 1,
				     .start_time = 1001,
				     .real_uid = ALICE,
				     .boot_id = MANAGER_WORLD_BOOT_ID,
				     .comm = "big",
				     .exe = "/usr/bin/big",
				     .predicted = 100 * MIB };
	struct ledger *l = NULL;

	(void)state;
	begin("");
	put(1, ALICE);
	rec.real_us = clock_us(CLOCK_REALTIME);
	rec.boot_us = manager_now();
	assert_int_equal(ledger_open(w.state, MIB, &l), 0);
	assert_int_equal(ledger_append(l, &rec, true), 0);
	ledger_close(&l);
	manager_world_open(&w);
	manager_world_rest(&w);
	assert_int_equal(found(1)->decision.reason, REASON_COOLDOWN);
	assert_int_equal(manager_world_count(&w, LEDGER_LOOK), 0);
	assert_int_equal(memory_of_process(&w.m->memory, PROC_TREE_PID + 1, 1001)->in_vain, 0);
	/* As many more starts as one likes. */
	manager_world_close(&w);
	manager_world_open(&w);
	assert_int_equal(memory_of_process(&w.m->memory, PROC_TREE_PID + 1, 1001)->actions, 1);
}

/* It gave 100 MiB back, and then failed: they are counted, and it isn't asked again at once. */
static void test_failed_later(void **state)
{
	const struct ledger_record *rec;
	char number[16];

	(void)state;
	begin("");
	put(1, ALICE);
	text_format(number, sizeof(number), "%d", WORKER_TIMEOUT);
	assert_int_equal(setenv("FAKE_MANAGER_OUTCOME", number, 1), 0);
	manager_world_open(&w);
	rec = manager_world_wait(&w, LEDGER_ACTION, 1);
	assert_int_equal(unsetenv("FAKE_MANAGER_OUTCOME"), 0);
	assert_string_equal(rec->reason, "timeout");
	assert_int_equal(rec->freed, 100 * MIB);
	assert_int_equal(rec->rss_after, 200 * MIB);
	assert_true(w.m->state.failed == 1 && w.m->state.actions == 0 && w.m->state.freed == 100 * MIB);
	for (int i = 0; i < 2; i++) {
		const struct track *t = memory_of_process(&w.m->memory, PROC_TREE_PID + 1, 1001);

		assert_true(t->actions == 1 && t->refusals == 0 && t->freed == 100 * MIB);
		assert_int_equal(w.m->checks.n, 1);
		manager_world_close(&w);
		manager_world_open(&w);
	}
}

struct past_action {
	uint64_t ago_us;
	unsigned int number;
	int64_t freed;
	uint64_t rss_later; /* after ten minutes */
};

/* Of an earlier boot, in which the same program ran again and again. */
static void put_past(const struct past_action *v, size_t n, uint64_t booted_ago_us)
{
	struct ledger *l = NULL;

	assert_int_equal(ledger_open(w.state, MIB, &l), 0);
	for (size_t i = 0; i < n; i++) {
		struct ledger_record rec = { .kind = LEDGER_ACTION,
					     .pid = (pid_t)(PROC_TREE_PID + v[i].number),
					     .start_time = 1000 + v[i].number,
					     .real_uid = ALICE,
					     .boot_id = "fedcba9876543210fedcba9876543210",
					     .comm = "big",
					     .exe = "/usr/bin/big",
					     .reason = "reclaimed",
					     .remedies = WORKER_REMEDY_TRIM,
					     .predicted = 100 * MIB,
					     .rss_after = 200 * MIB,
					     .freed = v[i].freed };

		rec.real_us = clock_us(CLOCK_REALTIME) - v[i].ago_us;
		rec.boot_us = booted_ago_us - v[i].ago_us;
		assert_int_equal(ledger_append(l, &rec, false), 0);
		rec.kind = LEDGER_CHECK;
		rec.after_us = 600 * SECOND;
		rec.real_us += 600 * SECOND;
		rec.boot_us += 600 * SECOND;
		rec.rss_after = v[i].rss_later;
		assert_int_equal(ledger_append(l, &rec, false), 0);
	}
	ledger_close(&l);
}

/* What became of processes of earlier boots: many in vain among good ones hold nobody back, three in a row do. */
static void test_earlier_boot(void **state)
{
	enum { N = 24 };
	const uint64_t week_us = 6 * 86400 * SECOND;
	struct past_action v[N];
	const struct track *t;

	(void)state;
	for (unsigned int i = 0; i < N; i++)
		/* Each second one takes its memory back. */
		v[i] = (struct past_action){ (N - i + 1) * 3600 * SECOND, i, 100 * MIB, i % 2 ? 300 * MIB : 200 * MIB };
	begin("");
	put_past(v, N, week_us);
	manager_world_open(&w);
	t = memory_of_program(&w.m->memory, "/usr/bin/big", ALICE);
	assert_int_equal(t->actions, N);
	assert_int_equal(t->in_vain, 1);
	assert_int_equal(t->not_before_us, 0);
	assert_int_equal(w.m->memory.nprocesses, 0);
	assert_int_equal(w.m->checks.n, 0);
	manager_world_done(&w);

	/* The same one again and again says no more than once. */
	for (unsigned int i = 0; i < N; i++)
		v[i].number = 1, v[i].rss_later = 300 * MIB;
	begin("");
	put_past(v, N, week_us);
	manager_world_open(&w);
	assert_int_equal(memory_of_program(&w.m->memory, "/usr/bin/big", ALICE)->in_vain, 1);
	manager_world_done(&w);

	for (unsigned int i = 0; i < POLICY_PROGRAM_IN_VAIN; i++)
		v[i] = (struct past_action){ (60 - i) * 60 * SECOND, i, 100 * MIB, 300 * MIB };
	begin("");
	put_past(v, POLICY_PROGRAM_IN_VAIN, week_us);
	manager_world_open(&w);
	assert_int_equal(memory_of_program(&w.m->memory, "/usr/bin/big", ALICE)->in_vain, POLICY_PROGRAM_IN_VAIN);
}

static void test_settings(void **state)
{
	const struct manager_options how = { .conf_dirs = w.tree.dirs, .state_dir = w.state };
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct manager *none = NULL;
	char why[256] = "";

	(void)state;
	begin("MinAnon=80M\n");
	manager_world_open(&w);
	assert_int_equal(manager_smallest(w.m), 40 * MIB);
	assert_int_equal(manager_config(w.m, &before), 0);
	assert_non_null(strstr(before, "\nMinAnon=80M\n"));
	manager_world_configure(&w, "MinAnon=90M\nIdleCPU=often\n");
	assert_int_equal(manager_reload(w.m, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "etc/reclaimd.conf:"));
	assert_int_equal(manager_check_settings(w.tree.dirs, why, sizeof(why)), -MANAGER_MISCONFIGURED);
	assert_int_equal(manager_config(w.m, &after), 0);
	assert_string_equal(before, after);
	manager_world_close(&w);
	assert_int_equal(manager_open(w.event, &how, &none, why, sizeof(why)), -MANAGER_MISCONFIGURED);
	assert_null(none);
	manager_world_configure(&w, "MinAnon=90M\n[Rule x]\nComm=x\nMinAnon=10M\n");
	assert_int_equal(manager_check_settings(w.tree.dirs, why, sizeof(why)), 0);
	manager_world_open(&w);
	assert_int_equal(manager_reload(w.m, why, sizeof(why)), 0);
	assert_int_equal(manager_smallest(w.m), 5 * MIB);
	assert_string_equal(manager_world_wait(&w, LEDGER_RELOAD, 2)->reason, "loaded");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, done)
	const struct CMUnitTest tests[] = {
		TEST(test_whole_way),	 TEST(test_back_off_of_one_user),
		TEST(test_tracers),	 TEST(test_pressure),
		TEST(test_requests),	 TEST(test_interrupted),
		TEST(test_settings),	 TEST(test_failed_later),
		TEST(test_earlier_boot), TEST(test_turns),
	};

	if (getenv("FAKE_MANAGER_WORKER"))
		return manager_world_worker();
	return cmocka_run_group_tests_name("core-manager", tests, NULL, NULL);
}
