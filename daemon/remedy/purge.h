/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that an allocator holds free, given back by one of the target's own
 * threads while it holds the allocator's own lock. In rounds, each so short
 * that nobody notices:
 *
 *	reader    purge_scan()   finds candidates, without any lock
 *	injector                 sends a thread to take the lock (inject/lease.h)
 *	reader    purge_check()  reads the candidates again: what still holds?
 *	injector                 hands that list to the thread, which applies it and lets go
 *
 * Whoever of us dies or stops in between, the thread lets go by itself.
 */
#ifndef RECLAIM_REMEDY_PURGE_H
#define RECLAIM_REMEDY_PURGE_H

#include "remedy/remedy.h"

#define PURGE_RANGES_MAX 1000 /* of one process_madvise(2): IOV_MAX is 1024 */
#define PURGE_WRITES_MAX 1000 /* of one process_vm_readv(2), its own last one left out */
#define PURGE_VALUES_MAX 65536

enum purge_kind {
	PURGE_DONE, /* nothing is left */
	PURGE_ARENA, /* under the lock of an arena of malloc's */
	PURGE_GIL, /* under Python's global lock */
};

enum purge_parts {
	PURGE_GLIBC = 1 << 0, /* chunks in bins, tops */
	PURGE_PYMALLOC = 1 << 1,
	PURGE_DEEP = 1 << 2, /* pymalloc's free pools retired as a whole, see inspect/pypurge.h */
	PURGE_BUSY = 1 << 3, /* of a plan: its Python was at work */
};

/* To the reader. */
struct purge_ask {
	uint32_t parts; /* enum purge_parts */
	uint32_t max_ranges, max_writes, max_values; /* what fits onto the thread's stack */
	uint64_t max_bytes; /* resident bytes that one round may drop; 0: no limit */
	uint64_t budget_ns; /* of a check: the lock is held meanwhile */
	uint32_t applied; /* the lists of the round before have been carried out */
	uint32_t again; /* it came to nothing: offer the same once more */
	uint32_t skip; /* give the present arena (or the interpreter) up */
	uint32_t pad;
};

/* From the reader: what the next round is about. */
struct purge_round {
	uint32_t kind; /* enum purge_kind */
	uint32_t ranges, writes, values; /* at most so many will come of it */
	uint32_t passed; /* in the end: places passed over, since they came to nothing too often */
	uint64_t lock; /* address of the arena's lock */
	uint64_t resident; /* bytes, as of now */
};

struct purge_range {
	uint64_t addr, len;
};

/* @len bytes from @offset in the values go to @addr. */
struct purge_write {
	uint64_t addr;
	uint32_t offset, len;
};

/* From the reader, through memory that both share: copied before it is looked at. */
struct purge_lists {
	uint32_t nranges, nwrites, nvalues, pad;
	uint64_t resident; /* bytes */
	struct purge_write writes[PURGE_WRITES_MAX]; /* in this order */
	struct purge_range ranges[PURGE_RANGES_MAX];
	uint8_t values[PURGE_VALUES_MAX];
};

/* The injector's way to the reader. 0; -ETIME too slow; -EPIPE; -EAGAIN the lock isn't held; -EBADMSG. */
struct purge_reader {
	int (*scan)(void *ctx, const struct purge_ask *ask, struct purge_round *ret);
	int (*check)(void *ctx, const struct purge_ask *ask, struct purge_lists *ret);
	void *ctx;
};

extern const struct remedy remedy_purge;

#endif
