// SPDX-License-Identifier: GPL-2.0-only
#include <linux/delay.h>
#include <linux/leafops.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/page_idle.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>

#include "entry.h"
#include "tunable.h"
#include "walk.h"

/* What is begun by then is still done: up to 0.7 ms where pages have to be marked one by one (a table on 6.1). */
#define HOLD_NS (150 * NSEC_PER_USEC)
#define LOCK_TRIES 50
#define NOWHERE ULONG_MAX

void reclaim_walk_init(struct reclaim_walk *w, struct mm_struct *mm, struct reclaim_ages *ages)
{
	*w = (struct reclaim_walk){
		.mm = mm,
		.ages = ages,
		.idle_ticks = RECLAIM_AGE_MAX,
		.granule = NOWHERE,
		.shift = PAGE_SHIFT,
		.chunks = __XA_STATE(ages ? &ages->chunks : NULL, 0, 0, 0),
	};
}

bool reclaim_walk_may_clear(struct mm_struct *mm)
{
	/* A guest's accesses, for one, are only in the secondary MMU's tables. */
	if (mm_has_notifiers(mm))
		return false;
	return IS_ENABLED(CONFIG_PAGE_IDLE_FLAG) || reclaim_tunable(no_young_flag) != RECLAIM_NO_YOUNG_OFF;
}

/*
 * A holder that is preempted keeps the lock for as long as others run. Who wants the
 * processor gets it after a step of ours, see reclaim_walk_should_pause(), when the
 * lock is free. Nothing sleeps in between, but spinlocks do where they are mutexes.
 */
static void hold_begin(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		preempt_disable();
}

static void hold_end(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		preempt_enable();
}

/*
 * Not by waiting in the lock's queue: a page fault may hold it for as long as
 * some file system in user space likes, and with a writer behind it we would
 * wait for both.
 */
int reclaim_walk_lock(struct reclaim_walk *w)
{
	int i;

	if (!mmget_not_zero(w->mm))
		return -ESRCH;

	hold_begin();
	for (i = 0; !mmap_read_trylock(w->mm); i++) {
		hold_end();
		if (i == LOCK_TRIES || fatal_signal_pending(current)) {
			mmput_async(w->mm);
			return -EBUSY;
		}
		usleep_range(500, 1000);
		hold_begin();
	}
	w->held_since = local_clock();
	xas_reset(&w->chunks);
	w->chunk_at = NOWHERE;
	w->pmds_at = NOWHERE;
	return 0;
}

void reclaim_walk_unlock(struct reclaim_walk *w)
{
	mmap_read_unlock(w->mm);
	reclaim_stats_hold(local_clock() - w->held_since);
	hold_end();
	/* Should we be the last: exit_mmap() isn't ours to spend time on. */
	mmput_async(w->mm);
}

/* The clock isn't free: it is asked once for about as much work as a full page table is. */
bool reclaim_walk_should_pause(struct reclaim_walk *w)
{
	u64 work = w->pages + 16 * ++w->steps;

	if (need_resched() || mmap_lock_is_contended(w->mm))
		return true;
	if (work - w->work_at_clock < PTRS_PER_PTE)
		return false;
	w->work_at_clock = work;
	return local_clock() - w->held_since > HOLD_NS;
}

/* The chunk for one PMD's range, in which other mappings may lie too. It lasts as long as RCU holds it for us. */
static void granule_chunk(struct reclaim_walk *w, unsigned long addr)
{
	if (!w->aging || w->chunk_at == addr >> PMD_SHIFT)
		return;
	w->chunk = w->clear ? reclaim_ages_get(w->ages, addr) : reclaim_ages_find_next(&w->chunks, addr);
	w->chunk_at = addr >> PMD_SHIFT;
	w->shift = w->chunk ? w->chunk->shift : PMD_SHIFT;
	if (!w->clear)
		w->granule = NOWHERE;
}

/*
 * pte_offset_map_lock() isn't exported. As it does: the table may be freed once
 * it is taken out of the PMD, which RCU delays, and which the lock and a second
 * look exclude. False when @pmdval isn't in the PMD anymore.
 */
static bool walk_ptes(struct reclaim_walk *w, pmd_t *pmd, pmd_t pmdval, unsigned long addr, unsigned long end)
{
	spinlock_t *ptl = pte_lockptr(w->mm, &pmdval);
	bool same;

	spin_lock(ptl);
	same = pmd_same(pmdval, pmdp_get_lockless(pmd));
	if (same)
		reclaim_entry_table(w, pte_offset_kernel(&pmdval, addr), addr, end);
	spin_unlock(ptl);

	return same;
}

