// SPDX-License-Identifier: GPL-2.0-or-later
/* What becomes of a call that does not simply return: it faults, waits, is stopped, ends its program. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/pstatus.h"
#include "inject/inject.h"
#include "inject/trace.h"
#include "queue-victim.h"
#include "under-valgrind.h"

#define MS 1000000ull
#define SOON_NS (10000 * MS)
#define STACK ((size_t)256 << 10)

/* Shared by both; the rest of the child's memory has the same addresses as ours. */
static struct page {
	volatile uint32_t tid, turns, repaired, lock, handled[65];
	char *stack; /* of the thread that is called into */
	size_t lost; /* bytes of it, from below, with all that the thread uses of it while it sleeps */
	char *beyond; /* a page of a file that has none */
} * page;

static struct {
	pid_t pid;
	int wake[2], repair[2];
	struct inject_target target;
	uint64_t restorer, mask;
} v;

static void count(int sig)
{
	page->handled[sig]++;
}

/* Asleep in read(), and nothing but system calls. Above its stack lies what the kernel itself writes to (rseq). */
static void *called_into(void *arg)
{
	volatile char *apart = __builtin_alloca(16384); /* AddressSanitizer keeps others elsewhere */
	char c;

	apart[0] = 0;
	page->lost = ((uintptr_t)apart - (uintptr_t)page->stack + 4095) / 4096 * 4096;
	page->tid = (uint32_t)syscall(SYS_gettid);
	while (read(v.wake[0], &c, 1) == 1)
		page->turns++;
	return arg;
}

static void child(pid_t parent)
{
	const struct sigaction sa = { .sa_handler = count, .sa_flags = SA_RESTART };
	pthread_attr_t attr;
	pthread_t t;
	char c;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent || sigaction(SIGSEGV, &sa, NULL) ||
	    sigaction(SIGTRAP, &sa, NULL) || sigaction(SIGUSR1, &sa, NULL) || pthread_attr_init(&attr) ||
	    pthread_attr_setstack(&attr, page->stack, STACK) || pthread_create(&t, &attr, called_into, NULL))
		_exit(99);
	while (read(v.repair[0], &c, 1) == 1) {
		if (mprotect(page->stack, STACK, PROT_READ | PROT_WRITE))
			_exit(98);
		page->repaired++;
	}
	_exit(97);
}

static void await_sleep(void)
{
	const uint64_t until = clock_ns() + SOON_NS;
	char name[64], text[256];

	do {
		assert_true(clock_ns() < until);
		(void)usleep(200);
		(void)snprintf(name, sizeof(name), "task/%u/syscall", page->tid);
	} while (!page->tid || procfs_read(v.target.piddir, name, text, sizeof(text)) <= 0 ||
		 strtol(text, NULL, 10) != SYS_read || *text != '0');
}

