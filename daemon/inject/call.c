// SPDX-License-Identifier: GPL-2.0-or-later
/* The call itself: check, save, build, commit. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pstatus.h"
#include "inject/seccomp.h"
#include "inject/session.h"
#include "inject/trace.h"

int inject_check_room(const struct inject *inj, const struct inject_stack *stack, uint64_t room)
{
	const struct chain *c = &inj->chain;

	if (inj->regs.rsp < stack->lo || inj->regs.rsp > stack->hi || c->base < stack->lo)
		return -ENOSPC;
	/* A stack could grow, but nobody knows here how far: what is needed must be there. */
	return c->base - stack->lo < room ? -ENOSPC : 0;
}

/*
 * Of memory that nobody uses any more the kernel reads nothing, and no error either (fs/proc/base.c, mem_rw()). Where
 * nothing is mapped: any other place is one that the target has chosen, and might never answer.
 */
bool inject_is_over(const struct inject_target *target)
{
	char byte;

	return pread(target->mem_fd, &byte, sizeof(byte), 0) == 0;
}

/* All the code that will run. -EINVAL. */
static int call_list_code(const struct inject_code *code, const struct chain_call *calls, size_t ncalls,
			  struct inject_bytes ret[CHAIN_CALLS_MAX + 2])
{
	size_t n = 0;

	if (ncalls == 0 || ncalls > CHAIN_CALLS_MAX)
		return -EINVAL;
	ret[n++] = (struct inject_bytes){ code->restorer, arch_restorer, ARCH_RESTORER_LEN };
	ret[n++] = (struct inject_bytes){ code->fn, code->fn_bytes, INJECT_CODE_BYTES };
	for (size_t i = 0; i < ncalls; i++)
		if (calls[i].fn_bytes)
			ret[n++] = (struct inject_bytes){ calls[i].fn, calls[i].fn_bytes, INJECT_CODE_BYTES };
	return (int)n;
}

static int call_prepare(struct inject *inj, const struct inject_code *code, const struct inject_stack *stack,
			const struct chain_call *calls, size_t ncalls, const char **ret_why)
{
	struct inject_bytes bytes[CHAIN_CALLS_MAX + 2];
	struct inject_check check = {
		.restorer = code->restorer,
		.code = bytes,
		.calls = seccomp_alloc_calls,
		.ncalls = seccomp_nalloc_calls,
	};
	struct pstatus st;
	int r = call_list_code(code, calls, ncalls, bytes);

	if (r < 0)
		return r;
	check.ncode = (size_t)r;
	r = inject_prepare(inj, &check, &st, ret_why);
	if (r == 0)
		r = chain_build(&inj->chain, inj->regs.rsp, code->restorer, &inj->cont, calls, ncalls);
	if (r == 0)
		r = inject_check_room(inj, stack, inj->room ? inj->room : INJECT_STACK_ROOM);
	if (r < 0)
		return r;
	/* Below the red zone of a stopped thread: dead memory, whatever we write. */
	r = trace_write(inj->target->mem_fd, inj->chain.base, inj->chain.image, inj->chain.len);
	if (r == -EFAULT)
		return inject_is_over(inj->target) ? -ESRCH : -ENOSPC;
	return r;
}

/*
 * SETREGS is the commit: from then on the thread does the rest alone. The
 * mask comes after it, never before: if we died with a blocked mask and
 * without the chain, the target would be deaf to signals for ever.
 */
int inject_commit(struct inject *inj)
{
	int r = trace_setregs(inj->tid, &inj->chain.entry);

	if (r == -ESRCH)
		inject_release(inj, NULL, 0);
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
	/* It still stands in our stop: let go, it finishes by itself. */
	if (r < 0)
		inject_release(inj, NULL, 0);
	return r;
}

int inject_call(struct inject *inj, const struct inject_code *code, const struct inject_stack *stack,
		const struct chain_call *calls, size_t ncalls, uint64_t deadline_ns, struct inject_times *ret,
		const char **ret_why)
{
	int r = call_prepare(inj, code, stack, calls, ncalls, ret_why);

	if (r < 0)
		return r;
	r = inject_commit(inj);
	if (r < 0)
		return r;
	r = inject_await(inj, deadline_ns);
	if (!inj->done_ns)
		inj->done_ns = clock_ns();
	ret->stopped_ns = inject_stopped_ns(inj);
	ret->call_ns = inj->done_ns - inj->commit_ns;
	return r;
}
