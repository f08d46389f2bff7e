/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/worker-client.h"

#include <errno.h>
#include <stdio.h>

#include "core/worker-process.h"

static void fail(const struct worker_request *req, enum worker_outcome outcome, const char *reason,
		 struct worker_result *ret)
{
	*ret = (struct worker_result){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = req->pid,
		.outcome = outcome,
		.start_time = req->start_time,
	};
	snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
}

/* Takes what is there: an answer, or nothing because the worker has died. */
static void receive(struct worker *w, const struct worker_request *req, struct worker_result *ret)
{
	char why[WORKER_TEXT_MAX];
	const char *fault;
	int r = worker_take_result(w, req, ret, &fault);

	if (r == 1)
		return;
	if (r == -EBADMSG) {
		snprintf(why, sizeof(why), "the worker sent %s", fault);
		fail(req, WORKER_FAILED, why, ret);
		return;
	}
	fail(req, worker_why_died(w, why) ? WORKER_TIMEOUT : WORKER_FAILED, why, ret);
}

int worker_client_run_cancel(const char *path, const struct worker_request *req, int cancel_fd,
			     struct worker_result *ret)
{
	_cleanup_(worker_donep) struct worker w = { .pidfd = -1, .sock = -1 };
	_cleanup_close_ int null = -1;
	char why[WORKER_TEXT_MAX];
	enum worker_wake wake;
	int r;

	if (!req->timeout_us || req->timeout_us > WORKER_TIMEOUT_MAX_US)
		return -EINVAL;
	null = worker_open_null();
	if (null < 0) {
		worker_why_not_started(null, why);
		fail(req, WORKER_FAILED, why, ret);
		return 0;
	}
	r = worker_start(&w, path, null);
	if (r < 0)
		return r;
	r = worker_send_request(&w, req);
	/* EPIPE: it has died already, which the wait below sees and explains. */
	if (r < 0 && r != -EPIPE)
		return r;
	r = worker_wait_answer(&w, cancel_fd, &wake);
	if (r < 0)
		return r;
	switch (wake) {
	case WAKE_READY:
		receive(&w, req, ret);
		/* It has let the target go; what is left is its own exit. */
		(void)worker_end(&w, WORKER_REAP_NS);
		return 0;
	case WAKE_DEADLINE:
		worker_why_given_up(&w, "no answer in time", why);
		fail(req, WORKER_TIMEOUT, why, ret);
		return 0;
	case WAKE_CANCEL:
		worker_why_given_up(&w, "interrupted", why);
		fail(req, WORKER_FAILED, why, ret);
		return 0;
	}
	return -EINVAL;
}

int worker_client_run(const char *path, const struct worker_request *req, struct worker_result *ret)
{
	return worker_client_run_cancel(path, req, -1, ret);
}
