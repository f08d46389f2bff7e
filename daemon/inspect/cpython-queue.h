/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Python's queue of pending calls: functions that its main thread calls at the
 * next point where the interpreter is between two instructions. Anybody may put
 * one in by Py_AddPendingCall(), with the GIL or without.
 */
#ifndef RECLAIM_INSPECT_CPYTHON_QUEUE_H
#define RECLAIM_INSPECT_CPYTHON_QUEUE_H

#include "inspect/cpython.h"

struct cpython_queue {
	uint64_t lock; /* address of the semaphore's value, or of the mutex (3.13 and later) */
	bool mutex;
	uint64_t current_at; /* of the pointer to the running thread's state (3.8-3.11); 0: it is thread-local */
	/* The calls that wait, and many that don't any more: { function, argument, ... } */
	uint64_t calls;
	uint32_t stride, ncalls;
};

/* 0; -ENOTSUP, -EBADMSG when it isn't laid out as in any known build; a read's error. */
int cpython_queue_find(struct target *t, const struct cpython *py, struct cpython_queue *ret) __must_check;

/*
 * May this STOPPED thread, of which safepoint_prove() thinks well, call
 * Py_AddPendingCall()? It must not own the queue's lock: seen free while the
 * thread stands still, it doesn't. And
 *  up to 3.12 it holds the GIL: others may compute the flag that tells the main
 *	thread of the call wrongly, and up to 3.11 look at the state of whatever
 *	thread holds it, which may just be ending.
 *  from 3.13 on it doesn't hold the GIL, and isn't in Python's own locking
 *	code: who finds the mutex taken gives the GIL away until it is free, which a
 *	thread must not do in the middle of anything. Or it is the only
 *	thread (@alone): then nobody can have taken it.
 * 0 or -EAGAIN with the reason.
 */
int cpython_prove_queue(const struct safepoint *sp, const struct cpython *py, const struct cpython_queue *q,
			const struct cpu_regs *regs, bool alone, char *why, size_t size) __must_check;

/*
 * @len bytes, aligned to 16, that nobody owns: behind the variables of a module
 * that is never unloaded, up to the end of their last page. They are zero, or
 * begin with @magic, which is not zero. 0 or -ENOSPC, or a read's error.
 */
int cpython_spare_room(const struct safepoint *sp, const struct cpython *py, uint64_t magic, size_t len, uint64_t *ret)
	__must_check;

/*
 * gc.collect's function: PyObject *(module, args, nargs, kwnames). Found by
 * its entry in the table of the module's methods. -ENOENT unless there is exactly one.
 */
int cpython_find_gc_collect(struct target *t, const struct cpython *py, uint64_t *ret) __must_check;

#endif
