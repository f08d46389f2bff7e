// SPDX-License-Identifier: GPL-2.0-or-later
/* After the commit: wait for the end, put the thread back where it was, or call it back. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/pstatus.h"
#include "inject/session.h"
#include "inject/trace.h"

#define GIVE_UP_NS (20 * 1000000ull)
#define LOCK_WAIT_NS (20 * 1000000ull)
#ifndef TRAP_PERF
#define TRAP_PERF 6 /* include/uapi/asm-generic/siginfo.h, since Linux 5.13 */
#endif
#define K_ERESTARTSYS 512 /* include/linux/errno.h */

/*
 * A fault of the called function, and not a signal of that number that
 * somebody has sent: the kernel's own have a positive code. Memory errors
 * found in passing and perf's samples are no faults of this code either.
 */
static bool await_is_fault(const struct inject *inj, int sig)
{
	siginfo_t info;

	if (sig != SIGSEGV && sig != SIGBUS && sig != SIGILL && sig != SIGFPE && sig != SIGSYS && sig != SIGTRAP)
		return false;
	if (trace_getsiginfo(inj->tid, &info) < 0 || info.si_code <= 0)
		return false;
	if (sig == SIGBUS && info.si_code == BUS_MCEERR_AO)
		return false;
	return sig != SIGTRAP || info.si_code != TRAP_PERF;
}

/*
 * The chain is through: the thread stands where it was, rewound into its
 * system call. It gets the state of its interruption back, so that the kernel
 * decides about EINTR and SA_RESTART as it would have without us, also for a
 * signal that comes this very moment.
 */
static void await_finish(struct inject *inj, int sig)
{
	bool rewound = inj->cont.regs.rip != inj->regs.rip;
	struct user_regs_struct regs;

	inj->done_ns = clock_ns();
	inject_own_regs(inj, true, &regs);
	inject_release(inj, rewound ? &regs : NULL, sig == inj->notifier ? 0 : sig);
}

/*
 * Takes the thread out of the call for @why, -errno: into the chain's last frame, which puts all of its own state back
 * whatever becomes of us. What the called function leaves behind is the caller's. 1: on its way.
 */
static int await_undo(struct inject *inj, int why)
{
	const struct chain *c = &inj->chain;
	struct user_regs_struct regs = c->entry;
	int r;

	inj->undone = why;
	arch_enter_regs(&regs, c->restorer, chain_frame_at(c, c->nframes - 1));
	r = trace_setregs(inj->tid, &regs);
	if (r == 0)
		r = trace_cont(inj->tid, 0);
	if (r < 0)
		inject_release(inj, NULL, 0);
	return r < 0 ? r : 1;
}

/* Not even that frame can be had: all that is left is to put back what it would have, one after the other. */
static void await_put_back(struct inject *inj)
{
	struct user_regs_struct regs;

	inj->done_ns = clock_ns();
	inject_own_regs(inj, true, &regs);
	if (trace_setregs(inj->tid, &regs) == 0 && trace_setxstate(inj->tid, inj->xraw, (size_t)inj->xraw_len) == 0)
		(void)!trace_setsigmask(inj->tid, inj->sigmask);
	inject_release(inj, NULL, 0);
}

/*
 * The chain is over, and the thread does whatever it does. Usually the
 * notifier tells; but when any thread of the target sets that signal's action
 * to its default, the kernel throws away what is queued (do_sigaction). The
 * mask tells too: nobody but a chain blocks signals as a chain does, and a
 * thread that has all of them blocked by itself has no notifier.
 */
bool inject_is_back(const struct inject *inj)
{
	uint64_t mask;

	return trace_getsigmask(inj->tid, &mask) == 0 && !chain_may_block(mask);
}

/* Surely in the chain: its frames are what the thread returns to, so it can be sent to them. */
static bool await_is_in_chain(const struct inject *inj)
{
	uint64_t mask;

	return trace_getsigmask(inj->tid, &mask) == 0 && chain_blocks(mask);
}

/* The same, seen from outside. */
static bool await_seems_back(const struct inject *inj)
{
	_cleanup_close_ int dir = inject_open_thread(inj->target, inj->tid);
	struct pstatus st;

	return dir >= 0 && pstatus_read(dir, &st) == 0 && !chain_may_block(st.sig_blk);
}

bool inject_is_through(const struct inject *inj, const struct user_regs_struct *regs)
{
	return regs->rip == inj->cont.regs.rip && regs->rsp == inj->cont.regs.rsp;
}

/* In a futex wait that has not been woken: nothing has been handed to this thread that would get lost. */
static bool await_only_waits(const struct inject *inj, const struct user_regs_struct *regs)
{
	return !inj->undone && !inject_is_through(inj, regs) && regs->rsp < inj->revoke_below &&
	       regs->orig_rax == SYS_futex && regs->rax == (unsigned long long)-K_ERESTARTSYS;
}

bool inject_is_about_to_tell(const struct inject *inj, const struct user_regs_struct *regs)
{
	_cleanup_close_ int dir = inject_open_thread(inj->target, inj->tid);
	struct pstatus st;

	return inject_is_through(inj, regs) && dir >= 0 && pstatus_read(dir, &st) == 0 &&
	       (st.sig_pnd & 1ull << (inj->notifier - 1));
}

static int await_go(const struct inject *inj)
{
	return trace_cont(inj->tid, 0) < 0 ? -ESRCH : 1;
}

/*
 * The stop that we have asked for.
 *
 * A thread that waits for an arena's lock, its signals blocked, must not wait
 * for long: whoever holds the lock may itself be waiting for this thread (a
 * collector that stops the world by signals). malloc_trim holds no lock while
 * it waits for one, so it can be called back there. @last: else let it go, unless it tells of its end by itself.
 */
