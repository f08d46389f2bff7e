/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A remedy is one way to get memory back. Each has two halves that run in two
 * processes: plan() in the sandboxed reader, which parses the target and never
 * traces it; run() in the injector, which traces it and never parses. Between
 * them goes a plan of fixed size.
 */
#ifndef RECLAIM_REMEDY_REMEDY_H
#define RECLAIM_REMEDY_REMEDY_H

#include "inject/pick.h"
#include "inspect/safepoint.h"

#define REMEDY_TEXT_MAX 192

struct remedy_facts {
	struct target *target;
	struct allocator_info allocator;
	struct safepoint safepoint;
};

struct remedy_plan {
	uint32_t possible;
	uint32_t has_predicted;
	uint64_t predicted; /* bytes */
	struct inject_code code;
	uint64_t data_lo, data_hi; /* libc's data */
	char reason[REMEDY_TEXT_MAX]; /* when not possible */
	char note[REMEDY_TEXT_MAX]; /* what the user should know, "" when nothing */
};

/* Where run() works: filled by the worker. */
struct remedy_site {
	const struct inject_target *target;
	const struct inject_prover *prover;
	uint64_t anon, swap; /* resident and swapped anonymous bytes: what the work is estimated by */
	uint64_t max_stop_ns; /* 0: no limit */
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
	uint64_t stopped_ns, call_ns;
	char reason[REMEDY_TEXT_MAX]; /* unless done */
	char detail[REMEDY_TEXT_MAX];
};

struct remedy {
	const char *name;
	/* Always fills @ret; a read that fails is a reason, not an error. */
	void (*plan)(struct remedy_facts *facts, struct remedy_plan *ret);
	/* Always fills @ret. */
	void (*run)(const struct remedy_site *site, const struct remedy_plan *plan, struct remedy_result *ret);
};

/* In the order in which they are tried, cheapest harm first. NULL-terminated. */
extern const struct remedy *const remedies[];

/* The one of that name and its place in the table, or NULL. */
const struct remedy *remedy_find(const char *name, uint32_t *ret_index);

#endif
