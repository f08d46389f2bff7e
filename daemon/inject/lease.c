// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "inject/guard.h"
#include "inject/lease-check.h"
#include "inject/trace.h"

#define GUARD_NS 200000000ull
/*
 * Where no lock is at stake. We may well be kept off for longer than it seems:
 * to read its memory takes the target's mmap lock, whose owner may get no CPU.
 */
#define GUARD_LOOSE 5
#define POLL_EAGER_NS 40000ull /* a free lock is taken within some 10 us */
#define POLL_FIRST_NS 20000ull
#define POLL_LAST_NS 100000ull /* part of the hold */
#define LOOK_NS 20000000ull /* so often the guard is told that we live */
#define STOP_NS 20000000ull

struct lease {
	struct inject *inj; /* our own copy */
	struct lease_plan plan;
	struct guard guard;
	int nice; /* ours, before */
	bool held, over, committed;
	int error; /* that ended it early */
	uint64_t held_ns; /* it had the lock no earlier than this */
	uint64_t stopped_ns, commit_ns, end_ns;
	struct lease_stamp stamp[LEASE_STAMPS];
	unsigned char *lists;
};

/*
 * While the lock is held the target's threads wait for us, so we go first if
 * we may: with two busy processors that took the median of a commit from 1600
 * to 75 us, its 99th percentile from 6.6 to 3.3 ms.
 */
static void lease_hurry(struct lease *l)
{
	errno = 0;
	l->nice = getpriority(PRIO_PROCESS, 0);
	if (errno == 0)
		(void)!setpriority(PRIO_PROCESS, 0, -20);
	/* Polling sleeps of 20 us take 70 otherwise. */
	(void)prctl(PR_SET_TIMERSLACK, 1);
}

static void lease_calm_down(const struct lease *l)
{
	(void)!setpriority(PRIO_PROCESS, 0, l->nice);
	(void)prctl(PR_SET_TIMERSLACK, 0);
}

/* @more_ns: time that passes anyway. */
static void lease_guard(struct lease *l, uint64_t more_ns)
{
	if (l->guard.ns != GUARD_NEVER)
		guard_arm(&l->guard, (GUARD_LOOSE - 1) * l->guard.ns + more_ns);
}

static void lease_free(struct lease *l)
{
	lease_calm_down(l);
	inject_close(l->inj);
	guard_close(&l->guard);
	free(l->lists);
	free(l);
}

static void lease_alive(void *ctx)
{
	lease_guard(ctx, STARVED_NS);
}

static void lease_release(struct lease *l)
{
	if (inject_finish(l->inj, lease_alive, l) == -ETIMEDOUT) {
		/* Only our end frees it. The guard sees to that, unless the caller is about to end anyway. */
		l->guard.open = false;
		inject_note_late();
		l->inj->state = INJECT_RELEASED;
	} else {
		guard_close(&l->guard);
	}
}

void lease_close(struct lease *l)
{
	if (!l)
		return;
	if (l->inj->state == INJECT_COMMITTED)
		lease_release(l);
	lease_free(l);
}

const struct lease_room *lease_room(const struct lease *l)
{
	return &l->plan.room;
}

/* The lease gets the thread; what the caller holds is only to be freed. */
static int lease_adopt(struct inject *inj, struct lease *l)
{
	l->lists = malloc(l->plan.lists_len + 1);
	l->inj = l->lists ? malloc(sizeof(*l->inj)) : NULL;
	if (!l->inj)
		return -ENOMEM;
	/* As much of the image, which comes last, as is in use: this is under the stop. */
	memcpy(l->inj, inj, offsetof(struct inject, chain.image) + inj->chain.len);
	l->inj->cont.xstate = l->inj->xframe;
	l->inj->chain.state = &l->inj->cont;
	/* Up to there it can only be in the lock function. A GIL waiter has left traces in a condition variable. */
	l->inj->revoke_below = l->plan.req.kind == LEASE_ARENA ? chain_entry_sp(&l->inj->chain, LEASE_T1) : 0;
	inj->state = INJECT_RELEASED;
	return 0;
}

