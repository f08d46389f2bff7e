// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The process that holds a lease is killed, or paused, at each of its system
 * calls in turn, and at random moments. The target must notice nothing.
 *
 * RECLAIM_LEASE_KILLS=N: so many random kills, and pauses of a second (minutes).
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "lease-driver.h"

#define MS 1000000ull
#define STEPS_MAX 2000
#define SYSCALL_STOP (SIGTRAP | 0x80)

static unsigned long long_run(void)
{
	const char *n = getenv("RECLAIM_LEASE_KILLS");

	return n ? strtoul(n, NULL, 10) : 0;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	(void)nanosleep(&ts, NULL);
}

static void begin(struct driver *d, const char *threads, const char *throttle)
{
	const char *const args[] = { "--arenas=1", "--wake-us=1000", threads, throttle, NULL };

	driver_start(d, args);
}

static struct driver_round some_round(uint64_t seed, uint64_t lease_ns, uint64_t guard_ns)
{
	return (struct driver_round){
		.req = { .kind = LEASE_ARENA,
			 .drop = lease_vector_possible() && seed % 2 ? LEASE_DROP_VECTOR : LEASE_DROP_SINGLE,
			 .advice = MADV_DONTNEED,
			 .want_ranges = 24,
			 .lease_ns = lease_ns,
			 .guard_ns = guard_ns },
		.sleeper = (int)(seed % LEASE_SLEEPERS),
		.seed = seed,
		.budget_ns = 1500000,
	};
}

/* Which system calls count: reads of memory are many and change nothing; or only those that act on the target. */
static bool only_acts;

static bool is_step(pid_t pid)
{
	static uint64_t nr; /* of the call that was entered: an exit doesn't tell */
	struct __ptrace_syscall_info info = { 0 };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0)
		return false;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		nr = info.entry.nr;
	return only_acts ? nr == SYS_ptrace || nr == SYS_pwrite64 : nr != SYS_pread64;
}

/*
 * Lets the child go until its @k-th step. true: it stands there. false: it has
 * ended before, with *ret_status.
 */
static bool advance(pid_t pid, unsigned int k, int *ret_status)
{
	unsigned int steps = 0;

	for (;;) {
		int status, sig = 0;

		assert_int_equal(waitpid(pid, &status, __WALL), pid);
		if (!WIFSTOPPED(status)) {
			*ret_status = status;
			return false;
		}
		if (WSTOPSIG(status) == SYSCALL_STOP)
			steps += is_step(pid);
		else if (!(status >> 16))
			sig = WSTOPSIG(status);
		if (steps >= k)
			return true;
		/* The guard may kill it between the stop and this. */
		if (ptrace(PTRACE_SYSCALL, pid, 0, sig) < 0)
			assert_int_equal(errno, ESRCH);
	}
}

/* A child that is about to do one round, traced, stopped. */
static pid_t traced_child(struct driver *d, const struct driver_round *round)
{
	int go[2];
	pid_t pid;

	assert_int_equal(pipe(go), 0);
	pid = driver_fork(d, round, 1, go[0]);
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	assert_int_equal(write(go[1], "g", 1), 1);
	(void)close(go[0]);
	(void)close(go[1]);
	return pid;
}

static void end_traced(pid_t pid)
{
	int status;

	(void)kill(pid, SIGKILL);
	do
		assert_int_equal(waitpid(pid, &status, __WALL), pid);
	while (WIFSTOPPED(status));
}

static void test_kill_at_each_step(void **state)
{
	unsigned int k, killed = 0;
	struct driver d;

	(void)state;
	begin(&d, "--threads=3", "--throttle-us=0");
	for (k = 1; k < STEPS_MAX; k++) {
		struct driver_round round = some_round(k, 15 * MS, 0);
		pid_t pid = traced_child(&d, &round);
		uint32_t done = d.stats->samples;
		char what[64];
		int status = 0;

		if (advance(pid, k, &status)) {
			end_traced(pid);
			killed++;
		}
		(void)snprintf(what, sizeof(what), "killed at step %u", k);
		driver_judge(&d, what);
		if (WIFEXITED(status) && d.stats->samples > done)
			break;
	}
	driver_report(&d, "killed at each step");
	print_message("    %u kills, %u steps\n", killed, k - 1);
	assert_true(killed > 40 && k < STEPS_MAX);
	driver_finish(&d);
}

struct paused {
	uint64_t ns, lease_ns, guard_ns, limit_ns;
	unsigned int stride, guarded;
	uint64_t longest_ns; /* that the lock was held while we were paused */
	unsigned int held, over; /* steps at which it was held, and for longer than the limit */
};

/*
 * Meanwhile looks at the lock; its other user holds it for microseconds. The
 * pause is short where nothing is held.
 */
