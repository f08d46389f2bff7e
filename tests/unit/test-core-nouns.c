// SPDX-License-Identifier: GPL-2.0-or-later
/* The daemon's small nouns: how busy, what remembered, what to check, what a look says. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/activity.h"
#include "core/candidate.h"
#include "core/check.h"
#include "core/look.h"
#include "core/memory.h"
#include "core/username.h"
#include "reclaim/worker.h"

#define SECOND 1000000ull
#define HZ 100

/* ---- activity */

static void test_activity_first(void **state)
{
	struct activity a = { 0 };

	(void)state;
	assert_int_equal(activity_quiet_us(&a, 5 * SECOND), 0);
	/* What was before nobody knows: not quiet yet, and not busy either. */
	activity_look(&a, 123456, HZ, 10, 100 * SECOND);
	assert_int_equal(activity_quiet_us(&a, 100 * SECOND), 0);
	assert_int_equal(a.permille, 0);
	activity_look(&a, 123456, HZ, 10, 102 * SECOND);
	assert_int_equal(activity_quiet_us(&a, 102 * SECOND), 2 * SECOND);
}

static void test_activity_limit(void **state)
{
	struct activity a = { 0 };

	(void)state;
	activity_look(&a, 0, HZ, 10, 10 * SECOND);
	/* 2 ticks of 10 ms in 2 s are 1 %: as much as is allowed. */
	activity_look(&a, 2, HZ, 10, 12 * SECOND);
	assert_int_equal(a.permille, 10);
	assert_int_equal(activity_quiet_us(&a, 12 * SECOND), 2 * SECOND);
	activity_look(&a, 5, HZ, 10, 14 * SECOND);
	assert_int_equal(a.permille, 15);
	assert_int_equal(activity_quiet_us(&a, 14 * SECOND), 0);
	activity_look(&a, 5, HZ, 10, 17 * SECOND);
	assert_int_equal(activity_quiet_us(&a, 17 * SECOND), 3 * SECOND);
}

static void test_activity_odd_times(void **state)
{
	struct activity a = { 0 };

	(void)state;
	activity_look(&a, 0, HZ, 10, 10 * SECOND);
	/* Too soon to say anything: it counts at the next look. */
	activity_look(&a, 50, HZ, 10, 10 * SECOND + ACTIVITY_MIN_US - 1);
	assert_int_equal(a.permille, 0);
	activity_look(&a, 50, HZ, 10, 11 * SECOND);
	assert_int_equal(a.permille, 500);
	/* Counters that fall, clocks that jump back, nonsense. */
	activity_look(&a, 10, HZ, 10, 13 * SECOND);
	assert_int_equal(activity_quiet_us(&a, 13 * SECOND), 0);
	activity_look(&a, 10, HZ, 10, 12 * SECOND);
	assert_int_equal(activity_quiet_us(&a, 11 * SECOND), 0);
	activity_look(&a, UINT64_MAX, HZ, 10, 20 * SECOND);
	assert_int_equal(a.permille, UINT32_MAX);
	activity_look(&a, UINT64_MAX, 0, 10, 30 * SECOND);
	assert_int_equal(a.permille, UINT32_MAX);
}

/* What it did for us is as if it hadn't been. */
static void test_activity_discount(void **state)
{
	struct activity a = { 0 };

	(void)state;
	activity_discount(&a, 7);
	activity_look(&a, 100, HZ, 0, 10 * SECOND);
	activity_look(&a, 100, HZ, 0, 12 * SECOND);
	activity_discount(&a, 30);
	activity_look(&a, 130, HZ, 0, 14 * SECOND);
	assert_int_equal(a.permille, 0);
	assert_int_equal(activity_quiet_us(&a, 14 * SECOND), 4 * SECOND);
	/* And its own beside it is seen. */
	activity_discount(&a, 30);
	activity_look(&a, 170, HZ, 0, 16 * SECOND);
	assert_int_equal(a.permille, 50);
	assert_int_equal(activity_quiet_us(&a, 16 * SECOND), 0);
	activity_discount(&a, UINT64_MAX);
	assert_true(a.ticks == UINT64_MAX);
}

/* ---- memory */

