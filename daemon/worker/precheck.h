/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be refused by looking at /proc alone, before anybody opens or stops anything. */
#ifndef RECLAIM_WORKER_PRECHECK_H
#define RECLAIM_WORKER_PRECHECK_H

#include "base/pstat.h"
#include "base/pstatus.h"
#include "reclaim/worker.h"

struct subject {
	int root; /* /proc */
	int piddir; /* /proc/PID: pins the identity */
	struct pstat stat;
	struct pstatus status;
};

/*
 * Opens the process that @req means. 0; -ESRCH also when the pid now belongs
 * to another process than the one that was looked at (start time). The caller
 * calls subject_close().
 */
int subject_open(const struct worker_request *req, struct subject *ret) __must_check;
void subject_close(struct subject *s); /* accepts zeroed ones */

/*
 * Is it @owner's, now? As ptrace asks: real, effective and saved user are, and nothing keeps them from looking into it
 * (a set-user-id or set-group-id file, capabilities, PR_SET_DUMPABLE), by which what lies in its folder would be
 * root's. What can't be read isn't. For WORKER_OWNER_ANY always true.
 *
 * A process changes hands at exec, which leaves the memory that was opened before it behind: what is asked after its
 * memory has been opened, or while the thread that would be used stands still, holds for what is done then.
 */
bool subject_is_owned(const struct subject *s, uint32_t owner);
#define SUBJECT_DISOWNED "it has become another user's process"

/* true when nothing speaks against it; else a reason in @why. */
bool precheck(const struct subject *s, uint32_t flags, char *why, size_t size);

/* The same for remedies that leave the target alone: it may be stopped or traced, or be whoever waits for us. */
bool precheck_outside(const struct subject *s, uint32_t flags, char *why, size_t size);

#endif
