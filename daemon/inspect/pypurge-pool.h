/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Empty pages inside of a partly used pool of pymalloc's.
 *
 * pymalloc_pool_extend() hands out blocks from nextoffset while it is at most
 * maxnextoffset (Objects/obmalloc.c, 3.8-3.15). Both are the pool's own, so
 * this carve window may be any run of free blocks. Those need no link words:
 * their pages can be dropped, and no block is lost.
 */
#ifndef RECLAIM_INSPECT_PYPURGE_POOL_H
#define RECLAIM_INSPECT_PYPURGE_POOL_H

#include "inspect/pymalloc.h"
#include "inspect/pypurge-lists.h"

#define PYPURGE_POOL_PAGES 4 /* of 16 KiB */
#define PYPURGE_BLOCKS 1022

enum pypurge_block {
	PYPURGE_LIVE,
	PYPURGE_LISTED,
	PYPURGE_WINDOW,
};

/* Room for work on one pool. The caller fills the first part, the walk the second. */
struct pypurge_pool {
	uint64_t addr;
	uint32_t pages; /* of it, 1 or 4 */
	struct pymalloc_pool_header h;
	const uint8_t *flags; /* of its pages: enum remote_page_flags */

	uint32_t bs, n; /* block size; blocks */
	uint32_t win_lo, win_hi; /* the carve window: blocks [lo, hi) */
	uint32_t n_listed;
	uint16_t order[PYPURGE_BLOCKS]; /* the free list */
	uint16_t next[PYPURGE_BLOCKS]; /* of listed ones: the next one's number, n at the end */
	uint8_t block[PYPURGE_BLOCKS]; /* enum pypurge_block */
	bool have[PYPURGE_POOL_PAGES];
	unsigned char bytes[PYPURGE_POOL_PAGES * REMOTE_PAGE];
};

/*
 * Reads the free list and proves that list, carve window and live blocks make
 * up the whole pool. 0; -EBADMSG they don't; -ENXIO a page of it is swapped
 * out; a read's error. Only for pools with 0 < count < all.
 */
int pypurge_pool_walk(struct pypurge_pool *p, struct remote *mem) __must_check;

/* The pages that can go: [lo, hi), and the window that makes it so. */
struct pypurge_run {
	uint32_t page_lo, page_hi;
	uint32_t win_lo, win_hi;
	uint32_t relisted; /* blocks of the present window that go to the list */
	uint32_t resident; /* pages of the pool that remain */
	uint32_t touched; /* of them brought in by our writes */
};

/* The best run of a walked pool. False when nothing would be gained. */
bool pypurge_pool_run(const struct pypurge_pool *p, struct pypurge_run *ret);

/* Could it have a run at all, as far as the header and the pages tell? */
bool pypurge_pool_promising(const struct pypurge_pool *p);

/*
 * Walks, chooses and adds to the lists. 1 when something was added, 0 when
 * there is nothing to gain, -ENOBUFS when it doesn't fit (nothing was added),
 * or as pypurge_pool_walk().
 *
 * Each state between two of the writes is safe: the window is emptied before
 * a block of it is listed, listed blocks leave the list before they become
 * the window, and links only ever skip forward.
 */
int pypurge_pool_plan(struct pypurge_pool *p, struct remote *mem, struct pypurge_lists *l) __must_check;

#endif
