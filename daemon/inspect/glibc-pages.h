/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of heaps for readers that jump about in them, along lists. Like a
 * window (inspect/window.h), pages are looked up in pagemap before they are read.
 */
#ifndef RECLAIM_INSPECT_GLIBC_PAGES_H
#define RECLAIM_INSPECT_GLIBC_PAGES_H

#include "inspect/remote.h"

#define GLIBC_PAGES 512
#define GLIBC_PAGES_BLOCKS 32
#define GLIBC_PAGES_BLOCK 64 /* pages that are looked up together */

struct glibc_pages {
	struct remote *mem;
	uint64_t addr[GLIBC_PAGES]; /* 0: empty */
	uint64_t block[GLIBC_PAGES_BLOCKS]; /* 0: empty */
	uint8_t flags[GLIBC_PAGES_BLOCKS][GLIBC_PAGES_BLOCK];
	unsigned char bytes[GLIBC_PAGES][REMOTE_PAGE];
};

void glibc_pages_init(struct glibc_pages *p, struct remote *mem);
void glibc_pages_forget(struct glibc_pages *p);

/* @len bytes at @addr, which lie in one page or two. 0, or as window_at(). */
int glibc_pages_read(struct glibc_pages *p, uint64_t addr, void *buf, size_t len) __must_check;

#endif
