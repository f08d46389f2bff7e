// SPDX-License-Identifier: GPL-2.0-or-later
#include "queue-victim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/maps.h"
#include "base/procfs.h"
#include "base/pstatus.h"
#include "inject/trace.h"
#include "remedy/collect-queue.h"
#include "under-valgrind.h"

#define WAIT_NS 10000000000ull
#define BEGUN_US 3000
#define STACK (256u << 10) /* more than any call is given */

static struct victim_page *page;

static void pause_us(unsigned int us)
{
	const struct timespec ts = { .tv_nsec = (long)us * 1000 };

	(void)nanosleep(&ts, NULL);
}

/* ---- in the child ---- */

/* Py_AddPendingCall(). */
static int victim_add(void *func, void *arg)
{
	const uint32_t at = page->ends[1];

	if (page->script == VICTIM_FULL)
		return -1;
	page->calls[at][0] = (uintptr_t)func;
	page->calls[at][1] = (uintptr_t)arg;
	page->added++;
	page->ends[1] = (at + 1) % VICTIM_NCALLS;
	return 0;
}

/* PyObject_CallFinalizerFromDealloc(): what it does to its object. */
static void victim_call(volatile uint64_t *object, bool ends)
{
	const uint64_t until = clock_ns() + BEGUN_US * 1000;

	object[0] = 1;
	while (ends && clock_ns() < until)
		page->turns++;
	if (!ends)
		return;
	object[-1] |= 1;
	object[0] = 0;
}

static void victim_turn(void)
{
	const uint32_t first = page->ends[0];
	volatile uint64_t *object;

	page->turns++;
	if (first >= VICTIM_NCALLS || page->ends[1] >= VICTIM_NCALLS || first == page->ends[1])
		return;
	object = (volatile uint64_t *)(uintptr_t)page->calls[first][1];
	if (page->script == VICTIM_EXIT)
		_exit(0);
	if (page->script == VICTIM_LEAVE || page->script == VICTIM_FULL)
		return;
	page->ends[0] = (first + 1) % VICTIM_NCALLS;
	if (page->script == VICTIM_SPOIL)
		object[0] = 77;
	else if (page->script != VICTIM_LOSE)
		victim_call(object, page->script == VICTIM_COLLECT);
}

/* What is mapped of a stack is what has been used of it. */
static __attribute__((noinline)) void victim_dig(void)
{
	volatile char deep[STACK];

	for (size_t i = 0; i < sizeof(deep); i += 1024)
		deep[i] = 1;
}

static void *victim_sleep(void *arg)
{
	(void)arg;
	victim_dig();
	page->ready++;
	for (;;)
		(void)pause();
	return NULL;
}

static void victim_main(enum victim_threads threads, pid_t parent)
{
	const bool sleeps = threads == VICTIM_SLEEPS || threads == VICTIM_MAIN_SLEEPS;
	pthread_t t;

	/* It may have died before that. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	if ((threads == VICTIM_MAIN_RUNS || threads == VICTIM_MAIN_SLEEPS) &&
	    pthread_create(&t, NULL, victim_sleep, NULL))
		_exit(1);
	if (sleeps)
		(void)victim_sleep(NULL);
	victim_dig();
	page->ready++;
	for (;;)
		victim_turn();
}

/* ---- around it ---- */

/* Whoever installs a handler through libc tells the kernel where its __restore_rt is. */
uint64_t victim_restorer(void)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} now = { 0 };
	const struct sigaction ours = { .sa_handler = _exit }, none = { .sa_handler = SIG_DFL };

	assert_int_equal(sigaction(SIGUSR2, &ours, NULL), 0);
	assert_int_equal(syscall(SYS_rt_sigaction, SIGUSR2, NULL, &now, 8), 0);
	assert_int_equal(sigaction(SIGUSR2, &none, NULL), 0);
	assert_true(now.restorer);
	return now.restorer;
}

/* Parent and child are the same program. */
static struct remedy_func function(const void *fn)
{
	struct remedy_func f = { .fn = (uintptr_t)fn };

	memcpy(f.bytes, fn, sizeof(f.bytes));
	return f;
}

