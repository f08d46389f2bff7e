/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In place of what the injector does to a process: nobody is stopped, nothing is called or written, and each of
 * these looks at what it is given. The linker takes the first of two functions of one name (-z muldefs): ours. Time
 * is made up, and passes while somebody waits.
 */
#ifndef RECLAIM_TESTS_NO_KERNEL_H
#define RECLAIM_TESTS_NO_KERNEL_H

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/swap.h"
#include "fuzz.h"
#include "inject/lease-check.h"
#include "inject/pick.h"
#include "inject/session.h"
#include "inject/trace.h"
#include "worker/reader.h"

#define PAGE 4096ull
#define USER_END 0x7ffffffff000ull
#define STACK_LO 0x7f0000000000ull
#define STACK_HI 0x7f0000800000ull
#define STACK_SP (STACK_HI - 4096)
#define XSTATE 2696
#define ROOM 512 /* of the object that a collection is queued with */

enum act { ACT_CALL, ACT_LEASE, ACT_WRITE, ACT_COLD, ACT_PAGEOUT, ACT_SPLIT, NACTS };

static struct {
	const struct worker_request *req;
	uint64_t chance, ns, until_ns; /* ns: what time it is; until_ns: a little more than was allowed */
	unsigned int acts[NACTS];
	unsigned int stopped, held; /* threads, and leases that are not over */
	uint32_t op, planned; /* that the reader was asked last; the question whose answer is: */
	struct remedy_plan plan;
	struct purge_lists *lists; /* shared with the reader */
	unsigned char room[ROOM];
} world;

static _Thread_local bool inside; /* the injector: libFuzzer has a clock and threads of its own */

static uint64_t chance(uint64_t n)
{
	return fuzz_random(&world.chance) % n;
}

/* One of these for each kind of act: what is not asked for is not done, and in a dry run nothing is. */
static void act(enum act a, uint32_t bits)
{
	MUST(!(world.req->flags & WORKER_F_DRY_RUN) && (world.req->remedies & bits));
	world.acts[a]++;
}

/* The reader may write to what it shares at any moment: nobody may rely on it any more. */
static void scribble(void)
{
	memset(world.lists, (int)chance(256), sizeof(*world.lists));
}

/* ---- time ---- */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __real_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);
int __real_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (!inside)
		return __real_clock_gettime(clock, ret);
	world.ns += 1000;
	*ret = (struct timespec){ (time_t)(world.ns / 1000000000), (long)(world.ns % 1000000000) };
	return 0;
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
	if (!inside)
		return __real_nanosleep(t, left);
	MUST(t->tv_nsec >= 0 && t->tv_nsec < 1000000000);
	world.ns += (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec;
	return 0;
}

/* Whoever has said nothing by now says nothing. */
int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	const struct timespec none = { 0 };
	int r = __real_ppoll(fds, n, inside ? &none : timeout, mask);

	if (inside && r == 0)
		world.ns += (uint64_t)timeout->tv_sec * 1000000000 + (uint64_t)timeout->tv_nsec;
	return r;
}

/* ---- advice ---- */

long __real_syscall(long nr, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f);

static bool is_idle(uint64_t lo, uint64_t hi)
{
	if (world.req->idle != WORKER_IDLE_AGES)
		return true;
	for (uint32_t i = 0; i < world.req->nranges; i++)
		if (lo >= world.req->ranges[i].start && hi <= world.req->ranges[i].end)
			return true;
	return false;
}

