// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "layout.h"
#include "walk.h"

/* Under the lock. False when @vma isn't what @region was begun with. */
static bool region_goes_on(const struct reclaim_region *region, const struct vm_area_struct *vma, unsigned long addr)
{
	return vma && vma->vm_start == region->start && addr < vma->vm_end && vma->vm_file == region->file &&
	       reclaim_region_kind(vma) == region->kind;
}

static int region_begin(struct reclaim_walk *w, unsigned long *addr, struct reclaim_region *region)
{
	VMA_ITERATOR(vmi, w->mm, *addr);
	struct vm_area_struct *vma = vma_next(&vmi);

	if (!vma)
		return -ENOENT;
	reclaim_region_init(region, vma);
	/* Parts of it have been told as those of one that it has grown over. */
	region->start = max(region->start, *addr);
	*addr = region->end;
	if (reclaim_region_walkable(vma))
		*addr = reclaim_walk_vma(w, vma, region->start, &region->usage);
	return 0;
}

static bool region_go_on(struct reclaim_walk *w, unsigned long *addr, struct reclaim_region *region)
{
	struct vm_area_struct *vma = vma_lookup(w->mm, *addr);

	if (!region_goes_on(region, vma, *addr))
		return false;
	region->end = vma->vm_end;
	*addr = reclaim_walk_vma(w, vma, *addr, &region->usage);
	return true;
}

int reclaim_layout_next(struct reclaim_walk *w, unsigned long *addr, struct reclaim_region *region)
{
	bool going = true;
	int err;

	w->want_holes = true;
	err = reclaim_walk_lock(w);
	if (err)
		return err;
	rcu_read_lock();
	err = region_begin(w, addr, region);
	rcu_read_unlock();
	reclaim_walk_unlock(w);
	if (err)
		return err;

	while (going && *addr < region->end) {
		cond_resched();
		err = signal_pending(current) ? -EINTR : reclaim_walk_lock(w);
		if (err) {
			reclaim_region_done(region);
			return err;
		}
		rcu_read_lock();
		going = region_go_on(w, addr, region);
		rcu_read_unlock();
		reclaim_walk_unlock(w);
	}
	region->end = *addr;
	region->usage.swapped_shmem += reclaim_region_swapped_shmem(region);
	return 0;
}
