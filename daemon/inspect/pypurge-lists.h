/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one round of a pymalloc purge writes and drops: first all writes, in
 * this order, then the ranges. Fixed size, filled up to given limits; what
 * would not fit whole is rolled back to a mark.
 */
#ifndef RECLAIM_INSPECT_PYPURGE_LISTS_H
#define RECLAIM_INSPECT_PYPURGE_LISTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* IOV_MAX is 1024. */
#define PYPURGE_WRITES_MAX 1000
#define PYPURGE_RANGES_MAX 1000
#define PYPURGE_VALUES_MAX 65536

struct pypurge_write {
	uint64_t addr;
	uint32_t offset, len; /* of the bytes in values */
};

struct pypurge_range {
	uint64_t addr, len;
};

struct pypurge_lists {
	uint32_t n_writes, n_ranges, n_values;
	uint32_t max_writes, max_ranges, max_values;
	uint32_t held_writes, held_values; /* kept free for the writes that come last */
	uint64_t max_bytes; /* resident ones to drop; a single drop may exceed it */
	uint64_t resident; /* bytes of the ranges that are resident */
	uint64_t touched; /* bytes of pages that the writes bring in */
	uint64_t glue; /* what lies between the end of the last range and here may be dropped as well */
	struct pypurge_write writes[PYPURGE_WRITES_MAX];
	struct pypurge_range ranges[PYPURGE_RANGES_MAX];
	unsigned char values[PYPURGE_VALUES_MAX];
};

/* Limits above the constants, or 0, mean the constants; @max_bytes 0: no limit. */
void pypurge_lists_init(struct pypurge_lists *l, uint32_t max_writes, uint32_t max_ranges, uint32_t max_values,
			uint64_t max_bytes);

struct pypurge_mark {
	uint32_t n_writes, n_ranges, n_values;
	uint64_t resident, touched, glue, last_len;
};

struct pypurge_mark pypurge_lists_mark(const struct pypurge_lists *l);
void pypurge_lists_rollback(struct pypurge_lists *l, const struct pypurge_mark *mark);

/* Room for @len bytes to be written at @addr; NULL when there is none. Cleared. */
unsigned char *pypurge_lists_room(struct pypurge_lists *l, uint64_t addr, size_t len);
bool pypurge_lists_write(struct pypurge_lists *l, uint64_t addr, const void *bytes, size_t len);

/*
 * The range is dropped, if @resident bytes of it are there. Joined with the
 * last one when nothing but droppable pages lies between. Called in ascending
 * order. False when there is no room.
 */
bool pypurge_lists_drop(struct pypurge_lists *l, uint64_t addr, uint64_t len, uint64_t resident);

#endif
