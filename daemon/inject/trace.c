// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/trace.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "inject/fault.h"

/* Newer than Debian 12's libc headers; values are kernel ABI (include/uapi/linux/ptrace.h). */
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif

static long trace_op(const char *name, int request, pid_t tid, void *addr, void *data)
{
	long r;

	fault_before(name);
	r = ptrace(request, tid, addr, data);
	if (r < 0)
		r = -errno;
	fault_after();
	return r;
}

static int trace_op0(const char *name, int request, pid_t tid, void *addr, void *data)
{
	long r = trace_op(name, request, tid, addr, data);

	return r < 0 ? (int)r : 0;
}

int trace_init(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

int trace_seize(pid_t tid)
{
	return trace_op0("seize", PTRACE_SEIZE, tid, NULL,
			 (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC));
}

int trace_interrupt(pid_t tid)
{
	return trace_op0("interrupt", PTRACE_INTERRUPT, tid, NULL, NULL);
}

static int trace_waitid(pid_t tid, siginfo_t *ret, int options)
{
	int r;

	fault_before("wait");
	do {
		r = waitid(P_PID, (id_t)tid, ret, options | __WALL | WNOHANG);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		r = -errno;
	fault_after();
	return r;
}

/*
 * A stop is looked at, not taken: who takes it clears the signal that the thread has stopped for (exit_code, in
 * wait_task_stopped()), and if we died before we let it go on the kernel would deliver none (ptrace_signal()).
 * Only that of an exec has to be taken, and is for no signal: before, who was no leader answers no request
 * (dbb5afad100a "ptrace: make ptrace() fail if the tracee changed its pid unexpectedly", Linux 5.13).
 */
static int trace_wait_once(pid_t tid, int *ret_status)
{
	siginfo_t si = { .si_pid = 0 };
	int r = trace_waitid(tid, &si, WEXITED | WSTOPPED | WNOWAIT);

	if (r == 0 && si.si_pid && si.si_code == CLD_TRAPPED && si.si_status >> 8 == PTRACE_EVENT_EXEC) {
		si.si_pid = 0;
		r = trace_waitid(tid, &si, WSTOPPED);
	}
	if (r < 0)
		return r == -ECHILD ? -ESRCH : r;
	if (!si.si_pid)
		return -EAGAIN;
	if (si.si_code == CLD_TRAPPED) {
		/* As waitpid() puts it, which the macros of sys/wait.h are for. */
		*ret_status = si.si_status << 8 | 0x7f;
		return 0;
	}
	/* To reap it. By now its number may be that of another, who has executed a program and stands still. */
	r = trace_waitid(tid, &si, WEXITED);
	return r < 0 && r != -ECHILD ? r : -ESRCH;
}

int trace_take(pid_t tid)
{
	siginfo_t si;

	return trace_waitid(tid, &si, WSTOPPED);
}

int trace_wait(pid_t tid, uint64_t deadline_ns, int *ret_status)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		struct timespec left;
		int r = trace_wait_once(tid, ret_status);

		if (r != -EAGAIN)
			return r;
		if (clock_ns() >= deadline_ns)
			return -ETIMEDOUT;
		/* SIGCHLD is blocked: a stop after the look above ends this sleep at once. */
		left = clock_remaining(deadline_ns);
		if (sigtimedwait(&set, NULL, &left) < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

int trace_getregs(pid_t tid, struct user_regs_struct *ret)
{
	struct user_regs_struct regs;
	int r = trace_op0("getregs", PTRACE_GETREGS, tid, NULL, &regs);

	if (r < 0)
		return r;
	*ret = regs;
	return 0;
}

int trace_setregs(pid_t tid, const struct user_regs_struct *regs)
{
	return trace_op0("setregs", PTRACE_SETREGS, tid, NULL, (void *)regs);
}

ssize_t trace_getxstate(pid_t tid, void *buf, size_t size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	int r = trace_op0("getregset", PTRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &iov);

	return r < 0 ? r : (ssize_t)iov.iov_len;
}

int trace_setxstate(pid_t tid, const void *buf, size_t len)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return trace_op0("setregset", PTRACE_SETREGSET, tid, (void *)NT_X86_XSTATE, &iov);
}

int trace_getsigmask(pid_t tid, uint64_t *ret)
{
	uint64_t mask;
	int r = trace_op0("getsigmask", PTRACE_GETSIGMASK, tid, (void *)sizeof(mask), &mask);

	if (r < 0)
		return r;
	*ret = mask;
	return 0;
}

int trace_setsigmask(pid_t tid, uint64_t mask)
{
	return trace_op0("setsigmask", PTRACE_SETSIGMASK, tid, (void *)sizeof(mask), &mask);
}

int trace_getsiginfo(pid_t tid, siginfo_t *ret)
{
	return trace_op0("getsiginfo", PTRACE_GETSIGINFO, tid, NULL, ret);
}

int trace_seccomp_filter(pid_t tid, unsigned int index, void *insns, size_t max_insns)
{
	long n = trace_op("seccomp_get_filter", PTRACE_SECCOMP_GET_FILTER, tid, (void *)(uintptr_t)index, NULL);

	if (n < 0)
		return (int)n;
	if ((size_t)n > max_insns)
		return -E2BIG;
	return (int)trace_op("seccomp_get_filter", PTRACE_SECCOMP_GET_FILTER, tid, (void *)(uintptr_t)index, insns);
}

int trace_rseq(pid_t tid, uint64_t *ret_area)
{
	/* struct ptrace_rseq_configuration, Linux 5.13 */
	struct {
		uint64_t abi_pointer;
		uint32_t abi_size, signature, flags, pad;
	} conf = { 0 };
	long n = trace_op("get_rseq", PTRACE_GET_RSEQ_CONFIGURATION, tid, (void *)sizeof(conf), &conf);

	/* Since 4.18 there are sequences; the kernels between can't be asked for them, and say so by another error. */
	if ((n == -EIO || n == -EINVAL) && syscall(SYS_rseq, NULL, 0, 0, 0) < 0 && errno == ENOSYS)
		n = 0;
	if (n < 0)
		return (int)n;
	*ret_area = conf.abi_pointer;
	return 0;
}

int trace_user_dispatch(pid_t tid)
{
	/* struct ptrace_sud_config, Linux 6.4 */
	struct {
		uint64_t mode, selector, offset, len;
	} conf = { 0 };
	int r = trace_op0("get_syscall_user_dispatch", PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid,
			  (void *)sizeof(conf), &conf);

	if (r == -EIO || r == -EINVAL)
		return -EOPNOTSUPP;
	if (r < 0)
		return r;
	return conf.mode != 0;
}

int trace_cont(pid_t tid, int sig)
{
	return trace_op0("cont", PTRACE_CONT, tid, NULL, (void *)(uintptr_t)sig);
}

int trace_detach(pid_t tid, int sig)
{
	return trace_op0("detach", PTRACE_DETACH, tid, NULL, (void *)(uintptr_t)sig);
}

int trace_signal(pid_t pid, pid_t tid, int sig)
{
	int r;

	fault_before("tgkill");
	r = syscall(SYS_tgkill, pid, tid, sig) < 0 ? -errno : 0;
	fault_after();
	return r;
}

/* Only the next read or write says why one was short. @name: of the step, NULL none. */
static int trace_mem(const char *name, int mem_fd, bool write, uint64_t addr, void *buf, size_t len)
{
	char *at = buf;

	while (len) {
		ssize_t n;

		if (name)
			fault_before(name);
		n = write ? pwrite(mem_fd, at, len, (off_t)addr) : pread(mem_fd, at, len, (off_t)addr);
		if (n < 0)
			n = -errno;
		if (name)
			fault_after();
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n == 0 || n == -EIO ? -EFAULT : (int)n;
		at += n;
		len -= (size_t)n;
		addr += (uint64_t)n;
	}
	return 0;
}

int trace_read(int mem_fd, uint64_t addr, void *buf, size_t len)
{
	return trace_mem("read", mem_fd, false, addr, buf, len);
}

int trace_peek(int mem_fd, uint64_t addr, void *buf, size_t len)
{
	return trace_mem(NULL, mem_fd, false, addr, buf, len);
}

int trace_write(int mem_fd, uint64_t addr, const void *buf, size_t len)
{
	return trace_mem("write", mem_fd, true, addr, (void *)buf, len);
}
