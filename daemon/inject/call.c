// SPDX-License-Identifier: GPL-2.0-or-later
/* The call itself: check, save, build, commit. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/pstatus.h"
#include "inject/seccomp.h"
#include "inject/session.h"
#include "inject/trace.h"

#define SIGBIT(sig) (1ull << ((sig)-1))

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
static int call_pick_notifier(const struct inject *inj, const struct pstatus *st)
{
	static const int signals[] = { SIGURG, SIGWINCH, SIGCHLD };
	uint64_t taken = st->sig_cgt | inj->sigmask | st->sig_pnd | st->shd_pnd;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (!(taken & SIGBIT(signals[i])))
			return signals[i];
	return -EOPNOTSUPP;
}

static const char *call_seccomp_why(const char *name)
{
	static const struct {
		const char *name, *why;
	} whys[] = {
		{ "madvise", "its seccomp filter does not allow madvise" },
		{ "brk", "its seccomp filter does not allow brk" },
		{ "futex", "its seccomp filter does not allow futex" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(whys); i++)
		if (!strcmp(name, whys[i].name))
			return whys[i].why;
	return "its seccomp filter does not allow rt_sigreturn";
}

/*
 * Each thread has filters of its own. PTRACE_O_SUSPEND_SECCOMP is not used:
 * it would lift the sandbox of a target that has prepared for the moment, and
 * a filter that lets the call through needs no lifting.
 */
static int call_check_seccomp(const struct inject *inj, int mode, const char **ret_why)
{
	const char *name = "";
	int r;

	if (mode == SECCOMP_MODE_DISABLED)
		return 0;
	if (mode == SECCOMP_MODE_STRICT) {
		*ret_why = "it is in seccomp strict mode";
		return -EACCES;
	}
	r = seccomp_allows_chain(inj->tid, &name);
	if (r < 0)
		*ret_why = r == -EACCES && *name ? call_seccomp_why(name) : "its seccomp filters can't be read";
	return r < 0 ? -EACCES : 0;
}

static int call_check_policy(const struct inject *inj, const struct pstatus *st, const char **ret_why)
{
	int r = trace_user_dispatch(inj->tid);

	if (r == -EOPNOTSUPP)
		/* Can't be asked before Linux 6.4; whoever uses it handles SIGSYS. */
		r = (st->sig_cgt & SIGBIT(SIGSYS)) && !st->seccomp;
	if (r < 0)
		return r;
	if (r > 0) {
		*ret_why = "it uses syscall user dispatch";
		return -EOPNOTSUPP;
	}
	return call_check_seccomp(inj, st->seccomp, ret_why);
}

/* Saves all that the chain has to put back. Nothing is changed. */
static int call_save(struct inject *inj, const struct pstatus *st, const char **ret_why)
{
	int r = trace_getsigmask(inj->tid, &inj->sigmask);

	if (r < 0)
		return r;
	inj->notifier = call_pick_notifier(inj, st);
	if (inj->notifier < 0) {
		*ret_why = "SIGURG, SIGWINCH and SIGCHLD are all caught or blocked";
		return -EAGAIN; /* in this thread, now */
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
	/* A stack could grow, but nobody knows here how far: what is needed must be there. */
	return c->base - stack->lo < INJECT_STACK_ROOM ? -ENOSPC : 0;
}

/* Of this thread, now that it stands still: filters, pending signals and handlers may differ or have changed. */
static int call_read_status(const struct inject *inj, struct pstatus *ret)
{
	_cleanup_close_ int dir = inject_open_thread(inj->target, inj->tid);

	return dir < 0 ? -ESRCH : pstatus_read(dir, ret);
}

static int call_prepare(struct inject *inj, const struct inject_code *code, const struct inject_stack *stack,
			const struct chain_call *calls, size_t ncalls, const char **ret_why)
{
	struct pstatus st;
	int r;

	if (inj->state != INJECT_STOPPED || !arch_regs_sane(&inj->regs))
		return -EINVAL;
	r = call_read_status(inj, &st);
	if (r == 0)
		r = call_check_code(inj, code);
	if (r < 0)
		return r;
	/* Inside a system call a thread is in no restartable sequence: they forbid system calls. */
	if (!arch_in_syscall(&inj->regs) && trace_in_rseq(inj->tid, inj->target->mem_fd, inj->regs.rip) != 0)
		return -EAGAIN;
	r = call_check_policy(inj, &st, ret_why);
	if (r == 0)
		r = call_save(inj, &st, ret_why);
	if (r == 0)
		r = chain_build(&inj->chain, inj->regs.rsp, code->restorer, &inj->cont, calls, ncalls);
	if (r == 0)
		r = call_check_room(inj, stack);
	if (r < 0)
		return r;
	/* Below the red zone of a stopped thread: dead memory, whatever we write. */
	r = trace_write(inj->target->mem_fd, inj->chain.base, inj->chain.image, inj->chain.len);
	return r == -EFAULT ? -ENOSPC : r;
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
	r = inject_await(inj, deadline_ns);
	if (!inj->done_ns)
		inj->done_ns = clock_ns();
	ret->stopped_ns = inject_stopped_ns(inj);
	ret->call_ns = inj->done_ns - inj->commit_ns;
	return r;
}
