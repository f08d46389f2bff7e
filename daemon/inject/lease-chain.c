// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/lease-chain.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

/* Newer than Debian 12's headers: PIDFD_SELF_THREAD_GROUP of include/uapi/linux/pidfd.h, Linux 6.15. */
#define PIDFD_OF_SELF ((uint64_t)-10001)
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

/* Stack that the lock functions may use: the arena's takes a few words; Ensure may create a thread state. */
#define ROOM_ARENA (16u << 10)
#define ROOM_GIL (64u << 10)
#define GIL_UNLOCKED 1 /* PyGILState_UNLOCKED: what Ensure has returned, since the thread did not have the GIL */
#define SLACK 256 /* alignment of the image's parts */

/* The data area of the image. */
struct lease_data {
	struct lease_stamp stamp[LEASE_STAMPS];
	struct timespec wait;
	uint64_t no_signals;
};

uint64_t lease_stamp_at(const struct chain *c, size_t i)
{
	return c->data + offsetof(struct lease_data, stamp) + i * sizeof(struct lease_stamp);
}

static size_t lease_lists_len(const struct lease_request *req, size_t nranges)
{
	size_t len = req->drop == LEASE_DROP_VECTOR ? nranges * sizeof(struct iovec) : 0;

	/* three times one iovec for each and one for the gate; one for the remote side of the values */
	if (req->want_writes)
		len += (3 * req->want_writes + 4) * sizeof(struct iovec) + ((req->want_write_bytes + 7) & ~(size_t)7) +
		       2 * sizeof(uint64_t);
	return (len + 15) & ~(size_t)15;
}

static uint64_t lease_stack_len(const struct lease_request *req, size_t nranges, size_t xstate_len)
{
	size_t ndrops = req->drop == LEASE_DROP_VECTOR ? 1 : nranges;

	return ARCH_RED_ZONE + lease_lists_len(req, nranges) + xstate_len + sizeof(struct lease_data) +
	       (LEASE_DROPS + ndrops + LEASE_TAIL) * ARCH_FRAME_STRIDE + SLACK +
	       (req->kind == LEASE_GIL ? ROOM_GIL : ROOM_ARENA);
}

static bool lease_request_valid(const struct lease_request *req)
{
	if (req->want_ranges > LEASE_RANGES_MAX || req->want_writes > LEASE_WRITES_MAX ||
	    req->want_write_bytes > LEASE_LIST_MAX || !req->want_writes != !req->want_write_bytes)
		return false;
	if (req->advice != MADV_DONTNEED && req->advice != MADV_FREE)
		return false;
	return req->lease_ns <= 1000000000 && (req->kind == LEASE_GIL || req->lock_addr);
}

int lease_size(struct lease_plan *p, const struct inject_stack *stack, uint64_t sp, size_t xstate_len)
{
	const struct lease_request *req = &p->req;
	size_t most = req->drop == LEASE_DROP_VECTOR ? LEASE_RANGES_MAX : CHAIN_FRAMES_MAX - LEASE_DROPS - LEASE_TAIL;
	size_t n = MIN(req->want_ranges, most), least = MIN(n, (size_t)LEASE_RANGES_MIN);
	uint64_t room;

	if (!lease_request_valid(req))
		return -EINVAL;
	if (sp < stack->lo || sp > stack->hi)
		return -ENOSPC;
	room = sp - stack->lo;
	while (lease_stack_len(req, n, xstate_len) > room && n > least)
		n = MAX(least, n - MAX(n / 8, (size_t)1));
	if (lease_stack_len(req, n, xstate_len) > room)
		return -ENOSPC;
	p->room = (struct lease_room){ n, req->want_writes, req->want_write_bytes };
	p->ndrops = req->drop == LEASE_DROP_VECTOR ? 1 : MAX(n, (size_t)1);
	p->lists_len = lease_lists_len(req, n);
	p->lists = (sp - ARCH_RED_ZONE - p->lists_len) & ~15ull;
	return 0;
}

static struct chain_frame lease_stamp_frame(const struct chain *c, size_t i)
{
	return (struct chain_frame){
		.kind = CHAIN_SYSCALL,
		.target = SYS_clock_gettime,
		.args = { CLOCK_MONOTONIC, lease_stamp_at(c, i) },
		.nargs = 2,
	};
}

static struct chain_frame lease_lock_frame(const struct lease_plan *p)
{
	const bool arena = p->req.kind == LEASE_ARENA;

	return (struct chain_frame){
		.kind = CHAIN_CALL,
		.target = p->code.lock_fn,
		.args = { arena ? p->req.lock_addr : 0 },
		.nargs = arena,
	};
}

/*
 * glibc's unlock is an atomic exchange with 0 and a wake-up when it was 2,
 * which __lll_lock_wait_private has made it (sysdeps/nptl/lowlevellock.h): one
 * futex(FUTEX_WAKE_OP) does both. The second wake-up never comes: the word is never 0xfff.
 */
