/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of the target as the readers see it: a live process through
 * /proc/PID/mem, or a recorded image in tests. Reads are all or nothing and
 * charged to a budget, so that hostile structures can't keep us reading.
 */
#ifndef RECLAIM_INSPECT_REMOTE_H
#define RECLAIM_INSPECT_REMOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define REMOTE_PAGE 4096ull
#define REMOTE_CACHED 4

struct remote_page {
	uint64_t addr; /* 0: empty */
	unsigned char bytes[REMOTE_PAGE];
};

struct remote {
	/* 0, or -errno when not all of [addr, addr+len) could be read */
	int (*read)(void *ctx, uint64_t addr, void *buf, size_t len);
	void *ctx;
	uint64_t reads_left; /* -EDQUOT when used up */
	unsigned int next; /* cache slot to be used next */
	struct remote_page cache[REMOTE_CACHED];
};

/* Over an open /proc/PID/mem; @fd stays the caller's and must outlive @ret. */
void remote_from_mem(int *fd, uint64_t max_reads, struct remote *ret);

int remote_read(struct remote *m, uint64_t addr, void *buf, size_t len) __must_check;
/*
 * Words are read a page at a time: a stack is walked in one or two reads of
 * memory. Whoever needs the memory of now calls remote_forget() first.
 */
void remote_forget(struct remote *m);
int remote_read_u64(struct remote *m, uint64_t addr, uint64_t *ret) __must_check;

#endif