static void lease_start_free(struct lease **l)
{
	if (*l)
		lease_free(*l);
}

int lease_begin(struct inject *inj, const struct lease_code *code, const struct inject_stack *stack,
		const struct lease_request *req, struct lease **ret, const char **ret_why)
{
	_cleanup_(lease_start_free) struct lease *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->plan.req = *req;
	l->plan.code = *code;
	if (!l->plan.req.lease_ns)
		l->plan.req.lease_ns = LEASE_NS_DEFAULT;
	lease_hurry(l);
	r = guard_open(&l->guard, req->guard_ns ? req->guard_ns : GUARD_NS);
	if (r == 0)
		r = lease_check(&l->plan, inj, ret_why);
	if (r == 0)
		r = lease_size(&l->plan, stack, inj->regs.rsp, inj->cont.xstate_len);
	if (r == 0)
		r = lease_chain_build(&l->plan, inj);
	if (r == 0)
		r = inject_check_room(inj, stack, 0);
	if (r < 0)
		return r;
	/* Below the red zone of a stopped thread: dead memory, whatever we write. */
	r = trace_write(inj->target->mem_fd, inj->chain.base, inj->chain.image, inj->chain.len);
	if (r == -EFAULT)
		return inject_is_over(inj->target) ? -ESRCH : -ENOSPC;
	if (r < 0)
		return r;
	r = lease_check_lock(&l->plan, inj, ret_why);
	if (r == 0)
		r = lease_adopt(inj, l);
	if (r < 0)
		return r;
	lease_guard(l, l->plan.req.lease_ns);
	r = inject_commit(l->inj);
	l->stopped_ns = inject_stopped_ns(l->inj);
	if (r < 0)
		lease_close(TAKE_PTR(l));
	else
		*ret = TAKE_PTR(l);
	return r;
}

/* As long as the thread is ours, nothing but its chain uses that part of its stack. */
static int lease_read_stamps(struct lease *l)
{
	struct lease_stamp stamp[LEASE_STAMPS];
	int r;

	if (l->inj->state != INJECT_COMMITTED)
		return 0; /* it may be anything by now */
	r = trace_peek(l->inj->target->mem_fd, lease_stamp_at(&l->inj->chain, 0), stamp, sizeof(stamp));
	if (r == 0)
		memcpy(l->stamp, stamp, sizeof(stamp));
	return r == -EFAULT ? -ESRCH : r;
}

static bool lease_stamped(const struct lease *l, size_t i)
{
	return l->stamp[i].sec || l->stamp[i].nsec;
}

static uint64_t lease_between(const struct lease *l, size_t from, size_t to)
{
	int64_t ns = (l->stamp[to].sec - l->stamp[from].sec) * 1000000000 + l->stamp[to].nsec - l->stamp[from].nsec;

	return lease_stamped(l, from) && lease_stamped(l, to) && ns > 0 ? (uint64_t)ns : 0;
}

/* A stop, when we don't want one. 1: go on. 0: the chain is through. */
static int lease_stop(struct lease *l, int status)
{
	int r = lease_read_stamps(l);

	/* That of an exec isn't told again, and the stamps are of no use any more. */
	if (r == 0 || EVENT(status) == PTRACE_EVENT_EXEC)
		r = inject_handle_stop(l->inj, status);
	if (r == 0) {
		l->over = true;
		l->end_ns = l->inj->done_ns;
	}
	if (r == -ESRCH) {
		lease_guard(l, STARVED_NS);
		inject_release(l->inj, NULL, EVENT(status) ? 0 : WSTOPSIG(status));
	}
	if (r < 0)
		l->error = r;
	/* After a fault of ours it still stands there: lease_close() sees to that. */
	if (l->inj->state == INJECT_RELEASED)
		guard_close(&l->guard);
	return r;
}

