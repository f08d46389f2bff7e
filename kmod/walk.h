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

#include <linux/types.h>

#include "entry.h"
#include "region.h"

struct mm_struct;
struct vm_area_struct;

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