static uint64_t mask_of_it(void)
{
	_cleanup_close_ int dir = -1;
	struct pstatus st;
	char name[32];

	(void)snprintf(name, sizeof(name), "task/%u", page->tid);
	dir = openat(v.target.piddir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	assert_int_equal(pstatus_read(dir, &st), 0);
	assert_int_equal(st.tracer, 0);
	return st.sig_blk;
}

static int setup(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc"), empty = memfd_create("empty", MFD_CLOEXEC);
	const pid_t parent = getpid();

	(void)state;
	if (under_valgrind())
		return 0;
	memset(&v, 0, sizeof(v));
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	page->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	page->beyond = mmap(NULL, 4096, PROT_READ, MAP_SHARED, empty, 0);
	assert_true(page->stack != MAP_FAILED && page->beyond != MAP_FAILED);
	assert_int_equal(trace_init(), 0);
	assert_int_equal(pipe2(v.wake, O_CLOEXEC) | pipe2(v.repair, O_CLOEXEC), 0);
	v.restorer = victim_restorer();
	v.pid = fork();
	assert_true(v.pid >= 0);
	if (!v.pid)
		child(parent);
	v.target.pid = v.pid;
	v.target.piddir = procfs_open_pid(root, v.pid);
	assert_true(v.target.piddir >= 0);
	v.target.mem_fd = openat(v.target.piddir, "mem", O_RDWR | O_CLOEXEC);
	assert_true(v.target.mem_fd >= 0);
	assert_int_equal(arch_xstate_probe(&v.target.xstate), 0);
	await_sleep();
	v.mask = mask_of_it();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (under_valgrind())
		return 0;
	(void)kill(v.pid, SIGKILL);
	(void)waitpid(v.pid, NULL, 0);
	for (int i = 0; i < 2; i++)
		(void)(close(v.wake[i]) | close(v.repair[i]));
	(void)(close(v.target.mem_fd) | close(v.target.piddir));
	(void)(munmap(page->beyond, 4096) | munmap(page->stack, STACK));
	return munmap(page, sizeof(*page));
}

/* It sleeps where it did, with the signals that it had, and goes on when it is woken. */
static void assert_as_before(void)
{
	const uint64_t until = clock_ns() + SOON_NS;
	const uint32_t turns = page->turns;

	await_sleep();
	assert_int_equal(mask_of_it(), v.mask);
	assert_int_equal(write(v.wake[1], "", 1), 1);
	while (page->turns == turns) {
		assert_int_equal(waitpid(v.pid, NULL, WNOHANG), 0);
		assert_true(clock_ns() < until);
		(void)usleep(200);
	}
	await_sleep();
}

static struct inject_code code_of(void (*fn)(void))
{
	struct inject_code code = { .restorer = v.restorer, .fn = (uintptr_t)fn };

	memcpy(code.fn_bytes, (const void *)(uintptr_t)fn, sizeof(code.fn_bytes));
	return code;
}

/* What inject_call() says of it, as often as there is no way in at this moment. */
static int call(const struct inject_code *code, const struct inject_stack *stack, size_t ncalls, uint64_t ns)
{
	struct chain_call calls[CHAIN_CALLS_MAX + 1] = { 0 };
	const char *why = NULL;
	int r = -EAGAIN;

	for (size_t i = 0; i < ncalls; i++)
		calls[i].fn = code->fn;
	for (int i = 0; i < 100 && r == -EAGAIN; i++) {
		_cleanup_inject_ struct inject *inj = NULL;
		struct inject_times times;

		await_sleep();
		assert_int_equal(inject_open(&v.target, (pid_t)page->tid, clock_ns() + SOON_NS, &inj), 0);
		r = inject_call(inj, code, stack, calls, ncalls, clock_ns() + ns, &times, &why);
	}
	return r;
}

static int call_simply(void (*fn)(void), uint64_t ns)
{
	const struct inject_stack stack = { (uintptr_t)page->stack, (uintptr_t)page->stack + STACK };
	const struct inject_code code = code_of(fn);

	return call(&code, &stack, 1, ns);
}

/* --- what is called: compiled for the child, never called here --- */

static void fn_return(void)
{
	page->repaired += 100;
}

static void fn_segv(void)
{
	__asm__ volatile("movb 0, %%al" ::: "al");
}

static void fn_bus(void)
{
	__asm__ volatile("movb (%0), %%al" ::"r"(page->beyond) : "al");
}

static void fn_ill(void)
{
	__asm__ volatile("ud2");
}

static void fn_fpe(void)
{
	__asm__ volatile("xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; div %%ecx" ::: "eax", "ecx", "edx");
}

static void fn_trap(void)
{
	__asm__ volatile("int3");
}

/* Takes away the stack, with the frames in it: not even the chain's last one can be had. */
static void fn_lose_stack(void)
{
	(void)mprotect(page->stack, page->lost, PROT_NONE);
}

static void fn_send_segv(void)
{
	(void)syscall(SYS_tgkill, getpid(), page->tid, SIGSEGV);
}

static void fn_send_trap(void)
{
	(void)syscall(SYS_tgkill, getpid(), page->tid, SIGTRAP);
}

static void fn_send_usr1(void)
{
	(void)syscall(SYS_tgkill, getpid(), page->tid, SIGUSR1);
}

static void fn_wait_for_lock(void)
{
	while (page->lock)
		(void)syscall(SYS_futex, &page->lock, FUTEX_WAIT, 1, NULL, NULL, 0);
}

static void fn_sleep(void)
{
	(void)usleep(300000);
}

static void fn_stop(void)
{
	(void)syscall(SYS_tgkill, getpid(), page->tid, SIGSTOP);
}

static void fn_kill(void)
{
	(void)kill(getpid(), SIGKILL);
}

static void fn_exit(void)
{
	(void)syscall(SYS_exit_group, 0);
}

/* --- the tests --- */

static void need_injection(void)
{
	if (under_valgrind()) {
		print_message("valgrind writes signal frames of its own\n");
		skip();
	}
}

static void test_return(void **state)
{
	(void)state;
	need_injection();
	assert_int_equal(call_simply(fn_return, SOON_NS), 0);
	assert_int_equal(page->repaired, 100);
	assert_as_before();
}

static void test_fault(void **state)
{
	static void (*const fns[])(void) = { fn_segv, fn_bus, fn_ill, fn_fpe, fn_trap };

	(void)state;
	need_injection();
	for (size_t i = 0; i < ARRAY_SIZE(fns); i++) {
		assert_int_equal(call_simply(fns[i], SOON_NS), -EFAULT);
		assert_as_before();
	}
	for (size_t i = 0; i < ARRAY_SIZE(page->handled); i++)
		assert_int_equal(page->handled[i], 0); /* the program's handlers have seen nothing */
}

static void test_fault_without_frames(void **state)
{
	const uint64_t until = clock_ns() + SOON_NS;

	(void)state;
	need_injection();
	assert_int_equal(call_simply(fn_lose_stack, SOON_NS), -EFAULT);
	assert_int_equal(page->handled[SIGSEGV], 0);
	assert_int_equal(write(v.repair[1], "", 1), 1);
	while (!page->repaired) {
		assert_true(clock_ns() < until);
		(void)usleep(200);
	}
	assert_as_before();
}

/* A signal of that number that somebody has sent is no fault, but the program's. */
static void test_sent(void **state)
{
	static const struct {
		void (*fn)(void);
		int sig;
	} sent[] = { { fn_send_segv, SIGSEGV }, { fn_send_trap, SIGTRAP }, { fn_send_usr1, SIGUSR1 } };

	(void)state;
	need_injection();
	for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
		assert_int_equal(call_simply(sent[i].fn, SOON_NS), 0);
		assert_as_before();
		assert_int_equal(page->handled[sent[i].sig], 1);
	}
}

