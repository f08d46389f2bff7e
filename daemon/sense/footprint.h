/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process takes at one moment, to be compared with another moment: has
 * memory come back since, and who wanted it?
 */
#ifndef RECLAIM_SENSE_FOOTPRINT_H
#define RECLAIM_SENSE_FOOTPRINT_H

#include <stdint.h>

#include "base/cleanup.h"

#define FOOTPRINT_UNKNOWN UINT64_MAX

struct footprint {
	/* bytes */
	uint64_t rss, anon, swap;
	uint64_t huge; /* of anon, in huge pages; FOOTPRINT_UNKNOWN when that may not be read */
	uint64_t minor_faults, major_faults; /* so far */
	/* of all the machine, so far; or FOOTPRINT_UNKNOWN */
	uint64_t collapsed; /* huge pages made by khugepaged */
	uint64_t huge_faults; /* huge pages given at a page fault */
};

/* @root: "/", or a recorded tree. 0, -ESRCH, -errno. */
int footprint_read(int root, int piddir, struct footprint *ret) __must_check;

struct regrowth {
	int64_t anon; /* bytes by which it grew; negative when it shrank */
	int64_t huge; /* by which huge pages grew; means nothing where either footprint does not know them */
	uint64_t faults; /* page faults meanwhile: each is a page, or several, that the program touched */
	/*
	 * Of the growth, what khugepaged has surely made by filling up huge pages:
	 * none that a page fault may have brought, not more than it has made in the
	 * whole machine. FOOTPRINT_UNKNOWN when that can't be told.
	 */
	uint64_t by_khugepaged;
};

/* Pure arithmetic; figures may be nonsense. */
void regrowth_between(const struct footprint *before, const struct footprint *after, struct regrowth *ret);

#endif
