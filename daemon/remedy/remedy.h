/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A remedy is one way to get memory back. Each has two halves that run in two
 * processes: plan() in the sandboxed reader, which parses the target and never
 * traces it; run() in the injector, which traces it and never parses. Between
 * them goes a plan of fixed size.
 */
#ifndef RECLAIM_REMEDY_REMEDY_H
#define RECLAIM_REMEDY_REMEDY_H

#include "base/swap.h"
#include "inject/lease.h"
#include "inject/pick.h"
#include "inspect/pageable.h"
#include "inspect/safepoint.h"

#define REMEDY_TEXT_MAX 192
#define REMEDY_FUNCS_MAX 4

struct advise_reader;
struct purge_reader;
struct purge_side;
struct remedy_interpreter;
struct remedy_looks;

/* How it is known that memory has been left alone. */
enum remedy_idle_kind {
	REMEDY_IDLE_UNKNOWN,
	REMEDY_IDLE_AGES, /* nobody has accessed what lies in the spans for idle_us */
	REMEDY_IDLE_QUIET, /* idle_us ago the process had used so much of the CPUs, and may not have used more since */
};

struct remedy_idle {
	enum remedy_idle_kind kind;
	uint64_t idle_us;
	uint64_t cpu_ticks; /* of quiet ones */
	const struct pageable_span *spans; /* of ages; ascending */
	size_t nspans;
};

struct remedy_facts {
	struct target *target;
	struct allocator_info allocator;
	struct safepoint safepoint;
	/* Made on first use, live as long as the reader: */
	struct remedy_interpreter *interpreter; /* remedy/python.h */
	struct purge_side *purge; /* remedy/purge-plan.h */
	struct pageable *pageable; /* remedy/advise.h: of the last plan */
	/* What the machine has, and what the asker knows of the target; NULL: not known. */
	const struct swap *swap;
	const struct remedy_idle *idle;
	/* What an explanation has seen, while it lasts; NULL: plan() looks itself. */
	const struct remedy_looks *looks; /* remedy/looks.h */
};

/* A function of the target, and the code that must be found there. */
struct remedy_func {
	uint64_t fn;
	uint8_t bytes[INJECT_CODE_BYTES];
};

/*
 * Collect in an interpreter that is at work (remedy/collect-queue.c): a function
 * that is put into Python's queue of pending calls, and an object for it to work on.
 */
struct remedy_queue {
	uint32_t possible;
	uint32_t mutex; /* of 3.13 and later: who may put it in differs */
	struct remedy_func add; /* Py_AddPendingCall() */
	struct remedy_func call; /* PyObject_CallFinalizerFromDealloc(): what is put in */
	struct remedy_func finalizer; /* what that calls: PyGC_Collect(), or PyObject_CallNoArgs() for: */
	struct remedy_func vector; /* gc.collect(); 0: none */
	uint64_t room; /* where the object is to be */
	uint64_t calls; /* the queue's own places */
	uint32_t stride, ncalls;
	char reason[REMEDY_TEXT_MAX]; /* when not possible */
};

struct remedy_plan {
	uint32_t possible;
	uint32_t has_predicted;
	uint64_t predicted, lower, upper; /* bytes */
	uint64_t deep; /* purge: what depth deep adds to them */
	struct inject_code code;
	struct remedy_func funcs[REMEDY_FUNCS_MAX]; /* more of them, where one isn't enough */
	uint32_t parts, pad; /* purge: enum purge_parts */
	struct lease_code arena, gil; /* purge: how the locks of these parts are taken */
	struct remedy_queue queue; /* collect */
	uint64_t data_lo, data_hi; /* libc's data */
	char reason[REMEDY_TEXT_MAX]; /* when not possible */
	char note[REMEDY_TEXT_MAX]; /* what the user should know, "" when nothing */
};

enum remedy_depth {
	REMEDY_DEPTH_AUTO, /* deep where the target is idle */
	REMEDY_DEPTH_NORMAL,
	REMEDY_DEPTH_DEEP,
};

/* Where run() works: filled by the worker. */
struct remedy_site {
	const struct inject_target *target;
	const struct inject_prover *prover;
	const struct inject_prover *python_prover; /* and that the thread may take Python's global lock */
	const struct inject_prover *queue_prover; /* and that it may add to Python's pending calls */
	const struct purge_reader *purge; /* rounds of a purge are prepared over there */
	const struct advise_reader *advise; /* and the ranges of a cold or pageout found */
	const struct remedy_idle *idle;
	int proc, groups; /* folders: of procfs, of control groups (may be -1) */
	uint64_t max_bytes; /* of cold and pageout; 0: no limit */
	uint64_t swap_keep; /* bytes of swap that stay free */
	uint64_t anon, swap; /* resident and swapped anonymous bytes: what the work is estimated by */
	uint64_t locked; /* bytes that are locked into memory */
	uint64_t max_stop_ns; /* 0: no limit */
	enum remedy_depth depth;
	int advice; /* MADV_DONTNEED or MADV_FREE: how pages are given back by purge */
	uint64_t deadline_ns;
	const char *unsafe_why; /* why the last look was refused: the prover's */
};

enum remedy_outcome {
	REMEDY_DONE,
	REMEDY_REFUSED,
	REMEDY_FAILED,
	REMEDY_TIMEOUT,
	REMEDY_DENIED,
	REMEDY_GONE,
};

struct remedy_result {
	enum remedy_outcome outcome;
	struct inject_stops stops;
	uint64_t call_ns; /* of the last of them: in the target's own function */
	bool begun; /* not done, and yet a part of it may have been: only what was freed can tell */
	char reason[REMEDY_TEXT_MAX]; /* unless done; then why not all of it was, or "" */
	char detail[REMEDY_TEXT_MAX];
};

struct remedy {
	const char *name;
	bool outside; /* it is the kernel that does it: nobody is stopped, and whose malloc it is doesn't matter */
	/* Always fills @ret; a read that fails is a reason, not an error. */
	void (*plan)(struct remedy_facts *facts, struct remedy_plan *ret);
	/* In the injector: fits the plan to what was asked for. May be NULL. */
	void (*settle)(const struct remedy_site *site, struct remedy_plan *plan);
	/* Always fills @ret. */
	void (*run)(const struct remedy_site *site, const struct remedy_plan *plan, struct remedy_result *ret);
};

/* In the order in which they are tried: what is garbage first, then what is free. NULL-terminated. */
extern const struct remedy *const remedies[];

/* The one of that name and its place in the table, or NULL. */
const struct remedy *remedy_find(const char *name, uint32_t *ret_index);

#endif
