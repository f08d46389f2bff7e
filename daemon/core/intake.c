/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/intake.h"

#include <string.h>
#include <sys/socket.h>

#include "base/text.h"

void explain_answer_done(struct explain_answer *a)
{
	free(a->arenas);
	free(a->ranges);
	free(a->cells);
	*a = (struct explain_answer){ 0 };
}

void intake_done(struct intake *in)
{
	free(in->part);
	explain_answer_done(&in->answer);
	*in = (struct intake){ 0 };
}

void intake_fail(const struct worker_request *req, enum worker_outcome outcome, const char *reason,
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

static int intake_complete(const struct intake *in)
{
	return in->head_only || explain_complete(&in->progress, &in->answer.head);
}

static int take_head(struct intake *in, size_t n, const char **ret_fault)
{
	struct explain_answer *a = &in->answer;

	*ret_fault = explain_head_fault(&a->head, n, in->req);
	if (*ret_fault)
		return -EBADMSG;
	in->begun = true;
	if (in->head_only)
		return 1;
	a->arenas = calloc(a->head.narenas + 1, sizeof(*a->arenas));
	a->ranges = calloc(a->head.nranges + 1, sizeof(*a->ranges));
	a->cells = calloc(a->head.ncells + 1, sizeof(*a->cells));
	in->part = malloc(sizeof(*in->part));
	if (!a->arenas || !a->ranges || !a->cells || !in->part)
		return -ENOMEM;
	return intake_complete(in);
}

static int take_part(struct intake *in, size_t n, const char **ret_fault)
{
	const struct explain_part *p = in->part;
	struct explain_answer *a = &in->answer;

	*ret_fault = explain_part_fault(p, n, &a->head, &in->progress);
	if (*ret_fault)
		return -EBADMSG;
	if (p->kind == EXPLAIN_ARENAS)
		memcpy(a->arenas + p->first, p->arenas, p->n * sizeof(*a->arenas));
	else if (p->kind == EXPLAIN_RANGES)
		memcpy(a->ranges + p->first, p->ranges, p->n * sizeof(*a->ranges));
	else
		memcpy(a->cells + p->first, p->cells, p->n * sizeof(*a->cells));
	return intake_complete(in);
}

int intake_receive(struct intake *in, int sock, const char **ret_fault)
{
	void *buf = in->begun ? (void *)in->part : (void *)&in->answer.head;
	const size_t size = in->begun ? sizeof(*in->part) : sizeof(in->answer.head);
	ssize_t n;

	/* MSG_TRUNC makes recv return the real length, so that too long a message is seen as such. */
	do
		n = recv(sock, buf, size, MSG_TRUNC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : -EPIPE;
	if (n == 0)
		return -EPIPE;
	return in->begun ? take_part(in, (size_t)n, ret_fault) : take_head(in, (size_t)n, ret_fault);
}
