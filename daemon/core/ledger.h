/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon has seen, decided and done: one record per event, on disk,
 * bounded, and whole after a crash at any instruction.
 *
 * Records of one size with a checksum in segment files ("ledger-N", N the
 * number of its first record); the oldest segment goes before all together
 * exceed settings.history_max. An unfinished record at the end is cut off at
 * the next open. One writer (locked); readers need no lock.
 */
#ifndef RECLAIM_CORE_LEDGER_H
#define RECLAIM_CORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define LEDGER_UNKNOWN UINT64_MAX
#define LEDGER_WORDS 192
#define LEDGER_NAME 256
#define LEDGER_CGROUP 512

enum ledger_kind {
	LEDGER_START = 1, /* of the daemon: words has its version and mode */
	LEDGER_STOP,
	LEDGER_LEAVE, /* why a large process is left alone: written when its reason changes, not at every sweep */
	LEDGER_LOOK, /* the allocator was read: predicted */
	LEDGER_WOULD, /* an action that the mode forbids */
	LEDGER_BEGIN, /* an action begins: written, and on disk, before the worker starts */
	LEDGER_ACTION, /* its result */
	/*
	 * 10 s, 1 min, 10 min later (after_us): rss_before is what the action left, rss_after what it is now;
	 * predicted is what the action freed, freed what of that is still gone.
	 */
	LEDGER_CHECK,
	LEDGER_RELOAD,
	LEDGER_PRESSURE,
	LEDGER_KINDS,
};

struct ledger_record {
	uint64_t seq; /* rises by one; set by ledger_append() */
	uint64_t real_us; /* CLOCK_REALTIME */
	uint64_t boot_us; /* CLOCK_BOOTTIME; with boot_id */
	char boot_id[33]; /* 32 hex digits: records of earlier boots are history, not cooldowns */
	enum ledger_kind kind;
	pid_t pid; /* 0: not about a process */
	uint64_t start_time;
	uid_t uid; /* of who may look into the process, and so be told of this */
	uid_t real_uid; /* of who has started it, of whom rules speak; in records from before it was kept: @uid */
	char comm[65], exe[LEDGER_NAME], unit[LEDGER_NAME]; /* raw */
	/* Raw; cut off at their ends where all of a record's texts don't fit. The slice is the innermost one. */
	char slice[LEDGER_NAME], cgroup[LEDGER_CGROUP];
	char reason[24]; /* policy_reason_name() or a worker's outcome word */
	char words[LEDGER_WORDS];
	uint32_t remedies; /* enum worker_remedy bits */
	uint64_t predicted; /* bytes, LEDGER_UNKNOWN */
	int64_t freed;
	uint64_t rss_before, rss_after; /* bytes, LEDGER_UNKNOWN */
	uint64_t stopped_us, duration_us;
	uint64_t after_us; /* of LEDGER_CHECK */
	/*
	 * Of a pageout, bytes: what it moved to swap, and what the process had in swap then. Of its checks: what of
	 * that has come back, and what is in swap now. faults: major ones of the process so far.
	 */
	uint64_t swapped, swap, faults;
};

/* What of an action's figure isn't in swap now: that isn't free, nor is it what was to become free. */
static inline uint64_t ledger_not_swapped(const struct ledger_record *rec, uint64_t bytes)
{
	return bytes - MIN(bytes, rec->swapped);
}

struct ledger;

/*
 * Opens for writing, cuts off what a crash left unfinished. -EBUSY: another writer. @dir exists. @max: bytes on
 * disk of all segments, 64 KiB at least. 0 or -errno. Only one per process: the lock is the process's.
 */
int ledger_open(const char *dir, uint64_t max, struct ledger **ret) __must_check;
void ledger_close(struct ledger **l);
void ledger_limit(struct ledger *l, uint64_t max); /* after a reload */

/*
 * Appends; @sync: on disk before it returns, by one fdatasync (and one fsync of the folder when the segment is new).
 * @rec's seq is filled. 0, or -errno and it isn't there (ENOSPC: nothing half-written stays).
 */
int ledger_append(struct ledger *l, struct ledger_record *rec, bool sync) __must_check;

struct ledger_filter {
	pid_t pid; /* 0: all */
	const char *unit; /* NULL: all; the unit, or a slice or unit that the process is in at any depth */
	const char *exe; /* NULL: all */
	uid_t uid; /* (uid_t)-1: all; else only what is about their processes */
	uint64_t since_real_us; /* 0: all */
	uint32_t kinds; /* bits 1 << kind; 0: all */
	size_t last; /* only so many, the newest; 0: all */
	size_t among; /* look at no more than so many, the newest, whether they match or not; 0: all */
};

/*
 * Oldest first. @fn's result != 0 ends it and is returned. Damaged records among those that were looked at are passed
 * over and counted; @ret_damaged may be NULL. 0 or -errno (-ENOENT: no such folder; -EACCES; -EBUSY: files go faster
 * than they can be opened).
 */
typedef int (*ledger_fn)(void *arg, const struct ledger_record *rec);
int ledger_read(const char *dir, const struct ledger_filter *f, ledger_fn fn, void *arg, uint64_t *ret_damaged)
	__must_check;

const char *ledger_kind_name(enum ledger_kind k); /* "action" */
char *ledger_remedies(uint32_t bits, char *buf, size_t size); /* "collect,trim"; returns @buf */

/* What happened, in one line for people, hostile texts escaped; cut off at the end of @buf. Returns @buf. */
#define LEDGER_SENTENCE 512
char *ledger_sentence(const struct ledger_record *rec, char *buf, size_t size);

#endif
