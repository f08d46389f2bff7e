// SPDX-License-Identifier: GPL-2.0-or-later
/* Which thread is stopped, and which one no more when its turn has come. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/procfs.h"
#include "inject/pick.h"
#include "inject/trace.h"
#include "target-child.h"
#include "under-valgrind.h"

#define SOON_NS 10000000000ull
#define SEARCH_NS 100000000ull
#define MUCH ((size_t)256 << 20)

/* A process that reads a byte from one of two pipes, then from the other, always by the same instruction. */
struct reading {
	pid_t pid;
	bool slow; /* to die: its other thread gives back much memory */
	int piddir, pipe[2][2];
	bool moves; /* it is given a byte between the look and the stop */
	unsigned int turn, prepared, proved;
};

static void *wait_for_ever(void *arg)
{
	for (;;)
		(void)pause();
	return arg;
}

static void read_for_ever(struct reading *r)
{
	pthread_t t;

	if (r->slow) {
		char *p = mmap(NULL, MUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED || madvise(p, MUCH, MADV_NOHUGEPAGE) < 0)
			_exit(1);
		memset(p, 1, MUCH);
		for (int i = 0; i < 7; i++)
			if (pthread_create(&t, NULL, wait_for_ever, NULL))
				_exit(1);
	}
	for (unsigned int i = 0;; i++) {
		char c;

		if (read(r->pipe[i & 1][0], &c, 1) != 1)
			_exit(1);
	}
}

/* Asleep in read() of that end? */
static bool reads_from(const struct reading *r, int fd)
{
	char text[256], want[32];

	(void)snprintf(want, sizeof(want), "0 0x%x ", (unsigned int)fd);
	return procfs_read(r->piddir, "syscall", text, sizeof(text)) > 0 && !strncmp(text, want, strlen(want));
}

static void wait_until_it_reads(const struct reading *r)
{
	const uint64_t until = clock_ns() + SOON_NS;

	while (!reads_from(r, r->pipe[r->turn & 1][0])) {
		assert_true(clock_ns() < until);
		(void)usleep(100);
	}
}

static int start(void **state, bool slow)
{
	static struct reading r;
	char path[32];

	r = (struct reading){ .piddir = -1, .slow = slow };
	if (trace_init() < 0 || pipe2(r.pipe[0], O_CLOEXEC) < 0 || pipe2(r.pipe[1], O_CLOEXEC) < 0)
		return -1;
	r.pid = fork();
	if (r.pid == 0)
		read_for_ever(&r);
	(void)snprintf(path, sizeof(path), "/proc/%d", r.pid);
	r.piddir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = &r;
	return r.pid < 0 || r.piddir < 0 ? -1 : 0;
}

static int setup(void **state)
{
	return start(state, false);
}

static int setup_slow(void **state)
{
	return start(state, true);
}

static int teardown(void **state)
{
	struct reading *r = *state;

	(void)kill(r->pid, SIGKILL);
	(void)waitpid(r->pid, NULL, 0);
	for (int i = 0; i < 4; i++)
		(void)close(r->pipe[i / 2][i % 2]);
	(void)close(r->piddir);
	return 0;
}

static int prepare(void *ctx, const struct cpu_regs *regs)
{
	struct reading *r = ctx;

	(void)regs;
	r->prepared++;
	if (!r->moves)
		return 0;
	assert_int_equal(write(r->pipe[r->turn++ & 1][1], "", 1), 1);
	wait_until_it_reads(r);
	return 0;
}

static int prove(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	struct reading *r = ctx;

	(void)ret;
	assert_true(regs->valid);
	r->proved++;
	return -EAGAIN; /* so that it goes on searching */
}

static uint64_t looks_at(struct reading *r)
{
	const struct inject_target target = { .pid = r->pid, .piddir = r->piddir, .mem_fd = -1 };
	const struct inject_prover prover = { .prepare = prepare, .prove = prove, .ctx = r };
	const struct inject_search search = { .which = INJECT_SLEEPING, .deadline_ns = clock_ns() + SEARCH_NS };
	struct inject_found found;

	wait_until_it_reads(r);
	assert_int_equal(inject_pick(&target, &prover, &search, &found), -EAGAIN);
	assert_true(r->prepared > 0);
	return found.looks;
}

/* Who has gone on to another call, and be it the same one of another file, may be cut short there. */
static void test_another_call(void **state)
{
	struct reading *r = *state;

	r->moves = true;
	assert_int_equal(looks_at(r), 0);
	assert_int_equal(r->proved, 0);
}

