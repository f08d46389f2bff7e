/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lease: one of the target's own threads takes one of the target's own locks
 * (an arena's, or Python's), waits some milliseconds for what we found under
 * it, does that itself, and lets go of the lock. No other thread is stopped.
 *
 *	lease_begin      sends a thread that inject_pick() has found into the chain
 *	lease_wait_held  until it holds the lock
 *	(the caller validates by reading the target; nobody changes what the lock protects)
 *	lease_commit     hands over writes and ranges; they are carried out
 *	lease_end        waits for the end, says what has happened
 *	lease_close      always last, accepts NULL
 *
 * What makes it safe whenever any process of ours dies or is paused:
 *
 *  - we never write what the lock protects, nor the lock: the thread does;
 *  - the thread waits with a timeout and without us goes on, unlocks, restores;
 *  - lists are written, and the way to them is opened, only while the thread
 *    is stopped by us inside its wait. The kernel keeps it there until we let
 *    go or are dead, so nothing of ours can come late: not into a stack that
 *    the thread has long been using for something else, not after the lock
 *    is gone. The commit is one SETREGS: all or nothing;
 *  - while the thread is stopped, or may run into a stop at its end, a kernel
 *    timer stands ready to kill this process: a paused one, which would keep
 *    the thread stopped, is a dead one soon, and the thread goes on.
 *
 * Everything lies on the thread's own stack; nothing is left behind.
 */
#ifndef RECLAIM_INJECT_LEASE_H
#define RECLAIM_INJECT_LEASE_H

#include "inject/inject.h"

#define LEASE_RANGES_MAX 1024 /* IOV_MAX: what one process_madvise() takes */
#define LEASE_WRITES_MAX 1023 /* of the iovecs of one process_vm_readv() we need one ourselves */
#define LEASE_RANGES_MIN 16 /* less isn't worth a round */
#define LEASE_BYTES_MAX (1ull << 30) /* in all ranges: a vector is silently cut at 2 GiB (MAX_RW_COUNT) */
#define LEASE_NS_DEFAULT 8000000ull

enum lease_kind {
	LEASE_ARENA, /* glibc: lock_fn is __lll_lock_wait_private(), lock_addr the arena's mutex */
	LEASE_GIL, /* CPython: lock_fn is PyGILState_Ensure(), unlock_fn PyGILState_Release() */
};

/* Found by the reader; the bytes are compared with the target's memory under the stop. */
struct lease_code {
	uint64_t restorer; /* __restore_rt */
	uint64_t syscall_insn; /* syscall; ret in libc's text: 0f 05 c3 */
	uint64_t lock_fn, unlock_fn; /* unlock_fn: LEASE_GIL only */
	uint8_t lock_bytes[INJECT_CODE_BYTES], unlock_bytes[INJECT_CODE_BYTES];
};

enum lease_drop {
	LEASE_DROP_VECTOR, /* one process_madvise() on oneself, see lease_vector_possible() */
	LEASE_DROP_SINGLE, /* one madvise() for each range: any kernel, more stack, slower */
};

struct lease_request {
	enum lease_kind kind;
	enum lease_drop drop;
	uint64_t lock_addr; /* LEASE_ARENA */
	uint64_t lease_ns; /* how long the thread waits for us; 0: LEASE_NS_DEFAULT */
	int advice; /* MADV_DONTNEED or MADV_FREE */
	/* Asked for; fewer ranges are given when the stack has less room. */
	size_t want_ranges;
	size_t want_writes, want_write_bytes; /* given in full or -ENOSPC */
	/*
	 * A pause of this process by so much, while the thread stands still
	 * for the commit, is its end (see above); by five times as much
	 * otherwise, the caller's time between lease_wait_held() and
	 * lease_commit() included. 0: 200 ms, UINT64_MAX: never, the thread then
	 * stays stopped as long as we do.
	 */
	uint64_t guard_ns;
};

struct lease_room {
	size_t ranges, writes, write_bytes;
};

struct lease_range {
	uint64_t addr, len; /* whole pages */
};

struct lease_write {
	uint64_t addr;
	size_t len;
	const void *bytes;
};

struct lease_times {
	uint64_t lock_wait_ns; /* for the lock */
	uint64_t hold_ns; /* from having the lock until just before its release, by the thread's own clock stamps */
	uint64_t stopped_ns; /* longest of the stops: at the begin, for the commit */
	uint64_t commit_ns; /* the stop for the commit: part of the hold */
	uint64_t total_ns; /* from the first stop until the thread runs its own code again */
};

struct lease;

/* Can a process drop a vector of its own ranges on this kernel? Asked once. Linux 6.13 and later, PIDFD_SELF 6.15. */
bool lease_vector_possible(void);

/*
 * Sends the stopped thread of @inj, proven to be outside of the allocator (and
 * without the GIL, for LEASE_GIL), into the chain. On success @inj is left as
 * released: the caller only frees it by inject_close(). On failure nothing has
 * been changed; errors as of inject_call(), and
 *   -EAGAIN  the lock isn't seen free, a caught signal is pending, or an earlier chain still runs in it (*ret_why)
 *   -EINVAL  request not possible
 */
int lease_begin(struct inject *inj, const struct lease_code *code, const struct inject_stack *stack,
		const struct lease_request *req, struct lease **ret, const char **ret_why) __must_check;

/* What lease_commit() will accept. */
const struct lease_room *lease_room(const struct lease *l);

/*
 * 0: the thread holds the lock. -ETIMEDOUT: not by the deadline; the thread has
 * been put back (arena), or finishes by itself when it gets the lock (GIL).
 * -ESRCH gone, -EBUSY stopped by a signal, -EFAULT the function faulted. After
 * an error there is only lease_close().
 */
int lease_wait_held(struct lease *l, uint64_t deadline_ns) __must_check;

/* Nanoseconds that the lease still lasts; 0 when it is over. Valid after lease_wait_held(). */
uint64_t lease_left_ns(const struct lease *l);

/*
 * Has the thread carry out the writes, in this order, and then drop the
 * ranges. Nothing of it when a place can't be written to, or no page can be had
 * for it. Both empty: it only unlocks at once. -ETIME: the lease was over, nothing has been done.
 * -EINVAL, -ENOSPC: lists not acceptable, or no memory for them; nothing has
 * been done.
 */
int lease_commit(struct lease *l, const struct lease_write *writes, size_t nwrites, const struct lease_range *ranges,
		 size_t nranges) __must_check;

/*
 * Waits until the thread is back in its own code. 0; *ret_applied: the writes
 * were complete and the ranges have been dropped, as far as the kernel did it:
 * a vector ends at the first range that isn't all mapped, or is locked.
 * -EINPROGRESS, -EBUSY: it finishes by itself, the outcome isn't known.
 * -ESRCH, -EFAULT as above, and whatever has ended the lease before.
 */
int lease_end(struct lease *l, uint64_t deadline_ns, struct lease_times *ret_times, bool *ret_applied) __must_check;

/* Also without the above: the thread is released and finishes by itself. */
void lease_close(struct lease *l);

static inline void lease_closep(struct lease **l)
{
	lease_close(*l);
}
#define _cleanup_lease_ _cleanup_(lease_closep)

#endif
