// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The least that a test needs of glibc 2.27 to 2.42's malloc: free chunks in
 * the bins of one arena and its top, as whole pages that hold nothing.
 */
#include <string.h>

#include "base/clock.h"
#include "inject/trace.h"
#include "lease-driver.h"

#define BINS 127
#define TOP_OFFSET 96
#define BINS_OFFSET 112
#define STATE_LEN (BINS_OFFSET + (BINS * 2 - 2) * 8)
#define PAGE 4096ull
#define HEADER 48 /* struct malloc_chunk with the links of large bins */
#define TOP_PAGES 32
#define LIST_MAX 20000

struct chunk {
	uint64_t prev_size, size, fd, bk;
};

static void walk_add(struct driver_walk *w, uint64_t lo, uint64_t hi)
{
	lo = (lo + PAGE - 1) & ~(PAGE - 1);
	hi &= ~(PAGE - 1);
	if (lo < hi && w->n < w->max)
		w->ranges[w->n++] = (struct lease_range){ lo, hi - lo };
}

/* 1: what is read can't be true while the lock is held. */
static int walk_chunk(int fd, uint64_t at, uint64_t came_from, struct chunk *ret, struct driver_walk *w)
{
	struct chunk next;
	uint64_t size;

	if (trace_peek(fd, at, ret, sizeof(*ret)) < 0 || ret->bk != came_from)
		return 1;
	size = ret->size & ~7ull;
	if (size < 32 || size % 16 || size > (1ull << 32) || !(ret->size & 1))
		return 1;
	if (trace_peek(fd, at + size, &next, 16) < 0 || next.prev_size != size || (next.size & 1))
		return 1;
	w->chunks++;
	walk_add(w, at + HEADER, at + size);
	return 0;
}

static int walk_bin(int fd, uint64_t head, struct driver_walk *w)
{
	struct chunk c;
	uint64_t at, from = head;

	if (trace_peek(fd, head + 16, &at, 8) < 0)
		return 1;
	for (unsigned int i = 0; at != head; i++) {
		if (w->n >= w->max || clock_ns() > w->deadline_ns)
			return 0;
		if (i > LIST_MAX || walk_chunk(fd, at, from, &c, w))
			return 1;
		from = at;
		at = c.fd;
	}
	return 0;
}

int driver_walk_arena(int mem_fd, uint64_t arena, struct driver_walk *w)
{
	uint64_t top;
	struct chunk c;

	if (trace_peek(mem_fd, arena + TOP_OFFSET, &top, 8) < 0 || trace_peek(mem_fd, top, &c, 16) < 0)
		return 1;
	c.size &= ~7ull;
	walk_add(w, top + 32, top + MIN(c.size, TOP_PAGES * PAGE));
	for (unsigned int i = 0; i < BINS - 1; i++) {
		/* from another bin each time */
		unsigned int bin = (i + (unsigned int)(w->seed % (BINS - 1))) % (BINS - 1);

		if (walk_bin(mem_fd, arena + TOP_OFFSET + 16ull * bin, w))
			return 1;
	}
	return 0;
}
