// SPDX-License-Identifier: GPL-2.0-or-later
/* The call itself: save, build, commit, wait, restore. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "inject/seccomp.h"
#include "inject/session.h"
#include "inject/trace.h"

#define SIGBIT(sig) (1ull << ((sig)-1))
#define GIVE_UP_NS (20 * 1000000ull)
#define EVENT(status) ((status) >> 16)

static int call_check_code(const struct inject *inj, const struct inject_code *code)
{
	uint8_t restorer[ARCH_RESTORER_LEN], fn[INJECT_CODE_BYTES];
	int r = trace_read(inj->target->mem_fd, code->restorer, restorer, sizeof(restorer));

	if (r == 0)
		r = trace_read(inj->target->mem_fd, code->fn, fn, sizeof(fn));
	if (r < 0)
		return r == -EFAULT ? -ESTALE : r;
	if (memcmp(restorer, arch_restorer, sizeof(restorer)) || memcmp(fn, code->fn_bytes, sizeof(fn)))
		return -ESTALE;
	return 0;
}

/*
 * The signal that reports the end: ignored by default, so that it means
 * nothing to the program even when we are gone; not blocked once the chain
 * has restored the mask; not caught; not already queued.
 */
static int call_pick_notifier(const struct inject *inj, uint64_t pending)
{
	static const int signals[] = { SIGURG, SIGWINCH, SIGCHLD };
	uint64_t taken = inj->target->sig_cgt | inj->sigmask | pending;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (!(taken & SIGBIT(signals[i])))
			return signals[i];
	return -EOPNOTSUPP;
}

static int call_check_policy(const struct inject *inj, const char **ret_why)
{
	const char *name = NULL;
	int r = trace_user_dispatch(inj->tid);

	if (r == -EOPNOTSUPP)
		/* Can't be asked before Linux 6.4; whoever uses it handles SIGSYS. */
		r = (inj->target->sig_cgt & SIGBIT(SIGSYS)) && !inj->target->seccomp;
	if (r < 0)
		return r;
	if (r > 0) {
		*ret_why = "it uses syscall user dispatch";
		return -EOPNOTSUPP;
	}
	if (!inj->target->seccomp)
		return 0;

	r = seccomp_allows_chain(inj->tid, &name);
	if (r == -EACCES)
		*ret_why = !strcmp(name, "madvise") ? "its seccomp filter does not allow madvise" :
			   !strcmp(name, "brk")	    ? "its seccomp filter does not allow brk" :
			   !strcmp(name, "futex")   ? "its seccomp filter does not allow futex" :
						      "its seccomp filter does not allow rt_sigreturn";
	else if (r < 0)
		*ret_why = "its seccomp filters can't be read";
	/*
	 * PTRACE_O_SUSPEND_SECCOMP is not used: it would lift the sandbox of a
	 * target that has prepared for the moment, and a filter that lets the
	 * call through needs no lifting.
	 */
	return r < 0 ? -EACCES : 0;
}

/* Saves all that the chain has to put back. Nothing is changed. */
static int call_save(struct inject *inj, const char **ret_why)
{
	uint64_t pending;
	int r = inject_pending(inj->tid, &pending);

	if (r == 0)
		r = trace_getsigmask(inj->tid, &inj->sigmask);
	if (r < 0)
		return r;
	if (pending & inj->target->sig_cgt & ~inj->sigmask)
		return -EAGAIN;
	inj->notifier = call_pick_notifier(inj, pending);
	if (inj->notifier < 0) {
		*ret_why = "SIGURG, SIGWINCH and SIGCHLD are all caught or blocked";
		return -EOPNOTSUPP;
	}

	inj->xraw_len = trace_getxstate(inj->tid, inj->xraw, sizeof(inj->xraw));
	if (inj->xraw_len < 0)
		return (int)inj->xraw_len;
	memcpy(inj->xframe, inj->xraw, (size_t)inj->xraw_len);
	inj->xframe_len =
		arch_xstate_frame(&inj->target->xstate, inj->xframe, (size_t)inj->xraw_len, sizeof(inj->xframe));
	if (inj->xframe_len < 0) {
		*ret_why = "its extended CPU state can't be put into a signal frame";
		return -EOPNOTSUPP;
	}

	inj->cont.regs = inj->regs;
	if (inj->restart == RESTART_EXACT || inj->restart == RESTART_BLOCK || inj->restart == RESTART_NEVER)
		arch_rewind_syscall(&inj->cont.regs);
	inj->cont.sigmask = inj->sigmask;
	inj->cont.xstate = inj->xframe;
	inj->cont.xstate_len = (size_t)inj->xframe_len;
	return 0;
}