int lease_wait_held(struct lease *l, uint64_t deadline_ns)
{
	const uint64_t eager = clock_ns() + POLL_EAGER_NS;
	uint64_t pause = POLL_FIRST_NS, seen = l->inj->commit_ns;

	while (!l->error) {
		uint64_t now = clock_ns();
		int status, r = lease_read_stamps(l);

		if (r < 0)
			return r;
		if (lease_stamped(l, 1)) {
			l->held = true;
			l->held_ns = seen;
			lease_guard(l, lease_left_ns(l));
			return 0;
		}
		seen = now;
		if (now < eager)
			continue;
		lease_guard(l, l->plan.req.lease_ns);
		if (now >= deadline_ns) {
			r = inject_call_back(l->inj, true);
			l->error = r == -EDEADLK || r == -EINPROGRESS || r == 0 ? -ETIMEDOUT : r;
			return l->error;
		}
		r = trace_wait(l->inj->tid, now + pause, &status);
		if (r == 0)
			r = lease_stop(l, status);
		if (r < 0 && r != -ETIMEDOUT)
			return r;
		if (r == 0 && !lease_stamped(l, 1))
			return -EFAULT; /* through without the lock: somebody has tampered with the thread */
		pause = MIN(pause + pause / 4, POLL_LAST_NS);
	}
	return l->error;
}

uint64_t lease_left_ns(const struct lease *l)
{
	uint64_t end = l->held_ns + l->plan.req.lease_ns, now = clock_ns();

	return l->held && !l->over && end > now ? end - now : 0;
}

/*
 * Is the thread, which is stopped, in its wait? Its state is then wholly that
 * of the chain: in libc's two pieces of code between T1 and the way to the
 * unlock, with nothing of its own in the registers.
 */
static bool lease_waits(const struct lease *l, const struct user_regs_struct *regs)
{
	const struct chain *c = &l->inj->chain;
	const uint64_t insn = l->plan.code.syscall_insn, restorer = l->plan.code.restorer;

	if (regs->rsp < chain_entry_sp(c, LEASE_T1) || regs->rsp > chain_entry_sp(c, LEASE_SKIP))
		return false;
	return (regs->rip >= insn && regs->rip < insn + ARCH_SYSCALL_LEN) ||
	       (regs->rip >= restorer && regs->rip < restorer + ARCH_RESTORER_LEN);
}

/* 0: stopped in its wait. -ETIME: no longer there, and goes on. */
static int lease_stop_in_wait(struct lease *l, struct user_regs_struct *ret)
{
	const uint64_t limit = clock_ns() + STARVED_NS;
	int status = 0, r;

	guard_arm(&l->guard, 0);
	r = trace_interrupt(l->inj->tid);
	while (r == 0) {
		r = trace_wait(l->inj->tid, clock_ns() + STOP_NS, &status);
		if (r == -ETIMEDOUT && clock_ns() < limit) {
			guard_arm(&l->guard, 0); /* it isn't we who sleep */
			r = 0;
			continue;
		}
		if (r == 0 && inject_is_our_stop(status))
			break;
		if (r == 0)
			r = trace_interrupt(l->inj->tid);
		if (r == 0 && (r = lease_stop(l, status)) == 0)
			return -ETIME;
		if (r == 1)
			r = 0;
	}
	if (r < 0)
		return r;
	r = trace_getregs(l->inj->tid, ret);
	if (r == 0 && inject_is_back(l->inj) && !inject_is_about_to_tell(l->inj, ret)) {
		l->error = l->inj->undone;
		inject_let_go(l->inj);
		l->over = true;
		l->end_ns = l->inj->release_ns;
		guard_close(&l->guard);
		return l->error ? l->error : -ETIME;
	}
	if (r == 0 && !lease_waits(l, ret)) {
		l->over = true;
		r = trace_cont(l->inj->tid, 0);
		lease_guard(l, LOOK_NS);
		r = r == 0 ? -ETIME : r;
	}
	return r;
}

