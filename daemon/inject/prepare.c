// SPDX-License-Identifier: GPL-2.0-or-later
/* What must hold before any chain, and what it has to put back: checked and saved under the stop. Changes nothing. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/pstatus.h"
#include "inject/seccomp.h"
#include "inject/session.h"
#include "inject/trace.h"

#define SIGBIT(sig) (1ull << ((sig)-1))
/* Frames of an earlier chain are looked for so far above rsp: what its functions have on the stack is less. */
#define OLD_CHAIN_WINDOW (256u << 10)

static int prepare_check_code(const struct inject *inj, const struct inject_check *check)
{
	uint8_t bytes[INJECT_CODE_BYTES];

	for (size_t i = 0; i < check->ncode; i++) {
		const struct inject_bytes *c = &check->code[i];
		int r = c->len > sizeof(bytes) ? -EINVAL : trace_read(inj->target->mem_fd, c->addr, bytes, c->len);

		if (r < 0)
			return r == -EFAULT ? -ESTALE : r;
		if (memcmp(bytes, c->bytes, c->len))
			return -ESTALE;
	}
	return 0;
}

/*
 * Does a chain of an earlier process of ours, which has died, still run in
 * this thread? Then all its signals are blocked in our peculiar way, and its
 * frames lie above. A second one on top would wait for the lock of the first.
 */
static bool prepare_is_ours(const struct inject *inj, uint64_t restorer)
{
	static unsigned char stack[OLD_CHAIN_WINDOW];
	uint64_t at = (inj->regs.rsp - 64) & ~7ull;
	const uint64_t deadline_ns = clock_ns() + INJECT_LOOK_NS;
	size_t have = 0;

	if (!chain_blocks(inj->sigmask))
		return false;
	/* The window ends where the stack ends, or beyond: page by page. */
	while (have < sizeof(stack)) {
		size_t n = MIN(sizeof(stack) - have, 4096 - (size_t)((at + have) & 4095));
		int r = inject_peek(inj->target, at + have, stack + have, n, deadline_ns);

		if (r == -ETIME || r == -EPIPE)
			return true; /* unsure */
		if (r < 0)
			break;
		have += n;
	}
	for (size_t i = 0; i + ARCH_FRAME_STRIDE <= have; i += 8)
		if (chain_is_frame(stack + i, restorer))
			return true;
	return false;
}

/*
 * The signal that reports the end: ignored by default, so that it means
 * nothing to the program even when we are gone; not blocked once the chain
 * has restored the mask; not caught; not already queued.
 */
static int prepare_pick_notifier(const struct inject *inj, const struct pstatus *st)
{
	static const int signals[] = { SIGURG, SIGWINCH, SIGCHLD };
	uint64_t taken = st->sig_cgt | inj->sigmask | st->sig_pnd | st->shd_pnd;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (!(taken & SIGBIT(signals[i])))
			return signals[i];
	return -EOPNOTSUPP;
}