static int call_check_room(const struct inject *inj, const struct inject_stack *stack)
{
	const struct chain *c = &inj->chain;

	if (inj->regs.rsp < stack->lo || inj->regs.rsp > stack->hi || c->base < stack->lo)
		return -ENOSPC;
	/* The frames must lie in what is mapped; the functions below may make a growing stack grow. */
	if (!stack->grows && c->base - stack->lo < INJECT_STACK_ROOM)
		return -ENOSPC;
	return 0;
}

static int call_prepare(struct inject *inj, const struct inject_code *code, const struct inject_stack *stack,
			const struct chain_call *calls, size_t ncalls, const char **ret_why)
{
	int r;

	if (inj->state != INJECT_STOPPED || !arch_regs_sane(&inj->regs))
		return -EINVAL;
	r = call_check_code(inj, code);
	if (r < 0)
		return r;
	/* Inside a system call a thread is in no restartable sequence: they forbid system calls. */
	r = arch_in_syscall(&inj->regs) ? 0 : trace_in_rseq(inj->tid, inj->target->mem_fd, inj->regs.rip);
	if (r != 0)
		return r < 0 ? r : -EAGAIN;
	r = call_check_policy(inj, ret_why);
	if (r == 0)
		r = call_save(inj, ret_why);
	if (r == 0)
		r = chain_build(&inj->chain, inj->regs.rsp, code->restorer, &inj->cont, calls, ncalls);
	if (r == 0)
		r = call_check_room(inj, stack);
	if (r == 0)
		/* Below the red zone of a stopped thread: dead memory, whatever we write. */
		r = trace_write(inj->target->mem_fd, inj->chain.base, inj->chain.image, inj->chain.len);
	return r;
}

/*
 * SETREGS is the commit: from then on the thread does the rest alone. The
 * mask comes after it, never before: if we died with a blocked mask and
 * without the chain, the target would be deaf to signals for ever.
 */
static int call_commit(struct inject *inj)
{
	int r = trace_setregs(inj->tid, &inj->chain.entry);

	if (r < 0)
		return r;
	inj->state = INJECT_COMMITTED;
	inj->commit_ns = clock_ns();
	/* Blocked already here: nothing is delivered before frame 0 blocks it, and the notifier stays queued. */
	r = trace_setsigmask(inj->tid, CHAIN_SIGMASK);
	if (r == 0)
		r = trace_signal(inj->target->pid, inj->tid, inj->notifier);
	if (r == 0)
		r = trace_cont(inj->tid, 0);
	return r;
}

static bool call_is_fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGSYS || sig == SIGTRAP;
}

/*
 * The chain is through: the thread stands where it was, rewound into its
 * system call. If a handler is to run now, the thread gets the exact state
 * of its interruption back, so that the kernel decides about EINTR and
 * SA_RESTART as it would have without us.
 */
static void call_finish(struct inject *inj, int sig)
{
	bool rewound = inj->cont.regs.rip != inj->regs.rip;
	int pass = sig == inj->notifier ? 0 : sig;
	/* Without a handler a signal interrupts no system call: it is ignored, stops the process or ends it. */
	bool handled = pass && (inj->target->sig_cgt & SIGBIT(pass));

	inj->done_ns = clock_ns();
	if (rewound && (handled || inject_handler_due(inj)))
		inject_release(inj, &inj->regs, pass);
	else
		inject_release(inj, NULL, pass);
}

