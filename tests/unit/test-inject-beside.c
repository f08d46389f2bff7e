// SPDX-License-Identifier: GPL-2.0-or-later
/* A pause that ends on another thread's processor: where we are after it, what becomes of our mask, whom it meets. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "inject/beside.h"
#include "inject/pick.h"
#include "inject/session.h"
#include "inject/trace.h"
#include "target-child.h"
#include "under-valgrind.h"

#define PAUSE_NS 500000ul
#define LONG_NS 900000000ul
#define SEARCH_NS 1000000000ull
#define SOON_NS 20000000000ull
#define SLEEPS "230 " /* clock_nanosleep */
#define STACK (1ull << 20)
#define SKIPPED 77
#define TRIES 100
#define CPUS_MAX 8
#define STOP_NS 1000000000ull
#define WORK 3000 /* rounds between two calls: some microseconds */

static cpu_set_t whole;
static bool kept_out;
static int proc;

/* It calls often. */
static void *spin(void *arg)
{
	volatile unsigned int work = 0;
	char byte;

	for (;;) {
		for (int i = 0; i < WORK; i++)
			work++;
		(void)!read(-1, &byte, 1);
	}
	return arg;
}

static void spin_by_a_name(void)
{
	/* /proc/PID/stat shows it as it is */
	(void)prctl(PR_SET_NAME, ") R 1 (2\n)");
	(void)spin(NULL);
}

/* On @cpu, or anywhere: -1. */
static struct inject_target start(int cpu)
{
	struct inject_target t;
	cpu_set_t one;

	child_begin(spin_by_a_name, &t);
	CPU_ZERO(&one);
	if (cpu >= 0)
		CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(t.pid, sizeof(one), cpu < 0 ? &whole : &one), 0);
	(void)usleep(20000);
	return t;
}

static void mask_is(const cpu_set_t *want)
{
	cpu_set_t now;

	assert_int_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	assert_true(CPU_EQUAL(&now, want));
}

/* Beside it, unless @alone. How many of the pauses have ended on @cpu. */
static unsigned int ended_on(const struct inject_target *t, pid_t tid, int cpu, bool alone)
{
	unsigned int n = 0;

	for (int i = 0; i < TRIES; i++) {
		const uint64_t began_ns = clock_ns();
		const bool beside = beside_sleep(t, tid, PAUSE_NS);

		n += sched_getcpu() == cpu;
		/* After one that took that long there is none any more: see test_kept_out(). */
		kept_out |= beside && clock_ns() - began_ns > BESIDE_LATE_NS;
		assert_true(beside == !alone || kept_out);
		assert_true(clock_ns() - began_ns >= PAUSE_NS);
	}
	return n;
}

static void skip_if_kept_out(void)
{
	if (kept_out) {
		print_message("on this machine a pause took more than %llu ms\n", BESIDE_LATE_NS / 1000000);
		skip();
	}
}

static void test_where_it_ends(void **state)
{
	(void)state;
	for (int cpu = 0, n = 0; cpu < CPU_SETSIZE && n < CPUS_MAX; cpu++) {
		struct inject_target t;
		unsigned int ended;

		if (!CPU_ISSET(cpu, &whole))
			continue;
		n++;
		t = start(cpu);
		/* By the time that we ask, a scheduler may have found us another one. */
		ended = ended_on(&t, t.pid, cpu, false);
		mask_is(&whole);
		child_end(&t);
		skip_if_kept_out();
		assert_in_range(ended, TRIES / 2, TRIES);
	}
}

/* Of processors that we have been kept away from none is used. */
static void test_not_ours(void **state)
{
	int first = -1, last = -1;
	struct inject_target t;
	cpu_set_t one;

	(void)state;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &whole)) {
			first = first < 0 ? cpu : first;
			last = cpu;
		}
	if (first == last)
		skip();
	t = start(first);
	CPU_ZERO(&one);
	CPU_SET(last, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(ended_on(&t, t.pid, last, true), TRIES);
	mask_is(&one);
	assert_int_equal(sched_setaffinity(0, sizeof(whole), &whole), 0);
	child_end(&t);
}

/* Is somebody who sleeps beside it bound to one processor? */
static bool is_bound_beside(const struct inject_target *t)
{
	const uint64_t until = clock_ns() + SOON_NS;
	const pid_t pid = fork();
	char path[32], text[16];
	cpu_set_t now;

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)!beside_sleep(t, t->pid, LONG_NS);
	}
	assert_true(pid > 0);
	(void)snprintf(path, sizeof(path), "%d/syscall", pid);
	do {
		assert_true(clock_ns() < until);
		(void)usleep(1000);
	} while (procfs_read(proc, path, text, sizeof(text)) != -ENOBUFS || strncmp(text, SLEEPS, strlen(SLEEPS)) != 0);
	assert_int_equal(sched_getaffinity(pid, sizeof(now), &now), 0);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return CPU_COUNT(&now) == 1;
}

/* Who runs before everybody else, and doesn't rest, would let us wait for ever. */
static void test_goes_first(void **state)
{
	const struct sched_param first = { .sched_priority = 1 }, none = { .sched_priority = 0 };
	struct inject_target t;
	bool can;

	(void)state;
	if (CPU_COUNT(&whole) == 1)
		skip();
	skip_if_kept_out();
	t = start(-1);
	assert_true(is_bound_beside(&t));
	can = sched_setscheduler(t.pid, SCHED_FIFO, &first) == 0;
	if (can)
		assert_false(is_bound_beside(&t));
	assert_int_equal(sched_setscheduler(t.pid, SCHED_BATCH, &none), 0);
	assert_true(is_bound_beside(&t));
	child_end(&t);
	if (!can)
		skip();
}