static const char *prepare_seccomp_why(const char *name)
{
	static const struct {
		const char *name, *why;
	} whys[] = {
		{ "madvise", "its seccomp filter does not allow madvise" },
		{ "brk", "its seccomp filter does not allow brk" },
		{ "futex", "its seccomp filter does not allow futex" },
		{ "clock_gettime", "its seccomp filter does not allow clock_gettime" },
		{ "rt_sigtimedwait", "its seccomp filter does not allow rt_sigtimedwait" },
		{ "process_vm_readv", "its seccomp filter does not allow process_vm_readv" },
		{ "process_madvise", "its seccomp filter does not allow process_madvise" },
		{ "restart_syscall", "its seccomp filter does not allow restart_syscall" },
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
static int prepare_check_seccomp(const struct inject *inj, int mode, const struct inject_check *check,
				 const char **ret_why)
{
	const char *name = "";
	int r;

	if (mode == SECCOMP_MODE_DISABLED)
		return 0;
	if (mode == SECCOMP_MODE_STRICT) {
		*ret_why = "it is in seccomp strict mode";
		return -EACCES;
	}
	r = seccomp_allows(inj->tid, check->calls, check->ncalls, &name);
	if (r < 0)
		*ret_why = r == -EACCES && *name ? prepare_seccomp_why(name) : "its seccomp filters can't be read";
	return r < 0 ? -EACCES : 0;
}

static int prepare_check_policy(const struct inject *inj, const struct pstatus *st, const struct inject_check *check,
				const char **ret_why)
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
	return prepare_check_seccomp(inj, st->seccomp, check, ret_why);
}

/* Saves all that the chain has to put back. Nothing is changed. */
static int prepare_save(struct inject *inj, const struct pstatus *st, uint64_t restorer, const char **ret_why)
{
	int r = trace_getsigmask(inj->tid, &inj->sigmask);

	if (r < 0)
		return r;
	if (prepare_is_ours(inj, restorer)) {
		*ret_why = "an earlier call into it has not come back yet";
		return -EAGAIN;
	}
	inj->notifier = prepare_pick_notifier(inj, st);
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

	/* What the kernel has kept for restart_syscall() is gone after a chain: without the real call no way back. */
	if (inj->restart == RESTART_BLOCK && inj->nr < 0) {
		*ret_why = "it sleeps in a call that was interrupted before, which one can't be told";
		return -EAGAIN;
	}
	inj->cont.regs = inj->regs;
	if (inj->restart == RESTART_BLOCK)
		inj->cont.regs.orig_rax = (unsigned long long)inj->nr;
	if (inj->restart == RESTART_EXACT || inj->restart == RESTART_BLOCK || inj->restart == RESTART_NEVER)
		arch_rewind_syscall(&inj->cont.regs);
	inj->cont.sigmask = inj->sigmask;
	inj->cont.xstate = inj->xframe;
	inj->cont.xstate_len = (size_t)inj->xframe_len;
	return 0;
}

/* Of this thread, now that it stands still: filters, pending signals and handlers may differ or have changed. */
static int prepare_read_status(const struct inject *inj, struct pstatus *ret)
{
	_cleanup_close_ int dir = inject_open_thread(inj->target, inj->tid);

	if (dir < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return pstatus_read(dir, ret);
}

/* 1 or 0; -ETIME, -EPIPE when the reader can't tell. Unsure otherwise counts as 1. */
static int prepare_in_rseq(const struct inject *inj)
{
	/* struct rseq_cs, include/uapi/linux/rseq.h */
	struct {
		uint32_t version, flags;
		uint64_t start_ip, post_commit_offset, abort_ip;
	} cs;
	const uint64_t deadline_ns = clock_ns() + INJECT_LOOK_NS;
	uint64_t area, cs_ptr;
	int r;

	if (trace_rseq(inj->tid, &area) < 0)
		return 1;
	if (!area)
		return 0;
	/* rseq_cs lies 8 bytes into struct rseq. */
	r = inject_peek(inj->target, area + 8, &cs_ptr, sizeof(cs_ptr), deadline_ns);
	if (r == 0 && !cs_ptr)
		return 0;
	if (r == 0)
		r = inject_peek(inj->target, cs_ptr, &cs, sizeof(cs), deadline_ns);
	if (r)
		return r == -ETIME || r == -EPIPE ? r : 1;
	return inj->regs.rip - cs.start_ip < cs.post_commit_offset;
}

int inject_prepare(struct inject *inj, const struct inject_check *check, struct pstatus *ret_status,
		   const char **ret_why)
{
	struct pstatus st = { .state = 0 };
	int r;

	if (inj->state != INJECT_STOPPED || !arch_regs_sane(&inj->regs))
		return -EINVAL;
	r = prepare_read_status(inj, &st);
	if (r)
		return r;
	/* Each thread has one of its own, or none; and whoever was looked at may have executed a program since. */
	if (st.shstk) {
		*ret_why = "it has a shadow stack";
		return -EOPNOTSUPP;
	}
	r = prepare_check_code(inj, check);
	if (r < 0)
		return r;
	/* Inside a system call a thread is in no restartable sequence: they forbid system calls. */
	if (!arch_in_syscall(&inj->regs)) {
		r = prepare_in_rseq(inj);
		if (r)
			return r < 0 ? r : -EAGAIN;
	}
	r = prepare_check_policy(inj, &st, check, ret_why);
	if (r == 0)
		r = prepare_save(inj, &st, check->restorer, ret_why);
	if (r == 0)
		*ret_status = st;
	return r;
}
