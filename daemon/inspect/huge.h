/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Huge pages that lose a part. Dropping some of the pages of a huge one makes
 * RSS fall but frees nothing: the kernel only queues it to be split when
 * memory gets short (mm/huge_memory.c, deferred_split_folio()). MADV_COLD on a
 * page that is left splits it at once (mm/madvise.c,
 * madvise_cold_or_pageout_pte_range()), and it may be asked for from outside.
 * Seen on Linux 6.18.
 *
 * Before Linux 6.7 a huge page can't be told from 512 small ones in a row:
 * then these are remembered as well, which makes the advice superfluous for
 * some, but never wrong.
 */
#ifndef RECLAIM_INSPECT_HUGE_H
#define RECLAIM_INSPECT_HUGE_H

#include "inspect/target.h"

#define HUGE_PAGE (2ull << 20)

struct huge {
	uint64_t *blocks; /* addresses of whole huge pages, ascending */
	size_t n, at;
	bool more; /* than are remembered */
	bool guess; /* some may be 512 small pages */
};

/*
 * Remembers the huge pages that back private anonymous memory now. 0;
 * -EOPNOTSUPP without a pagemap; -ENOMEM; -errno. The caller calls huge_done().
 */
int huge_note(struct target *t, struct huge *ret) __must_check;
void huge_done(struct huge *h); /* accepts zeroed ones */

/*
 * Of those that have lost some of their pages but not all since then: one page
 * each that is left, up to @max, going on where the last call ended. Returns
 * their number, 0 at the end, or -errno.
 */
int huge_torn(struct target *t, struct huge *h, uint64_t *ret, size_t max) __must_check;

#endif
