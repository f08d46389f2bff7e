/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RECLAIM_COMPAT_LINUX_PGTABLE_H
#define RECLAIM_COMPAT_LINUX_PGTABLE_H

#include_next <linux/pgtable.h>
#include <linux/version.h>

/* Since 6.2. A 64 bit entry is read at once. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define pmdp_get_lockless(pmdp) READ_ONCE(*(pmdp))
#endif

/* Since 6.6 a dirty entry that is made read-only keeps that in another bit. */
#ifndef _PAGE_DIRTY_BITS
#define _PAGE_DIRTY_BITS _PAGE_DIRTY
#endif

/* Since 6.8. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define pgdp_get(pgdp) READ_ONCE(*(pgdp))
#define p4dp_get(p4dp) READ_ONCE(*(p4dp))
#define pudp_get(pudp) READ_ONCE(*(pudp))
#endif

#endif
