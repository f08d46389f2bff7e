/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of the target as the readers see it: a live process through
 * /proc/PID/mem and pagemap, or a recorded image in tests. Reads are all or
 * nothing and charged to budgets (calls, bytes, time), so that hostile
 * structures can't keep us reading.
 *
 * A read of /proc/PID/mem brings swapped pages back in and gives never-touched
 * ones a page table. Whoever reads a heap asks remote_pages() first, or uses a
 * window (inspect/window.h), which does.
 */
#ifndef RECLAIM_INSPECT_REMOTE_H
#define RECLAIM_INSPECT_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define REMOTE_PAGE 4096ull
#define REMOTE_CACHED 4

/*
 * Where a page is. None of them: untouched, or dropped; what is read there is
 * zero. So is the zero page, which nobody pays for (Linux 6.7 and later: before
 * that it looks present).
 */
enum remote_page_flags {
	REMOTE_PRESENT = 1 << 0,
	REMOTE_SWAPPED = 1 << 1, /* or under migration: reading it would wait or cost a page */
	REMOTE_SHARED = 1 << 2, /* of a file or shared memory, not private anonymous */
	REMOTE_HUGE = 1 << 3, /* part of a whole huge page (Linux 6.7 and later) */
};

struct remote_page {
	uint64_t addr; /* 0: empty */
	unsigned char bytes[REMOTE_PAGE];
};

struct remote {
	/* 0, or -errno when not all of [addr, addr+len) could be read */
	int (*read)(void *ctx, uint64_t addr, void *buf, size_t len);
	/* enum remote_page_flags of @n pages from @addr (page-aligned) on; NULL: can't be told */
	int (*pages)(void *ctx, uint64_t addr, size_t n, uint8_t *ret);
	void *ctx;
	uint64_t reads_left; /* -EDQUOT when one of these is used up */
	uint64_t bytes_left;
	uint64_t deadline_ns; /* of base/clock.h; 0: none. -ETIME when passed */
	unsigned int next; /* cache slot to be used next */
	struct remote_page cache[REMOTE_CACHED];
};

/* The fds of a live process. They stay the caller's and outlive the remote. */
struct remote_fds {
	int mem_fd, pagemap_fd; /* pagemap_fd may be -1 */
	bool no_scan; /* this kernel has no PAGEMAP_SCAN */
};

void remote_from_fds(struct remote_fds *fds, uint64_t max_reads, uint64_t max_bytes, struct remote *ret);

int remote_read(struct remote *m, uint64_t addr, void *buf, size_t len) __must_check;

/* Where the @n pages from the page-aligned @addr on are. 0, -EDQUOT, -ETIME, -EOPNOTSUPP, -EFAULT. */
int remote_pages(struct remote *m, uint64_t addr, size_t n, uint8_t *ret) __must_check;

/*
 * Words are read a page at a time: a stack is walked in one or two reads of
 * memory. Whoever needs the memory of now calls remote_forget() first.
 */
void remote_forget(struct remote *m);
int remote_read_u64(struct remote *m, uint64_t addr, uint64_t *ret) __must_check;

#endif