/* False when @pmdval isn't in the PMD anymore. */
static bool walk_huge(struct reclaim_walk *w, pmd_t *pmd, pmd_t pmdval, unsigned long addr, unsigned long end)
{
	spinlock_t *ptl = pmd_lock(w->mm, pmd);
	bool same = pmd_same(pmdval, *pmd);

	if (same)
		reclaim_entry_pmd(w, pmd, pmdval, end - addr);
	spin_unlock(ptl);

	return same;
}

static void walk_pmd(struct reclaim_walk *w, pmd_t *pmd, unsigned long addr, unsigned long end)
{
	bool done = false;
	pmd_t pmdval;

	/* Whoever changes it again and again holds the lock we wait for: this ends. */
	while (!done) {
		pmdval = pmdp_get_lockless(pmd);
		if (pmd_none(pmdval)) {
			reclaim_entry_hole(w, addr, end);
			return;
		}
		granule_chunk(w, addr);
		if (!pmd_present(pmdval) || pmd_leaf(pmdval))
			done = walk_huge(w, pmd, pmdval, addr, end);
		else
			done = pmd_bad(pmdval) || walk_ptes(w, pmd, pmdval, addr, end);
	}
}

/*
 * The table of PMDs around @addr, NULL and in *@end where the next one begins
 * when there is none. Tables of this level are only freed under the mmap lock
 * taken for writing, so the last one is kept.
 */
static pmd_t *find_pmds(struct reclaim_walk *w, unsigned long addr, unsigned long *end)
{
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;

	if (w->pmds_at == addr >> PUD_SHIFT)
		return w->pmds;

	pgd = pgd_offset(w->mm, addr);
	if (pgd_none(pgdp_get(pgd)) || pgd_bad(pgdp_get(pgd))) {
		*end = pgd_addr_end(addr, *end);
		return NULL;
	}
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(p4dp_get(p4d)) || p4d_bad(p4dp_get(p4d))) {
		*end = p4d_addr_end(addr, *end);
		return NULL;
	}
	/* Huge ones are of hugetlbfs and devices only. */
	pud = pud_offset(p4d, addr);
	if (!pud_present(pudp_get(pud)) || pud_leaf(pudp_get(pud)) || pud_bad(pudp_get(pud))) {
		*end = pud_addr_end(addr, *end);
		return NULL;
	}
	w->pmds = pmd_offset(pud, addr & PUD_MASK);
	w->pmds_at = addr >> PUD_SHIFT;
	return w->pmds;
}

/* Returns where the next step starts: behind a range of one PMD, or of a higher level that holds nothing. */
static unsigned long walk_step(struct reclaim_walk *w, unsigned long addr, unsigned long end)
{
	unsigned long next = pmd_addr_end(addr, end), behind = end;
	pmd_t *pmds = find_pmds(w, addr, &behind);

	if (pmds) {
		walk_pmd(w, pmds + pmd_index(addr), addr, next);
		return next;
	}
	/* What stands for pages of a file is looked at in small steps. */
	if (!w->holes)
		return behind;
	reclaim_entry_hole(w, addr, next);
	return next;
}

/* Where smaps asks the page cache for each hole, we do too. */
static struct address_space *holes_of(const struct vm_area_struct *vma)
{
	struct address_space *mapping = vma->vm_file ? vma->vm_file->f_mapping : NULL;

	if (!mapping || !shmem_mapping(mapping) || (vma->vm_flags & VM_SHARED) || !(vma->vm_flags & VM_WRITE))
		return NULL;
	return READ_ONCE(SHMEM_I(mapping->host)->swapped) ? mapping : NULL;
}

unsigned long reclaim_walk_vma(struct reclaim_walk *w, struct vm_area_struct *vma, unsigned long addr,
			       struct reclaim_usage *usage)
{
	unsigned long end = vma->vm_end;

	w->vma = vma;
	w->usage = usage;
	w->holes = w->want_holes ? holes_of(vma) : NULL;
	w->all_anon = vma_is_anonymous(vma);
	w->no_anon = !w->all_anon && !vma->anon_vma;
	w->aging = w->ages && !w->no_anon;

	while (addr < end) {
		addr = walk_step(w, addr, end);
		if (addr < end && reclaim_walk_should_pause(w))
			break;
	}
	return addr;
}
