/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Splits the huge pages that a remedy has torn, so that what it dropped is free memory: see inspect/huge.h. */
#ifndef RECLAIM_WORKER_SPLIT_H
#define RECLAIM_WORKER_SPLIT_H

#include "worker/reader.h"

struct split {
	enum split_sight {
		SPLIT_NONE, /* nothing to look at afterwards */
		SPLIT_SEEN,
		SPLIT_GUESSED, /* before Linux 6.7: places that may hold huge pages */
	} sight;
	uint64_t huge; /* when guessed: bytes in huge pages before the remedy */
};

/* Before a remedy runs: which huge pages are there? @piddir pins the process. */
void split_prepare(const struct reader *reader, int piddir, uint64_t deadline_ns, struct split *ret);

/*
 * After it: has those split that have lost a part. Returns how many that were;
 * *ret_failed: some could not be.
 */
size_t split_run(const struct split *s, const struct reader *reader, pid_t pid, int piddir, uint64_t deadline_ns,
		 bool *ret_failed);

#endif
