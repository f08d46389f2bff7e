// SPDX-License-Identifier: GPL-2.0-only
#include <linux/leafops.h>
#include <linux/mm.h>
#include <linux/page_idle.h>
#include <linux/pagemap.h>
#include <linux/string.h>
#include <linux/swap.h>

#include "entry.h"
#include "tunable.h"

#if !defined(CONFIG_X86_64)
#error "accessed bits are cleared as x86-64 keeps them"
#endif

/* In a cache line */
#define PTES_AT_ONCE 8

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
void reclaim_entry_hole(struct reclaim_walk *w, unsigned long addr, unsigned long end)
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

/* Of an entry that is clean. MADV_FREE leaves such a one behind, so a dirty one need not be asked. */
static bool is_lazyfree(pte_t pte)
{
	struct folio *folio = page_folio(pte_page(pte));

	return !folio_test_swapbacked(folio) && !folio_test_dirty(folio);
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

struct counts {
	unsigned int anon;
	unsigned int other;
	unsigned int lazyfree;
	unsigned int young;
};

/* @all_anon, here and below, is a constant: there are two of the hottest loop of all. */
static __always_inline void count_pte(struct reclaim_walk *w, pte_t *ptep, unsigned long addr, bool all_anon,
				      struct counts *n)
{
	pte_t pte = ptep_get(ptep);

	if (pte_none(pte)) {
		if (!all_anon && w->holes)
			reclaim_entry_hole(w, addr, addr + PAGE_SIZE);
		return;
	}
	if (!is_plain(pte) && !count_strange(w, pte))
		return;
	if (!all_anon && !is_anon(w, pte)) {
		n->other++;
		return;
	}
	n->anon++;
	if (unlikely(!(native_pte_val(pte) & _PAGE_DIRTY_BITS)))
		n->lazyfree += is_lazyfree(pte);
	if (native_pte_val(pte) & _PAGE_ACCESSED) {
		n->young++;
		if (w->clear && w->aging)
			clear_young((unsigned long *)&ptep->pte, page_folio(pte_page(pte)));
	}
}

/*
 * What any of PTES_AT_ONCE entries has set, and in @all what all of them have. As the
 * table holds them: several in one are no entry that a hypervisor could translate, so
 * they are made one with native_make_pte() alone.
 */
static __always_inline pteval_t ptes_read(const pte_t *ptep, pteval_t *all)
{
	pteval_t a = READ_ONCE(ptep[0].pte), b = READ_ONCE(ptep[1].pte);
	pteval_t c = READ_ONCE(ptep[2].pte), d = READ_ONCE(ptep[3].pte);
	pteval_t e = READ_ONCE(ptep[4].pte), f = READ_ONCE(ptep[5].pte);
	pteval_t g = READ_ONCE(ptep[6].pte), h = READ_ONCE(ptep[7].pte);

	*all = a & b & c & d & e & f & g & h;
	return a | b | c | d | e | f | g | h;
}

/*
 * Neighbours are mostly alike. False when they must be looked at one by one. Under
 * the table's lock only the processor changes them, and only by setting accessed and
 * dirty bits.
 */
static __always_inline bool count_alike(struct reclaim_walk *w, const pte_t *ptep, bool all_anon, struct counts *n)
{
	pteval_t all, any = ptes_read(ptep, &all);

	if (pte_none(native_make_pte(any)))
		return all_anon || !w->holes;
	if (!all_anon || !(all & _PAGE_PRESENT) || !(all & _PAGE_DIRTY_BITS) || any & _PAGE_SPECIAL)
		return false;
	if (any & _PAGE_ACCESSED) {
		if (!(all & _PAGE_ACCESSED) || (w->clear && w->aging))
			return false;
		n->young += PTES_AT_ONCE;
	}
	n->anon += PTES_AT_ONCE;
	return true;
}

/* The part of a page table that is in one granule, or all of it when nobody wants to know. */
static __always_inline void count_ptes(struct reclaim_walk *w, pte_t *ptep, unsigned long addr, unsigned long end,
				       bool all_anon)
{
	unsigned long start = addr, next;
	struct counts n = {};
	struct reclaim_usage *u;

	while (addr < end) {
		next = addr + PTES_AT_ONCE * PAGE_SIZE;
		if (next <= end && count_alike(w, ptep, all_anon, &n)) {
			addr = next;
			ptep += PTES_AT_ONCE;
			continue;
		}
		for (next = min(next, end); addr < next; addr += PAGE_SIZE, ptep++)
			count_pte(w, ptep, addr, all_anon, &n);
	}

	if (!n.anon && !n.other)
		return;
	u = w->usage;
	u->present += (u64)(n.anon + n.other) << PAGE_SHIFT;
	u->anon += (u64)n.anon << PAGE_SHIFT;
	u->lazyfree += (u64)n.lazyfree << PAGE_SHIFT;
	u->accessed += (u64)n.young << PAGE_SHIFT;
	if (w->aging && n.anon)
		granule_account(w, start, (u64)n.anon << PAGE_SHIFT, n.young);
}

/* Where the first entry is that isn't empty, or @end. Empty ones come in long runs. */
static unsigned long skip_empty(const pte_t *ptep, unsigned long addr, unsigned long end)
{
	pteval_t all;

	for (; addr + PTES_AT_ONCE * PAGE_SIZE <= end; addr += PTES_AT_ONCE * PAGE_SIZE, ptep += PTES_AT_ONCE)
		if (!pte_none(native_make_pte(ptes_read(ptep, &all))))
			break;
	for (; addr < end && pte_none(ptep_get((pte_t *)ptep)); ptep++)
		addr += PAGE_SIZE;
	return addr;
}

void reclaim_entry_table(struct reclaim_walk *w, pte_t *ptep, unsigned long addr, unsigned long end)
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

	if (w->chunk && !reclaim_age_is_reset(w->chunk))
		age = reclaim_age_next(READ_ONCE(w->chunk->age[0]), w->ticks, young);
	if (w->chunk && w->clear) {
		memset(w->chunk->age, age, reclaim_age_slots(w->chunk));
		WRITE_ONCE(w->chunk->reset, false);
		w->chunk->pass = w->ages->pass;
	}
	w->usage->histogram[reclaim_age_bucket(age)] += size;
	if (age >= w->idle_ticks)
		w->usage->idle += size;
}

static void count_huge(struct reclaim_walk *w, pmd_t *pmd, pmd_t pmdval, u64 size)
{
	struct page *page = pmd_page(pmdval);
	struct folio *folio;

	if (!w->all_anon && !pfn_valid(pmd_pfn(pmdval)))
		return;
	folio = page_folio(page);
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

void reclaim_entry_pmd(struct reclaim_walk *w, pmd_t *pmd, pmd_t pmdval, u64 size)
{
	softleaf_t entry;

	if (pmd_present(pmdval)) {
		count_huge(w, pmd, pmdval, size);
		w->pages++;
		return;
	}
	entry = softleaf_from_pmd(pmdval);
	if (!softleaf_is_migration(entry))
		return;
	count_folio(w, softleaf_to_page(entry), size, false);
	if (folio_test_anon(page_folio(softleaf_to_page(entry))))
		w->usage->huge += size;
}