static void test_memory_bounds(void **state)
{
	struct memory m;

	(void)state;
	assert_int_equal(memory_open(&m), 0);
	assert_null(memory_find(&m, 1, 1));
	memory_process(&m, 1, 1)->track.actions = 7;
	/* The same pid later is somebody else. */
	assert_int_equal(memory_process(&m, 1, 2)->track.actions, 0);
	for (int i = 0; i < 3 * MEMORY_PROCESSES_MAX; i++) {
		memory_process(&m, 100 + i, 5)->track.actions = 1;
		assert_int_equal(memory_process(&m, 1, 1)->track.actions, 7);
	}
	assert_int_equal(m.nprocesses, MEMORY_PROCESSES_MAX);
	/* Used all the time, it stayed; those that weren't are forgotten. */
	assert_int_equal(memory_of_process(&m, 1, 1)->actions, 7);
	assert_int_equal(memory_of_process(&m, 1, 2)->actions, 0);
	assert_null(memory_find(&m, 100, 5));
	assert_null(memory_find(&m, 1, 2));
	assert_non_null(memory_find(&m, 100 + 3 * MEMORY_PROCESSES_MAX - 1, 5));
	memory_close(&m);
	memory_close(&m);
}

/* Very many others don't make us forget whom we have acted on. */
static void test_memory_crowd(void **state)
{
	char name[32];
	struct memory m;

	(void)state;
	assert_int_equal(memory_open(&m), 0);
	memory_process(&m, 1, 1)->track.actions = 1;
	memory_program(&m, "/usr/bin/a", 7)->track.actions = 1;
	for (int i = 0; i < 2 * MEMORY_PROCESSES_MAX; i++) {
		snprintf(name, sizeof(name), "/bin/%d", i);
		memory_process(&m, 100 + i, 1)->told = REASON_SMALL;
		memory_program(&m, name, 7)->track.looked_us = 1;
	}
	assert_int_equal(memory_of_process(&m, 1, 1)->actions, 1);
	assert_int_equal(memory_of_program(&m, "/usr/bin/a", 7)->actions, 1);
	assert_int_equal(memory_of_program(&m, "", 7)->actions, 0);
	/* To ask isn't to remember. */
	assert_null(memory_find(&m, 2, 2));
	assert_int_equal(memory_of_process(&m, 2, 2)->actions, 0);
	assert_null(memory_find(&m, 2, 2));
	memory_close(&m);
}

static void test_memory_programs(void **state)
{
	char name[2 * MEMORY_EXE];
	struct memory m;

	(void)state;
	assert_int_equal(memory_open(&m), 0);
	memory_program(&m, "/usr/bin/a", 7)->track.in_vain = 3;
	assert_int_equal(memory_program(&m, "/usr/bin/a", 7)->track.in_vain, 3);
	assert_int_equal(memory_program(&m, "/usr/bin/ab", 7)->track.in_vain, 0);
	/* What one user's do says nothing of another's. */
	assert_int_equal(memory_of_program(&m, "/usr/bin/a", 8)->in_vain, 0);
	assert_int_equal(memory_program(&m, "/usr/bin/a", 8)->track.in_vain, 0);
	assert_int_equal(memory_of_program(&m, "/usr/bin/a", 7)->in_vain, 3);
	/* Programs that aren't known are not one and the same. */
	memory_program(&m, "", 7)->track.in_vain = 3;
	assert_int_equal(memory_program(&m, "", 7)->track.in_vain, 0);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	memory_program(&m, name, 7)->track.in_vain = 5;
	assert_int_equal(memory_program(&m, name, 7)->track.in_vain, 5);
	for (int i = 0; i < 2 * MEMORY_PROGRAMS_MAX; i++) {
		snprintf(name, sizeof(name), "/bin/%d", i);
		memory_program(&m, name, 7)->track.actions = 1;
	}
	assert_int_equal(m.nprograms, MEMORY_PROGRAMS_MAX);
	assert_int_equal(memory_program(&m, "/usr/bin/a", 7)->track.in_vain, 0);
	memory_close(&m);
}

/* ---- check */

static struct ledger_record action(pid_t pid, uint64_t at_us)
{
	return (struct ledger_record){ .kind = LEDGER_ACTION, .pid = pid, .start_time = 1, .boot_us = at_us };
}

