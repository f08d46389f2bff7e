/* SPDX-License-Identifier: GPL-2.0-only */
/* One mapping: what it is, and what of it is there. */
#ifndef RECLAIM_REGION_H
#define RECLAIM_REGION_H

#include <linux/types.h>

#include "age.h"

struct file;
struct vm_area_struct;

/* Bytes. Named after what smaps calls them, see the specification. */
struct reclaim_usage {
	u64 present;
	u64 anon;
	u64 swapped;
	u64 swapped_shmem;
	u64 huge;
	u64 huge_shmem;
	u64 huge_file;
	u64 lazyfree;
	u64 accessed;
	u64 idle;
	u64 histogram[RECLAIM_AGE_BUCKETS];
};

struct reclaim_region {
	unsigned long start;
	unsigned long end;
	u64 offset;
	u32 flags; /* enum reclaim_region_flags */
	u32 kind; /* enum reclaim_kind */
	bool shmem_by_cache; /* what is swapped out of it stands in the page cache, not in page tables' holes */
	struct file *file; /* held, or NULL */
	struct reclaim_usage usage;
};

/* Under the mmap lock. */
u32 reclaim_region_kind(const struct vm_area_struct *vma);
bool reclaim_region_walkable(const struct vm_area_struct *vma);
void reclaim_region_init(struct reclaim_region *region, const struct vm_area_struct *vma);

void reclaim_region_done(struct reclaim_region *region);

/* Swapped out pages in a range of pages of a shmem file; may sleep. Bytes. */
u64 reclaim_region_swapped_shmem(const struct reclaim_region *region);
/* The name of its file in @buf, "" when it has none. May sleep. */
const char *reclaim_region_name(const struct reclaim_region *region, char *buf, size_t size);

#endif
