/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts one reclaim-worker for one target and brings its result back. */
#ifndef RECLAIM_CORE_WORKER_CLIENT_H
#define RECLAIM_CORE_WORKER_CLIENT_H

#include <stddef.h>

#include "base/cleanup.h"
#include "reclaim/explain.h"
#include "reclaim/worker.h"

/*
 * Path of the worker: $RECLAIM_WORKER (ignored when the program is set-id),
 * else "reclaim-worker" beside the running executable when that executable
 * lies in a build tree, else the installed one under libexec.
 */
int worker_client_path(char *buf, size_t size) __must_check;

/*
 * Runs @path with @req and waits for the result, at most req->timeout_us plus
 * one second; then the worker is killed and @ret says WORKER_TIMEOUT. A worker
 * that dies, or answers with anything but a well-formed result for this pid,
 * gives WORKER_FAILED with a reason. Returns 0 whenever @ret is filled;
 * -errno when the worker could not be started at all.
 *
 * Takes at most three seconds beyond timeout_us, whatever the worker does: one
 * that can't even be killed (asleep on a file system that hangs) is left behind
 * and @ret says so. /dev/null is needed, for the worker's stdin and stdout.
 */
int worker_client_run(const char *path, const struct worker_request *req, struct worker_result *ret) __must_check;

/*
 * The same, given up early once @cancel_fd is readable: the worker is killed
 * and @ret says WORKER_FAILED. -1: no such fd.
 */
int worker_client_run_cancel(const char *path, const struct worker_request *req, int cancel_fd,
			     struct worker_result *ret) __must_check;

struct explain_answer {
	struct explain_head head;
	struct explain_arena *arenas; /* head.narenas; malloc'ed */
	struct explain_range *ranges; /* head.nranges; malloc'ed */
	struct explain_cell *cells; /* head.ncells, of a request with WORKER_F_CELLS; malloc'ed */
};

/*
 * Asks for facts (@req's op is WORKER_OP_EXPLAIN or WORKER_OP_GLANCE), under
 * the rules of worker_client_run_cancel(): 0 whenever @ret is filled, whose
 * head.outcome is WORKER_NOTHING when there are facts, else says why not. The
 * caller calls explain_answer_done(). Several threads may do so at a time.
 */
int worker_client_explain(const char *path, const struct worker_request *req, int cancel_fd,
			  struct explain_answer *ret) __must_check;
void explain_answer_done(struct explain_answer *a); /* accepts zeroed and finished ones */

/*
 * Makes a received message safe to use: exact length, magic, version, pid, a
 * known outcome and remedies, bounded steps; puts a NUL at the end of every
 * text. 0, or -EBADMSG with the reason in @ret_why.
 */
int worker_result_check(struct worker_result *res, size_t length, const struct worker_request *req,
			const char **ret_why) __must_check;

#endif
