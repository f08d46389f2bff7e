/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A map of what allocators hold: address space in squares of one size, each
 * with what is in it. There are never more than CELLS_MAX: their size begins
 * with a page and doubles, two becoming one, whenever there would be. So it
 * follows from the heap alone, not from the order in which it was looked at.
 *
 * What is told of the target may be nonsense (it changes, or is hostile); a
 * cell still never holds more than its size.
 */
#ifndef RECLAIM_INSPECT_CELLS_H
#define RECLAIM_INSPECT_CELLS_H

#include "inspect/window.h"

#define CELLS_MAX 65536u
#define CELLS_SIZE_MAX (1u << 31)

/* Whose memory it is. One cell has one owner; two may lie at the same address. */
enum cells_owner { CELLS_GLIBC = 1, CELLS_MMAPPED, CELLS_PYMALLOC };

/* What bytes are. Together they are all that an owner has in a cell. */
enum cells_kind {
	CELLS_IN_USE,
	CELLS_CACHED,
	CELLS_FREE_RESIDENT, /* in whole pages that are resident */
	CELLS_FREE_SHARED, /* in pages that hold something alive too */
	CELLS_FREE_GONE, /* in whole pages that aren't there */
	CELLS_OVERHEAD,
	CELLS_UNKNOWN,
	CELLS_KINDS,
};

struct cells_one {
	uint64_t at; /* a multiple of the size */
	uint32_t owner; /* 0: an empty place */
	uint32_t arena; /* of the first that said something */
	uint32_t bytes[CELLS_KINDS];
	uint32_t resident, swapped; /* bytes in pages, see cells_resident() */
	uint32_t live_blocks; /* that begin in it */
};

struct cells {
	struct cells_one *v; /* open addressing; in order after cells_finish() */
	size_t n, room;
	uint32_t size;
	int error; /* -ENOMEM: nothing is known */
};

int cells_new(struct cells *ret) __must_check;
void cells_done(struct cells *c); /* accepts zeroed and finished ones */

/* [lo, hi) is @owner's, and all of it @kind. */
void cells_add(struct cells *c, enum cells_owner owner, uint32_t arena, uint64_t lo, uint64_t hi, enum cells_kind kind);
/* What was added as in use is @kind after all. */
void cells_move(struct cells *c, enum cells_owner owner, uint64_t lo, uint64_t hi, enum cells_kind kind);
/* So are the bytes of a free chunk, of which the whole pages of [lo, hi) may be dropped. 0 or as window_at(). */
int cells_free(struct cells *c, enum cells_owner owner, struct window *w, uint64_t chunk, uint64_t size, uint64_t lo,
	       uint64_t hi) __must_check;
/* A live block begins at @addr, @n of them do. */
void cells_live(struct cells *c, enum cells_owner owner, uint64_t addr, uint32_t n);
/* Which pages of [lo, hi) are there. Where nothing was added, nothing is noted. 0 or as remote_pages(). */
int cells_resident(struct cells *c, enum cells_owner owner, struct remote *mem, uint64_t lo, uint64_t hi) __must_check;

/* What was told of @owner's is not to be believed. */
void cells_drop(struct cells *c, enum cells_owner owner);

/* Puts them in order: the first @n of v, none without anything in it. 0, or the error of any step before. */
int cells_finish(struct cells *c) __must_check;

#endif
