/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts from a worker, waited for. */
#include <errno.h>
#include <stdio.h>

#include "core/intake.h"
#include "core/worker-process.h"

/* What is waited for. */
struct wait {
	struct worker *w;
	int cancel_fd;
	enum worker_outcome outcome; /* when there is no answer, with why */
	char why[WORKER_TEXT_MAX];
};

/* 1 when there is something to read or nothing more will come; 0 when it was given up; -errno. */
static int wait_next(struct wait *wait)
{
	enum worker_wake wake;
	int r = worker_wait_answer(wait->w, wait->cancel_fd, &wake);

	if (r < 0)
		return r;
	switch (wake) {
	case WAKE_READY:
		return 1;
	case WAKE_DEADLINE:
		worker_why_given_up(wait->w, "no answer in time", wait->why);
		wait->outcome = WORKER_TIMEOUT;
		return 0;
	case WAKE_CANCEL:
		worker_why_given_up(wait->w, "interrupted", wait->why);
		return 0;
	}
	return -EINVAL;
}

/* Nothing more is wanted from it: it sees that, and has a moment to exit by itself. */
static void wait_fault(struct wait *wait, const char *fault)
{
	snprintf(wait->why, sizeof(wait->why), "the worker sent %s", fault);
	closep(&wait->w->sock);
	(void)worker_end(wait->w, WORKER_REAP_NS);
}

/* 1 when the answer is complete; 0 when wait->why says why not; -errno. */
static int wait_all(struct wait *wait, struct intake *in)
{
	const char *fault;
	int r;

	for (;;) {
		r = wait_next(wait);
		if (r <= 0)
			return r;
		r = intake_receive(in, wait->w->sock, &fault);
		if (r > 0 || r == -ENOMEM)
			return r;
		if (r == -EBADMSG) {
			wait_fault(wait, fault);
			return 0;
		}
		/* Nothing there, and yet it was ready: it has died. */
		if (r < 0) {
			(void)worker_why_died(wait->w, wait->why);
			return 0;
		}
	}
}

int worker_client_explain(const char *path, const struct worker_request *req, int cancel_fd, struct explain_answer *ret)
{
	_cleanup_(worker_donep) struct worker w = { .pidfd = -1, .sock = -1 };
	_cleanup_(intake_done) struct intake in = { .req = req };
	struct wait wait = { .w = &w, .cancel_fd = cancel_fd, .outcome = WORKER_FAILED };
	_cleanup_close_ int null = -1;
	int r;

	if (!req->timeout_us || req->timeout_us > WORKER_TIMEOUT_MAX_US || req->op == WORKER_OP_RECLAIM)
		return -EINVAL;
	null = worker_open_null();
	if (null < 0) {
		worker_why_not_started(null, wait.why);
		intake_fail(req, WORKER_FAILED, wait.why, ret);
		return 0;
	}
	r = worker_start(&w, path, null);
	if (r < 0)
		return r;
	r = worker_send_request(&w, req);
	/* EPIPE: it has died already, which the wait for its answer sees and explains. */
	if (r < 0 && r != -EPIPE)
		return r;
	r = wait_all(&wait, &in);
	if (r < 0)
		return r;
	if (r == 0) {
		intake_fail(req, wait.outcome, wait.why, ret);
		return 0;
	}
	(void)worker_end(&w, WORKER_REAP_NS);
	*ret = in.answer;
	in.answer = (struct explain_answer){ 0 };
	return 0;
}
