/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An address space that the sampler keeps an eye on, and what it found.
 *
 * The sampler makes and drops them; everybody may look one up. Two processes
 * that share an address space share its target.
 */
#ifndef RECLAIM_TARGET_H
#define RECLAIM_TARGET_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "age.h"
#include "process.h"
#include "sample.h"
#include "watch.h"

struct mm_struct;

/* By which a process that hasn't run and hasn't changed is known. */
struct reclaim_trace {
	u64 runtime;
	struct reclaim_counters counters;
	unsigned long total_vm;
	int map_count;
};

struct reclaim_target {
	struct hlist_node node;
	struct list_head queue; /* of the sampler */
	struct mm_struct *mm; /* grabbed */
	refcount_t refs;
	struct rcu_head rcu;

	/* Guards the next two; taken before a mmap lock. Ages are read under RCU. */
	struct mutex ages_lock;
	struct reclaim_ages ages;
	bool reset; /* some began anew since the last walk began */

	spinlock_t lock; /* guards the next two */
	struct reclaim_sample sample;
	struct reclaim_summary summary;

	/* The rest is the sampler's own. */
	pid_t pid; /* in the initial namespace */
	u32 seen; /* in this look */
	bool sampled; /* large enough */
	struct reclaim_watch watch;
	struct reclaim_trace trace;
	bool trace_known;
	u64 due_ns; /* the next walk */
	u64 epoch_ns; /* up to when ages have been counted */
	unsigned int skipped; /* walks in a row */
	unsigned int interval_ms; /* of its ages */
};

/* The target of an address space that the caller holds, with a reference, or NULL. */
struct reclaim_target *reclaim_target_find(struct mm_struct *mm);
void reclaim_target_put(struct reclaim_target *t);
void reclaim_target_get_sample(struct reclaim_target *t, struct reclaim_sample *ret);
/* By address space, which the caller holds; all zero when there is none. */
void reclaim_target_find_summary(struct mm_struct *mm, struct reclaim_summary *ret);

/* For the sampler: one with a reference, which the table holds until it is dropped. */
struct reclaim_target *reclaim_target_new(struct mm_struct *mm, pid_t pid);
void reclaim_target_drop(struct reclaim_target *t);

/* Changes whenever a target comes or goes. Never 0. */
unsigned int reclaim_target_generation(void);

#endif
