// SPDX-License-Identifier: GPL-2.0-or-later
/* What code that has captured the reader could still do: each case in a child of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/sandbox.h"

#define ENTRY_FAILED 99

/* Runs @attempt in the sandbox: 0 when it failed as it must, else what it returned. */
static int in_sandbox(int (*attempt)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(sandbox_enter() < 0 ? ENTRY_FAILED : attempt());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* valgrind needs system calls of its own in the very process that gives them up. */
static bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "valgrind");
}

static int try_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0;
}

static int try_signal(void)
{
	return kill(getpid(), 0) == 0 || syscall(SYS_tgkill, getpid(), gettid(), 0) == 0;
}

/* The kernel would send the signal for us, with root's right to. */
static int try_signal_by_fcntl(void)
{
	int fds[2] = { 0, 1 };

	return fcntl(fds[0], F_SETOWN, getpid()) == 0 || fcntl(fds[0], F_SETSIG, SIGKILL) == 0 ||
	       fcntl(fds[0], F_SETFL, O_ASYNC) == 0;
}

static int try_execute(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static int try_make_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED || mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static int try_trace(void)
{
	char c;
	struct iovec local = { .iov_base = &c, .iov_len = 1 }, remote = { .iov_base = &c, .iov_len = 1 };

	return syscall(SYS_process_vm_readv, getppid(), &local, 1ul, &remote, 1ul, 0ul) >= 0 ||
	       syscall(SYS_ptrace, 0x4206, getppid(), 0, 0) == 0;
}

static int try_network(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ||
	       socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0;
}

static int try_memory(void)
{
	size_t got = 0;

	while (got < 2048 &&
	       mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		got++;
	return got >= 1024; /* MiB */
}

/* What the reader does need: reading an fd, time, memory. */
static int need_works(void)
{
	char buf[16];
	void *p = malloc(1 << 20);

	free(p);
	return p && pread(STDIN_FILENO, buf, 0, 0) <= 0 && fcntl(STDIN_FILENO, F_GETFD) >= -1 ? 0 : 1;
}

static void test_attempts_fail(void **state)
{
	static int (*const attempts[])(void) = { try_open,    try_signal,	   try_signal_by_fcntl,
						 try_execute, try_make_executable, try_trace,
						 try_network };

	(void)state;
	if (under_valgrind())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		if (in_sandbox(attempts[i]) != 0)
			fail_msg("attempt %zu worked", i);
}

static void test_need_works(void **state)
{
	(void)state;
	if (under_valgrind())
		skip();
	assert_int_equal(in_sandbox(need_works), 0);
}

static void test_memory_is_bounded(void **state)
{
	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip(); /* its shadow memory needs more than the bound */
#endif
	if (under_valgrind())
		skip();
	assert_int_equal(in_sandbox(try_memory), 0);
}

static void read_status(pid_t pid, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, text, size - 1);
	assert_true(n > 0);
	(void)close(fd);
	text[n] = '\0';
}

/* Asked from outside: getuid() itself is not allowed in there. */
static void test_root_becomes_nobody(void **state)
{
	char text[4096];
	pid_t pid;

	(void)state;
	if (under_valgrind() || geteuid() != 0)
		skip();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter() < 0)
			_exit(ENTRY_FAILED);
		for (;;)
			(void)fcntl(STDIN_FILENO, F_GETFD);
	}
	for (int i = 0; i < 2000; i++) {
		read_status(pid, text, sizeof(text));
		if (strstr(text, "Seccomp:\t2"))
			break;
		(void)usleep(1000);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	assert_non_null(strstr(text, "Seccomp:\t2"));
	assert_non_null(strstr(text, "Uid:\t65534\t65534\t65534\t65534"));
	assert_non_null(strstr(text, "Gid:\t65534\t65534\t65534\t65534"));
	assert_non_null(strstr(text, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(text, "CapPrm:\t0000000000000000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts_fail),
		cmocka_unit_test(test_need_works),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_root_becomes_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
