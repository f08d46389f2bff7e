/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Splits the huge pages that a remedy has torn, so that what it dropped is free memory: see inspect/huge.h. */
#ifndef RECLAIM_WORKER_SPLIT_H
#define RECLAIM_WORKER_SPLIT_H

#include "worker/reader.h"

/* Before a remedy runs: which huge pages are there? True when there are some to look at afterwards. */
bool split_prepare(const struct reader *reader, uint64_t deadline_ns);

/*
 * After it: has those split that have lost a part. @piddir pins the process
 * @pid. Returns how many pages that was; *ret_failed: some could not be.
 */
size_t split_run(const struct reader *reader, pid_t pid, int piddir, uint64_t deadline_ns, bool *ret_failed);

#endif
