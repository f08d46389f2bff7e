// SPDX-License-Identifier: GPL-2.0-only
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/time64.h>

#include "sample.h"
#include "walk.h"

static enum reclaim_part part_of(const struct vm_area_struct *vma)
{
	if (!vma_is_anonymous((struct vm_area_struct *)vma))
		return RECLAIM_PART_MMAP;
	if (vma_is_initial_heap(vma))
		return RECLAIM_PART_HEAP;
	return vma_is_initial_stack(vma) ? RECLAIM_PART_STACK : RECLAIM_PART_MMAP;
}

static bool walk_mappings(struct reclaim_sample *s, struct reclaim_walk *w, unsigned long *addr)
{
	VMA_ITERATOR(vmi, w->mm, *addr);
	struct vm_area_struct *vma;

	for_each_vma(vmi, vma) {
		/* Without an anon_vma nothing of it can be anonymous. */
		if (vma->anon_vma && reclaim_region_walkable(vma)) {
			struct reclaim_usage *usage = &s->part[part_of(vma)];

			*addr = reclaim_walk_vma(w, vma, max(*addr, vma->vm_start), usage);
			if (*addr < vma->vm_end)
				return false;
		}
		*addr = vma->vm_end;
		if (reclaim_walk_should_pause(w))
			return false;
	}
	return true;
}

int reclaim_sample_walk(struct reclaim_sample *s, struct reclaim_walk *w, unsigned long *addr)
{
	int err = reclaim_walk_lock(w);
	bool all;

	if (err)
		return err;
	rcu_read_lock();
	all = walk_mappings(s, w, addr);
	rcu_read_unlock();
	reclaim_walk_unlock(w);

	return all ? 0 : -EAGAIN;
}

/*
 * Exact for the moment of the walk. While nobody has run since, ages go on by
 * themselves, which buckets know only roughly: what is in one is at least as
 * old as its start.
 */
static u64 idle_of(const struct reclaim_sample *s, const struct reclaim_usage *u, unsigned int after_ms)
{
	u64 since_ms = div_u64(s->valid_ns - s->taken_ns, NSEC_PER_MSEC), sum = 0;
	unsigned int i;

	if (!since_ms)
		return u->idle;
	for (i = 0; i < RECLAIM_AGE_BUCKETS; i++)
		if ((u64)reclaim_age_bucket_start(i) * s->interval_ms + since_ms >= after_ms)
			sum += u->histogram[i];
	return max(sum, u->idle);
}

void reclaim_sample_summarize(const struct reclaim_sample *s, unsigned int after_ms, struct reclaim_summary *ret)
{
	int i;

	*ret = (struct reclaim_summary){
		.taken_ns = s->taken_ns,
		.valid_ns = s->valid_ns,
		.interval_ms = s->interval_ms,
		.granule = s->granule,
		.incomplete = s->incomplete,
		.heap_idle = idle_of(s, &s->part[RECLAIM_PART_HEAP], after_ms),
	};
	for (i = 0; i < RECLAIM_PARTS; i++) {
		ret->anon[i] = s->part[i].anon;
		ret->huge += s->part[i].huge;
		ret->lazyfree += s->part[i].lazyfree;
		ret->accessed += s->part[i].accessed;
		ret->idle += idle_of(s, &s->part[i], after_ms);
	}
}
