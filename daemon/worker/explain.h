/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "What is in there?": the reader looks and speaks in numbers, the worker
 * checks them and passes them on. Nobody traces, the target is never stopped.
 */
#ifndef RECLAIM_WORKER_EXPLAIN_H
#define RECLAIM_WORKER_EXPLAIN_H

#include "reclaim/explain.h"
#include "reclaim/worker.h"
#include "remedy/remedy.h"

/* ---- in the worker ---- */

/* Answers @req on @fd. 0; -errno when the answer could not be sent as a whole. */
int explain_run(const struct worker_request *req, int fd) __must_check;

/* ---- in the sandboxed reader ---- */

struct explain_source {
	struct remedy_facts *facts;
	const char *refusal; /* why nothing is known of its allocator, "" when it is */
	uint32_t op; /* enum worker_op */
	bool outside; /* also what the kernel alone does: WORKER_F_OUTSIDE */
	bool whole; /* a glance that leaves nothing out: WORKER_F_WHOLE */
	bool map; /* send the cells as well */
};

/* Looks at everything and sends head and parts on @fd. 0 or -errno. */
int explain_answer(const struct explain_source *src, int fd) __must_check;

/* ---- the parts of the latter ---- */

struct explain_ranges {
	struct explain_range *v;
	size_t n, room;
};

/* Whose memory is [lo, hi)? What doesn't fit any more is left out: it is then nobody's. */
void explain_ranges_add(struct explain_ranges *rs, uint64_t lo, uint64_t hi, enum explain_owner owner);

/* The heaps of @arenas, and large blocks with mappings of their own, at most @mmapped bytes of these. */
void explain_ranges_glibc(struct target *t, const struct explain_arena *arenas, size_t n, uint64_t heap_max,
			  uint64_t mmapped, struct explain_ranges *rs);

/* Puts them in order, joins neighbours, counts resident pages. At most EXPLAIN_RANGES_MAX remain. */
void explain_ranges_finish(struct target *t, struct explain_ranges *rs);
void explain_ranges_done(struct explain_ranges *rs);

struct cells; /* inspect/cells.h */

/*
 * Completes the map that the readers have drawn in @cells, with @rs, which are
 * finished. Returns the number of cells, malloc'ed in *ret; 0: there is no map.
 */
uint32_t explain_map(struct target *t, const struct explain_ranges *rs, struct cells *cells, struct explain_cell **ret);

#endif