/* The injected function faulted: the allocator's state is unknown, the thread's own is not. */
static int call_undo(struct inject *inj)
{
	inj->done_ns = clock_ns();
	if (trace_setregs(inj->tid, &inj->cont.regs) == 0 &&
	    trace_setxstate(inj->tid, inj->xraw, (size_t)inj->xraw_len) == 0)
		(void)!trace_setsigmask(inj->tid, inj->sigmask);
	inject_release(inj, NULL, 0);
	return -EFAULT;
}

static bool call_restored(const struct inject *inj, const struct user_regs_struct *regs)
{
	return regs->rip == inj->cont.regs.rip && regs->rsp == inj->cont.regs.rsp;
}

/* One stop of a thread that runs the chain: 1 to go on waiting, else the result. */
static int call_handle_stop(struct inject *inj, int status)
{
	struct user_regs_struct regs;
	int sig = WSTOPSIG(status), r;

	if (EVENT(status) == PTRACE_EVENT_STOP && sig != SIGTRAP) {
		/* Somebody stopped the process: it stays stopped, and finishes the chain when it goes on. */
		inject_release(inj, NULL, 0);
		return -EBUSY;
	}
	if (EVENT(status) == PTRACE_EVENT_EXEC) {
		/* Another thread has replaced the program: what we knew is gone, and so is the chain. */
		inject_release(inj, NULL, 0);
		return -ESRCH;
	}
	if (EVENT(status))
		return trace_cont(inj->tid, 0) < 0 ? -ESRCH : 1;

	r = trace_getregs(inj->tid, &regs);
	if (r < 0)
		return r;
	if (call_restored(inj, &regs)) {
		call_finish(inj, sig);
		return 0;
	}
	if (call_is_fault(sig))
		return call_undo(inj);
	r = trace_cont(inj->tid, sig == inj->notifier ? 0 : sig);
	return r < 0 ? r : 1;
}

/* The deadline has passed. The thread can't be called back safely, only let go. */
static int call_abandon(struct inject *inj)
{
	int status;

	if (trace_interrupt(inj->tid) == 0 && trace_wait(inj->tid, clock_ns() + GIVE_UP_NS, &status) == 0) {
		if (EVENT(status) != PTRACE_EVENT_STOP)
			return call_handle_stop(inj, status) == 0 ? 0 : -EINPROGRESS;
		inject_release(inj, NULL, 0);
	}
	return -EINPROGRESS;
}

static int call_wait(struct inject *inj, uint64_t deadline_ns)
{
	for (;;) {
		int status, r = trace_wait(inj->tid, deadline_ns, &status);

		if (r == -ETIMEDOUT)
			return call_abandon(inj);
		if (r == 0)
			r = call_handle_stop(inj, status);
		if (r == -ESRCH)
			inj->state = INJECT_RELEASED;
		if (r <= 0)
			return r;
	}
}

int inject_call(struct inject *inj, const struct inject_code *code, const struct inject_stack *stack,
		const struct chain_call *calls, size_t ncalls, uint64_t deadline_ns, struct inject_times *ret,
		const char **ret_why)
{
	int r = call_prepare(inj, code, stack, calls, ncalls, ret_why);

	if (r < 0)
		return r;
	r = call_commit(inj);
	if (r == -ESRCH)
		inj->state = INJECT_RELEASED;
	if (r < 0)
		return r;
	r = call_wait(inj, deadline_ns);
	if (!inj->done_ns)
		inj->done_ns = clock_ns();
	ret->stopped_ns = inject_stopped_ns(inj);
	ret->call_ns = inj->done_ns - inj->commit_ns;
	return r;
}