static void pause_and_look(struct driver *d, struct paused *p)
{
	uint64_t start = clock_ns(), now = start, since = 0, longest = 0;

	while (now < start + (longest > MS ? p->ns : MIN(p->ns, 5 * MS))) {
		uint32_t word = 0;

		(void)!pread(d->target.mem_fd, &word, sizeof(word), (off_t)d->info->main_arena);
		since = word ? since ? since : now : 0;
		if (since)
			longest = MAX(longest, now - since);
		sleep_ns(50000);
		now = clock_ns();
	}
	p->held += longest > MS;
	p->over += longest > p->limit_ns;
	p->longest_ns = MAX(p->longest_ns, longest);
}

/* Paused at step @k for longer than the lease. Returns false when the round ends before. */
static bool pause_once(struct driver *d, unsigned int k, struct paused *p)
{
	struct driver_round round = some_round(k, p->lease_ns, p->guard_ns);
	pid_t pid = traced_child(d, &round);
	uint32_t done = d->stats->samples;
	int status = 0;
	bool there = advance(pid, k, &status);
	char what[64];

	if (there) {
		pause_and_look(d, p);
		/* The guard may have killed it meanwhile. */
		if (ptrace(PTRACE_SYSCALL, pid, 0, 0) == 0)
			(void)advance(pid, STEPS_MAX * 10, &status);
		else
			assert_int_equal(waitpid(pid, &status, __WALL), pid);
		if (WIFSIGNALED(status))
			p->guarded++;
	}
	(void)snprintf(what, sizeof(what), "paused at step %u (%x)", k, status);
	driver_judge(d, what);
	return there || d->stats->samples == done;
}

static void pauses(const char *what, struct paused *p)
{
	unsigned int k = 1, steps = 0;
	struct driver d;

	begin(&d, "--threads=1", "--throttle-us=2000");
	for (; k < STEPS_MAX && pause_once(&d, k, p); k += p->stride)
		steps++;
	driver_report(&d, what);
	print_message("    %u of %u steps; %u times ended by the guard; ", steps, k, p->guarded);
	print_message("the lock was held at %u steps, for %llu us at most, too long at %u\n", p->held,
		      (unsigned long long)p->longest_ns / 1000, p->over);
	assert_true(k > 20 && k < STEPS_MAX);
	driver_finish(&d);
}

static void test_pause_at_each_step(void **state)
{
	struct paused p = {
		.ns = 150 * MS, .lease_ns = 15 * MS, .guard_ns = 4 * MS, .limit_ns = 100 * MS, .stride = 1,
	};

	(void)state;
	if (long_run())
		p = (struct paused){
			.ns = 1000 * MS, .lease_ns = 5 * MS, .guard_ns = 50 * MS, .limit_ns = 300 * MS, .stride = 1
		};
	only_acts = !long_run();
	pauses("paused at each act, guarded", &p);
	only_acts = false;
	assert_true(p.guarded > 2 && p.held > 2);
	/* On a busy machine both the thread and the one who looks may get the CPU late. */
	assert_true(p.over <= 2);
}

/* The thread then stands still as long as we do, with the lock at some steps: this is what the guard is for. */
static void test_pause_without_guard(void **state)
{
	struct paused p = {
		.ns = 50 * MS, .lease_ns = 15 * MS, .guard_ns = UINT64_MAX, .limit_ns = 35 * MS, .stride = 1
	};

	(void)state;
	if (long_run())
		p = (struct paused){
			.ns = 1000 * MS, .lease_ns = 5 * MS, .guard_ns = UINT64_MAX, .limit_ns = 800 * MS, .stride = 1
		};
	only_acts = true;
	pauses("paused at each act, no guard", &p);
	only_acts = false;
	assert_int_equal(p.guarded, 0);
	assert_true(p.over > 0);
}

static void test_random_kills(void **state)
{
	unsigned long n = long_run() ? long_run() : 60;
	struct driver d;
	unsigned int seed = 7;

	(void)state;
	begin(&d, "--threads=3", "--throttle-us=0");
	for (unsigned long i = 0; i < n; i++) {
		struct driver_round round = some_round(i * 1000, 8 * MS, 0);
		pid_t pid;
		char what[64];

		round.sleeper = -1;
		pid = driver_fork(&d, &round, 1000000, -1);
		sleep_ns(2 * MS + (uint64_t)rand_r(&seed) % (15 * MS));
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		(void)snprintf(what, sizeof(what), "random kill %lu", i);
		if (i % 4 == 3 || i + 1 == n)
			driver_judge(&d, what);
	}
	driver_report(&d, "random kills");
	print_message("    %lu kills\n", n);
	assert_true(d.stats->applied > n / 2);
	driver_finish(&d);
}

/* An argument chooses tests by a pattern of their names. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_at_each_step),
		cmocka_unit_test(test_pause_at_each_step),
		cmocka_unit_test(test_pause_without_guard),
		cmocka_unit_test(test_random_kills),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
