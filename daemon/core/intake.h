/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: facts as they arrive from a worker, message by message. */
#ifndef RECLAIM_CORE_INTAKE_H
#define RECLAIM_CORE_INTAKE_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "core/worker-client.h"
#include "reclaim/explain-check.h"

struct intake {
	const struct worker_request *req; /* borrowed */
	bool head_only; /* the parts aren't wanted */
	/* private */
	bool begun;
	struct explain_progress progress;
	struct explain_part *part; /* malloc'ed */
	struct explain_answer answer; /* complete when intake_receive() says so: the caller takes it */
};

void intake_done(struct intake *in); /* accepts zeroed */

/*
 * The next message from @sock, which isn't waited for. 1: the answer is
 * complete; 0: there is more to come; -EAGAIN: nothing is there; -EPIPE: the
 * other side has gone; -EBADMSG with the reason in @ret_fault; -errno.
 */
int intake_receive(struct intake *in, int sock, const char **ret_fault) __must_check;

/* An answer that says why there are no facts. */
void intake_fail(const struct worker_request *req, enum worker_outcome outcome, const char *reason,
		 struct explain_answer *ret);

#endif
