/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts from a worker: a head, and the parts that it announces. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/text.h"
#include "core/worker-client.h"
#include "core/worker-process.h"
#include "reclaim/explain-check.h"

/* What is being received. */
struct intake {
	struct worker *w;
	const struct worker_request *req;
	int cancel_fd;
	uint64_t deadline_ns;
	char why[WORKER_TEXT_MAX];
};

void explain_answer_done(struct explain_answer *a)
{
	free(a->arenas);
	free(a->ranges);
	*a = (struct explain_answer){ 0 };
}

static void fail(const struct worker_request *req, enum worker_outcome outcome, const char *reason,
		 struct explain_answer *ret)
{
	*ret = (struct explain_answer){
		.head = {
			.magic = EXPLAIN_MAGIC,
			.version = EXPLAIN_VERSION,
			.pid = req->pid,
			.outcome = outcome,
			.start_time = req->start_time,
		},
	};
	text_format(ret->head.reason, sizeof(ret->head.reason), "%s", reason);
}

/* The next message: its length; 0 with the outcome and in->why set; -errno. */
static ssize_t intake_next(struct intake *in, void *buf, size_t size, enum worker_outcome *ret_outcome)
{
	enum worker_wake wake;
	ssize_t n;
	int r = worker_wait_answer(in->w, in->cancel_fd, in->deadline_ns, &wake);

	if (r < 0)
		return r;
	*ret_outcome = WORKER_FAILED;
	switch (wake) {
	case WAKE_READY:
		break;
	case WAKE_DEADLINE:
		worker_why_given_up(in->w, "no answer in time", in->why);
		*ret_outcome = WORKER_TIMEOUT;
		return 0;
	case WAKE_CANCEL:
		worker_why_given_up(in->w, "interrupted", in->why);
		return 0;
	}
	do
		n = recv(in->w->sock, buf, size, MSG_TRUNC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	(void)worker_why_died(in->w, in->why);
	return 0;
}

static void take_part(const struct explain_part *p, struct explain_answer *a)
{
	if (p->kind == EXPLAIN_ARENAS)
		memcpy(a->arenas + p->first, p->arenas, p->n * sizeof(*a->arenas));
	else
		memcpy(a->ranges + p->first, p->ranges, p->n * sizeof(*a->ranges));
}

/* Nothing more is wanted from it: it sees that, and has a moment to exit by itself. */
static int intake_fault(struct intake *in, const char *fault, enum worker_outcome *ret_outcome)
{
	snprintf(in->why, sizeof(in->why), "the worker sent %s", fault);
	*ret_outcome = WORKER_FAILED;
	closep(&in->w->sock);
	(void)worker_end(in->w, WORKER_REAP_NS);
	return 0;
}

/* 1 when @a is complete; 0 when in->why says why not; -errno. */
static int intake_parts(struct intake *in, struct explain_answer *a, enum worker_outcome *ret_outcome)
{
	_cleanup_free_ struct explain_part *part = malloc(sizeof(*part));
	uint32_t narenas = 0, nranges = 0;
	uint64_t last_hi = 0;

	a->arenas = calloc(a->head.narenas + 1, sizeof(*a->arenas));
	a->ranges = calloc(a->head.nranges + 1, sizeof(*a->ranges));
	if (!part || !a->arenas || !a->ranges)
		return -ENOMEM;
	while (narenas < a->head.narenas || nranges < a->head.nranges) {
		ssize_t n = intake_next(in, part, sizeof(*part), ret_outcome);
		const char *fault;

		if (n <= 0)
			return (int)n;
		fault = explain_part_fault(part, (size_t)n, &a->head, &narenas, &nranges, &last_hi);
		if (fault)
			return intake_fault(in, fault, ret_outcome);
		take_part(part, a);
	}
	return 1;
}

/* As intake_parts(), the head first. */
static int intake_all(struct intake *in, struct explain_answer *a, enum worker_outcome *ret_outcome)
{
	ssize_t n = intake_next(in, &a->head, sizeof(a->head), ret_outcome);
	const char *fault;

	if (n <= 0)
		return (int)n;
	fault = explain_head_fault(&a->head, (size_t)n, in->req);
	return fault ? intake_fault(in, fault, ret_outcome) : intake_parts(in, a, ret_outcome);
}

int worker_client_explain(const char *path, const struct worker_request *req, int cancel_fd, struct explain_answer *ret)
{
	_cleanup_(worker_donep) struct worker w = { .pidfd = -1, .sock = -1 };
	_cleanup_(explain_answer_done) struct explain_answer a = { 0 };
	struct intake in = { .w = &w, .req = req, .cancel_fd = cancel_fd };
	enum worker_outcome outcome = WORKER_FAILED;
	_cleanup_close_ int null = -1;
	int r;

	if (!req->timeout_us || req->timeout_us > WORKER_TIMEOUT_MAX_US || req->op == WORKER_OP_RECLAIM)
		return -EINVAL;
	null = worker_open_null();
	if (null < 0) {
		worker_why_not_started(null, in.why);
		fail(req, WORKER_FAILED, in.why, ret);
		return 0;
	}
	in.deadline_ns = clock_ns() + req->timeout_us * WORKER_NS_PER_US + WORKER_GRACE_NS;
	r = worker_start(&w, path, null);
	if (r < 0)
		return r;
	r = worker_send_request(&w, req);
	/* EPIPE: it has died already, which the wait for its answer sees and explains. */
	if (r < 0 && r != -EPIPE)
		return r;
	r = intake_all(&in, &a, &outcome);
	if (r < 0)
		return r;
	if (r == 0) {
		fail(req, outcome, in.why, ret);
		return 0;
	}
	(void)worker_end(&w, WORKER_REAP_NS);
	*ret = a;
	a = (struct explain_answer){ 0 };
	return 0;
}
