/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Advice to the kernel on memory of the target, from outside: what cold and
 * pageout have in common. Nobody is stopped and nothing is lost: the kernel
 * only moves pages, and the target gets them back when it needs them.
 *
 * process_madvise(2) holds the target's mmap lock for reading while it works
 * on a call's ranges: so a call gets only as much as is done in a few
 * milliseconds, and who waits for the lock has as long between two calls.
 */
#ifndef RECLAIM_REMEDY_ADVISE_H
#define RECLAIM_REMEDY_ADVISE_H

#include "remedy/remedy.h"

#define ADVISE_RANGES_MAX 64

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

struct advise_round {
	uint64_t bytes; /* of pages that may be moved, in all of its ranges */
	size_t n; /* 0: no more */
	struct pageable_span v[ADVISE_RANGES_MAX];
};

/* The injector's way to the reader. 0; -ETIME too slow; -EPIPE. */
struct advise_reader {
	int (*next)(void *ctx, struct advise_round *ret);
	void *ctx;
};

/* What is asked of the kernel, and how far. */
struct advise {
	int advice; /* MADV_COLD or MADV_PAGEOUT */
	uint64_t max_bytes; /* that may be moved; 0: no limit */
	const char *moved; /* what becomes of it, for people: "deactivated" */
	/* After each call: how much has been moved since the first; a reason to end, or NULL. */
	const char *(*watch)(void *ctx, uint64_t advised, uint64_t *ret_moved);
	void *ctx;
};

/*
 * In the reader: what there is. false: nothing, and @ret says why. Leaves it in
 * @facts for advise_next().
 */
bool advise_plan(struct remedy_facts *facts, struct remedy_plan *ret);
void advise_next(struct remedy_facts *facts, struct advise_round *ret);

/* In the injector: is it proven that the memory is idle? false: no, and the plan is impossible. */
bool advise_settle(const struct remedy_site *site, bool by_ages_only, struct remedy_plan *plan);

/* Carries it out. Always fills @ret. */
void advise_run(const struct remedy_site *site, const struct advise *a, struct remedy_result *ret);

#endif