static void test_wait(void **state)
{
	(void)state;
	need_injection();
	page->lock = 1;
	assert_int_equal(call_simply(fn_wait_for_lock, SOON_NS), -EDEADLK);
	assert_as_before();
	assert_int_equal(call_simply(fn_sleep, 30 * MS), -EINPROGRESS);
	assert_as_before();
}

static void test_stop(void **state)
{
	int status;

	(void)state;
	need_injection();
	assert_int_equal(call_simply(fn_stop, SOON_NS), -EBUSY);
	assert_int_equal(waitpid(v.pid, &status, WUNTRACED), v.pid);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	assert_int_equal(kill(v.pid, SIGCONT), 0);
	assert_as_before();
}

static void test_death(void **state)
{
	(void)state;
	need_injection();
	assert_int_equal(call_simply(fn_kill, SOON_NS), -ESRCH);
}

static void test_exit(void **state)
{
	int status = 0;

	(void)state;
	need_injection();
	assert_int_equal(call_simply(fn_exit, SOON_NS), -ESRCH);
	/* Whoever traced it may have seen to it. */
	if (waitpid(v.pid, &status, 0) == v.pid)
		assert_int_equal(status, 0);
}

/* Nothing has been changed. */
static void test_refused(void **state)
{
	struct inject_stack stack, above, below, scant;
	struct inject_code code;
	uint64_t lo, hi;

	(void)state;
	need_injection();
	code = code_of(fn_return);
	lo = (uintptr_t)page->stack;
	hi = lo + STACK;
	stack = (struct inject_stack){ lo, hi };
	above = (struct inject_stack){ hi, hi + STACK };
	below = (struct inject_stack){ lo, lo + 4096 };
	scant = (struct inject_stack){ hi - 28672, hi };
	assert_int_equal(call(&code, &stack, 0, SOON_NS), -EINVAL);
	assert_int_equal(call(&code, &stack, CHAIN_CALLS_MAX + 1, SOON_NS), -EINVAL);
	assert_int_equal(call(&code, &above, 1, SOON_NS), -ENOSPC);
	assert_int_equal(call(&code, &below, 1, SOON_NS), -ENOSPC);
	assert_int_equal(call(&code, &scant, 1, SOON_NS), -ENOSPC);
	code.fn_bytes[0] ^= 1;
	assert_int_equal(call(&code, &stack, 1, SOON_NS), -ESTALE);
	code.fn = 8;
	assert_int_equal(call(&code, &stack, 1, SOON_NS), -ESTALE);
	assert_int_equal(page->repaired, 0);
	assert_as_before();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_return, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fault_without_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_death, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
