/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the machine does about transparent huge pages: will it fill up again what a trim has given back? */
#ifndef RECLAIM_SENSE_THP_H
#define RECLAIM_SENSE_THP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

#define THP_UNKNOWN UINT64_MAX

/* Where khugepaged is told how many missing pages it may fill: 0 there ends all regrowth. */
#define THP_MAX_PTES_NONE "/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none"

enum thp_mode {
	THP_NEVER, /* or not in this kernel */
	THP_MADVISE, /* where a program asks for them */
	THP_ALWAYS,
};

struct thp {
	enum thp_mode mode; /* for huge pages of 2 MiB */
	uint64_t max_ptes_none; /* pages of a huge one that may be missing when khugepaged makes it, or THP_UNKNOWN */
	uint64_t collapsed; /* huge pages that khugepaged has made since boot, or THP_UNKNOWN */
};

/* @root: "/", or a recorded tree. What can't be read stays unknown. */
void thp_read(int root, struct thp *ret);

/* May khugepaged make a huge page where some of its pages are missing, if the program lets it? */
bool thp_fills(const struct thp *t);

#endif