static void test_checks(void **state)
{
	const struct ledger_record a = action(10, 100 * SECOND), b = action(11, 105 * SECOND);
	struct ledger_record got;
	struct checks all;
	uint64_t after_us;

	(void)state;
	assert_int_equal(checks_open(&all), 0);
	assert_true(checks_due_us(&all) == UINT64_MAX);
	checks_add(&all, &a);
	checks_add(&all, &b);
	assert_int_equal(checks_due_us(&all), 110 * SECOND);
	assert_false(checks_take(&all, 109 * SECOND, &got, &after_us));
	assert_true(checks_take(&all, 110 * SECOND, &got, &after_us));
	assert_int_equal(got.pid, 10);
	assert_int_equal(after_us, 10 * SECOND);
	assert_false(checks_take(&all, 110 * SECOND, &got, &after_us));
	assert_int_equal(checks_due_us(&all), 115 * SECOND);
	/* It has gone. */
	checks_drop(&all, 11, 1);
	assert_int_equal(checks_due_us(&all), 160 * SECOND);
	assert_true(checks_take(&all, 160 * SECOND, &got, &after_us));
	assert_int_equal(after_us, 60 * SECOND);
	assert_true(checks_take(&all, 700 * SECOND, &got, &after_us));
	assert_int_equal(after_us, 600 * SECOND);
	assert_true(checks_due_us(&all) == UINT64_MAX);
	checks_close(&all);
}

static void test_checks_replaced(void **state)
{
	const struct ledger_record first = action(10, 100 * SECOND), second = action(10, 200 * SECOND);
	struct checks all;

	(void)state;
	assert_int_equal(checks_open(&all), 0);
	checks_add(&all, &first);
	checks_done(&all, 10, 1, 10 * SECOND);
	assert_int_equal(checks_due_us(&all), 160 * SECOND);
	/* What comes back now comes back after the second one. */
	checks_add(&all, &second);
	assert_int_equal(checks_due_us(&all), 210 * SECOND);
	/* A start of the daemon, late: what should have been at 210 s says something else at 250 s. */
	checks_skip(&all, 212 * SECOND);
	assert_int_equal(checks_due_us(&all), 210 * SECOND);
	checks_skip(&all, 250 * SECOND);
	assert_int_equal(checks_due_us(&all), 260 * SECOND);
	checks_skip(&all, 5000 * SECOND);
	assert_true(checks_due_us(&all) == UINT64_MAX);
	for (int i = 0; i < 3 * CHECKS_MAX; i++) {
		const struct ledger_record a = action(1000 + i, (uint64_t)i * SECOND);

		checks_add(&all, &a);
	}
	assert_int_equal(all.n, CHECKS_MAX);
	assert_int_equal(checks_due_us(&all), (2 * CHECKS_MAX + 10) * SECOND);
	checks_close(&all);
}

/* ---- look */

static void test_look(void **state)
{
	struct explain_head h = {
		.outcome = WORKER_NOTHING,
		.allocator = EXPLAIN_ALLOC_GLIBC,
		.runtime = EXPLAIN_RUNTIME_CPYTHON,
		.nremedies = 3,
		.remedies = { { .remedy = WORKER_REMEDY_COLLECT,
				.possible = 1,
				.predicted = EXPLAIN_UNKNOWN,
				.deep = 1 },
			      { .remedy = WORKER_REMEDY_TRIM, .reason = "no", .predicted = EXPLAIN_UNKNOWN },
			      { .remedy = WORKER_REMEDY_PURGE, .possible = 1, .predicted = 1000, .deep = 24 } },
	};
	struct prospect p;

	(void)state;
	assert_string_equal(look_allocator(&h), "glibc");
	assert_string_equal(look_runtime(&h), "cpython");
	look_prospect(&h, DEPTH_NORMAL, &p);
	assert_true(p.known && p.n == 3);
	assert_true(p.v[0].possible && p.v[0].predicted == POLICY_UNKNOWN);
	assert_true(!p.v[1].possible && !strcmp(p.v[1].reason, "no"));
	assert_int_equal(p.v[2].predicted, 1000);
	look_prospect(&h, DEPTH_DEEP, &p);
	assert_int_equal(p.v[2].predicted, 1024);
	look_prospect(&h, DEPTH_AUTO, &p);
	assert_int_equal(p.v[2].predicted, 1024);
	/* Figures of another program may be anything. */
	h.remedies[2].deep = UINT64_MAX - 1;
	look_prospect(&h, DEPTH_DEEP, &p);
	assert_true(p.v[2].predicted == POLICY_UNKNOWN);
	h.outcome = WORKER_DENIED;
	look_prospect(&h, DEPTH_DEEP, &p);
	assert_true(!p.known && p.n == 0);
	assert_string_equal(look_allocator(&h), "");
	assert_string_equal(look_runtime(&h), "");
}

