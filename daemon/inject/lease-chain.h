/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private to the room: what the chain of a lease looks like.
 *
 *	T0 | LOCK | T1 | WAIT | JUMP to T3 |
 *	TOUCH | JUMP to T3, or to WRITES once all places have been touched |
 *	WRITES | JUMP to T3, or to T2 once the writes are complete |
 *	T2 | drops | T3 | UNLOCK | T4 | restore
 *
 * Left alone, the thread never comes to the lines in the middle. The commit
 * sends it there while it is stopped in the first: to TOUCH, or to T2 if there
 * are no writes. The last of the writes makes their JUMP lead to T2: writes
 * that stop short (a fault, a filter) leave the drops out.
 *
 * Half of the writes would be worse than none, and writes can stop short where
 * a page has to be found first: one shared with a forked child, or dropped,
 * when the memory of the cgroup is used up and nobody may be killed for it. So
 * TOUCH copies each place onto itself before: what can't be had shows there.
 *
 * T: clock_gettime() into the data area. Lists lie above the image:
 *	| remote iovec | iovecs of the writes | touched iovecs, there and from | iovecs of the drops
 *	| values, address of T2, address of WRITES | red zone
 */
#ifndef RECLAIM_INJECT_LEASE_CHAIN_H
#define RECLAIM_INJECT_LEASE_CHAIN_H

#include "inject/lease.h"
#include "inject/session.h"

enum lease_frame {
	LEASE_T0,
	LEASE_LOCK,
	LEASE_T1,
	LEASE_WAIT,
	LEASE_SKIP,
	LEASE_TOUCH,
	LEASE_TOUCHED,
	LEASE_WRITES,
	LEASE_GATE,
	LEASE_T2,
	LEASE_DROPS, /* one or more; behind them: */
};

enum lease_tail {
	LEASE_T3,
	LEASE_UNLOCK,
	LEASE_T4,
	LEASE_RESTORE,
	LEASE_TAIL,
};

#define LEASE_STAMPS 5
#define LEASE_LIST_MAX (256u << 10)

struct lease_stamp {
	int64_t sec, nsec;
};

/* What the frames of a lease need, in the target's memory. */
struct lease_plan {
	struct lease_request req;
	struct lease_code code;
	struct lease_room room;
	pid_t self; /* the thread's id in its own pid namespace */
	size_t ndrops; /* frames */
	uint64_t lists; /* address */
	size_t lists_len;
};

/* How much fits into @stack below @sp. -ENOSPC, -EINVAL. */
int lease_size(struct lease_plan *p, const struct inject_stack *stack, uint64_t sp, size_t xstate_len) __must_check;

/* Builds the whole chain, with empty lists. */
int lease_chain_build(const struct lease_plan *p, struct inject *inj) __must_check;

/*
 * Puts the lists into @buf (room for p->lists_len), which belongs at p->lists;
 * and the frames that go through them into the chain's image. Returns the
 * length used.
 */
ssize_t lease_chain_fill(const struct lease_plan *p, struct chain *c, const struct lease_write *writes, size_t nwrites,
			 const struct lease_range *ranges, size_t nranges, void *buf) __must_check;

/* Index of a frame behind the drops. */
static inline size_t lease_tail(const struct lease_plan *p, enum lease_tail tail)
{
	return LEASE_DROPS + p->ndrops + tail;
}

/* Address of stamp @i. */
uint64_t lease_stamp_at(const struct chain *c, size_t i);

#endif
