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

/* One hold of the mmap lock, from *@addr on. 0 when all is walked, -EAGAIN when not yet, or another error. */
int __must_check reclaim_sample_walk(struct reclaim_sample *s, struct reclaim_walk *w, unsigned long *addr);

/* Sums over all parts. */
void reclaim_sample_sum(const struct reclaim_sample *s, struct reclaim_usage *ret);
/* Of @u, all of @s or a part of it, the bytes idle for @after_ms or longer. */
u64 reclaim_sample_idle(const struct reclaim_sample *s, const struct reclaim_usage *u, unsigned int after_ms);

#endif
