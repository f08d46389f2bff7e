/* SPDX-License-Identifier: GPL-2.0-only */
/* All that is told of one process: who it is, its counters, and what a walk found. */
#ifndef RECLAIM_FACTS_H
#define RECLAIM_FACTS_H

#include <linux/types.h>

#include <uapi/linux/reclaim.h>

#include "process.h"
#include "sample.h"

struct reclaim_facts {
	u32 fields; /* enum reclaim_proc_fields: which of these are wanted */
	u64 now_ns; /* to which age_ms is */
	struct reclaim_process process;
	struct reclaim_counters counters;
	u32 sampling; /* enum reclaim_sampling */
	struct reclaim_summary sample; /* taken_ns is 0 when there is none */
	u64 age_ms; /* of the sample: how long ago it was known to be right */
};

/*
 * @ret->fields and now_ns are set. 0; -ESRCH when it has no memory; -EINTR. @fresh: by a
 * walk now; when that can't be had, what the sampler found last, whose age tells.
 */
int __must_check reclaim_facts_read(struct task_struct *task, pid_t pid, bool fresh, struct reclaim_facts *ret);

#define RECLAIM_FACTS_ALL (RECLAIM_PROC_FIELDS_WHO | RECLAIM_PROC_FIELDS_COUNTERS | RECLAIM_PROC_FIELDS_SAMPLE)

/* All of the sampler's last sample; taken_ns is 0 when there is none. */
int __must_check reclaim_facts_sample(struct task_struct *task, struct reclaim_sample *ret);

/* Anonymous memory, resident and swapped out, roughly. 0 when it has none. */
u64 reclaim_facts_size(struct task_struct *task);

#endif
