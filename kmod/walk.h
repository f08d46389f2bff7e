/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the page tables of an address space that isn't ours.
 *
 * reclaim_walk_lock() .. reclaim_walk_vma() under RCU .. reclaim_walk_unlock(), again
 * and again: no hold of the mmap lock is longer than the time one PMD's range takes
 * beyond a fraction of a millisecond, and shorter when someone waits for it.
 */
#ifndef RECLAIM_WALK_H
#define RECLAIM_WALK_H

#include <linux/pgtable.h>
#include <linux/types.h>

#include "region.h"

struct address_space;
struct mm_struct;
struct vm_area_struct;

struct reclaim_walk {
	struct mm_struct *mm; /* the caller's: at least grabbed */
	struct reclaim_ages *ages; /* NULL: none */
	bool clear; /* accessed bits, and let ages go on; by the sampler only */
	unsigned int ticks; /* by which ages go on */
	unsigned int idle_ticks; /* what is older is idle */
	u64 pages; /* entries looked at */

	/* The lock's hold. */
	u64 held_since;
	u64 steps;
	u64 work_at_clock;
	pmd_t *pmds; /* the last table of them */
	unsigned long pmds_at; /* address >> PUD_SHIFT */

	/* The mapping's part that is being walked. */
	struct vm_area_struct *vma;
	struct reclaim_usage *usage;
	bool want_holes;
	struct address_space *holes; /* whose swapped out pages our holes stand for */
	bool all_anon; /* whatever is present is anonymous */
	bool no_anon; /* nothing is */
	bool aging; /* its ages are looked at */

	/* The granule last seen. Two mappings may share it. */
	struct reclaim_age_chunk *chunk;
	unsigned long chunk_at; /* address >> PMD_SHIFT */
	unsigned long granule; /* address >> shift */
	unsigned int shift;
	u8 granule_age; /* before this walk */
	bool granule_accessed;
};

void reclaim_walk_init(struct reclaim_walk *w, struct mm_struct *mm, struct reclaim_ages *ages);

/* 0; -ESRCH when the address space is gone; -EBUSY when its lock isn't to be had. Sleeps, for 50 ms at most. */
int __must_check reclaim_walk_lock(struct reclaim_walk *w);
void reclaim_walk_unlock(struct reclaim_walk *w);
bool reclaim_walk_should_pause(struct reclaim_walk *w);

/*
 * Adds what is found in @vma from @addr on to @usage. Returns the end of @vma, or
 * where to go on after a pause.
 */
unsigned long reclaim_walk_vma(struct reclaim_walk *w, struct vm_area_struct *vma, unsigned long addr,
			       struct reclaim_usage *usage);

/* Whether accessed bits of @mm may be cleared: nobody else learns of accesses by other ways than page tables. */
bool reclaim_walk_may_clear(struct mm_struct *mm);

#endif