static long take_advice(const struct iovec *iov, size_t n, int advice)
{
	static const int errors[] = { ENOMEM, EINVAL, EAGAIN, EPERM, ESRCH, EINTR };
	const bool split = world.op == READER_HUGE;
	uint64_t sum = 0;

	MUST(n && n <= PURGE_RANGES_MAX && (advice == MADV_COLD || advice == MADV_PAGEOUT));
	MUST(!split || advice == MADV_COLD);
	/* Splitting is part of what has torn them. */
	act(split		? ACT_SPLIT :
	    advice == MADV_COLD ? ACT_COLD :
				  ACT_PAGEOUT,
	    split		? WORKER_REMEDY_COLLECT | WORKER_REMEDY_TRIM | WORKER_REMEDY_PURGE :
	    advice == MADV_COLD ? WORKER_REMEDY_COLD :
				  WORKER_REMEDY_PAGEOUT);
	for (size_t i = 0; i < n; i++) {
		const uint64_t lo = (uint64_t)(uintptr_t)iov[i].iov_base;

		MUST(split ? iov[i].iov_len == PAGE : iov[i].iov_len && !((lo | iov[i].iov_len) % PAGE));
		MUST(split || (lo + iov[i].iov_len > lo && is_idle(lo, lo + iov[i].iov_len)));
		sum += iov[i].iov_len;
	}
	scribble();
	if (chance(4))
		return (long)MIN(sum, 1ull << 40);
	errno = errors[chance(ARRAY_SIZE(errors))];
	return chance(2) ? -1 : (long)(chance(n + 1) * PAGE);
}

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	if (inside && nr == SYS_process_madvise)
		return take_advice((const struct iovec *)b, (size_t)c, (int)d);
	return __real_syscall(nr, a, b, c, d, e, f);
}

int swap_read(int proc, struct swap *ret)
{
	(void)proc;
	*ret = (struct swap){ .total = 1ull << 30, .free = chance(1ull << 30), .ram = true, .name = "zram" };
	return 0;
}

/* ---- memory of the target: nothing but zeros, and the room ---- */

static bool is_room(uint64_t addr, size_t len)
{
	const uint64_t off = addr - world.plan.queue.room;

	return off < ROOM && len <= ROOM - off;
}

int trace_peek(int mem_fd, uint64_t addr, void *buf, size_t len)
{
	(void)mem_fd;
	if (len > USER_END || addr > USER_END - len || chance(32) == 0)
		return -EFAULT;
	memset(buf, 0, len);
	if (is_room(addr, len))
		memcpy(buf, world.room + (addr - world.plan.queue.room), len);
	return 0;
}

int trace_read(int mem_fd, uint64_t addr, void *buf, size_t len)
{
	int r = trace_peek(mem_fd, addr, buf, len);

	/* Code is mostly what it should be. */
	if (r == 0 && len == INJECT_CODE_BYTES && chance(8)) {
		const struct remedy_queue *q = &world.plan.queue;

		memcpy(buf,
		       addr == q->call.fn      ? q->call.bytes :
		       addr == q->finalizer.fn ? q->finalizer.bytes :
						 q->vector.bytes,
		       len);
	}
	return r;
}

/* Only there, and only while a thread stands still. */
int trace_write(int mem_fd, uint64_t addr, const void *buf, size_t len)
{
	(void)mem_fd;
	MUST(world.stopped == 1 && is_room(addr, len) && addr < USER_END && len <= USER_END - addr);
	act(ACT_WRITE, WORKER_REMEDY_COLLECT);
	memcpy(world.room + (addr - world.plan.queue.room), buf, len);
	return 0;
}

/* ---- threads ---- */

static struct inject session;

static int look(const struct inject_target *t)
{
	int r = t->look(t->look_ctx, STACK_SP, 8, clock_ns() + INJECT_LOOK_NS);

	MUST(r == 0 || r == -EFAULT || r == -ETIME || r == -EPIPE);
	return r;
}

/* As the real one, of a thread that sleeps. */
static int prove(const struct inject_target *t, const struct inject_prover *p, uint64_t room, struct inject_stack *ret)
{
	const uint64_t need = CHAIN_STACK_MIN(t->xstate.xstate_size) + (room ? room : INJECT_STACK_ROOM);
	struct cpu_regs regs = { .valid = CPU_REGS_ALL };
	int r;

	regs.r[CPU_RSP] = STACK_SP;
	r = p->prepare(p->ctx, &regs);
	MUST(r == 0 || r == -EAGAIN || r == -ETIME || r == -EPIPE);
	if (r == 0)
		r = p->prove(p->ctx, &regs, ret);
	MUST(r == 0 || r == -EAGAIN || r == -ETIME || r == -EPIPE || r == -EPERM);
	return r == 0 && (STACK_SP < ret->lo || STACK_SP - ret->lo < need) ? -EAGAIN : r;
}

