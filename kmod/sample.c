// SPDX-License-Identifier: GPL-2.0-only
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/time64.h>

#include <uapi/linux/reclaim.h>

#include "sample.h"
#include "walk.h"

static enum reclaim_part part_of(u32 kind)
{
	switch (kind) {
	case RECLAIM_KIND_HEAP:
		return RECLAIM_PART_HEAP;
	case RECLAIM_KIND_STACK:
		return RECLAIM_PART_STACK;
	default:
		return RECLAIM_PART_MMAP;
	}
}

static bool walk_mappings(struct reclaim_sample *s, struct reclaim_walk *w, unsigned long *addr)
{
	VMA_ITERATOR(vmi, w->mm, *addr);
	struct vm_area_struct *vma;

	for_each_vma(vmi, vma) {
		/* Without an anon_vma nothing of it can be anonymous. */
		if (vma->anon_vma && reclaim_region_walkable(vma)) {
			struct reclaim_usage *usage = &s->part[part_of(reclaim_region_kind(vma))];

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
	all = walk_mappings(s, w, addr);
	reclaim_walk_unlock(w);

	return all ? 0 : -EAGAIN;
}

void reclaim_sample_sum(const struct reclaim_sample *s, struct reclaim_usage *ret)
{
	int i, j;

	*ret = s->part[0];
	for (i = 1; i < RECLAIM_PARTS; i++) {
		ret->present += s->part[i].present;
		ret->anon += s->part[i].anon;
		ret->swapped += s->part[i].swapped;
		ret->huge += s->part[i].huge;
		ret->lazyfree += s->part[i].lazyfree;
		ret->accessed += s->part[i].accessed;
		ret->idle += s->part[i].idle;
		for (j = 0; j < RECLAIM_AGE_BUCKETS; j++)
			ret->histogram[j] += s->part[i].histogram[j];
	}
}

/*
 * Exact for the moment of the walk. While nobody has run since, ages go on by
 * themselves, which buckets know only roughly: what is in one is at least as
 * old as its start.
 */
u64 reclaim_sample_idle(const struct reclaim_sample *s, const struct reclaim_usage *u, unsigned int after_ms)
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