static struct chain_frame lease_unlock_frame(const struct lease_plan *p)
{
	if (p->req.kind == LEASE_GIL)
		return (struct chain_frame){
			.kind = CHAIN_CALL,
			.target = p->code.unlock_fn,
			.args = { GIL_UNLOCKED },
			.nargs = 1,
		};
	return (struct chain_frame){
		.kind = CHAIN_SYSCALL,
		.target = SYS_futex,
		.args = { p->req.lock_addr, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, 0, p->req.lock_addr,
			  FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0xfff) },
		.nargs = 6,
	};
}

/* The wait ends with its time, or when we stop the thread: -EINTR then, and it is never restarted. */
static struct chain_frame lease_wait_frame(const struct chain *c)
{
	return (struct chain_frame){
		.kind = CHAIN_SYSCALL,
		.target = SYS_rt_sigtimedwait,
		.args = { c->data + offsetof(struct lease_data, no_signals), 0,
			  c->data + offsetof(struct lease_data, wait), sizeof(uint64_t) },
		.nargs = 4,
	};
}

static struct chain_frame lease_jump_frame(size_t to)
{
	return (struct chain_frame){ .kind = CHAIN_JUMP, .target = to };
}

static int lease_put_data(const struct lease_plan *p, struct chain *c)
{
	struct lease_data data = {
		.wait = { (time_t)(p->req.lease_ns / 1000000000), (long)(p->req.lease_ns % 1000000000) },
	};

	return chain_put_data(c, 0, &data, sizeof(data));
}

int lease_chain_build(const struct lease_plan *p, struct inject *inj)
{
	const struct chain_shape shape = {
		.stack = p->lists + ARCH_RED_ZONE, /* the lists lie below the thread's: no other is needed */
		.restorer = p->code.restorer,
		.syscall_insn = p->code.syscall_insn,
		.nframes = LEASE_DROPS + p->ndrops + LEASE_TAIL,
		.data_len = sizeof(struct lease_data),
	};
	struct chain *c = &inj->chain;
	int r = chain_lay(c, &shape, &inj->cont);

	if (r < 0)
		return r;
	{
		const struct {
			size_t at;
			struct chain_frame frame;
		} frames[] = {
			{ LEASE_T0, lease_stamp_frame(c, 0) },
			{ LEASE_LOCK, lease_lock_frame(p) },
			{ LEASE_T1, lease_stamp_frame(c, 1) },
			{ LEASE_WAIT, lease_wait_frame(c) },
			{ LEASE_SKIP, lease_jump_frame(lease_tail(p, LEASE_T3)) },
			{ LEASE_TOUCH, lease_jump_frame(lease_tail(p, LEASE_T3)) },
			{ LEASE_TOUCHED, lease_jump_frame(lease_tail(p, LEASE_T3)) },
			{ LEASE_WRITES, lease_jump_frame(lease_tail(p, LEASE_T3)) },
			{ LEASE_GATE, lease_jump_frame(lease_tail(p, LEASE_T3)) },
			{ LEASE_T2, lease_stamp_frame(c, 2) },
			{ LEASE_DROPS, lease_jump_frame(lease_tail(p, LEASE_T3)) },
			{ lease_tail(p, LEASE_T3), lease_stamp_frame(c, 3) },
			{ lease_tail(p, LEASE_UNLOCK), lease_unlock_frame(p) },
			{ lease_tail(p, LEASE_T4), lease_stamp_frame(c, 4) },
		};

		for (size_t i = 0; i < ARRAY_SIZE(frames) && r == 0; i++)
			r = chain_put(c, frames[i].at, &frames[i].frame);
	}
	return r == 0 ? lease_put_data(p, c) : r;
}

/* The scatter of the thread on itself: from one run of values to all the places, in order; last, the gate. */
static int lease_fill_writes(const struct lease_plan *p, struct chain *c, const struct lease_write *writes,
			     size_t nwrites, unsigned char *buf, size_t values)
{
	struct iovec *remote = (struct iovec *)buf, *local = remote + 1;
	const uint64_t open = chain_entry_sp(c, LEASE_T2);
	size_t at = values;
	struct chain_frame frame = {
		.kind = CHAIN_SYSCALL,
		.target = SYS_process_vm_readv,
		.args = { (uint64_t)p->self, p->lists + sizeof(*remote), nwrites + 1, p->lists, 1, 0 },
		.nargs = 6,
	};

	for (size_t i = 0; i < nwrites; i++) {
		memcpy(buf + at, writes[i].bytes, writes[i].len);
		local[i] = (struct iovec){ (void *)(uintptr_t)writes[i].addr, writes[i].len };
		at += writes[i].len;
	}
	memcpy(buf + at, &open, sizeof(open));
	local[nwrites] =
		(struct iovec){ (void *)(uintptr_t)arch_frame_sp_at(chain_frame_at(c, LEASE_GATE)), sizeof(open) };
	at += sizeof(open);
	*remote = (struct iovec){ (void *)(uintptr_t)(p->lists + values), at - values };
	return chain_put(c, LEASE_WRITES, &frame);
}

