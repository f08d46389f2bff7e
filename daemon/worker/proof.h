/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The injector's side of a proof that a thread is at a safe point: what the reader says of one that stands still. */
#ifndef RECLAIM_WORKER_PROOF_H
#define RECLAIM_WORKER_PROOF_H

#include "inject/pick.h"
#include "worker/reader.h"
#include "worker/precheck.h"

struct proof {
	const struct reader *reader;
	const struct inject_target *target;
	const struct subject *subject;
	uint32_t owner; /* whose the target has to be, see worker_request */
	uint64_t deadline_ns;
	struct inject_prover call, python, queue; /* for a function of malloc's; with Python's lock; into its queue */
	char why[128]; /* of the last one that failed */
	bool disowned; /* it isn't any more whose it has to be */
};

/* @p, whose other members are filled, must outlive its provers. */
void proof_init(struct proof *p);

/* Notes in p->disowned whether it still is whose it has to be. */
bool proof_is_owned(struct proof *p);

#endif