static void test_the_same_call(void **state)
{
	struct reading *r = *state;

	/* Once: where it was no good it isn't stopped again. */
	assert_int_equal(looks_at(r), 1);
	assert_int_equal(r->proved, 1);
	wait_until_it_reads(r);
}

/* What has been killed under a stop is reaped by whoever stopped it, and its parent's wait() comes back. */
static int kill_it(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	struct reading *r = ctx;

	(void)regs;
	(void)ret;
	assert_int_equal(kill(r->pid, SIGKILL), 0);
	return -EAGAIN;
}

static void test_killed(void **state)
{
	struct reading *r = *state;
	char path[32];
	_cleanup_close_ int mem = -1;
	struct inject_target target = { .pid = r->pid, .piddir = r->piddir };
	const struct inject_prover prover = { .prepare = prepare, .prove = kill_it, .ctx = r };
	struct inject_search search = {
		.which = INJECT_SLEEPING,
		.deadline_ns = clock_ns() + 2 * SOON_NS,
		.only = r->pid,
	};
	struct inject_found found;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", r->pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	assert_true(mem >= 0);
	target.mem_fd = mem;
	wait_until_it_reads(r);
	assert_int_equal(inject_pick(&target, &prover, &search, &found), -ESRCH);
	assert_true(clock_ns() < search.deadline_ns);
	assert_false(inject_is_late());
	/* We are its parent, too: what has been reaped isn't there any more. */
	assert_int_equal(waitpid(r->pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Everybody is good, and has room. */
static int prove_all(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	(void)ctx;
	*ret = (struct inject_stack){ .lo = regs->r[CPU_RSP] - MUCH, .hi = regs->r[CPU_RSP] + 4096 };
	return 0;
}

static int prepare_all(void *ctx, const struct cpu_regs *regs)
{
	(void)ctx;
	(void)regs;
	return 0;
}

static void *with_a_child(void *arg)
{
	const int *pipe = arg;
	char c;

	if (fork() == 0) {
		/* Until its parent is no more. */
		(void)close(pipe[1]);
		(void)!read(pipe[0], &c, 1);
		_exit(0);
	}
	return wait_for_ever(NULL);
}

static void two_threads(int pipe[2], bool child)
{
	pthread_t t;

	if (pthread_create(&t, NULL, child ? with_a_child : wait_for_ever, pipe))
		_exit(1);
	(void)wait_for_ever(NULL);
}

/* Of two threads that sleep alike, the other one with a child or without? */
static bool picks_the_leader(bool child)
{
	int alive[2];
	const int made = pipe(alive);
	const pid_t pid = made < 0 ? -1 : fork();
	const struct inject_prover prover = { .prepare = prepare_all, .prove = prove_all };
	const struct inject_search search = { .which = INJECT_SLEEPING, .deadline_ns = clock_ns() + SOON_NS };
	struct inject_target target = { .pid = pid, .mem_fd = -1 };
	struct inject_found found = { .inj = NULL };
	_cleanup_close_ int dir = -1;
	char path[64], text[256];
	pid_t tid;

	assert_true(pid >= 0);
	if (pid == 0)
		two_threads(alive, child);
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	dir = target.piddir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	/* Both in pause(), and the child is there. */
	do {
		assert_true(clock_ns() < search.deadline_ns);
		(void)usleep(1000);
		(void)snprintf(path, sizeof(path), "task/%d/syscall", pid);
	} while (inject_threads(&target) != 2 || procfs_read(dir, path, text, sizeof(text)) <= 0 ||
		 strncmp(text, "34 ", 3) != 0);
	(void)usleep(200000);
	assert_int_equal(inject_pick(&target, &prover, &search, &found), 0);
	tid = found.tid;
	inject_close(found.inj);
	assert_int_equal(kill(pid, SIGKILL), 0);
	(void)waitpid(pid, NULL, 0);
	(void)close(alive[0]);
	(void)close(alive[1]);
	return tid == pid;
}

/* Not the main thread, where there is a choice; and before it not one whose children may end meanwhile. */
static void test_a_parent_comes_last(void **state)
{
	(void)state;
	assert_int_equal(trace_init(), 0);
	assert_false(picks_the_leader(false));
	assert_true(picks_the_leader(true));
}

/* futex(@word, @op, 0, @timeout), and where it comes back. */
long nap(const uint32_t *word, long op, long value, const struct timespec *timeout)
	__attribute__((visibility("hidden")));
extern const char after_nap[] __attribute__((visibility("hidden")));
__asm__(".pushsection .text\n"
	".globl nap, after_nap\n.hidden nap, after_nap\n.type nap, @function\n"
	"nap: mov %rcx, %r10\nmov $202, %eax\nsyscall\nafter_nap: ret\n"
	".size nap, .-nap\n.popsection");

#define NAP_NS 30000
static uint32_t nap_word;

/* Half of its time it sleeps, and half of it is at work. A nap that isn't as it was asked for ends it. */
static void nap_for_ever(void)
{
	const struct timespec timeout = { .tv_nsec = NAP_NS };
	long r;

	do {
		const uint64_t end = clock_ns() + NAP_NS;

		while (clock_ns() < end)
			;
		r = nap(&nap_word, FUTEX_WAIT_PRIVATE, 0, &timeout);
	} while (r == -ETIMEDOUT);
	_exit(1);
}

static int prove_nap(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	return regs->r[CPU_RIP] == (uintptr_t)after_nap ? prove_all(ctx, regs, ret) : -EAGAIN;
}

/* Is it ever met in its call that was at work a moment before? */
static bool is_met_entering(const struct inject_target *target, struct inject_search search, uint64_t within_ns)
{
	const struct inject_prover prover = { .prepare = prepare_all, .prove = prove_nap };
	bool met = false;

	search.deadline_ns = clock_ns() + within_ns;
	while (!met && clock_ns() < search.deadline_ns) {
		struct inject_found found = { .inj = NULL };

		if (inject_pick(target, &prover, &search, &found) < 0)
			break;
		assert_true(found.restarts == !strcmp(found.where, "futex"));
		met = found.restarts && !found.asleep;
		inject_close(found.inj);
	}
	return met;
}

/*
 * A call that has not begun when we stop it is as good as one that sleeps; but not for who wants one at work, nor when
 * it is one that is not touched in its sleep.
 */
static void test_going_to_sleep(void **state)
{
	const uint64_t word = (uintptr_t)&nap_word;
	const struct inject_search any = { .which = INJECT_ANY }, running = { .which = INJECT_RUNNING },
				   lock = { .data_lo = word, .data_hi = word + 1 };
	struct inject_target target;

	(void)state;
	if (under_valgrind()) {
		print_message("there it is valgrind that makes the system calls\n");
		skip();
	}
	assert_int_equal(trace_init(), 0);
	child_begin(nap_for_ever, &target);
	assert_true(is_met_entering(&target, any, SOON_NS));
	assert_false(is_met_entering(&target, running, SEARCH_NS));
	assert_false(is_met_entering(&target, lock, SEARCH_NS));
	child_end(&target);
}

#define I386_NANOSLEEP 162

/* It sleeps as 32-bit programs do, in one nap after the other. */
static void nap_by_int80(void)
{
	int *ts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long r;

	if (ts == MAP_FAILED)
		_exit(1);
	ts[1] = 20000000;
	for (;;) {
		__asm__ volatile("int $0x80"
				 : "=a"(r)
				 : "a"(I386_NANOSLEEP), "b"(ts), "c"(0)
				 : "memory", "r8", "r9", "r10", "r11");
		if ((int)r)
			_exit(2);
	}
}

/* What is told of a call by its number is of 64-bit calls: of another one nothing is, also when it is stopped again. */
static void test_by_int80(void **state)
{
	struct inject_target target;
	unsigned int calls = 0;

	(void)state;
	if (under_valgrind())
		skip();
	assert_int_equal(trace_init(), 0);
	child_begin(nap_by_int80, &target);
	(void)usleep(10000);
	for (int i = 0; i < 200; i++) {
		struct inject *inj = NULL;
		struct inject_stop stop;
		const int r = inject_open(&target, target.pid, clock_ns() + SOON_NS, &inj);

		if (i == 0 && r == -ESRCH) {
			print_message("this kernel has no 32-bit calls\n");
			skip();
		}
		assert_int_equal(r, 0);
		inject_where(inj, &stop);
		assert_true(stop.nr < 0);
		calls += stop.in_syscall;
		inject_close(inj);
		(void)usleep(i % 7 * 100);
	}
	assert_true(calls >= 100);
	/* Not one of its naps came back too early. */
	child_end(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_another_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_same_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup_slow, teardown),
		cmocka_unit_test(test_a_parent_comes_last),
		cmocka_unit_test(test_going_to_sleep),
		cmocka_unit_test(test_by_int80),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