/* Under the stop: lists, the frames that go through them, then the commit. */
static int lease_hand_over(struct lease *l, size_t lists_len, size_t entry, size_t nframes,
			   struct user_regs_struct *regs)
{
	const struct chain *c = &l->inj->chain;
	const int fd = l->inj->target->mem_fd;
	int r = lists_len ? trace_write(fd, l->plan.lists, l->lists, lists_len) : 0;

	if (r == 0)
		r = trace_write(fd, chain_frame_at(c, LEASE_TOUCH), c->image + LEASE_TOUCH * ARCH_FRAME_STRIDE,
				nframes * ARCH_FRAME_STRIDE);
	if (r == 0) {
		arch_enter_regs(regs, l->plan.code.restorer, chain_frame_at(c, entry));
		r = trace_setregs(l->inj->tid, regs);
	}
	/* Its stack can't grow as far: no fault of the thread's own, which is as it was. */
	return r == -EFAULT ? -ENOSPC : r;
}

int lease_commit(struct lease *l, const struct lease_write *writes, size_t nwrites, const struct lease_range *ranges,
		 size_t nranges)
{
	const bool vector = l->plan.req.drop == LEASE_DROP_VECTOR;
	size_t nframes = LEASE_DROPS - LEASE_TOUCH + (vector ? 1 : MIN(nranges + 1, l->plan.ndrops));
	struct user_regs_struct regs;
	uint64_t start;
	ssize_t len;
	int r;

	if (l->error)
		return l->error;
	if (!l->held || l->committed)
		return -EINVAL;
	if (!lease_left_ns(l))
		return -ETIME;
	r = lease_check_lists(&l->plan, &l->inj->chain, writes, nwrites, ranges, nranges);
	if (r < 0)
		return r;
	len = lease_chain_fill(&l->plan, &l->inj->chain, writes, nwrites, ranges, nranges, l->lists);
	if (len < 0)
		return (int)len;
	start = clock_ns();
	r = lease_stop_in_wait(l, &regs);
	if (r < 0)
		return r;
	if (nwrites || nranges) {
		r = lease_hand_over(l, (size_t)len, nwrites ? LEASE_TOUCH : LEASE_T2, nframes, &regs);
		l->committed = r == 0;
	}
	/* Also after a failure: without the commit it only unlocks. */
	if (trace_cont(l->inj->tid, 0) < 0)
		r = -ESRCH;
	lease_guard(l, LOOK_NS);
	l->commit_ns = clock_ns() - start;
	return r;
}

int lease_end(struct lease *l, uint64_t deadline_ns, struct lease_times *ret_times, bool *ret_applied)
{
	int status, r = 1;

	if (l->error)
		return l->error;
	while (l->inj->state == INJECT_COMMITTED) {
		uint64_t now = clock_ns();

		if (now >= deadline_ns) {
			lease_release(l);
			return -EINPROGRESS;
		}
		lease_guard(l, LOOK_NS);
		r = trace_wait(l->inj->tid, MIN(deadline_ns, now + LOOK_NS), &status);
		if (r == 0)
			r = lease_stop(l, status);
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
	*ret_times = (struct lease_times){
		.lock_wait_ns = lease_between(l, 0, 1),
		.hold_ns = lease_between(l, 1, 3),
		.stopped_ns = MAX(l->stopped_ns, l->commit_ns),
		.commit_ns = l->commit_ns,
		.total_ns = l->end_ns - l->inj->stop_ns,
	};
	*ret_applied = lease_stamped(l, 2);
	return 0;
}

static int vector_probe(void)
{
	_Alignas(4096) static char page[4096];
	const struct iovec iov = { page, sizeof(page) };

	page[0] = 1;
	/* PIDFD_SELF_THREAD_GROUP, advice that frees: exactly what a lease does */
	if (syscall(440, -10001, &iov, 1, MADV_DONTNEED, 0) != (long)sizeof(page))
		return -1;
	return page[0] ? -1 : 1;
}

bool lease_vector_possible(void)
{
	static int known;

	if (!known)
		known = vector_probe();
	return known > 0;
}
