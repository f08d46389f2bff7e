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
static inline void mm_counters_sum(struct mm_struct *mm, unsigned long *pages)
{
	s64 sum[NR_MM_COUNTERS];
	int cpu, i;

	for (i = 0; i < NR_MM_COUNTERS; i++)
		sum[i] = percpu_counter_read(&mm->rss_stat[i]);
	for_each_possible_cpu(cpu)
		for (i = 0; i < NR_MM_COUNTERS; i++)
			sum[i] += READ_ONCE(*per_cpu_ptr(mm->rss_stat[i].counters, cpu));
	for (i = 0; i < NR_MM_COUNTERS; i++)
		pages[i] = sum[i] > 0 ? sum[i] : 0;
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
