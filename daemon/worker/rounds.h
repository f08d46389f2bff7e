/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The injector's side of a remedy's rounds: questions to the reader, answers copied before they are looked at. */
#ifndef RECLAIM_WORKER_ROUNDS_H
#define RECLAIM_WORKER_ROUNDS_H

#include "remedy/purge.h"
#include "worker/reader.h"

struct rounds {
	const struct reader *reader;
	uint64_t deadline_ns;
};

/* @r must outlive what it fills. */
void rounds_init(struct rounds *r, const struct reader *reader, uint64_t deadline_ns, struct purge_reader *purge,
		 struct advise_reader *advise);

#endif