static int await_look(struct inject *inj, bool last)
{
	struct user_regs_struct regs;
	int r = trace_getregs(inj->tid, &regs);

	if (r < 0)
		return r;
	if (inject_is_back(inj)) {
		if (inject_is_about_to_tell(inj, &regs))
			return await_go(inj);
		inject_let_go(inj);
		inj->done_ns = inj->release_ns;
		return inj->undone;
	}
	if (await_only_waits(inj, &regs) && await_is_in_chain(inj))
		return await_undo(inj, -EDEADLK);
	if (last && !inj->undone) {
		inject_let_go(inj);
		return -EINPROGRESS;
	}
	if (inject_go_on(inj, &regs))
		(void)!trace_setregs(inj->tid, &regs);
	return await_go(inj);
}

int inject_handle_stop(struct inject *inj, int status)
{
	struct user_regs_struct regs;
	int sig = WSTOPSIG(status), r;

	if (inject_is_our_stop(status))
		return await_look(inj, false);
	if (EVENT(status) == PTRACE_EVENT_STOP) {
		/* Somebody stopped the process: it stays stopped, and finishes the chain when it goes on. */
		inject_release(inj, NULL, 0);
		return -EBUSY;
	}
	if (EVENT(status) == PTRACE_EVENT_EXEC) {
		/* Another thread has replaced the program: what we knew is gone, and so is the chain. */
		inject_release(inj, NULL, 0);
		return -ESRCH;
	}
	r = trace_getregs(inj->tid, &regs);
	if (r < 0)
		return r;
	if (inject_is_through(inj, &regs)) {
		await_finish(inj, sig);
		return inj->undone;
	}
	/* One of a thread that is back is the program's own. */
	if (await_is_fault(inj, sig) && await_is_in_chain(inj)) {
		/* Of ours, and not for the frame that it is sent to, should we die on the way. */
		(void)trace_take(inj->tid);
		if (!inj->undone)
			return await_undo(inj, -EFAULT);
		await_put_back(inj);
		return inj->undone;
	}
	r = trace_cont(inj->tid, sig == inj->notifier ? 0 : sig);
	return r < 0 ? r : 1;
}

/* Asleep in futex(), as seen from outside? */
static bool await_sleeps(const struct inject *inj)
{
	char path[sizeof("task/-2147483648/syscall")], text[256];

	(void)snprintf(path, sizeof(path), "task/%d/syscall", inj->tid);
	return procfs_read(inj->target->piddir, path, text, sizeof(text)) > 0 && strtol(text, NULL, 10) == SYS_futex;
}

/* A call of what runs may have another mask for a while, and begins anew after each look: fewer and fewer of them. */
static bool await_needs_look(struct inject *inj)
{
	uint64_t now = clock_ns();

	if (inj->revoke_below && await_sleeps(inj))
		return true;
	if (now < inj->look_again_ns || !await_seems_back(inj))
		return false;
	inj->look_again_ns = now + (now - inj->commit_ns);
	return true;
}

/* On the way to its end: one system call, and it is there; unless it gets no CPU. */
static int await_rest(struct inject *inj)
{
	const uint64_t limit = clock_ns() + GIVE_UP_NS;
	int status, r;

	do {
		r = trace_wait(inj->tid, limit, &status);
		if (r == 0)
			r = inject_handle_stop(inj, status);
	} while (r == 1);
	if (r != -ETIMEDOUT)
		return r;
	return inj->undone ? inj->undone : -EINPROGRESS;
}

int inject_call_back(struct inject *inj, bool last)
{
	int status = 0, r = trace_interrupt(inj->tid);

	if (r == 0)
		r = trace_wait(inj->tid, clock_ns() + GIVE_UP_NS, &status);
	if (r == -ETIMEDOUT)
		return last ? -EINPROGRESS : 1; /* starved: the stop will come */
	if (r == 0)
		r = inject_is_our_stop(status) ? await_look(inj, last) : inject_handle_stop(inj, status);
	return r == 1 && last ? await_rest(inj) : r;
}

int inject_finish(struct inject *inj, void (*alive)(void *ctx), void *ctx)
{
	const uint64_t limit = clock_ns() + STARVED_NS;
	int status, r = trace_interrupt(inj->tid);

	while (inj->state == INJECT_COMMITTED) {
		/* Long back in its own code, it may have executed another program, before our stop or since. */
		if (r < 0 && (r != -ESRCH || !inject_follow(inj)))
			break;
		if (alive)
			alive(ctx);
		r = trace_wait(inj->tid, clock_ns() + GIVE_UP_NS, &status);
		if (r == -ETIMEDOUT && clock_ns() >= limit)
			return r;
		if (r == -ETIMEDOUT)
			r = 0;
		else if (r == 0 && inject_is_our_stop(status))
			r = await_look(inj, true);
		else if (r == 0 && (r = trace_interrupt(inj->tid)) == 0)
			r = inject_handle_stop(inj, status);
	}
	inject_release(inj, NULL, 0);
	return 0;
}

int inject_await(struct inject *inj, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t until = MIN(deadline_ns, clock_ns() + LOCK_WAIT_NS);
		int status, r = trace_wait(inj->tid, until, &status);

		if (r == 0)
			r = inject_handle_stop(inj, status);
		else if (r == -ETIMEDOUT && clock_ns() >= deadline_ns)
			r = inject_call_back(inj, true);
		else if (r == -ETIMEDOUT)
			r = await_needs_look(inj) ? inject_call_back(inj, false) : 1;
		if (r == -ESRCH && inject_follow(inj))
			continue;
		if (r == -ESRCH)
			inject_release(inj, NULL, 0);
		if (r <= 0)
			return r;
	}
}
