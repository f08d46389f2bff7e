/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What entries of page tables stand for, and the ages of it: for a walk that is
 * under way. All under the lock of the table that the entries are in, but for holes.
 */
#ifndef RECLAIM_ENTRY_H
#define RECLAIM_ENTRY_H

#include <linux/pgtable.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "region.h"

struct address_space;
struct mm_struct;
struct vm_area_struct;

/* A walk under way, see walk.h. */
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
	struct xa_state chunks; /* where the last one was found, while RCU holds it */
	struct reclaim_age_chunk *chunk;
	unsigned long chunk_at; /* address >> PMD_SHIFT */
	unsigned long granule; /* address >> shift */
	unsigned int shift;
	u8 granule_age; /* before this walk */
	bool granule_accessed;
};

/* Entries of the lowest level, from @ptep on, which is that of @addr. */
void reclaim_entry_table(struct reclaim_walk *w, pte_t *ptep, unsigned long addr, unsigned long end);

/* One of a PMD that doesn't lead to a table of them: a huge page, or something that isn't present. */
void reclaim_entry_pmd(struct reclaim_walk *w, pmd_t *pmd, pmd_t pmdval, u64 size);

/* Nothing at all. */
void reclaim_entry_hole(struct reclaim_walk *w, unsigned long addr, unsigned long end);

#endif
