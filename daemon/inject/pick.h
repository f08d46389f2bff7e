/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds one thread of the target that stands at a safe point, and stops it.
 *
 * First choice: a thread asleep in a known system call, chosen from outside
 * (/proc/PID/task/TID/syscall) before anything is stopped. When all are busy:
 * running threads are sampled (stop, look, let go) until one is found outside
 * everything unsafe, or right in a known system call of which nothing is done
 * yet, within the budget. Whoever calls proves the stack.
 */
#ifndef RECLAIM_INJECT_PICK_H
#define RECLAIM_INJECT_PICK_H

#include "inject/inject.h"

struct inject_prover {
	/*
	 * Before any stop: a sleeping thread with this rsp and rip (nothing else
	 * is valid). 0 to go on; -EAGAIN: surely unsafe, don't stop it.
	 */
	int (*prepare)(void *ctx, const struct cpu_regs *regs);
	/*
	 * The thread is stopped. 0 and its stack; -EAGAIN when it isn't at a safe
	 * point; any other -errno ends the search.
	 */
	int (*prove)(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret);
	void *ctx;
};

#define INJECT_AVOID_MAX 16

enum inject_which {
	INJECT_ANY,
	INJECT_SLEEPING,
	INJECT_RUNNING,
};

struct inject_search {
	enum inject_which which; /* threads; INJECT_ANY: sleeping ones first */
	uint64_t deadline_ns; /* of the whole search */
	uint64_t data_lo, data_hi; /* libc's data: a futex in there is one of its own locks */
	pid_t only; /* no other thread; 0: whichever */
	uint64_t stack_room; /* free stack that is needed below the frames; 0: INJECT_STACK_ROOM */
	/* Sleeping threads that were found before and turned out to be of no use. */
	pid_t avoid[INJECT_AVOID_MAX];
	size_t navoid;
};

struct inject_found {
	struct inject *inj; /* stopped at a safe point; the caller closes */
	struct inject_stack stack;
	pid_t tid;
	bool asleep; /* seen so from outside; not one that was at work and has entered its call since */
	bool restarts; /* in a call whose relative timeout begins anew after a chain */
	const char *where; /* name of the call it stands in, or "user code" */
	uint64_t looks; /* stops that were needed, this one included */
	struct inject_stops stops; /* the earlier ones */
	const char *why; /* when not found: what the injector itself objected to last, or NULL */
};

/* How many threads the target has now; 0 when that can't be told. */
unsigned long inject_threads(const struct inject_target *target);

/*
 * 0; -EAGAIN no safe point in time; -ETIMEDOUT a thread would not stop;
 * -EPERM, -ESRCH, -EBUSY, -ESTALE as inject_open(); what prove() returned.
 */
int inject_pick(const struct inject_target *target, const struct inject_prover *prover,
		const struct inject_search *search, struct inject_found *ret) __must_check;

#endif
