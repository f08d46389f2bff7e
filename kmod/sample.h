/* SPDX-License-Identifier: GPL-2.0-only */
/* What one walk found of a process's anonymous memory, by what that is for. */
#ifndef RECLAIM_SAMPLE_H
#define RECLAIM_SAMPLE_H

#include <linux/types.h>

#include "region.h"

struct reclaim_walk;

enum reclaim_part {
	RECLAIM_PART_HEAP,
	RECLAIM_PART_MMAP, /* neither of the others */
	RECLAIM_PART_STACK,
	RECLAIM_PARTS,
};

/* What one walk found of anonymous memory. */
struct reclaim_sample {
	struct reclaim_usage part[RECLAIM_PARTS];
	u64 taken_ns; /* when the walk began; 0: none yet */
	u64 valid_ns; /* until then surely nobody ran */
	unsigned int interval_ms; /* of ages; 0: there are none */
	unsigned int granule;
	bool incomplete; /* some ages weren't kept */
};

/* The same in few numbers. */
struct reclaim_summary {
	u64 taken_ns;
	u64 valid_ns;
	unsigned int interval_ms;
	unsigned int granule;
	bool incomplete;
	u64 anon[RECLAIM_PARTS];
	u64 huge;
	u64 lazyfree;
	u64 accessed;
	u64 idle;
	u64 heap_idle;
};

/* One hold of the mmap lock, from *@addr on. 0 when all is walked, -EAGAIN when not yet, or another error. */
int __must_check reclaim_sample_walk(struct reclaim_sample *s, struct reclaim_walk *w, unsigned long *addr);

/* @after_ms: from when on something is idle. */
void reclaim_sample_summarize(const struct reclaim_sample *s, unsigned int after_ms, struct reclaim_summary *ret);

#endif
