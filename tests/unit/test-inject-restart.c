// SPDX-License-Identifier: GPL-2.0-or-later
/* Which sleeping thread may be stopped: by its system call, its arguments, and what it waits for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "inject/partial.h"
#include "inject/restart.h"
#include "inject/session.h"
#include "need-pidfd.h"

#define NO_TIMEOUT ((uint64_t)-1)

/* 0: never; the best are 1. Those whose timeout begins anew come last. */
static void test_ranks(void **state)
{
	static const struct {
		long nr;
		uint64_t args[RESTART_ARGS];
		unsigned int least, most;
	} all[] = {
		{ SYS_pause, { 0 }, 1, 1 },
		{ SYS_read, { 3 }, 1, 1 },
		{ SYS_futex, { 1, FUTEX_WAIT_PRIVATE, 2, 0 }, 1, 1 },
		{ SYS_futex, { 1, FUTEX_WAIT_PRIVATE, 2, 0x7000 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_futex, { 1, FUTEX_WAIT_BITSET_PRIVATE, 2, 0x7000 }, 1, 1 },
		{ SYS_futex, { 1, FUTEX_LOCK_PI, 2, 0 }, 0, 0 },
		{ SYS_recvfrom, { 3, 1, 2, 0 }, 1, 1 },
		{ SYS_recvfrom, { 3, 1, 2, MSG_WAITALL }, 0, 0 },
		{ SYS_recvmsg, { 3, 1, 0 }, 1, 1 },
		{ SYS_recvmsg, { 3, 1, MSG_WAITALL }, 0, 0 },
		{ SYS_epoll_wait, { 3, 1, 2, NO_TIMEOUT }, 1, 2 },
		{ SYS_epoll_wait, { 3, 1, 2, 100 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_epoll_pwait, { 3, 1, 2, NO_TIMEOUT }, 1, 2 },
		{ 441 /* epoll_pwait2 */, { 3, 1, 2, 0 }, 1, 2 },
		{ 441, { 3, 1, 2, 0x7000 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_rt_sigtimedwait, { 1, 2, 0 }, 1, 2 },
		{ SYS_rt_sigtimedwait, { 1, 2, 0x7000 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_semtimedop, { 1, 2, 1, 0 }, 1, 2 },
		{ SYS_semtimedop, { 1, 2, 1, 0x7000 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_io_getevents, { 1, 1, 8, 2, 0 }, 1, 2 },
		{ SYS_io_getevents, { 1, 1, 8, 2, 0x7000 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_io_getevents, { 1, 2, 8, 2, 0 }, 0, 0 },
		{ SYS_io_uring_enter, { 3, 0, 1 }, 1, 2 },
		{ SYS_io_uring_enter, { 3, 1, 1 }, 0, 0 },
		{ SYS_io_uring_enter, { 3, 0, 2 }, 0, 0 },
		{ SYS_poll, { 1, 1, NO_TIMEOUT }, 1, 2 },
		{ SYS_poll, { 1, 1, 1000 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_clock_nanosleep, { CLOCK_MONOTONIC, TIMER_ABSTIME, 1 }, 1, 1 },
		{ SYS_clock_nanosleep, { CLOCK_MONOTONIC, 0, 1 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_nanosleep, { 1 }, RESTART_RANK_ANEW, RESTART_RANK_ANEW },
		{ SYS_recvmmsg, { 3 }, 0, 0 },
		{ SYS_write, { 3 }, 0, 0 },
		{ SYS_connect, { 3 }, 0, 0 },
		{ SYS_getpid, { 0 }, 0, 0 },
		{ -1, { 0 }, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_in_range(restart_rank(all[i].nr, all[i].args), all[i].least, all[i].most);
	assert_string_equal(restart_name(SYS_epoll_wait), "epoll_wait");
	assert_string_equal(restart_name(SYS_getpid), "a system call");
}

static enum restart_class class_of(long nr, long result)
{
	struct user_regs_struct regs = { .orig_rax = (unsigned long long)nr, .rax = (unsigned long long)result };

	return restart_classify(&regs);
}

/* As a tracer sees it: include/linux/errno.h has the numbers above 511. */
static void test_classes(void **state)
{
	(void)state;
	assert_int_equal(class_of(-1, 7), RESTART_NONE);
	assert_int_equal(class_of(SYS_read, 7), RESTART_NONE);
	assert_int_equal(class_of(SYS_read, -EAGAIN), RESTART_NONE);
	for (long e = 512; e <= 514; e++)
		assert_int_equal(class_of(SYS_read, -e), RESTART_EXACT);
	assert_int_equal(class_of(SYS_poll, -516), RESTART_BLOCK);
	assert_int_equal(class_of(SYS_epoll_wait, -EINTR), RESTART_NEVER);
	assert_int_equal(class_of(SYS_pause, -EINTR), RESTART_FOREIGN);
	assert_int_equal(class_of(SYS_getpid, -EINTR), RESTART_FOREIGN);
}

/* mov eax, nr; syscall */
static void test_original(void **state)
{
	uint8_t code[ARCH_SYSCALL_CODE];
	const long known[] = { SYS_poll, SYS_nanosleep, SYS_clock_nanosleep, SYS_futex };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		memset(code, 0x90, sizeof(code));
		code[sizeof(code) - 7] = 0xb8;
		code[sizeof(code) - 6] = (uint8_t)known[i];
		memset(code + sizeof(code) - 5, 0, 3);
		code[sizeof(code) - 2] = 0x0f;
		code[sizeof(code) - 1] = 0x05;
		assert_int_equal(restart_original(code), known[i]);
	}
	code[sizeof(code) - 6] = SYS_read;
	assert_int_equal(restart_original(code), -ENOENT);
	memset(code, 0x90, sizeof(code));
	assert_int_equal(restart_original(code), -ENOENT);
}

static int look(void *ctx, uint64_t addr, size_t len, uint64_t deadline_ns)
{
	(void)addr;
	(void)len;
	(void)deadline_ns;
	return *(const int *)ctx;
}

/* Of whoever sleeps here: not before somebody else has been there. */
static void test_look_first(void **state)
{
	static const uint8_t code[] = { 0xb8, SYS_nanosleep, 0, 0, 0, 0x0f, 0x05 };
	const uint64_t pc = (uint64_t)(uintptr_t)code + sizeof(code);
	struct inject_target self = { .pid = getpid(), .look = look };
	int said = 0;

	(void)state;
	self.look_ctx = &said;
	self.mem_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	assert_true(self.mem_fd >= 0);
	assert_int_equal(inject_original_call(&self, pc, 0), SYS_nanosleep);
	said = -EFAULT;
	assert_int_equal(inject_original_call(&self, pc, 0), -ENOENT);
	said = -ETIME;
	assert_int_equal(inject_original_call(&self, pc, 0), -ETIME);
	said = -EPIPE;
	assert_int_equal(inject_original_call(&self, pc, 0), -EPIPE);
	assert_int_equal(inject_original_call(&self, 3, 0), -ENOENT);
	close(self.mem_fd);
}

/* Would a stop make it return what it has so far? Asked of our own descriptors. */
static void test_partial(void **state)
{
	struct inject_target self = { .pid = getpid(), .mem_fd = -1 };
	int pipes[2], sockets[2], several = 2, master, slave;
	struct termios t;
	char *name;

	(void)state;
	need_pidfd();
	self.piddir = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(self.piddir >= 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_false(partial_read(&self, (uint64_t)pipes[0]));
	assert_false(partial_read(&self, (uint64_t)sockets[0]));
	assert_int_equal(setsockopt(sockets[0], SOL_SOCKET, SO_RCVLOWAT, &several, sizeof(several)), 0);
	assert_true(partial_read(&self, (uint64_t)sockets[0]));
	/* None of its descriptors. */
	assert_true(partial_read(&self, 1000000));
	assert_true(partial_read(&self, (uint64_t)INT_MAX + 1));

	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	name = ptsname(master);
	assert_non_null(name);
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_false(partial_read(&self, (uint64_t)slave));
	assert_int_equal(tcgetattr(slave, &t), 0);
	t.c_lflag &= ~(tcflag_t)ICANON;
	t.c_cc[VMIN] = 3;
	assert_int_equal(tcsetattr(slave, TCSANOW, &t), 0);
	assert_true(partial_read(&self, (uint64_t)slave));
	(void)close(slave);
	(void)close(master);
	for (int i = 0; i < 2; i++) {
		(void)close(pipes[i]);
		(void)close(sockets[i]);
	}
	(void)close(self.piddir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_original),
		cmocka_unit_test(test_look_first),
		cmocka_unit_test(test_partial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
