/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: one worker process, from its start to its certain end. */
#ifndef RECLAIM_CORE_WORKER_PROCESS_H
#define RECLAIM_CORE_WORKER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "reclaim/worker.h"

#define WORKER_NS_PER_US 1000ull
#define WORKER_GRACE_NS 1000000000ull /* for the worker's own deadline to fire first */
#define WORKER_REAP_NS 1000000000ull /* for a worker that has answered, or was killed, to be gone */
#define WORKER_TIMEOUT_MAX_US 3600000000ull

struct worker {
	pid_t pid; /* 0: none, or waited for already */
	int pidfd, sock; /* pidfd: -1 also where a sandbox or an emulator has none */
	bool stranger; /* no child of ours: worker-door.h; without a pidfd it hasn't come yet */
	const struct worker_request *unsent; /* waits for one that hasn't come yet; the client's */
	uint64_t deadline_ns; /* of base/clock.h: to have answered; until it has come, to come */
};

#define WORKER_NO_STATUS (-2)

/* Why waiting ended. */
enum worker_wake { WAKE_READY, WAKE_DEADLINE, WAKE_CANCEL };

/*
 * Opened here and not by the child, where its absence would look like that of
 * the worker. Beyond the numbers that the child's own files get. fd or -errno.
 */
int worker_open_null(void) __must_check;

/*
 * @path: the worker's program, or the socket where one is to be had. @w:
 * zeroed, with -1 for the fds; worker_donep() ends it whatever became of this.
 * 0 or -errno.
 */
int worker_start(struct worker *w, const char *path, int null) __must_check;

/*
 * @req must outlive the worker. From now on, or from when it has come, it has its time and WORKER_GRACE_NS.
 * 0; -EPIPE when it has died already; -errno.
 */
int worker_send_request(struct worker *w, const struct worker_request *req) __must_check;

/* Until it has something to say, has exited, @cancel_fd (or -1) is readable, or its deadline. 0 or -errno. */
int worker_wait_answer(struct worker *w, int cancel_fd, enum worker_wake *ret) __must_check;

/*
 * Takes the one result that is there. 1; -EAGAIN not yet, -EPIPE it has died or hung up; -EBADMSG with what it sent
 * instead in @ret_fault, @ret is untouched then.
 */
int worker_take_result(const struct worker *w, const struct worker_request *req, struct worker_result *ret,
		       const char **ret_fault) __must_check;

/* For who can't wait for the pidfd of a child. */
bool worker_exited(const struct worker *w);

/* Asked for at a door, and not there yet: its first message comes before its pidfd is known. */
static inline bool worker_unmet(const struct worker *w)
{
	return w->stranger && w->pidfd < 0;
}

/* At once, with whatever it started; lets its target go. Its exit is still to be waited for. */
void worker_kill(const struct worker *w);

/*
 * Ends the worker and whatever it started (it leads its own process group) and
 * waits for it, but not for ever: one that sits in an uninterruptible sleep is
 * left to init. @grace_ns: how long it may take to exit by itself.
 * Returns its wait status; WORKER_NO_STATUS when it is gone but no child of
 * ours; -1 when there is none or it is still there.
 */
int worker_end(struct worker *w, uint64_t grace_ns);
void worker_donep(struct worker *w);

/* Why there is no answer, into a buffer of WORKER_TEXT_MAX; each ends the worker. */
void worker_why_given_up(struct worker *w, const char *what, char *why);
bool worker_why_died(struct worker *w, char *why);
void worker_why_not_started(int error, char *why); /* of worker_open_null() */

#endif
