/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The thread that looks at all processes' counters once in an interval, and walks
 * the larger ones, slice by slice, within its share of processor time.
 */
#ifndef RECLAIM_SAMPLER_H
#define RECLAIM_SAMPLER_H

#include <linux/types.h>

struct mm_struct;
struct reclaim_target;
struct task_struct;

/* What to do when a process is worth an announcement. May sleep. */
typedef void (*reclaim_announce_t)(struct task_struct *task, struct mm_struct *mm, struct reclaim_target *t,
				   u32 reason, u64 growth);

int reclaim_sampler_start(reclaim_announce_t announce);
void reclaim_sampler_stop(void);
/* After tunables have changed. */
void reclaim_sampler_poke(void);

#endif