int inject_pick(const struct inject_target *target, const struct inject_prover *prover,
		const struct inject_search *search, struct inject_found *ret)
{
	static const int errors[] = { -EAGAIN, -ETIMEDOUT, -EPERM, -ESRCH, -EBUSY, -ESTALE };
	int r;

	*ret = (struct inject_found){ .looks = chance(9) };
	MUST(!world.stopped && search->navoid <= INJECT_AVOID_MAX);
	world.ns += chance(1000000);
	r = chance(16) ? 0 : errors[chance(ARRAY_SIZE(errors))];
	if (r == 0 && chance(4) == 0)
		r = look(target);
	if (r == 0 || r == -EFAULT)
		r = prove(target, prover, search->stack_room, &ret->stack);
	if (r < 0)
		return r;
	session.target = target;
	session.regs.rsp = STACK_SP;
	session.cont = (struct chain_state){ .regs = session.regs, .xstate = session.xframe, .xstate_len = XSTATE };
	ret->inj = &session;
	ret->tid = target->pid + (pid_t)chance(3);
	ret->asleep = chance(4);
	ret->restarts = chance(2);
	ret->where = "futex";
	world.stopped = 1;
	return 0;
}

void inject_close(struct inject *inj)
{
	MUST(!inj || (inj == &session && world.stopped == 1));
	if (inj)
		world.stopped = 0;
}

uint64_t inject_stopped_ns(const struct inject *inj)
{
	MUST(inj == &session);
	return 1000;
}

void inject_demand(struct inject *inj, uint64_t stack_room, bool keep)
{
	MUST(inj == &session && world.stopped && stack_room && keep);
}

void inject_where(const struct inject *inj, struct inject_stop *ret)
{
	MUST(inj == &session && world.stopped);
	*ret = (struct inject_stop){ .in_syscall = chance(2), .nr = chance(2) ? SYS_futex : SYS_read };
}

/* Functions that the plan has named, with arguments that fit into a chain. */
int inject_call(struct inject *inj, const struct inject_code *code, const struct inject_stack *stack,
		const struct chain_call *calls, size_t ncalls, uint64_t deadline_ns, struct inject_times *ret,
		const char **ret_why)
{
	static const int errors[] = { -EAGAIN, -EDEADLK, -EINPROGRESS, -EBUSY, -EFAULT, -ESRCH, -ENOSPC, -ESTALE };
	const struct remedy_plan *p = &world.plan;

	act(ACT_CALL, WORKER_REMEDY_TRIM | WORKER_REMEDY_COLLECT);
	MUST(inj == &session && world.stopped == 1 && STACK_SP >= stack->lo);
	MUST(code->restorer == p->code.restorer && (code->fn == p->code.fn || code->fn == p->queue.add.fn));
	MUST(deadline_ns <= world.until_ns);
	MUST(chain_build(&inj->chain, STACK_SP, code->restorer, &inj->cont, calls, ncalls) == 0);
	*ret = (struct inject_times){ .stopped_ns = 2000, .call_ns = 1000 };
	*ret_why = chance(16) ? NULL : "it is as it is";
	return chance(2) ? 0 : errors[chance(ARRAY_SIZE(errors))];
}

/* What this machine's processor and kernel have doesn't matter. */
int arch_xstate_probe(struct arch_xstate_info *ret)
{
	*ret = (struct arch_xstate_info){ .xstate_size = XSTATE, .xfeatures = 7 };
	return 0;
}

/* ---- leases ---- */

struct lease {
	struct lease_plan plan;
	bool held, committed, ended;
};

static struct lease lease;

bool lease_vector_possible(void)
{
	return world.req->max_bytes % 2;
}

