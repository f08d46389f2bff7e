/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every operation on a tracee in one place: ptrace requests, bounded waits,
 * remote memory. All return 0 (or a length) or -errno; none logs.
 *
 * Rules kept here:
 *  - waits never block without a deadline. The caller has SIGCHLD blocked
 *    (trace_init), so that a stop is never missed between look and sleep.
 *  - a tracee belongs to the thread that seized it (ptrace(2)): the injector
 *    is single-threaded.
 *  - PTRACE_O_EXITKILL is never set: our death must not kill the target.
 */
#ifndef RECLAIM_INJECT_TRACE_H
#define RECLAIM_INJECT_TRACE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/cleanup.h"

/* Blocks SIGCHLD; once per process, before the first seize. */
int trace_init(void) __must_check;

/* PTRACE_SEIZE with TRACESYSGOOD and TRACEEXEC. -EPERM, -ESRCH. The thread goes on running. */
int trace_seize(pid_t tid) __must_check;
/*
 * PTRACE_INTERRUPT. A thread that stands still stops once more when it is resumed, and before it runs anything of its
 * own: the request is forgotten on the way into a stop, not on the way out (kernel/signal.c, ptrace_stop()).
 */
int trace_interrupt(pid_t tid) __must_check;

/*
 * Waits for a stop of @tid until @deadline_ns (base/clock.h). 0 with its wait status, again and again until the thread
 * is resumed (but for PTRACE_EVENT_EXEC: once); -ETIMEDOUT; -ESRCH when it has exited, and is reaped.
 */
int trace_wait(pid_t tid, uint64_t deadline_ns, int *ret_status) __must_check;

/* The signal that @tid has stopped for is nobody's from now on, whatever becomes of us. Its stop isn't told again. */
int trace_take(pid_t tid);

int trace_getregs(pid_t tid, struct user_regs_struct *ret) __must_check;
int trace_setregs(pid_t tid, const struct user_regs_struct *regs) __must_check;
/* NT_X86_XSTATE: the whole extended state in its uncompacted form. Length or -errno. */
ssize_t trace_getxstate(pid_t tid, void *buf, size_t size) __must_check;
int trace_setxstate(pid_t tid, const void *buf, size_t len) __must_check;
int trace_getsigmask(pid_t tid, uint64_t *ret) __must_check;
int trace_setsigmask(pid_t tid, uint64_t mask) __must_check;

/* Of the signal that a signal-delivery-stop is about. */
int trace_getsiginfo(pid_t tid, siginfo_t *ret) __must_check;

/* One cBPF program of the thread's seccomp filters (newest first): number of instructions, -ENOENT at the end. */
int trace_seccomp_filter(pid_t tid, unsigned int index, void *insns, size_t max_insns) __must_check;

/*
 * Where the target says that the thread's struct rseq is; 0: it has none. -errno when it can't be told: Linux 4.18 to
 * 5.12 have such sequences and no PTRACE_GET_RSEQ_CONFIGURATION.
 */
int trace_rseq(pid_t tid, uint64_t *ret_area) __must_check;

/* Syscall user dispatch: 1 on, 0 off, -EOPNOTSUPP when the kernel can't tell (< 6.4). */
int trace_user_dispatch(pid_t tid) __must_check;

int trace_cont(pid_t tid, int sig) __must_check;
int trace_detach(pid_t tid, int sig) __must_check;
int trace_signal(pid_t pid, pid_t tid, int sig) __must_check;

/*
 * Memory of the target through an open /proc/PID/mem, never by pid: the fd is
 * bound to the memory that was looked at. After an exec, of a set-user-id
 * program say, it leads nowhere. Whole ranges or -EFAULT.
 */
int trace_read(int mem_fd, uint64_t addr, void *buf, size_t len) __must_check;
/* The same for polling: not a step of the fault build, since nobody knows how often it comes. */
int trace_peek(int mem_fd, uint64_t addr, void *buf, size_t len) __must_check;
int trace_write(int mem_fd, uint64_t addr, const void *buf, size_t len) __must_check;

#endif
