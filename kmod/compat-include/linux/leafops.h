/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RECLAIM_COMPAT_LINUX_LEAFOPS_H
#define RECLAIM_COMPAT_LINUX_LEAFOPS_H

/* Neither the real one nor what it replaces includes all that it needs. */
#include <linux/mm.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/version.h>

/* Since 6.19, where they replace the helpers of swapops.h for entries that aren't present. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#include_next <linux/leafops.h>
#else
typedef swp_entry_t softleaf_t;

/* 6.12's stable series has this one already. */
#ifndef softleaf_from_pte
#define softleaf_from_pte(pte) pte_to_swp_entry(pte)
#endif

static inline softleaf_t softleaf_from_pmd(pmd_t pmd)
{
	return pmd_to_swp_entry(pmd);
}

static inline bool softleaf_is_swap(softleaf_t entry)
{
	return !non_swap_entry(entry);
}

static inline bool softleaf_has_pfn(softleaf_t entry)
{
	return is_pfn_swap_entry(entry);
}

static inline struct page *softleaf_to_page(softleaf_t entry)
{
	return pfn_swap_entry_to_page(entry);
}

static inline bool softleaf_is_migration(softleaf_t entry)
{
	return is_migration_entry(entry);
}
#endif

#endif
