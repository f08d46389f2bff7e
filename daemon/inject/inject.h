/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of an injection, in order:
 *
 *	inject_open   stop ONE thread, save what it was doing
 *	(the caller proves from the saved registers that this is a safe point)
 *	inject_call   run functions of the target in it, restore it, let it go
 *	inject_close  let it go as it was; always last, accepts NULL
 *
 * One owner: struct inject. Whatever path leads out, inject_close() leaves
 * the thread running with its own registers and mask, or finishing the chain
 * by itself. The other threads of the target are never stopped.
 */
#ifndef RECLAIM_INJECT_INJECT_H
#define RECLAIM_INJECT_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/regs.h"
#include "inject/chain.h"

#define INJECT_CODE_BYTES 32
/* Free stack that must remain below the frames for the called functions: malloc_trim needs less than 1 KiB. */
#define INJECT_STACK_ROOM 8192

struct inject;

struct inject_target {
	pid_t pid;
	int piddir; /* /proc/PID, pins the identity */
	int mem_fd; /* /proc/PID/mem for reading and writing, pins the memory */
	struct arch_xstate_info xstate;
	/*
	 * Reads at @addr in another process of ours, which may hang there for good (a mapping of a file that never
	 * answers). 0; -ETIME or -EPIPE when it doesn't answer; else why it can't be read. NULL: nobody is asked.
	 */
	int (*look)(void *ctx, uint64_t addr, size_t len, uint64_t deadline_ns);
	void *look_ctx;
};

/* Where the stopped thread is. */
struct inject_stop {
	struct cpu_regs regs;
	bool in_syscall;
	long nr; /* when in_syscall */
};

/* What is going to be called. The bytes are compared with the target's memory under the stop. */
struct inject_code {
	uint64_t restorer; /* __restore_rt of the target's libc */
	uint64_t fn;
	uint8_t fn_bytes[INJECT_CODE_BYTES];
};

/* The thread's stack: [lo, hi) is its own, private and writable. */
struct inject_stack {
	uint64_t lo, hi;
};

struct inject_times {
	uint64_t stopped_ns; /* from the request to stop until the thread runs its own code again */
	uint64_t call_ns; /* the part of it between the commit and the return of the last call */
};

/* All the stops of one piece of work. */
struct inject_stops {
	uint64_t longest_ns, total_ns;
};

static inline void inject_stops_join(struct inject_stops *stops, const struct inject_stops *more)
{
	stops->longest_ns = MAX(stops->longest_ns, more->longest_ns);
	stops->total_ns += more->total_ns;
}

static inline void inject_stops_add(struct inject_stops *stops, uint64_t ns)
{
	inject_stops_join(stops, &(const struct inject_stops){ .longest_ns = ns, .total_ns = ns });
}

/*
 * Seizes and stops thread @tid. The stop must come by @deadline_ns; a thread
 * that isn't in D state but only waits for a CPU gets two seconds more.
 * -ESRCH gone · -EPERM not permitted · -EALREADY traced by somebody · -EBUSY in group-stop
 * (stopped by a signal: left exactly so) · -ETIMEDOUT did not stop (D state) · -ESTALE it executes another program.
 */
int inject_open(const struct inject_target *target, pid_t tid, uint64_t deadline_ns, struct inject **ret) __must_check;

/*
 * A thread that did not stop in time stops as soon as it can, and then only the
 * end of this process frees it. So from then on nothing is to be done but to end:
 * inject_pick() says -ETIMEDOUT.
 */
bool inject_is_late(void);
void inject_note_late(void);

void inject_where(const struct inject *inj, struct inject_stop *ret);

/*
 * For other functions than malloc_trim, before inject_call(). @stack_room:
 * bytes that must be free below the frames, INJECT_STACK_ROOM otherwise.
 * @keep: once begun, the calls are never taken back. Without it a chain that
 * waits for a lock of its own for long is taken out of that wait (-EDEADLK),
 * which is right for glibc's plain locks only: whoever waits on a condition
 * variable (Python's GIL) has left traces in it.
 */
void inject_demand(struct inject *inj, uint64_t stack_room, bool keep);

/*
 * Runs @calls in the stopped thread and lets it go. The owner only has to
 * inject_close() afterwards.
 *
 * Before the commit, nothing has been changed:
 *   -EAGAIN  in an rseq section, or no free signal (*ret_why): try another thread or moment
 *   -ENOSPC  not enough room on this stack       -ESTALE  the code is not what was read
 *   -EACCES  a seccomp filter would forbid it (*ret_why) or can't be read
 *   -EOPNOTSUPP syscall user dispatch, AMX (*ret_why)
 * After it:
 *   0 done · -EDEADLK it waited for a lock that somebody holds on to, and was
 *   called back: what had been done before that wait stays done
 *   -EINPROGRESS deadline passed, the thread finishes alone and then
 *   goes on as before · -EBUSY the same, somebody stopped it by a signal
 *   -EFAULT the call faulted, the thread was put back · -ESRCH it died meanwhile
 */
int inject_call(struct inject *inj, const struct inject_code *code, const struct inject_stack *stack,
		const struct chain_call *calls, size_t ncalls, uint64_t deadline_ns, struct inject_times *ret,
		const char **ret_why) __must_check;

/* The program that was looked at is no more: it exited, or another one runs in its place. */
bool inject_is_over(const struct inject_target *target);

/* Nanoseconds since the stop was requested. */
uint64_t inject_stopped_ns(const struct inject *inj);

void inject_close(struct inject *inj);

static inline void inject_closep(struct inject **inj)
{
	inject_close(*inj);
}
#define _cleanup_inject_ _cleanup_(inject_closep)

#endif
