/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the pages of a process are: PAGEMAP_SCAN of /proc/PID/pagemap, since Linux 6.7. */
#ifndef RECLAIM_BASE_PAGEMAP_H
#define RECLAIM_BASE_PAGEMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"

/* From <linux/fs.h>, spelled out since Debian 12's copy is older. */
struct pagemap_region {
	uint64_t start, end, categories;
};

struct pagemap_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_SCAN_CALL _IOWR('f', 16, struct pagemap_scan_arg)

enum pagemap_category {
	PAGEMAP_FILE = 1 << 2,
	PAGEMAP_PRESENT = 1 << 3,
	PAGEMAP_SWAPPED = 1 << 4,
	PAGEMAP_ZERO = 1 << 5, /* the zero page: present, but nobody's memory */
	PAGEMAP_HUGE = 1 << 6, /* mapped as a whole huge page */
};

/*
 * Pages of [start, end) that are in one of the categories @any, and in none of
 * @none, as ascending regions of the same categories. Returns how many were
 * filled into @ret, and in *ret_end up to where was looked (more than @start).
 * -EOPNOTSUPP on kernels that don't know it; -EBADMSG; -errno.
 */
int pagemap_scan(int fd, uint64_t start, uint64_t end, uint64_t any, uint64_t none, struct pagemap_region *ret,
		 size_t n, uint64_t *ret_end) __must_check;

#endif
