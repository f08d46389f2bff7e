/* SPDX-License-Identifier: GPL-2.0-only */
/* Who a process is, and what its counters say: all without walking anything. */
#ifndef RECLAIM_PROCESS_H
#define RECLAIM_PROCESS_H

#include <linux/sched.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct mm_struct;
struct pid_namespace;

/* Bytes. */
struct reclaim_counters {
	u64 anon;
	u64 file;
	u64 shmem;
	u64 swap;
	u64 page_tables;
	u64 heap_size;
};

struct reclaim_process {
	pid_t pid; /* in the namespace asked for */
	u64 start_time; /* clock ticks since boot, as in /proc/PID/stat */
	char comm[TASK_COMM_LEN]; /* ends with zero */
	unsigned int comm_length;
	kuid_t uid;
	u64 cgroup_id;
	unsigned int threads;
};

/* The next process from *@pid on, with a reference, and its number in @ns; NULL when there is none. */
struct task_struct *reclaim_process_next(struct pid_namespace *ns, pid_t *pid);
/* That of number @pid, if it is a process and not just a thread. */
struct task_struct *reclaim_process_find(struct pid_namespace *ns, pid_t pid);
u64 reclaim_process_start_time(const struct task_struct *task);

/* Its address space, grabbed (mmdrop() it); NULL for kernel threads and when it has exited. */
struct mm_struct *reclaim_process_mm(struct task_struct *task);

/* Without @who only pid and start time. */
void reclaim_process_read(struct task_struct *task, pid_t pid, bool who, struct reclaim_process *ret);
u64 reclaim_process_cgroup(struct task_struct *task);

/* Exact ones cost time for each processor. @exact false: off by some pages for each. */
void reclaim_counters_read(struct mm_struct *mm, bool exact, struct reclaim_counters *ret);

/*
 * How much its threads have run, in nanoseconds. False when that can't tell
 * whether it will have touched its memory since: a thread is running now, or
 * there are too many of them.
 */
bool reclaim_process_runtime(struct task_struct *task, u64 *ret);

#endif
