// SPDX-License-Identifier: GPL-2.0-or-later
#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "steps-call.h"

#define WAYS_MAX 4
#define DELAY_NS 60000000
#define HELD_NS 500000

/*
 * What each can really return, read from the kernel's and libc's sources. ESRCH of a
 * ptrace request: the thread was killed, and so stands in no stop of ours any more.
 * SETREGS refuses with EIO, as do those that need an older request, kernel or configuration.
 * What only takes power from us is refused by the filter of a container, or a security module.
 */
static const struct {
	const char *name;
	int ways[WAYS_MAX];
} calls[CALLS] = {
	[CALL_MALLOC] = { "malloc", { ENOMEM } },
	[CALL_CALLOC] = { "calloc", { ENOMEM } },
	[CALL_REALLOC] = { "realloc", { ENOMEM } },
	[CALL_REALLOCARRAY] = { "reallocarray", { ENOMEM } },
	[CALL_STRDUP] = { "strdup", { ENOMEM } },
	[CALL_MMAP] = { "mmap", { ENOMEM } },
	[CALL_OPEN] = { "open", { EMFILE, ENOMEM, EINTR } },
	[CALL_OPENAT] = { "openat", { EMFILE, ENOMEM, ESRCH, EINTR } },
	[CALL_READ] = { "read", { EINTR, STEP_SHORT, EIO, ESRCH } },
	[CALL_PREAD] = { "pread", { EINTR, STEP_SHORT, EIO } },
	[CALL_PREAD_MEM] = { "pread_mem", { STEP_SHORT, EIO, EINTR } },
	[CALL_WRITE] = { "write", { EINTR, ENOMEM } },
	[CALL_PWRITE] = { "pwrite", { STEP_SHORT, EIO, EINTR } },
	[CALL_READDIR] = { "readdir", { ENOMEM } },
	[CALL_FDOPENDIR] = { "fdopendir", { ENOMEM } },
	[CALL_FSTAT] = { "fstat", { ENOMEM } },
	[CALL_FSTATAT] = { "fstatat", { ENOMEM, ESRCH } },
	[CALL_READLINKAT] = { "readlinkat", { ENOMEM, ESRCH } },
	[CALL_IOCTL] = { "ioctl", { ENOMEM, EINTR } },
	[CALL_FCNTL] = { "fcntl", { EMFILE } },
	[CALL_DUP3] = { "dup3", { EBUSY, EINTR } },
	[CALL_SOCKETPAIR] = { "socketpair", { EMFILE, ENOBUFS } },
	[CALL_FORK] = { "fork", { EAGAIN, ENOMEM } },
	[CALL_SEND] = { "send", { EINTR, ENOBUFS, EPIPE } },
	[CALL_RECV] = { "recv", { EINTR, ENOMEM } },
	[CALL_PPOLL] = { "ppoll", { EINTR, ENOMEM } },
	[CALL_TIMER_CREATE] = { "timer_create", { EAGAIN, ENOMEM } },
	[CALL_WAITPID] = { "waitpid", { EINTR, ECHILD } },
	[CALL_WAITID] = { "waitid", { EINTR, ECHILD } },
	[CALL_SIGTIMEDWAIT] = { "sigtimedwait", { EINTR, EAGAIN } },
	[CALL_SEIZE] = { "seize", { EPERM, ESRCH } },
	[CALL_INTERRUPT] = { "interrupt", { ESRCH } },
	[CALL_CONT] = { "cont", { ESRCH } },
	[CALL_DETACH] = { "detach", { ESRCH } },
	[CALL_GETREGS] = { "getregs", { ESRCH } },
	[CALL_SETREGS] = { "setregs", { ESRCH, EIO } },
	[CALL_GETREGSET] = { "getregset", { ESRCH, EINVAL } },
	[CALL_SETREGSET] = { "setregset", { ESRCH, EINVAL } },
	[CALL_GETSIGMASK] = { "getsigmask", { ESRCH, EINVAL } },
	[CALL_SETSIGMASK] = { "setsigmask", { ESRCH, EINVAL } },
	[CALL_GETSIGINFO] = { "getsiginfo", { ESRCH, EINVAL } },
	[CALL_SECCOMP_FILTER] = { "seccomp_get_filter", { ESRCH, EACCES, EMEDIUMTYPE } },
	[CALL_RSEQ] = { "get_rseq", { ESRCH, EIO, EINVAL } },
	[CALL_DISPATCH] = { "get_syscall_user_dispatch", { ESRCH, EIO, EINVAL } },
	[CALL_TGKILL] = { "tgkill", { ESRCH, EPERM } },
	[CALL_PIDFD_OPEN] = { "pidfd_open", { EMFILE, ESRCH, ENOMEM } },
	[CALL_PIDFD_GETFD] = { "pidfd_getfd", { EMFILE, ESRCH, EPERM } },
	[CALL_ADVISE] = { "process_madvise", { ESRCH, EPERM, ENOMEM, EINTR } },
	[CALL_ROBUST_LIST] = { "get_robust_list", { ESRCH, EPERM } },
	[CALL_OPENAT2] = { "openat2", { EMFILE, ENOMEM, EAGAIN } },
	[CALL_KCMP] = { "kcmp", { ESRCH, EPERM } },
	[CALL_PRCTL] = { "prctl", { EPERM } },
	[CALL_SECCOMP] = { "seccomp", { ENOMEM, EINVAL, EACCES } },
	[CALL_SETRLIMIT] = { "setrlimit", { EPERM } },
	[CALL_SETGROUPS] = { "setgroups", { ENOMEM, EPERM } },
	[CALL_SETRESGID] = { "setresgid", { ENOMEM, EPERM, EINVAL } },
	[CALL_SETRESUID] = { "setresuid", { ENOMEM, EAGAIN, EPERM, EINVAL } },
	[CALL_CAPSET] = { "capset", { EPERM, ENOMEM } },
	[CALL_CLOSE_RANGE] = { "close_range", { ENOSYS, EPERM } },
	[CALL_PRLIMIT] = { "prlimit", { ESRCH, EPERM } },
	[CALL_SYSINFO] = { "sysinfo", { EPERM } },
};

