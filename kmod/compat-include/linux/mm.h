/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RECLAIM_COMPAT_LINUX_MM_H
#define RECLAIM_COMPAT_LINUX_MM_H

#include_next <linux/mm.h>
#include <linux/version.h>

/* Since 6.5. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
static inline bool vma_is_initial_heap(const struct vm_area_struct *vma)
{
	return vma->vm_start <= vma->vm_mm->brk && vma->vm_end >= vma->vm_mm->start_brk;
}

static inline bool vma_is_initial_stack(const struct vm_area_struct *vma)
{
	return vma->vm_start <= vma->vm_mm->start_stack && vma->vm_end >= vma->vm_mm->start_stack;
}
#endif

/*
 * Since 6.2 counters are kept for each processor. Like get_mm_counter_sum(), for
 * all in one go and without their locks: when one processor's share is folded
 * into the sum at this very moment, it may be missed. Before 6.2 a thread kept
 * up to 64 faults to itself, which nobody else can see.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
static inline s64 mm_counter_of(const struct percpu_counter *counter, int cpu)
{
	return READ_ONCE(*per_cpu_ptr(counter->counters, cpu));
}

/* One by one, since bounds of arrays are checked at run time in Debian's kernels, for each process of a dump. */
static inline void mm_counters_sum(struct mm_struct *mm, unsigned long *pages)
{
	struct percpu_counter *c = mm->rss_stat;
	s64 file = percpu_counter_read(&c[MM_FILEPAGES]), anon = percpu_counter_read(&c[MM_ANONPAGES]);
	s64 swap = percpu_counter_read(&c[MM_SWAPENTS]), shmem = percpu_counter_read(&c[MM_SHMEMPAGES]);
	int cpu;

	BUILD_BUG_ON(NR_MM_COUNTERS != 4);
	for_each_possible_cpu(cpu) {
		file += mm_counter_of(&c[MM_FILEPAGES], cpu);
		anon += mm_counter_of(&c[MM_ANONPAGES], cpu);
		swap += mm_counter_of(&c[MM_SWAPENTS], cpu);
		shmem += mm_counter_of(&c[MM_SHMEMPAGES], cpu);
	}
	pages[MM_FILEPAGES] = max_t(s64, file, 0);
	pages[MM_ANONPAGES] = max_t(s64, anon, 0);
	pages[MM_SWAPENTS] = max_t(s64, swap, 0);
	pages[MM_SHMEMPAGES] = max_t(s64, shmem, 0);
}
#else
static inline void mm_counters_sum(struct mm_struct *mm, unsigned long *pages)
{
	int i;

	for (i = 0; i < NR_MM_COUNTERS; i++)
		pages[i] = get_mm_counter(mm, i);
}
#endif

#endif
