// SPDX-License-Identifier: GPL-2.0-or-later
/* Workers beside an event loop: started with FAKE_WORKER set, this program is a worker. And the kernel's trigger. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "core/psi.h"
#include "core/task.h"
#include "fake-worker.h"
#include "open-fds.h"

#define START_TIME 4711
#define MS 1000000ull

static char self[4096];

struct told {
	int calls;
	size_t workers; /* when it was told */
	struct worker_result result;
	struct explain_head head;
};

static void on_done(struct task *t, void *arg)
{
	struct told *told = arg;

	told->calls++;
	told->workers = t->all->n;
	told->result = t->result;
	told->head = t->facts.head;
}

static struct worker_request request(pid_t pid, uint64_t timeout_us)
{
	return (struct worker_request){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = pid,
		.start_time = START_TIME,
		.remedies = WORKER_REMEDY_TRIM,
		.timeout_us = timeout_us,
	};
}

static void start(struct tasks *all, const char *name, pid_t pid, uint64_t timeout_us, enum task_want want,
		  struct told *told)
{
	const struct worker_request req = request(pid, timeout_us);

	assert_int_equal(setenv("FAKE_WORKER", name, 1), 0);
	assert_int_equal(task_start(all, &req, want, on_done, told), 0);
	unsetenv("FAKE_WORKER");
}

/* Until all workers have ended. */
static void run(struct tasks *all)
{
	const uint64_t deadline = clock_ns() + 20000 * MS;

	while (all->first) {
		assert_true(clock_ns() < deadline);
		assert_true(sd_event_run(all->event, 1000000) >= 0);
	}
}

static struct tasks tasks_new(void)
{
	struct tasks all = { .path = self };
	sd_event_source *timer;

	assert_true(sd_event_new(&all.event) >= 0);
	/* The loop's own file for timers comes with the first one, and stays. */
	assert_true(sd_event_add_time(all.event, &timer, CLOCK_MONOTONIC, 0, 0, NULL, NULL) >= 0);
	sd_event_source_disable_unref(timer);
	return all;
}

static void check(const struct told *told, const char *name, uint32_t outcome, const char *reason)
{
	assert_int_equal(told->calls, 1);
	if (told->result.outcome != outcome || (reason && !strstr(told->result.reason, reason)))
		fail_msg("%s: outcome %u, reason '%s'", name, told->result.outcome, told->result.reason);
	assert_int_equal(told->result.pid, 12345);
	assert_int_equal(told->result.magic, WORKER_MAGIC);
}

/* As the client that waits: the same answers, and nothing left behind. */
static void test_answers(void **state)
{
	struct tasks all = tasks_new();
	const int before = count_fds();

	(void)state;
	for (size_t i = 0; i < nfakes; i++) {
		struct told told = { 0 };

		if (!fakes[i].outcome)
			continue;
		start(&all, fakes[i].name, 12345, 5000000, TASK_ACT, &told);
		run(&all);
		check(&told, fakes[i].name, fakes[i].outcome, fakes[i].reason);
		/* Whoever is told may start the next one for the same process. */
		assert_int_equal(told.workers, 0);
		assert_int_equal(count_fds(), before);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	}
	sd_event_unref(all.event);
}

static void test_slow_ones(void **state)
{
	static const struct {
		const char *name, *reason;
		uint64_t timeout_us;
		uint32_t outcome;
		unsigned int least_ms, most_ms;
	} cases[] = {
		{ "hang", "killed and the target let go", 100000, WORKER_TIMEOUT, 1000, 4000 },
		{ "stopped", "killed and the target let go", 100000, WORKER_TIMEOUT, 1000, 4000 },
		{ "hang-deaf", "signal 9", 20000000, WORKER_FAILED, 0, 6000 },
		{ "answer-and-hang", NULL, 20000000, WORKER_RECLAIMED, 0, 6000 },
		{ "leave-child-silently", "status 3", 20000000, WORKER_FAILED, 0, 6000 },
		{ "slow", NULL, 20000000, WORKER_RECLAIMED, 0, 10000 },
	};
	struct tasks all = tasks_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint64_t begin = clock_ns();
		struct told told = { 0 };
		uint64_t ms;

		start(&all, cases[i].name, 12345, cases[i].timeout_us, TASK_ACT, &told);
		run(&all);
		ms = (clock_ns() - begin) / MS;
		check(&told, cases[i].name, cases[i].outcome, cases[i].reason);
		assert_in_range(ms, cases[i].least_ms, cases[i].most_ms);
	}
	sd_event_unref(all.event);
}