int lease_begin(struct inject *inj, const struct lease_code *code, const struct inject_stack *stack,
		const struct lease_request *req, struct lease **ret, const char **ret_why)
{
	static const int errors[] = { -EAGAIN, -ENOSPC, -ESTALE, -ESRCH, -EDEADLK };
	struct lease *const l = &lease;
	int r;

	MUST(inj == &session && world.stopped == 1 && !world.held);
	MUST(req->want_ranges <= PURGE_RANGES_MAX && req->want_writes <= PURGE_WRITES_MAX &&
	     req->want_write_bytes <= PURGE_VALUES_MAX);
	*l = (struct lease){ .plan = { .req = *req, .code = *code, .self = 1 } };
	r = lease_size(&l->plan, stack, STACK_SP, XSTATE);
	MUST(r == 0 || r == -EINVAL || r == -ENOSPC);
	if (r == 0 && chance(8) == 0)
		r = errors[chance(ARRAY_SIZE(errors))];
	if (r < 0) {
		*ret_why = chance(2) ? "the lock was never seen free" : NULL;
		return r;
	}
	MUST(lease_chain_build(&l->plan, inj) == 0);
	/* All that there is room for was asked for, and lies on the stack, as far as the reader knows it. */
	MUST(l->plan.room.ranges <= req->want_ranges && l->plan.room.writes == req->want_writes);
	MUST(inj->chain.base >= stack->lo && inj->chain.base + inj->chain.len <= l->plan.lists &&
	     l->plan.lists + l->plan.lists_len <= STACK_SP - ARCH_RED_ZONE);
	act(ACT_LEASE, WORKER_REMEDY_PURGE);
	world.held = 1;
	*ret = l;
	return 0;
}

const struct lease_room *lease_room(const struct lease *l)
{
	return &l->plan.room;
}

int lease_wait_held(struct lease *l, uint64_t deadline_ns)
{
	static const int errors[] = { -ETIMEDOUT, -ESRCH, -EBUSY, -EFAULT };

	(void)deadline_ns;
	l->held = chance(8);
	return l->held ? 0 : errors[chance(ARRAY_SIZE(errors))];
}

uint64_t lease_left_ns(const struct lease *l)
{
	return l->held && !l->ended ? 8000000 : 0;
}

static void check_range(const struct lease_plan *p, const struct chain *c, uint64_t addr, uint64_t len)
{
	MUST(addr >= PAGE && len && addr < USER_END && len <= USER_END - addr);
	MUST(addr + len <= c->base || addr >= p->lists + p->lists_len);
}

/* What passes the injector's own look is right, and fits into what was reserved for it, to the byte. */
int lease_commit(struct lease *l, const struct lease_write *writes, size_t nwrites, const struct lease_range *ranges,
		 size_t nranges)
{
	const struct lease_plan *p = &l->plan;
	uint64_t sum = 0, bytes = 0;
	void *buf;
	ssize_t n;
	int r;

	scribble();
	MUST(l->held && !l->committed && !l->ended);
	if (!nwrites && !nranges)
		return 0;
	r = lease_check_lists(p, &session.chain, writes, nwrites, ranges, nranges);
	MUST(r == 0 || r == -EINVAL || r == -ENOSPC);
	if (r < 0)
		return r;
	MUST(nwrites <= p->room.writes && nranges <= p->room.ranges);
	for (size_t i = 0; i < nranges; i++) {
		MUST(!((ranges[i].addr | ranges[i].len) % PAGE));
		check_range(p, &session.chain, ranges[i].addr, ranges[i].len);
		sum += ranges[i].len;
	}
	for (size_t i = 0; i < nwrites; i++) {
		check_range(p, &session.chain, writes[i].addr, writes[i].len);
		bytes += writes[i].len;
	}
	MUST(sum <= LEASE_BYTES_MAX && bytes <= p->room.write_bytes);
	buf = malloc(p->lists_len);
	MUST(buf || !p->lists_len);
	n = lease_chain_fill(p, &session.chain, writes, nwrites, ranges, nranges, buf);
	MUST(n >= 0 && (size_t)n <= p->lists_len);
	free(buf);
	l->committed = chance(8);
	return l->committed ? 0 : -ETIME;
}

int lease_end(struct lease *l, uint64_t deadline_ns, struct lease_times *ret_times, bool *ret_applied)
{
	static const int errors[] = { -EINPROGRESS, -EBUSY, -ESRCH, -EFAULT };

	(void)deadline_ns;
	MUST(l->held && !l->ended);
	l->ended = true;
	if (chance(8) == 0)
		return errors[chance(ARRAY_SIZE(errors))];
	*ret_times = (struct lease_times){ .hold_ns = chance(10000000), .total_ns = chance(10000000) };
	*ret_applied = l->committed && chance(8);
	return 0;
}

void lease_close(struct lease *l)
{
	MUST(!l || world.held == 1);
	if (l)
		world.held = 0;
}

#endif
