/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The negative controls: what a careless tool does. A test suite that doesn't
 * see these can't see ours either.
 *
 *   disturb hold PID    attach and stay: the process is traced
 *   disturb brk TID     attach, and keep it stopped where it asks for memory or gives it back: in malloc
 *                       or free, with the lock of the first arena in its hands
 *   disturb touch PID   stop it and let it go, nothing more
 *   disturb knock PID   the same again and again, busy between, until somebody ends this; tells how often
 *   disturb blind PID   call malloc_trim(0) in it as a simple debugger script would: wherever it
 *                       stands, on its own stack without a look at the red zone, and only the
 *                       general registers saved
 *   disturb deaf PID    leave all its signals blocked
 *   disturb errno PID   let its current system call fail with EINTR
 */
#include <dlfcn.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "victim.h"

static uintptr_t libc_base(const char *pid)
{
	char path[64], line[512];
	unsigned long base = 0, off;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "libc.so.6") && sscanf(line, "%lx-%*x %*s %lx", &base, &off) == 2 && !off)
			break;
	if (f)
		fclose(f);
	return base;
}

static void stop(pid_t pid)
{
	int st;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		die("PTRACE_SEIZE");
	if (waitpid(pid, &st, __WALL) != pid || !WIFSTOPPED(st))
		die("waitpid");
}

static int blind(pid_t pid, const char *pid_text)
{
	uintptr_t here = libc_base("self"), there = libc_base(pid_text);
	struct user_regs_struct save, regs;
	uint64_t nowhere = 0;
	int st;

	if (!here || !there)
		die("no libc");
	stop(pid);
	if (ptrace(PTRACE_GETREGS, pid, NULL, &save))
		die("PTRACE_GETREGS");
	regs = save;
	regs.rip = (uintptr_t)dlsym(RTLD_DEFAULT, "malloc_trim") - here + there;
	regs.rdi = 0;
	regs.orig_rax = (unsigned long long)-1;
	regs.eflags &= ~0x400ull;
	regs.rsp = (regs.rsp & ~15ull) - 8;
	if (ptrace(PTRACE_POKEDATA, pid, regs.rsp, nowhere) || ptrace(PTRACE_SETREGS, pid, NULL, &regs) ||
	    ptrace(PTRACE_CONT, pid, NULL, NULL))
		die("call");
	alarm(10); /* it may well deadlock */
	for (;;) {
		if (waitpid(pid, &st, __WALL) != pid || !WIFSTOPPED(st))
			return 3;
		if (WSTOPSIG(st) == SIGSEGV)
			break;
		ptrace(PTRACE_CONT, pid, NULL, WSTOPSIG(st));
	}
	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) || regs.rip)
		return 3; /* it crashed inside */
	ptrace(PTRACE_SETREGS, pid, NULL, &save);
	return ptrace(PTRACE_DETACH, pid, NULL, NULL) ? 3 : 0;
}

static int deaf(pid_t pid)
{
	uint64_t all = ~0ull;

	stop(pid);
	return ptrace(PTRACE_SETSIGMASK, pid, 8, &all) || ptrace(PTRACE_DETACH, pid, NULL, NULL) ? 3 : 0;
}

static int with_eintr(pid_t pid)
{
	struct user_regs_struct regs;

	stop(pid);
	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
		return 3;
	regs.rax = (unsigned long long)-EINTR;
	regs.orig_rax = (unsigned long long)-1;
	return ptrace(PTRACE_SETREGS, pid, NULL, &regs) || ptrace(PTRACE_DETACH, pid, NULL, NULL) ? 3 : 0;
}

static volatile sig_atomic_t enough;

static void on_term(int sig)
{
	(void)sig;
	enough = 1;
}

static void busy_us(uint64_t us)
{
	const uint64_t end = now_us() + us;

	while (now_us() < end)
		;
}

/* Changes nothing: what comes of it is the kernel's own doing. */
static int knock(pid_t pid)
{
	const struct sigaction term = { .sa_handler = on_term, .sa_flags = SA_RESTART };
	unsigned long stops = 0;

	if (sigaction(SIGTERM, &term, NULL))
		die("sigaction");
	for (; !enough; stops++) {
		int st = 0;

		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
			die("PTRACE_SEIZE");
		for (;;) {
			if (waitpid(pid, &st, __WALL) != pid || !WIFSTOPPED(st))
				die("waitpid");
			if (st >> 16)
				break;
			if (ptrace(PTRACE_CONT, pid, NULL, WSTOPSIG(st)))
				die("PTRACE_CONT");
		}
		busy_us(30);
		if (ptrace(PTRACE_DETACH, pid, NULL, NULL))
			die("PTRACE_DETACH");
		busy_us(200);
	}
	printf("%lu\n", stops);
	return 0;
}

static void stay(void)
{
	puts("ok");
	fflush(stdout);
	for (;;)
		pause();
}

static void stop_in_brk(pid_t tid)
{
	struct user_regs_struct regs;
	int st, sig = 0;

	stop(tid);
	if (ptrace(PTRACE_SETOPTIONS, tid, NULL, PTRACE_O_TRACESYSGOOD))
		die("PTRACE_SETOPTIONS");
	do {
		if (ptrace(PTRACE_SYSCALL, tid, NULL, sig) || waitpid(tid, &st, __WALL) != tid || !WIFSTOPPED(st) ||
		    ptrace(PTRACE_GETREGS, tid, NULL, &regs))
			die("PTRACE_SYSCALL");
		sig = WSTOPSIG(st) == (SIGTRAP | 0x80) || st >> 16 ? 0 : WSTOPSIG(st);
	} while (WSTOPSIG(st) != (SIGTRAP | 0x80) || regs.orig_rax != SYS_brk);
}

int main(int argc, char **argv)
{
	pid_t pid;

	if (argc != 3)
		return 2;
	pid = atoi(argv[2]);
	if (!strcmp(argv[1], "hold")) {
		die_with_parent();
		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
			die("PTRACE_SEIZE");
		stay();
	}
	if (!strcmp(argv[1], "brk")) {
		die_with_parent();
		stop_in_brk(pid);
		stay();
	}
	if (!strcmp(argv[1], "touch")) {
		stop(pid);
		return ptrace(PTRACE_DETACH, pid, NULL, NULL) ? 3 : 0;
	}
	if (!strcmp(argv[1], "knock"))
		return knock(pid);
	if (!strcmp(argv[1], "blind"))
		return blind(pid, argv[2]);
	if (!strcmp(argv[1], "deaf"))
		return deaf(pid);
	if (!strcmp(argv[1], "errno"))
		return with_eintr(pid);
	return 2;
}
