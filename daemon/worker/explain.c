// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "reclaim/explain-check.h"
#include "worker/message.h"
#include "worker/precheck.h"
#include "worker/reader.h"
#include "worker/unopened.h"

struct explain {
	const struct worker_request *req;
	struct subject subject;
	struct reader reader;
	uint64_t start_ns, deadline_ns;
	struct explain_head head;
	struct explain_part part;
};

static void explain_end(struct explain *ex, enum worker_outcome outcome, const char *why)
{
	ex->head = (struct explain_head){ .outcome = outcome };
	text_format(ex->head.reason, sizeof(ex->head.reason), "%s", why);
}

static void explain_failed(struct explain *ex, ssize_t r)
{
	if (r == -ETIMEDOUT)
		explain_end(ex, WORKER_TIMEOUT, "reading its files and memory took too long");
	else
		explain_end(ex, WORKER_FAILED, "the reader failed on its files or memory");
}

/* Who it is about and how it went says the worker: the reader is not believed in that. */
static void explain_sign(struct explain *ex)
{
	ex->head.magic = EXPLAIN_MAGIC;
	ex->head.version = EXPLAIN_VERSION;
	ex->head.pid = ex->req->pid;
	ex->head.start_time = ex->subject.stat.start_time;
	ex->head.elapsed_us = (clock_ns() - ex->start_ns) / 1000;
}

/* Fills the head, with a reason when there are no facts. */
static void explain_ask(struct explain *ex)
{
	const struct reader_request ask = {
		.magic = READER_MAGIC,
		.op = READER_EXPLAIN,
		.arg = ex->req->flags & WORKER_F_CELLS ? READER_EXPLAIN_MAP : ex->req->op,
	};
	char why[EXPLAIN_TEXT_MAX];
	struct reader_reply reply;
	ssize_t n = reader_ask(&ex->reader, &ask, ex->deadline_ns, &reply);

	if (n < 0) {
		explain_failed(ex, n);
		return;
	}
	if (reply.error) {
		const enum worker_outcome outcome = unopened(reply.error, why, sizeof(why));

		explain_end(ex, outcome, why);
		return;
	}
	n = reader_next(&ex->reader, &ex->head, sizeof(ex->head), ex->deadline_ns);
	if (n < 0) {
		explain_failed(ex, n);
		return;
	}
	ex->head.outcome = WORKER_NOTHING;
	explain_sign(ex);
	if (explain_head_fault(&ex->head, (size_t)n, ex->req))
		explain_end(ex, WORKER_FAILED, "the reader was misled by its files or memory");
}

static void explain_look(struct explain *ex)
{
	char why[EXPLAIN_TEXT_MAX];
	int r = subject_open(ex->req, &ex->subject);

	if (r < 0) {
		const enum worker_outcome outcome = unopened_subject(r, why, sizeof(why));

		explain_end(ex, outcome, why);
	} else if (pstat_is_kthread(&ex->subject.stat)) {
		explain_end(ex, WORKER_REFUSED, "it is a kernel thread: it has no memory of its own");
	} else if (!ex->subject.status.vm_size) {
		explain_end(ex, WORKER_REFUSED, "it is a zombie (or its main thread has exited)");
	} else if (!subject_is_owned(&ex->subject, ex->req->owner)) {
		explain_end(ex, WORKER_DENIED, SUBJECT_DISOWNED);
	} else if (reader_start(ex->subject.piddir, ex->req, &ex->reader) < 0) {
		explain_end(ex, WORKER_FAILED, "failed to start the reader");
	} else {
		explain_ask(ex);
		/* What was read may be of what it has become meanwhile. */
		if (ex->head.outcome == WORKER_NOTHING && !subject_is_owned(&ex->subject, ex->req->owner))
			explain_end(ex, WORKER_DENIED, SUBJECT_DISOWNED);
	}
}

/* Once the head is out, a part that is wrong can only be answered by falling silent. */
static int explain_forward(struct explain *ex, int fd)
{
	struct explain_progress progress = { .narenas = 0 };
	int r = message_send(fd, &ex->head, sizeof(ex->head));

	while (r == 0 && !explain_complete(&progress, &ex->head)) {
		ssize_t n = reader_next(&ex->reader, &ex->part, sizeof(ex->part), ex->deadline_ns);

		if (n < 0)
			return (int)n;
		if (explain_part_fault(&ex->part, (size_t)n, &ex->head, &progress))
			return -EBADMSG;
		r = message_send(fd, &ex->part, (size_t)n);
	}
	return r;
}

int explain_run(const struct worker_request *req, int fd)
{
	_cleanup_free_ struct explain *ex = calloc(1, sizeof(*ex));
	int r;

	if (!ex)
		return -ENOMEM;
	ex->req = req;
	ex->subject = (struct subject){ .root = -1, .piddir = -1 };
	ex->reader = (struct reader)READER_NONE;
	ex->start_ns = clock_ns();
	ex->deadline_ns = ex->start_ns + req->timeout_us * 1000;
	explain_look(ex);
	explain_sign(ex);
	r = explain_forward(ex, fd);
	reader_end(&ex->reader);
	subject_close(&ex->subject);
	return r;
}
