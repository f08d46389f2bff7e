/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes received facts safe to use: lengths, counts, enums, order, ends of
 * texts. Used twice on the way: the worker doubts its own sandboxed reader,
 * the client doubts the worker. Figures may still be nonsense: whoever
 * computes with them must not overflow.
 */
#ifndef RECLAIM_EXPLAIN_CHECK_H
#define RECLAIM_EXPLAIN_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "reclaim/explain.h"
#include "reclaim/worker.h"

static inline bool explain_remedies_ok(const struct explain_head *h)
{
	uint32_t seen = 0;

	if (h->nremedies > EXPLAIN_REMEDIES_MAX)
		return false;
	for (uint32_t i = 0; i < h->nremedies; i++) {
		const uint32_t bit = h->remedies[i].remedy;

		if (!bit || (bit & (bit - 1)) || bit > WORKER_REMEDY_PAGEOUT || (seen & bit) ||
		    h->remedies[i].possible > 1)
			return false;
		seen |= bit;
	}
	return true;
}

static inline bool explain_map_ok(const struct explain_head *h, const struct worker_request *req)
{
	if (!h->ncells)
		return true;
	return (req->flags & WORKER_F_CELLS) && h->ncells <= EXPLAIN_CELLS_MAX && h->cell_size >= EXPLAIN_CELL_MIN &&
	       h->cell_size <= EXPLAIN_CELL_MAX && !(h->cell_size & (h->cell_size - 1));
}

/* What is wrong with a received head, or NULL; puts the NUL at the end of every text. */
static inline const char *explain_head_fault(struct explain_head *h, size_t length, const struct worker_request *req)
{
	if (length != sizeof(*h))
		return "an answer of the wrong length";
	if (h->magic != EXPLAIN_MAGIC || h->version != EXPLAIN_VERSION)
		return "an answer of another version";
	if (h->pid != req->pid)
		return "an answer about another process";
	if (h->outcome < WORKER_NOTHING || h->outcome > WORKER_GONE)
		return "an unknown outcome";
	if (h->outcome == WORKER_NOTHING && req->start_time && h->start_time != req->start_time)
		return "an answer about an earlier or later process with this pid";
	if (h->allocator >= EXPLAIN_NALLOCATORS || h->also >= EXPLAIN_NALLOCATORS || h->runtime >= EXPLAIN_NRUNTIMES ||
	    h->glibc.layer >= EXPLAIN_NLAYERS || h->python.layer >= EXPLAIN_NLAYERS)
		return "an unknown kind of layer";
	if (!explain_remedies_ok(h))
		return "unknown remedies";
	if (h->narenas > EXPLAIN_ARENAS_MAX || h->nranges > EXPLAIN_RANGES_MAX || h->narenas > h->arenas_total)
		return "too many arenas or ranges";
	if (!explain_map_ok(h, req))
		return "a map that nobody asked for, or of a wrong size";
	h->reason[EXPLAIN_TEXT_MAX - 1] = h->glibc.why[EXPLAIN_TEXT_MAX - 1] = '\0';
	h->python.why[EXPLAIN_TEXT_MAX - 1] = '\0';
	for (uint32_t i = 0; i < EXPLAIN_REMEDIES_MAX; i++)
		h->remedies[i].reason[EXPLAIN_TEXT_MAX - 1] = '\0';
	return NULL;
}

/* Bytes of a part with @n entries of @kind, 0 when there is no such part. */
static inline size_t explain_part_size(uint32_t kind, uint32_t n)
{
	if (kind == EXPLAIN_ARENAS && n >= 1 && n <= EXPLAIN_PART_ARENAS)
		return offsetof(struct explain_part, arenas) + n * sizeof(struct explain_arena);
	if (kind == EXPLAIN_RANGES && n >= 1 && n <= EXPLAIN_PART_RANGES)
		return offsetof(struct explain_part, ranges) + n * sizeof(struct explain_range);
	if (kind == EXPLAIN_CELLS && n >= 1 && n <= EXPLAIN_PART_CELLS)
		return offsetof(struct explain_part, cells) + n * sizeof(struct explain_cell);
	return 0;
}

/* What has come so far. Zeroed: nothing. */
struct explain_progress {
	uint32_t narenas, nranges, ncells;
	uint64_t last_hi; /* end of the last range */
	struct explain_cell last; /* cell */
};

static inline bool explain_complete(const struct explain_progress *pr, const struct explain_head *h)
{
	return pr->narenas == h->narenas && pr->nranges == h->nranges && pr->ncells == h->ncells;
}

/* In order, of a known owner, and no more in it than fits: sums of a map can't overflow. */
static inline bool explain_cell_ok(const struct explain_cell *c, const struct explain_cell *last, uint32_t size)
{
	const uint64_t sum = (uint64_t)c->in_use + c->cached + c->free_resident + c->free_shared + c->free_gone +
			     c->overhead + c->unknown;

	return c->at % size == 0 && c->at <= UINT64_MAX - size && c->owner && c->owner < EXPLAIN_NOWNERS &&
	       (c->at > last->at || (c->at == last->at && c->owner > last->owner)) && sum && sum <= size &&
	       (uint64_t)c->resident + c->swapped <= size;
}

/* What is wrong with the next part, or NULL; then @pr is moved on. */
static inline const char *explain_part_fault(const struct explain_part *p, size_t length, const struct explain_head *h,
					     struct explain_progress *pr)
{
	const uint32_t kind = pr->narenas < h->narenas ? EXPLAIN_ARENAS :
			      pr->nranges < h->nranges ? EXPLAIN_RANGES :
							 EXPLAIN_CELLS;
	uint32_t *count = kind == EXPLAIN_ARENAS ? &pr->narenas : kind == EXPLAIN_RANGES ? &pr->nranges : &pr->ncells;
	const uint32_t all = kind == EXPLAIN_ARENAS ? h->narenas : kind == EXPLAIN_RANGES ? h->nranges : h->ncells;

	if (length < offsetof(struct explain_part, arenas) || length > sizeof(*p) || p->magic != EXPLAIN_MAGIC ||
	    p->kind != kind || length != explain_part_size(kind, p->n) || p->first != *count || p->n > all - *count)
		return "a part that was not announced";
	for (uint32_t i = 0; kind == EXPLAIN_RANGES && i < p->n; i++) {
		const struct explain_range *r = &p->ranges[i];

		if (r->lo < pr->last_hi || r->lo >= r->hi || !r->owner || r->owner >= EXPLAIN_NOWNERS)
			return "ranges that make no sense";
		pr->last_hi = r->hi;
	}
	for (uint32_t i = 0; kind == EXPLAIN_CELLS && i < p->n; i++) {
		if (!explain_cell_ok(&p->cells[i], &pr->last, h->cell_size))
			return "a map that makes no sense";
		pr->last = p->cells[i];
	}
	*count += p->n;
	return NULL;
}

#endif
