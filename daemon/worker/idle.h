/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the asker says of the target's idleness, as remedies want it. */
#ifndef RECLAIM_WORKER_IDLE_H
#define RECLAIM_WORKER_IDLE_H

#include <stdbool.h>

#include "reclaim/worker.h"
#include "remedy/remedy.h"

struct idle {
	struct remedy_idle remedy;
	struct pageable_span spans[WORKER_RANGES_MAX];
};

/* Does it make sense? Anybody may have sent it who can start a worker. */
bool idle_fits(const struct worker_request *req);

/* @ret must stay where it is. */
void idle_take(const struct worker_request *req, struct idle *ret);

#endif
