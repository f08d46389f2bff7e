// SPDX-License-Identifier: GPL-2.0-only
#include <linux/delay.h>
#include <linux/leafops.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/page_idle.h>
#include <linux/pgtable.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>

#include "tunable.h"
#include "walk.h"

#if !defined(CONFIG_X86_64)
#error "accessed bits are cleared as x86-64 keeps them"
#endif

#define HOLD_NS (300 * NSEC_PER_USEC)
#define LOCK_TRIES 50
#define NOWHERE ULONG_MAX
/* Entries in a cache line */
#define PTES_AT_ONCE 8

void reclaim_walk_init(struct reclaim_walk *w, struct mm_struct *mm, struct reclaim_ages *ages)
{
	*w = (struct reclaim_walk){
		.mm = mm,
		.ages = ages,
		.idle_ticks = RECLAIM_AGE_MAX,
		.granule = NOWHERE,
		.shift = PAGE_SHIFT,
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
 * Not by waiting in the lock's queue: a page fault may hold it for as long as
 * some file system in user space likes, and with a writer behind it we would
 * wait for both.
 */
int reclaim_walk_lock(struct reclaim_walk *w)
{
	int i;

	if (!mmget_not_zero(w->mm))
		return -ESRCH;

	for (i = 0; !mmap_read_trylock(w->mm); i++) {
		if (i == LOCK_TRIES || fatal_signal_pending(current)) {
			mmput_async(w->mm);
			return -EBUSY;
		}
		usleep_range(500, 1000);
	}
	w->held_since = local_clock();
	w->chunk_at = NOWHERE;
	w->pmds_at = NOWHERE;
	return 0;
}

void reclaim_walk_unlock(struct reclaim_walk *w)
{
	mmap_read_unlock(w->mm);
	reclaim_stats_hold(local_clock() - w->held_since);
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

/*
 * Accounts anonymous pages found in one granule, which may not be all of it: the
 * rest may be another mapping's, and is told apart by the address only. The age
 * of a granule that holds none stays as it is, but what comes to be there has
 * been accessed by coming.
 */
static void granule_account(struct reclaim_walk *w, unsigned long addr, u64 bytes, bool accessed)
{
	u8 age = 0;

	if (addr >> w->shift != w->granule) {
		w->granule = addr >> w->shift;
		w->granule_accessed = false;
		w->granule_age = w->chunk ? READ_ONCE(*reclaim_age_slot(w->chunk, addr)) : 0;
	} else if (w->chunk && READ_ONCE(*reclaim_age_slot(w->chunk, addr)) == RECLAIM_AGE_RESET) {
		/* During a pause within it */
		w->granule_age = RECLAIM_AGE_RESET;
	}
	w->granule_accessed |= accessed;
	if (w->chunk)
		age = reclaim_age_next(w->granule_age, w->ticks, w->granule_accessed);
	if (w->chunk && w->clear) {
		WRITE_ONCE(*reclaim_age_slot(w->chunk, addr), age);
		w->chunk->pass = w->ages->pass;
	}
	w->usage->histogram[reclaim_age_bucket(age)] += bytes;
	if (age >= w->idle_ticks)
		w->usage->idle += bytes;
}

/* The chunk for one PMD's range, in which other mappings may lie too. It lasts as long as RCU holds it for us. */
static void granule_chunk(struct reclaim_walk *w, unsigned long addr)
{
	if (!w->aging || w->chunk_at == addr >> PMD_SHIFT)
		return;
	w->chunk = w->clear ? reclaim_ages_get(w->ages, addr) : reclaim_ages_find(w->ages, addr);
	w->chunk_at = addr >> PMD_SHIFT;
	w->shift = w->chunk ? w->chunk->shift : PMD_SHIFT;
	if (!w->clear)
		w->granule = NOWHERE;
}

/*
 * Says what DAMON and page_idle say when they take a sign of access away, and
 * in their way: the flag first, so that the kernel's own reclaim never sees
 * neither. Under the page table's lock, which keeps the page from being freed.
 */
static void clear_young(unsigned long *entry, struct folio *folio)
{
	if (IS_ENABLED(CONFIG_PAGE_IDLE_FLAG)) {
		folio_set_young(folio);
		folio_set_idle(folio);
	} else if (reclaim_tunable(no_young_flag) == RECLAIM_NO_YOUNG_ACTIVATE) {
		folio_mark_accessed(folio);
	}
	clear_bit(_PAGE_BIT_ACCESSED, entry);
}

static void count_folio(struct reclaim_walk *w, struct page *page, u64 size, bool dirty)
{
	struct folio *folio = page_folio(page);

	w->usage->present += size;
	if (!folio_test_anon(folio))
		return;
	w->usage->anon += size;
	if (!dirty && !folio_test_swapbacked(folio) && !folio_test_dirty(folio))
		w->usage->lazyfree += size;
}

static void count_not_present(struct reclaim_walk *w, pte_t pte)
{
	softleaf_t entry = softleaf_from_pte(pte);

	if (softleaf_is_swap(entry))
		w->usage->swapped += PAGE_SIZE;
	else if (softleaf_has_pfn(entry))
		count_folio(w, softleaf_to_page(entry), PAGE_SIZE, false);
}

/* Pages of a private writable mapping of shmem that it hasn't written to, and that are swapped out. */
static void count_hole(struct reclaim_walk *w, unsigned long addr, unsigned long end)
{
	pgoff_t index;

	for (; w->holes && addr < end; addr += PAGE_SIZE) {
		index = linear_page_index(w->vma, addr);
		if (xa_is_value(xa_load(&w->holes->i_pages, index)))
			w->usage->swapped_shmem += PAGE_SIZE;
	}
}

/* Of a mapping that may hold both. Entries that aren't special have a page, unless some driver has its own way. */
static bool is_anon(const struct reclaim_walk *w, pte_t pte)
{
	return !w->no_anon && pfn_valid(pte_pfn(pte)) && folio_test_anon(page_folio(pte_page(pte)));
}

/* MADV_FREE leaves a clean entry behind, so a dirty one need not be asked. */
static bool is_lazyfree(pte_t pte)
{
	struct folio *folio = page_folio(pte_page(pte));

	return !pte_dirty(pte) && !folio_test_swapbacked(folio) && !folio_test_dirty(folio);
}

/*
 * Present and with a page behind it: no page of zeros, those of KSM too, and no device memory. Asked of the
 * value itself, as is what else the hot loop wants to know: pte_val() may be a call, and pte_flags() makes its
 * mask anew for each entry.
 */
static bool is_plain(pte_t pte)
{
	return (native_pte_val(pte) & (_PAGE_PRESENT | _PAGE_SPECIAL)) == _PAGE_PRESENT;
}

/* What a mapping without access rights holds is present as well. False when it is nothing to be counted below. */
static bool count_strange(struct reclaim_walk *w, pte_t pte)
{
	if (!pte_present(pte)) {
		count_not_present(w, pte);
		return false;
	}
	return !pte_special(pte);
}

/*
 * The part of a page table that is in one granule, or all of it when nobody wants
 * to know. The hottest loop of all, which is why there are two of it: @all_anon is
 * a constant.
 */
static __always_inline void count_ptes(struct reclaim_walk *w, pte_t *ptep, unsigned long addr, unsigned long end,
				       bool all_anon)
{
	bool clear = w->clear && w->aging, holes = !all_anon && w->holes;
	unsigned int anon = 0, other = 0, lazyfree = 0, young = 0;
	unsigned long start = addr;
	struct reclaim_usage *u;

	for (; addr < end; addr += PAGE_SIZE, ptep++) {
		pte_t pte = ptep_get(ptep);

		if (pte_none(pte)) {
			if (holes)
				count_hole(w, addr, addr + PAGE_SIZE);
			continue;
		}
		if (!is_plain(pte) && !count_strange(w, pte))
			continue;
		if (!all_anon && !is_anon(w, pte)) {
			other++;
			continue;
		}
		anon++;
		if (unlikely(!(native_pte_val(pte) & _PAGE_DIRTY)))
			lazyfree += is_lazyfree(pte);
		if (native_pte_val(pte) & _PAGE_ACCESSED) {
			young++;
			if (clear)
				clear_young((unsigned long *)&ptep->pte, page_folio(pte_page(pte)));
		}
	}

	if (!anon && !other)
		return;
	u = w->usage;
	u->present += (u64)(anon + other) << PAGE_SHIFT;
	u->anon += (u64)anon << PAGE_SHIFT;
	u->lazyfree += (u64)lazyfree << PAGE_SHIFT;
	u->accessed += (u64)young << PAGE_SHIFT;
	if (w->aging && anon)
		granule_account(w, start, (u64)anon << PAGE_SHIFT, young);
}

/* Where the first entry is that isn't empty, or @end. Empty ones come in long runs: a cache line of them at once. */
static unsigned long skip_empty(const pte_t *ptep, unsigned long addr, unsigned long end)
{
	for (; addr + PTES_AT_ONCE * PAGE_SIZE <= end; addr += PTES_AT_ONCE * PAGE_SIZE, ptep += PTES_AT_ONCE) {
		pteval_t some = READ_ONCE(ptep[0].pte) | READ_ONCE(ptep[1].pte) |
				READ_ONCE(ptep[2].pte) | READ_ONCE(ptep[3].pte);
		pteval_t others = READ_ONCE(ptep[4].pte) | READ_ONCE(ptep[5].pte) |
				  READ_ONCE(ptep[6].pte) | READ_ONCE(ptep[7].pte);

		if (!pte_none(__pte(some | others)))
			break;
	}
	for (; addr < end && pte_none(ptep_get((pte_t *)ptep)); ptep++)
		addr += PAGE_SIZE;
	return addr;
}

static void count_table(struct reclaim_walk *w, pte_t *ptep, unsigned long addr, unsigned long end)
{
	unsigned long size = w->aging ? 1UL << w->shift : PMD_SIZE, next;

	w->pages += (end - addr) >> PAGE_SHIFT;
	while (addr < end) {
		if (!w->holes && pte_none(ptep_get(ptep))) {
			next = skip_empty(ptep, addr, end);
		} else {
			next = min(ALIGN_DOWN(addr, size) + size, end);
			if (w->all_anon)
				count_ptes(w, ptep, addr, next, true);
			else
				count_ptes(w, ptep, addr, next, false);
		}
		ptep += (next - addr) >> PAGE_SHIFT;
		addr = next;
	}
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
		count_table(w, pte_offset_kernel(&pmdval, addr), addr, end);
	spin_unlock(ptl);

	return same;
}

/* A huge page is one granule, whatever the size of the others. */
static void age_huge(struct reclaim_walk *w, pmd_t *pmd, pmd_t pmdval, struct folio *folio, u64 size)
{
	bool young = pmd_young(pmdval);
	u8 age = 0;

	/* Others who take a bit away clear the idle flag. One look each 2 MiB is affordable. */
	if (w->clear && young)
		clear_young((unsigned long *)pmd, folio);
	else if (w->clear && IS_ENABLED(CONFIG_PAGE_IDLE_FLAG))
		young = !folio_test_idle(folio);
	w->usage->accessed += young ? size : 0;
	if (!w->aging)
		return;

	if (w->chunk && !memchr(w->chunk->age, RECLAIM_AGE_RESET, reclaim_age_slots(w->chunk)))
		age = reclaim_age_next(READ_ONCE(w->chunk->age[0]), w->ticks, young);
	if (w->chunk && w->clear) {
		memset(w->chunk->age, age, reclaim_age_slots(w->chunk));
		w->chunk->pass = w->ages->pass;
	}
	w->usage->histogram[reclaim_age_bucket(age)] += size;
	if (age >= w->idle_ticks)
		w->usage->idle += size;
}

static void count_huge(struct reclaim_walk *w, pmd_t *pmd, pmd_t pmdval, u64 size)
{
	struct page *page = pmd_page(pmdval);
	struct folio *folio = page_folio(page);

	if (!pfn_valid(pmd_pfn(pmdval)))
		return;
	if (folio_test_anon(folio)) {
		count_folio(w, page, size, pmd_dirty(pmdval));
		w->usage->huge += size;
		age_huge(w, pmd, pmdval, folio, size);
		return;
	}
	/* The huge zero page. */
	if (w->all_anon)
		return;
	w->usage->present += size;
	if (folio_test_swapbacked(folio))
		w->usage->huge_shmem += size;
	else
		w->usage->huge_file += size;
}

/* False when @pmdval isn't in the PMD anymore. */
static bool walk_huge(struct reclaim_walk *w, pmd_t *pmd, pmd_t pmdval, unsigned long addr, unsigned long end)
{
	spinlock_t *ptl = pmd_lock(w->mm, pmd);
	bool same = pmd_same(pmdval, *pmd);
	softleaf_t entry;

	if (same && pmd_present(pmdval)) {
		count_huge(w, pmd, pmdval, end - addr);
		w->pages++;
	} else if (same) {
		entry = softleaf_from_pmd(pmdval);
		if (softleaf_is_migration(entry)) {
			count_folio(w, softleaf_to_page(entry), end - addr, false);
			if (folio_test_anon(page_folio(softleaf_to_page(entry))))
				w->usage->huge += end - addr;
		}
	}
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
			count_hole(w, addr, end);
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
	count_hole(w, addr, next);
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