/*
 * Each place onto itself, but those in the page that the one before ended in:
 * nobody changes them, the lock is held. @offset: where the iovecs of that go
 * in @buf; @gate: where the address of WRITES goes, for the last of them.
 */
static int lease_fill_touches(const struct lease_plan *p, struct chain *c, const struct lease_write *writes,
			      size_t nwrites, unsigned char *buf, size_t offset, size_t gate)
{
	struct iovec *to = (struct iovec *)(buf + offset), *from = to + nwrites + 1;
	const uint64_t open = chain_entry_sp(c, LEASE_WRITES);
	uint64_t page = 0;
	size_t n = 0;

	for (size_t i = 0; i < nwrites; i++) {
		const uint64_t first = writes[i].addr / 4096, last = (writes[i].addr + writes[i].len - 1) / 4096;

		if (first != page || last != page)
			to[n++] = (struct iovec){ (void *)(uintptr_t)writes[i].addr, writes[i].len };
		page = last;
	}
	memcpy(from, to, n * sizeof(*to));
	memcpy(buf + gate, &open, sizeof(open));
	to[n] = (struct iovec){ (void *)(uintptr_t)arch_frame_sp_at(chain_frame_at(c, LEASE_TOUCHED)), sizeof(open) };
	from[n] = (struct iovec){ (void *)(uintptr_t)(p->lists + gate), sizeof(open) };
	return chain_put(c, LEASE_TOUCH,
			 &(struct chain_frame){
				 .kind = CHAIN_SYSCALL,
				 .target = SYS_process_vm_readv,
				 .args = { (uint64_t)p->self, p->lists + offset, n + 1,
					   p->lists + offset + (nwrites + 1) * sizeof(*to), n + 1, 0 },
				 .nargs = 6,
			 });
}

static int lease_fill_vector(const struct lease_plan *p, struct chain *c, const struct lease_range *ranges,
			     size_t nranges, unsigned char *buf, size_t offset)
{
	struct iovec *iov = (struct iovec *)(buf + offset);
	struct chain_frame frame = {
		.kind = CHAIN_SYSCALL,
		.target = SYS_process_madvise,
		.args = { PIDFD_OF_SELF, p->lists + offset, nranges, (uint64_t)p->req.advice, 0 },
		.nargs = 5,
	};

	for (size_t i = 0; i < nranges; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)ranges[i].addr, ranges[i].len };
	return chain_put(c, LEASE_DROPS, &frame);
}

static int lease_fill_singles(const struct lease_plan *p, struct chain *c, const struct lease_range *ranges,
			      size_t nranges)
{
	int r = 0;

	for (size_t i = 0; i < nranges && r == 0; i++) {
		struct chain_frame frame = {
			.kind = CHAIN_SYSCALL,
			.target = SYS_madvise,
			.args = { ranges[i].addr, ranges[i].len, (uint64_t)p->req.advice },
			.nargs = 3,
		};

		r = chain_put(c, LEASE_DROPS + i, &frame);
	}
	if (r == 0 && nranges < p->ndrops) {
		struct chain_frame frame = lease_jump_frame(lease_tail(p, LEASE_T3));

		r = chain_put(c, LEASE_DROPS + nranges, &frame);
	}
	return r;
}

ssize_t lease_chain_fill(const struct lease_plan *p, struct chain *c, const struct lease_write *writes, size_t nwrites,
			 const struct lease_range *ranges, size_t nranges, void *buf)
{
	const bool vector = p->req.drop == LEASE_DROP_VECTOR;
	const size_t touches = (nwrites + 2) * sizeof(struct iovec);
	const size_t drops = nwrites ? touches + 2 * (nwrites + 1) * sizeof(struct iovec) : 0;
	size_t values = drops + (vector ? nranges * sizeof(struct iovec) : 0), len = values;
	int r = 0;

	for (size_t i = 0; i < nwrites; i++)
		len += writes[i].len;
	if (nwrites) {
		len += sizeof(uint64_t);
		r = lease_fill_writes(p, c, writes, nwrites, buf, values);
		if (r == 0)
			r = lease_fill_touches(p, c, writes, nwrites, buf, touches, len);
		len += sizeof(uint64_t);
	}
	if (r == 0)
		r = vector ? lease_fill_vector(p, c, ranges, nranges, buf, drops) :
			     lease_fill_singles(p, c, ranges, nranges);
	return r < 0 ? r : (ssize_t)len;
}
