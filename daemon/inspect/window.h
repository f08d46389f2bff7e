/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A view of private anonymous memory for readers that walk it mostly upwards.
 * Pages are looked up in pagemap before they are read: what isn't there is
 * zero (untouched, or dropped by its owner), what is swapped is never touched.
 *
 * The view is of the moment each part was fetched; the target runs on.
 */
#ifndef RECLAIM_INSPECT_WINDOW_H
#define RECLAIM_INSPECT_WINDOW_H

#include "inspect/page-runs.h"
#include "inspect/remote.h"

#define WINDOW_PAGES 64

struct window {
	struct remote *mem;
	uint64_t base; /* page-aligned; meaningful when pages > 0 */
	size_t pages; /* fetched from base on */
	uint64_t swapped_at; /* of the last -ENXIO */
	uint8_t flags[WINDOW_PAGES]; /* enum remote_page_flags */
	bool filled[WINDOW_PAGES];
	unsigned char bytes[WINDOW_PAGES * REMOTE_PAGE];
};

void window_init(struct window *w, struct remote *mem);

/* What was fetched is fetched again: for whoever needs the memory of now. */
void window_forget(struct window *w);

/*
 * Points at [addr, addr+len) of the target, len at most (WINDOW_PAGES - 1)
 * pages; valid until the next call. 0; -ENXIO a page of it is swapped out (or
 * not private anonymous memory); -EFAULT; -EDQUOT, -ETIME; -EOPNOTSUPP.
 */
int window_at(struct window *w, uint64_t addr, size_t len, const void **ret) __must_check;
int window_u64(struct window *w, uint64_t addr, uint64_t *ret) __must_check;

/* Bytes of [lo, hi) in whole pages that are resident: 0 or as window_at(). */
int window_resident(struct window *w, uint64_t lo, uint64_t hi, uint64_t *ret) __must_check;

/* The same, with each such page added to @runs. */
int window_resident_runs(struct window *w, uint64_t lo, uint64_t hi, struct page_runs *runs, uint64_t *ret)
	__must_check;

#endif
