/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel module says by itself: a process has crossed a threshold.
 * State isn't in events but in the list: who missed some, reads it again.
 */
#ifndef RECLAIM_SENSE_BLOAT_H
#define RECLAIM_SENSE_BLOAT_H

#include "sense/proc.h"

enum bloat_reason { BLOAT_ANON, BLOAT_HEAP, BLOAT_GROWTH, BLOAT_HEAP_IDLE, BLOAT_OTHER };

struct bloat_event {
	enum bloat_reason reason;
	uint64_t growth; /* bytes within the module's window, PROC_UNKNOWN when not known */
	struct proc proc; /* as of PROC_COUNTERS; the pid is of the initial namespace. The caller calls proc_done() */
};

struct bloat;

/* -ENOENT: no module, -EPERM: not for us (that needs CAP_SYS_ADMIN), -errno. */
int bloat_open(struct bloat **ret) __must_check;
void bloat_close(struct bloat **b); /* accepts a pointer to NULL */

int bloat_fd(const struct bloat *b); /* readable when there is something to read */

/*
 * The next event, waited for at most @timeout_ms (0: not at all, -1: for ever).
 * 1; 0 when there was none in time; -errno when the connection is of no use any
 * more. @ret_resync is true when events were lost, or one couldn't be read: list
 * the processes anew. It is set with any result but -errno.
 */
int bloat_next(struct bloat *b, int timeout_ms, struct bloat_event *ret, bool *ret_resync) __must_check;

#endif