/* All others go before us: one long wait, and no other one. Exits with 1 where it is so, 0 where we are let in. */
static void wait_where_kept_out(const struct inject_target *t)
{
	unsigned int late = 0, after = 0;

	for (int i = 0; i < TRIES / 10; i++) {
		const uint64_t began_ns = clock_ns();
		const bool beside = beside_sleep(t, t->pid, PAUSE_NS);

		after += late && beside;
		late += beside && clock_ns() - began_ns > BESIDE_LATE_NS + PAUSE_NS;
	}
	_exit(after || late > 1 ? 2 : late ? 1 : 0);
}

static void test_kept_out(void **state)
{
	const struct sched_param none = { .sched_priority = 0 };
	struct inject_target t;
	int status;
	pid_t pid;

	(void)state;
	skip_if_kept_out();
	t = start(sched_getcpu());
	assert_int_equal(setpriority(PRIO_PROCESS, (id_t)t.pid, -20), 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sched_setscheduler(0, SCHED_IDLE, &none) == 0)
			wait_where_kept_out(&t);
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	child_end(&t);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 0)
		skip(); /* this kernel lets us in */
	assert_int_equal(WEXITSTATUS(status), 1);
}

static void test_nobody(void **state)
{
	struct inject_target t = start(-1);

	(void)state;
	(void)ended_on(&t, 1, -1, true); /* no thread of it */
	child_end(&t);
	(void)ended_on(&t, t.pid, -1, true); /* no folder of it */
	mask_is(&whole);
}

/* How often isn't it stopped on its way out of a call? On a virtual machine hardly ever, from another processor. */
static void test_who_calls_often(void **state)
{
	static const uint8_t call[] = { 0x0f, 0x05 };
	struct inject_target t;
	unsigned int outside = 0, beside = 0;

	(void)state;
	if (under_valgrind())
		skip();
	skip_if_kept_out();
	assert_int_equal(trace_init(), 0);
	t = start(-1);
	for (int i = 0; i < TRIES; i++) {
		_cleanup_inject_ struct inject *inj = NULL;
		struct inject_stop stop;
		const uint8_t *pc;

		beside += beside_sleep(&t, t.pid, PAUSE_NS);
		assert_int_equal(inject_open(&t, t.pid, clock_ns() + STOP_NS, &inj), 0);
		inject_where(inj, &stop);
		/* It is a child of ours, and its code where ours is. */
		pc = (const uint8_t *)(uintptr_t)stop.regs.r[CPU_RIP];
		outside += memcmp(pc - sizeof(call), call, sizeof(call)) != 0;
	}
	child_end(&t);
	print_message("%u of %d outside of a call, %u of them beside it\n", outside, TRIES, beside);
	/* After a pause that took too long there are no more of them. */
	if (beside < TRIES)
		skip();
	assert_in_range(outside, TRIES / 4, TRIES);
}

/* Two threads at work, of which one may have a child. */
static struct {
	bool main, other; /* has one */
	int ready[2];
} parents;

static void *spin_with_child(void *arg)
{
	const bool *child = arg;

	if (*child && fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	(void)!write(parents.ready[1], "", 1);
	return spin(NULL);
}

static void two_at_work(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, spin_with_child, &parents.other) == 0)
		(void)spin_with_child(&parents.main);
}

static int prepare(void *ctx, const struct cpu_regs *regs)
{
	(void)ctx;
	(void)regs;
	return 0;
}

struct order {
	uint64_t here; /* somewhere on the main thread's stack */
	bool main_last; /* or the other thread */
	unsigned int first, last, too_early;
	bool was_first; /* before this one */
};

static int refuse(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	struct order *o = ctx;
	const bool is_main = regs->r[CPU_RSP] > o->here - STACK && regs->r[CPU_RSP] < o->here + STACK;
	const bool last = is_main == o->main_last;

	(void)ret;
	o->too_early += last && !o->was_first;
	o->last += last;
	o->first += !last;
	o->was_first = !last;
	return -EAGAIN;
}

static void comes_last(bool main_has, bool other_has, bool main_last)
{
	struct inject_target t = { .mem_fd = -1 };
	struct order o = { .here = (uintptr_t)__builtin_frame_address(0), .main_last = main_last };
	const struct inject_prover prover = { .prepare = prepare, .prove = refuse, .ctx = &o };
	struct inject_search search = { .which = INJECT_ANY };
	struct inject_found found;
	char c;

	parents.main = main_has;
	parents.other = other_has;
	assert_int_equal(pipe2(parents.ready, O_CLOEXEC), 0);
	child_begin(two_at_work, &t);
	(void)close(parents.ready[1]);
	for (int i = 0; i < 2; i++)
		assert_int_equal(read(parents.ready[0], &c, 1), 1);
	(void)close(parents.ready[0]);
	search.deadline_ns = clock_ns() + SEARCH_NS;
	assert_int_equal(inject_pick(&t, &prover, &search, &found), -EAGAIN);
	child_end(&t);
	print_message("%u looks at who is last, %u at the other\n", o.last, o.first);
	assert_true(o.last > 0);
	assert_int_equal(o.too_early, 0);
}

/* Whichever processor we come to: one with children is the last to be stopped; else the main thread. */
static void test_who_is_last(void **state)
{
	(void)state;
	if (under_valgrind())
		skip();
	assert_int_equal(trace_init(), 0);
	comes_last(false, false, true);
	comes_last(true, false, true);
	comes_last(false, true, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_where_it_ends),	cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_nobody),		cmocka_unit_test(test_goes_first),
		cmocka_unit_test(test_who_calls_often), cmocka_unit_test(test_who_is_last),
		cmocka_unit_test(test_kept_out),
	};

	if (sched_getaffinity(0, sizeof(whole), &whole) < 0)
		return SKIPPED; /* more than 1024 processors */
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
