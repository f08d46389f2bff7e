/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPython interpreter in a target: found by what it exports, its version
 * proven by the file, its structures believed only after they were checked in
 * the target's memory. 3.8 to 3.15, x86-64.
 */
#ifndef RECLAIM_INSPECT_CPYTHON_H
#define RECLAIM_INSPECT_CPYTHON_H

#include "inspect/safepoint.h"

#define CPYTHON_TEXT_MAX 128

/* Exported functions; the address is 0 where this version has none. */
enum cpython_func {
	CPYTHON_GILSTATE_ENSURE,
	CPYTHON_GILSTATE_RELEASE,
	CPYTHON_GILSTATE_CHECK,
	CPYTHON_RUN_SIMPLE_STRING,
	CPYTHON_ADD_PENDING_CALL,
	CPYTHON_GC_COLLECT,
	CPYTHON_GC_ENABLE, /* 3.10 and later */
	CPYTHON_GC_DISABLE, /* 3.10 and later */
	CPYTHON_CALL_FINALIZER, /* PyObject_CallFinalizerFromDealloc() */
	CPYTHON_CALL_NO_ARGS, /* PyObject_CallNoArgs(): 3.9 and later */
	CPYTHON_NFUNCS,
};

/* What the purge and collect remedies need to know; all addresses are the target's. */
struct cpython {
	uint32_t version; /* PY_VERSION_HEX; before 3.11 the micro version is 0 when it can't be told */
	bool free_threaded;
	bool debug; /* Py_DEBUG build: asserts on lists that deep purging changes */
	struct module *module; /* the program or libpython */
	uint64_t runtime; /* _PyRuntime */
	uint64_t interp; /* the main interpreter */
	uint64_t interpreters_head_at; /* of the pointer to the first of all */
	uint64_t func[CPYTHON_NFUNCS];

	/* The main interpreter's GIL: { u64 interval; u64 last_holder; i32 locked }. 0 when there is none. */
	uint64_t gil;
	/* Where in the interpreter and in a thread state things are. */
	uint32_t interp_next, threads_head; /* offsets in the interpreter */
	uint32_t thread_id; /* offset of the pthread_t in a thread state; prev is 0, next 8, interp 16 */
	uint64_t finalizing_at; /* of the runtime: a thread state while it finalizes */

	/* The collector: address of the int "enabled", 0 when it can't be told. */
	uint64_t gc_enabled_at;

	/* 3.14 and later, the interpreter's own door (PEP 768): offsets in a thread state, 0 when there is none. */
	uint32_t remote_support; /* of remote_debugger_support */
	uint32_t eval_breaker;
	uint32_t remote_pending, remote_path, remote_path_size; /* in remote_debugger_support */
	uint64_t remote_enabled_at; /* int: 0 when it has been switched off */

	/* pymalloc. 0 when it isn't used (PYTHONMALLOC=malloc, free-threaded, nothing allocated): see pymalloc_why. */
	uint64_t usedpools; /* U */
	uint64_t arenas_at; /* of the pointer to the vector, which moves: read it again each time */
	uint64_t maxarenas_at; /* of a u32 */
	uint64_t usable_arenas_at; /* of the list head; 0: not found (deep purge only) */
	uint64_t nfp2lasta_at; /* of 65 pointers (129 with 2 MiB arenas); 0: not found (deep purge only) */
	uint64_t arena_size, pool_size;
	char pymalloc_why[CPYTHON_TEXT_MAX]; /* when usedpools is 0 */
};

/*
 * 0; @ret_why says why not otherwise (CPYTHON_TEXT_MAX bytes, always filled then):
 * -ENOENT no Python here · -EBADMSG there is one, but it could not be told for
 * sure · -ENOTSUP a version or build that isn't known · a read's error
 */
int cpython_locate(struct target *t, struct cpython *ret, char *ret_why) __must_check;

/*
 * Finds usable_arenas and nfp2lasta before 3.12, where only their contents
 * tell: 0; -EAGAIN the target was changing them; -EBADMSG not unique. Fills
 * the two addresses in @py. Nothing to do from 3.12 on.
 */
int cpython_locate_lists(struct target *t, struct cpython *py) __must_check;

/* "3.11.2", "3.9", "3.13.0rc1": into a buffer of 24 bytes. */
const char *cpython_version_text(uint32_t version, char *buf);

#define CPYTHON_MINOR(version) ((version) >> 16) /* 0x030b for 3.11 */

/* One thread as Python sees it. */
struct cpython_thread {
	bool known; /* it has a thread state in the main interpreter, and only there */
	bool absent; /* Python's lists are whole, and it is in none of them */
	bool released; /* it is proven not to hold the GIL */
	bool holds; /* by all appearances it does: released is false then, and this is no proof */
	uint64_t tstate; /* when known */
	char why[CPYTHON_TEXT_MAX]; /* when not known or not released */
};

/*
 * What is known of the STOPPED thread with thread pointer @tp (cpu_regs.tp).
 * A thread that holds the GIL has been its last holder since it took it
 * (ceval_gil, take_gil()), and stays so while it is stopped: one look that
 * finds the GIL free, or another last holder, proves that it isn't this one.
 * Always fills @ret.
 */
void cpython_thread(struct target *t, const struct cpython *py, uint64_t tp, struct cpython_thread *ret);

/* Is the interpreter being finalized (or not yet initialized)? 1, 0, or the read's error. */
int cpython_finalizing(struct target *t, const struct cpython *py) __must_check;

/*
 * May this STOPPED thread run Python code of its own? Beyond safepoint_prove(),
 * which comes first: it is known to Python, does not hold the GIL, nothing is
 * being finalized, and it went to sleep in Python's own code or that of its
 * standard library: not in another library, whose locks a destructor may need,
 * and not in the taking or dropping of the GIL. 0 or -EAGAIN with the reason.
 */
int cpython_prove(const struct safepoint *sp, const struct cpython *py, const struct cpu_regs *regs, char *why,
		  size_t size) __must_check;

/*
 * Where a STOPPED thread is that knows nothing of a lock of Python's own: false
 * when it stands in Python's code and not in a wait that is known to own nothing
 * but, perhaps, the mutex of the GIL.
 */
bool cpython_is_elsewhere(const struct safepoint *sp, const struct cpython *py, const struct cpu_regs *regs);

#endif