/* ---- candidates */

static void test_candidates(void **state)
{
	struct proc procs[] = { { .pid = 5, .start_time = 1, .anon = 50 },
				{ .pid = 7, .start_time = 1, .anon = 70 },
				{ .pid = 9, .start_time = 1, .anon = PROC_UNKNOWN } };
	const struct proc_list l = { .v = procs, .n = 3 }, fewer = { .v = procs + 1, .n = 2 }, none = { .n = 0 };
	const struct proc other = { .pid = 7, .start_time = 2 }, new = { .pid = 6, .start_time = 1 };
	struct candidates all = { .n = 0 };
	struct candidate *seven;

	(void)state;
	assert_int_equal(candidates_replace(&all, &l), 0);
	assert_int_equal(all.n, 3);
	seven = candidates_find(&all, 7, 1);
	assert_int_equal(seven->anon, 70);
	assert_true(candidates_find(&all, 9, 1)->anon == POLICY_UNKNOWN);
	assert_null(candidates_find(&all, 7, 2));
	seven->judged_us = 42;
	procs[1].anon = 71;
	assert_int_equal(candidates_replace(&all, &fewer), 0);
	assert_ptr_equal(candidates_find(&all, 7, 1), seven);
	assert_true(seven->judged_us == 42 && seven->anon == 71);
	assert_null(candidates_find(&all, 5, 1));
	/* By an event: one that is new, and one that has another's pid. */
	assert_non_null(candidates_take(&all, &new));
	assert_int_equal(all.v[0]->pid, 6);
	assert_int_equal(candidates_take(&all, &other)->judged_us, 0);
	assert_null(candidates_find(&all, 7, 1));
	assert_int_equal(all.n, 3);
	assert_int_equal(candidates_replace(&all, &none), 0);
	assert_int_equal(all.n, 0);
	candidates_done(&all);
}

static void test_candidate_names(void **state)
{
	struct proc p = { .pid = getpid() };
	struct candidate *c;
	struct subject s;
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(proc >= 0);
	c = candidate_new(&p);
	assert_non_null(c);
	/* Somebody else, who had this pid before. */
	assert_int_equal(candidate_refresh(c, proc, "/etc/passwd", false, SECOND), -ESRCH);
	candidate_free(c);
	assert_int_equal(proc_read(proc, getpid(), PROC_BASIC, &p), 0);
	c = candidate_new(&p);
	assert_int_equal(candidate_refresh(c, proc, "/etc/passwd", false, SECOND), 0);
	candidate_subject(c, SECOND, &s);
	assert_int_equal(s.exe[0], '/');
	assert_string_equal(s.comm, p.comm);
	assert_false(s.zombie || s.kthread || s.stopped);
	proc_done(&p);
	candidate_free(c);
	candidate_free(NULL);
	close(proc);
}

/* ---- username */

static void test_username(void **state)
{
	char name[USERNAME_MAX], path[] = "/tmp/reclaim-passwd-XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	(void)state;
	assert_non_null(f);
	fprintf(f, "root:x:0:0:r:/:/bin/sh\nlong%0*d:x:7:7::/:/bin/sh\nfull:x:8:8:%0*d:/:/bin/sh\nlast:x:9:9::/:\n", 80,
		1, 3000, 1);
	fclose(f);
	username_of(path, 0, name);
	assert_string_equal(name, "root");
	/* A name that doesn't fit would be another one; what doesn't fit elsewhere must not hide who follows. */
	username_of(path, 7, name);
	assert_string_equal(name, "7");
	username_of(path, 9, name);
	assert_string_equal(name, "last");
	username_of(path, 4294967294u, name);
	assert_string_equal(name, "4294967294");
	username_of("/nonexistent", 0, name);
	assert_string_equal(name, "0");
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_activity_first),	   cmocka_unit_test(test_activity_limit),
		cmocka_unit_test(test_activity_odd_times), cmocka_unit_test(test_activity_discount),
		cmocka_unit_test(test_memory_bounds),	   cmocka_unit_test(test_memory_programs),
		cmocka_unit_test(test_memory_crowd),	   cmocka_unit_test(test_checks),
		cmocka_unit_test(test_checks_replaced),	   cmocka_unit_test(test_look),
		cmocka_unit_test(test_candidates),	   cmocka_unit_test(test_candidate_names),
		cmocka_unit_test(test_username),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
