// SPDX-License-Identifier: GPL-2.0-or-later
/* Leases of arena locks on a live process, undisturbed; and what is refused. */
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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "inject/trace.h"
#include "lease-driver.h"

#define MANY_NS 2000000000ull
#define MS 1000000ull

static struct driver_round some_round(enum lease_drop drop)
{
	return (struct driver_round){
		.req = { .kind = LEASE_ARENA, .drop = drop, .advice = MADV_DONTNEED, .want_ranges = 256 },
		.sleeper = -1,
		.seed = 1,
	};
}

static void begin(struct driver *d, const char *arg)
{
	const char *const args[] = { arg, NULL };

	driver_start(d, args);
}

static void run(struct driver *d, const struct driver_round *round, unsigned int n)
{
	int status;
	pid_t pid = driver_fork(d, round, n, -1);

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status %x, error %d, %s", status, d->stats->last_error, d->stats->last_why);
}

static void rounds(const char *what, const char *arenas, enum lease_drop drop, unsigned int n)
{
	struct driver_round round = some_round(drop);
	struct driver d;

	begin(&d, arenas);
	run(&d, &round, n);
	driver_judge(&d, what);
	driver_report(&d, what);
	assert_true(d.stats->applied > n / 4);
	assert_true(d.stats->ranges > n);
	driver_finish(&d);
}

static void test_vector(void **state)
{
	(void)state;
	if (!lease_vector_possible()) {
		print_message("this kernel has no process_madvise() on oneself\n");
		skip();
	}
	rounds("one arena, vector", "--arenas=1", LEASE_DROP_VECTOR, 200);
	rounds("three arenas, vector", "--arenas=3", LEASE_DROP_VECTOR, 200);
}

static void test_singles(void **state)
{
	(void)state;
	rounds("three arenas, singles", "--arenas=3", LEASE_DROP_SINGLE, 150);
}

/* A single other thread: a wake-up that gets lost would be its end. */
static void test_one_contender(void **state)
{
	(void)state;
	rounds("one other thread", "--threads=1", LEASE_DROP_SINGLE, 150);
}

/* We come too late, every time: nothing must happen, neither to the heap nor to the stack. */
static void test_late(void **state)
{
	struct driver_round round = some_round(LEASE_DROP_SINGLE);
	struct driver d;

	(void)state;
	begin(&d, "--arenas=1");
	round.req.lease_ns = 2 * MS;
	round.dawdle_ns = 4 * MS;
	run(&d, &round, 60);
	driver_judge(&d, "late");
	assert_int_equal(d.stats->applied, 0);
	assert_true(d.stats->late > 20);
	driver_finish(&d);
}

static int on_top_of_old(struct driver *d)
{
	const struct lease_request req = driver_request(d, LEASE_DROP_SINGLE);
	const uint64_t until = clock_ns() + MANY_NS;
	const char *why = "";
	_cleanup_inject_ struct inject *inj = NULL;
	struct lease *l = NULL;
	int r;

	do /* until the kernel has let go of it for the dead one */
		r = inject_open(&d->target, d->info->sleeper[1], until, &inj);
	while (r == -EALREADY && clock_ns() < until);
	if (r == 0)
		r = lease_begin(inj, &d->code, &d->stack[1], &req, &l, &why);
	(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "%d %s", r, why);
	MUST(r == -EAGAIN && strstr(why, "earlier call"));
	return 0;
}

/* A chain whose owner has died runs on: another one must leave that thread alone, and after it can have it. */
static void test_old_chain(void **state)
{
	struct driver_round round = some_round(LEASE_DROP_SINGLE);
	struct driver d;
	int status = 0;
	pid_t pid;

	(void)state;
	begin(&d, "--threads=2");
	round.req.lease_ns = 500 * MS;
	round.sleeper = 1;
	round.die = true;
	do {
		pid = driver_fork(&d, &round, 1, -1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	} while (!WIFSIGNALED(status));
	driver_apart(&d, on_top_of_old);
	driver_judge(&d, "old chain");
	round.die = false;
	round.req.lease_ns = 0;
	run(&d, &round, 20);
	driver_judge(&d, "after the old chain");
	assert_true(d.stats->applied > 0);
	driver_finish(&d);
}

/* The whole target is stopped by a signal while its thread has the lock, and continued. */
static void test_target_stopped(void **state)
{
	struct driver_round round = some_round(LEASE_DROP_SINGLE);
	unsigned int seed = 5;
	struct driver d;

	(void)state;
	begin(&d, "--threads=2");
	round.dawdle_ns = 3 * MS;
	for (unsigned int i = 0; i < 12; i++) {
		pid_t pid = driver_fork(&d, &round, 3, -1);
		struct timespec ts = { .tv_nsec = 2000000 + rand_r(&seed) % 8000000 };
		int status;

		(void)nanosleep(&ts, NULL);
		(void)kill(d.pid, SIGSTOP);
		ts.tv_nsec = 15000000;
		(void)nanosleep(&ts, NULL);
		(void)kill(d.pid, SIGCONT);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status)
			fail_msg("status %x, error %d, %s", status, d.stats->last_error, d.stats->last_why);
		driver_judge(&d, "target stopped");
	}
	driver_report(&d, "target stopped and continued");
	assert_true(d.stats->unfinished + d.stats->late + d.stats->busy > 0);
	driver_finish(&d);
}

static int closed_early(struct driver *d)
{
	struct lease_request req = driver_request(d, LEASE_DROP_SINGLE);
	uint32_t word = 1;
	uint64_t since;
	struct lease *l;

	req.lease_ns = 1000 * MS;
	l = driver_held(d, &req);
	MUST(l);
	since = clock_ns();
	lease_close(l);
	while (word && clock_ns() < since + MANY_NS)
		MUST(trace_peek(d->target.mem_fd, req.lock_addr, &word, sizeof(word)) == 0);
	MUST(clock_ns() - since < 500 * MS);
	return 0;
}

/* Who is called away from its wait with the lock doesn't go on waiting there, but lets it go. */
static void test_closed_early(void **state)
{
	struct driver d;

	(void)state;
	begin(&d, "--threads=2");
	for (unsigned int i = 0; i < 5; i++)
		driver_apart(&d, closed_early);
	driver_judge(&d, "closed early");
	driver_finish(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),	      cmocka_unit_test(test_singles),
		cmocka_unit_test(test_one_contender), cmocka_unit_test(test_late),
		cmocka_unit_test(test_old_chain),     cmocka_unit_test(test_target_stopped),
		cmocka_unit_test(test_closed_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
