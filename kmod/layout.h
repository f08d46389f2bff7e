/* SPDX-License-Identifier: GPL-2.0-only */
/* The mappings of an address space, one after the other. */
#ifndef RECLAIM_LAYOUT_H
#define RECLAIM_LAYOUT_H

#include "region.h"

struct reclaim_walk;

/*
 * The mapping at or behind *@addr, walked in as many holds as it takes. 0, with
 * @region to be given to reclaim_region_done() and *@addr behind it; -ENOENT
 * when there is none; other errors. A mapping that is changed meanwhile ends where
 * the walk has come to.
 */
int __must_check reclaim_layout_next(struct reclaim_walk *w, unsigned long *addr, struct reclaim_region *region);

#endif