static void plan(struct victim *v)
{
	v->plan = (struct remedy_plan){
		.possible = 1,
		.code.restorer = victim_restorer(),
		.queue = {
			.possible = 1,
			.add = function((const void *)(uintptr_t)victim_add),
			.call = function((const void *)(uintptr_t)victim_call),
			.finalizer = function((const void *)(uintptr_t)victim_turn),
			.room = (uintptr_t)page->room,
			.calls = (uintptr_t)page->calls,
			.stride = sizeof(page->calls[0]),
			.ncalls = VICTIM_NCALLS,
		},
	};
}

/* Asleep, where it is to sleep. */
static bool settled(const struct victim *v, enum victim_threads threads)
{
	const uint32_t n = threads == VICTIM_RUNS || threads == VICTIM_SLEEPS ? 1 : 2;
	struct pstatus st;

	if (page->ready != n || pstatus_read(v->target.piddir, &st) < 0)
		return false;
	return threads == VICTIM_RUNS || threads == VICTIM_MAIN_RUNS || st.state == 'S';
}

void victim_start(struct victim *v, enum victim_threads threads, enum victim_script script)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	const uint64_t until = clock_ns() + WAIT_NS;
	const pid_t parent = getpid();

	if (under_valgrind()) {
		print_message("valgrind writes signal frames of its own\n");
		skip();
	}
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	page->script = script;
	*v = (struct victim){ .page = page, .pid = fork() };
	assert_true(v->pid >= 0);
	if (!v->pid)
		victim_main(threads, parent);
	plan(v);
	v->target.pid = v->pid;
	v->target.piddir = procfs_open_pid(root, v->pid);
	assert_true(v->target.piddir >= 0);
	v->target.mem_fd = openat(v->target.piddir, "mem", O_RDWR | O_CLOEXEC);
	assert_true(v->target.mem_fd >= 0);
	assert_int_equal(arch_xstate_probe(&v->target.xstate), 0);
	while (!settled(v, threads)) {
		assert_int_equal(waitpid(v->pid, NULL, WNOHANG), 0);
		assert_true(clock_ns() < until);
		pause_us(500);
	}
}

void victim_finish(struct victim *v)
{
	struct pstatus st = { 0 };
	int status = 0;

	if (page->script != VICTIM_EXIT) {
		assert_int_equal(pstatus_read(v->target.piddir, &st), 0);
		assert_int_equal(st.tracer, 0);
		assert_true(st.state == 'R' || st.state == 'S');
		assert_int_equal(waitpid(v->pid, &status, WNOHANG), 0);
		(void)kill(v->pid, SIGKILL);
	}
	/* One that has exited while it was traced has been seen to. */
	if (waitpid(v->pid, &status, 0) == v->pid)
		assert_int_equal(status, page->script == VICTIM_EXIT ? 0 : SIGKILL);
	(void)close(v->target.mem_fd);
	(void)close(v->target.piddir);
	assert_int_equal(munmap(page, sizeof(*page)), 0);
}

static int prepare(void *ctx, const struct cpu_regs *regs)
{
	(void)ctx;
	(void)regs;
	return 0;
}

static int prove(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	const struct victim *v = ctx;
	_cleanup_(maps_done) struct maps maps = { 0 };
	const struct map *m;

	if (v->prover_error)
		return v->prover_error;
	if (maps_read(v->target.piddir, 10000, &maps) < 0)
		return -EPIPE;
	m = maps_find(&maps, regs->r[CPU_RSP]);
	if (!m)
		return -EAGAIN;
	*ret = (struct inject_stack){ m->start, m->end };
	return 0;
}

void victim_run(struct victim *v, unsigned int ms, struct remedy_result *ret)
{
	const struct inject_prover prover = { .prepare = prepare, .prove = prove, .ctx = v };
	const uint64_t deadline = clock_ns() + ms * 1000000ull;
	const struct remedy_site site = {
		.target = &v->target,
		.queue_prover = &prover,
		.python_prover = &prover,
		.deadline_ns = deadline,
		.unsafe_why = "the prover says no",
	};

	*ret = (struct remedy_result){ .outcome = REMEDY_FAILED };
	collect_queue_run(&site, &v->plan, deadline, ret);
}