/* An answer of another kind than was asked for is as wrong as any other. */
static void test_no_facts(void **state)
{
	static const enum task_want wants[] = { TASK_HEAD, TASK_FACTS };
	struct tasks all = tasks_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
		struct told told = { 0 };

		start(&all, "well", 12345, 5000000, wants[i], &told);
		run(&all);
		assert_int_equal(told.calls, 1);
		assert_int_equal(told.head.outcome, WORKER_FAILED);
		assert_non_null(strstr(told.head.reason, "wrong length"));
		told = (struct told){ 0 };
		start(&all, "nothing", 12345, 5000000, wants[i], &told);
		run(&all);
		assert_int_equal(told.head.outcome, WORKER_FAILED);
		assert_non_null(strstr(told.head.reason, "status 7"));
	}
	sd_event_unref(all.event);
}

static void test_one_per_target(void **state)
{
	const struct worker_request same = request(12345, 5000000), bad = request(7, 0);
	struct told a = { 0 }, b = { 0 };
	struct tasks all = tasks_new();

	(void)state;
	start(&all, "slow", 12345, 5000000, TASK_ACT, &a);
	start(&all, "slow", 12346, 5000000, TASK_ACT, &b);
	assert_int_equal(all.n, 2);
	assert_non_null(task_find(&all, 12346));
	assert_null(task_find(&all, 1));
	assert_int_equal(task_start(&all, &same, TASK_ACT, on_done, &b), -EBUSY);
	assert_int_equal(task_start(&all, &bad, TASK_ACT, on_done, &b), -EINVAL);
	run(&all);
	check(&a, "slow", WORKER_RECLAIMED, NULL);
	assert_int_equal(b.calls, 1);
	all.path = "/nonexistent";
	assert_int_equal(task_start(&all, &same, TASK_ACT, on_done, &b), -ENOENT);
	assert_int_equal(all.n, 0);
	assert_int_equal(b.calls, 1);
	sd_event_unref(all.event);
}

static void test_stop(void **state)
{
	struct told a = { 0 }, b = { 0 };
	struct tasks all = tasks_new();
	const int before = count_fds();

	(void)state;
	start(&all, "hang", 12345, 5000000, TASK_ACT, &a);
	start(&all, "hang", 12346, 5000000, TASK_HEAD, &b);
	tasks_stop(&all);
	check(&a, "hang", WORKER_FAILED, "the daemon stops");
	assert_int_equal(b.calls, 1);
	assert_non_null(strstr(b.head.reason, "the daemon stops"));
	assert_int_equal(count_fds(), before);
	/* Killed; on a busy machine it may take its time to die. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	tasks_stop(&all);
	sd_event_unref(all.event);
}

static void on_pressure(void *arg)
{
	++*(int *)arg;
}

/* That it fires takes a machine that is short of memory; here only that the kernel takes it, and refuses nonsense. */
static void test_psi(void **state)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), empty = open("/dev", O_PATH | O_CLOEXEC),
	    calls = 0;
	struct psi p = PSI_CLOSED;
	sd_event *event;
	int before, r;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	before = count_fds();
	assert_int_equal(psi_open(&p, event, empty, 150000, 2000000, on_pressure, &calls), -ENOENT);
	r = psi_open(&p, event, proc, 150000, 2000000, on_pressure, &calls);
	if (r < 0) {
		/* No PSI in this kernel, or switched off, or (before 6.1.42) not for us. */
		assert_true(r == -ENOENT || r == -EOPNOTSUPP || r == -EPERM || r == -EACCES || r == -EINVAL);
		print_message("no trigger: %s\n", strerror(-r));
	} else {
		assert_true(sd_event_run(event, 0) >= 0);
		psi_close(&p);
		/* More stall than window. */
		assert_int_equal(psi_open(&p, event, proc, 3000000, 2000000, on_pressure, &calls), -EINVAL);
	}
	psi_close(&p);
	psi_close(&p);
	assert_int_equal(count_fds(), before);
	assert_int_equal(calls, 0);
	sd_event_unref(event);
	close(proc);
	close(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),	 cmocka_unit_test(test_slow_ones),
		cmocka_unit_test(test_no_facts), cmocka_unit_test(test_one_per_target),
		cmocka_unit_test(test_stop),	 cmocka_unit_test(test_psi),
	};
	const char *fake = getenv("FAKE_WORKER");

	if (fake)
		return fake_worker(fake);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