static struct steps *steps;
static enum steps_role role;
static unsigned long at; /* the step that fails: 0 none */
static enum steps_role at_role;
static char at_call[STEPS_NAME]; /* counted are those of this name; empty: all */
static char kind[16];
static const char *hold; /* the call that waits for the test, NULL none */

static size_t steps_ways(enum call call)
{
	size_t n = 0;

	while (n < WAYS_MAX && calls[call].ways[n])
		n++;
	return n;
}

__attribute__((constructor)) static void steps_open(void)
{
	const char *path = getenv("RECLAIM_STEPS"), *what = getenv("RECLAIM_STEP");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	char who[16];
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*steps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p == MAP_FAILED)
		return;
	steps = p;
	for (size_t i = 0; i < CALLS; i++) {
		(void)snprintf(steps->names[i], STEPS_NAME, "%s", calls[i].name);
		steps->ways_of[i] = (uint8_t)steps_ways((enum call)i);
	}
	if (what && (sscanf(what, "%15[a-z]:%lu:%15s", who, &at, kind) == 3 ||
		     sscanf(what, "%15[a-z]:%31[a-z0-9_]@%lu:%15s", who, at_call, &at, kind) == 4))
		at_role = strcmp(who, "reader") ? STEPS_INJECTOR : STEPS_READER;
	else
		at = 0;
	hold = getenv("RECLAIM_STEP_HOLD");
	steps->magic = STEPS_MAGIC;
}

/* What the step that was to fail is told, or doesn't live to be told. */
static int steps_fire(enum call call)
{
	const struct timespec delay = { .tv_nsec = DELAY_NS };
	size_t way = strtoul(kind, NULL, 10), n = steps_ways(call);

	steps->ways = (uint32_t)n;
	steps->call = call;
	if (!strcmp(kind, "die")) {
		steps->fired = 1;
		(void)kill(getpid(), SIGKILL);
	} else if (!strcmp(kind, "delay")) {
		steps->fired = 1;
		(void)nanosleep(&delay, NULL);
	} else if (way < n) {
		steps->fired = 1;
		steps->error = calls[call].ways[way] == STEP_SHORT ? 0 : calls[call].ways[way];
		return calls[call].ways[way];
	}
	return STEP_NONE;
}

/* Should the test be gone: the worker's own timer ends it. */
static void steps_wait(void)
{
	const struct timespec pause = { .tv_nsec = HELD_NS };

	steps->held = 1;
	while (steps->held == 1)
		(void)nanosleep(&pause, NULL);
}

int step(enum call call)
{
	uint32_t k, nth;
	int r = STEP_NONE;

	if (!steps)
		return STEP_NONE;
	nth = ++steps->nth[role][call];
	k = ++steps->count[role];
	if (k <= STEPS_MAX)
		steps->calls[role][k - 1] = (uint8_t)call;
	if (hold && role == STEPS_INJECTOR && !steps->held && !strcmp(calls[call].name, hold))
		steps_wait();
	if (role == at_role && (*at_call ? nth == at && !strcmp(calls[call].name, at_call) : k == at))
		r = steps_fire(call);
	if (r > 0)
		errno = r;
	return r;
}

void steps_become_reader(void)
{
	role = STEPS_READER;
}
