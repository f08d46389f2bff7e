// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "process.h"

/* Threads asked whether they ran; with more of them one surely did. */
#define MAX_THREADS 256

struct task_struct *reclaim_process_next(struct pid_namespace *ns, pid_t *pid)
{
	struct task_struct *task = NULL;
	struct pid *p;

	rcu_read_lock();
	while (!task) {
		p = find_ge_pid(*pid, ns);
		if (!p)
			break;
		*pid = pid_nr_ns(p, ns);
		/* Only leaders of thread groups have it, and zombies of them. */
		task = pid_task(p, PIDTYPE_TGID);
		if (task)
			get_task_struct(task);
		else
			(*pid)++;
	}
	rcu_read_unlock();

	return task;
}

struct task_struct *reclaim_process_find(struct pid_namespace *ns, pid_t pid)
{
	struct task_struct *task;

	rcu_read_lock();
	task = pid_task(find_pid_ns(pid, ns), PIDTYPE_TGID);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();

	return task;
}

u64 reclaim_process_start_time(const struct task_struct *task)
{
	return div_u64(task->start_boottime, NSEC_PER_SEC / USER_HZ);
}

/*
 * A leader that has exited before its threads has no address space, but they
 * have. Grabbing doesn't keep what is in it: exit isn't delayed by us.
 */
struct mm_struct *reclaim_process_mm(struct task_struct *task)
{
	struct mm_struct *mm = NULL;
	struct task_struct *t;

	rcu_read_lock();
	for_each_thread(task, t) {
		task_lock(t);
		mm = t->flags & PF_KTHREAD ? NULL : t->mm;
		if (mm)
			mmgrab(mm);
		task_unlock(t);
		if (mm || t->flags & PF_KTHREAD)
			break;
	}
	rcu_read_unlock();

	return mm;
}

u64 reclaim_process_cgroup(struct task_struct *task)
{
	u64 id;

	rcu_read_lock();
	id = cgroup_id(task_dfl_cgroup(task));
	rcu_read_unlock();

	return id;
}

void reclaim_process_read(struct task_struct *task, pid_t pid, bool who, struct reclaim_process *ret)
{
	ret->pid = pid;
	ret->start_time = reclaim_process_start_time(task);
	if (!who)
		return;
	ret->uid = task_uid(task);
	ret->cgroup_id = reclaim_process_cgroup(task);
	ret->threads = get_nr_threads(task);
	/* Without its lock a name may be caught half changed. What is behind its end is zero, or of an earlier one. */
	memcpy(ret->comm, task->comm, sizeof(ret->comm));
	ret->comm[sizeof(ret->comm) - 1] = 0;
	ret->comm_length = strlen(ret->comm);
}

void reclaim_counters_read(struct mm_struct *mm, bool exact, struct reclaim_counters *ret)
{
	unsigned long start = READ_ONCE(mm->start_brk), end = READ_ONCE(mm->brk);
	unsigned long pages[NR_MM_COUNTERS];
	int i;

	if (exact)
		mm_counters_sum(mm, pages);
	else
		for (i = 0; i < NR_MM_COUNTERS; i++)
			pages[i] = get_mm_counter(mm, i);

	*ret = (struct reclaim_counters){
		.anon = (u64)pages[MM_ANONPAGES] << PAGE_SHIFT,
		.file = (u64)pages[MM_FILEPAGES] << PAGE_SHIFT,
		.shmem = (u64)pages[MM_SHMEMPAGES] << PAGE_SHIFT,
		.swap = (u64)pages[MM_SWAPENTS] << PAGE_SHIFT,
		.page_tables = mm_pgtables_bytes(mm),
		.heap_size = end > start ? end - start : 0,
	};
}

bool reclaim_process_runtime(struct task_struct *task, u64 *ret)
{
	struct task_struct *t;
	bool known = true;
	u64 sum = 0;
	int n = 0;

	rcu_read_lock();
	for_each_thread(task, t) {
		if (++n > MAX_THREADS || READ_ONCE(t->__state) == TASK_RUNNING) {
			known = false;
			break;
		}
		sum += READ_ONCE(t->se.sum_exec_runtime);
	}
	/* What threads that are gone have run. */
	sum += READ_ONCE(task->signal->sum_sched_runtime);
	rcu_read_unlock();

	if (known)
		*ret = sum;
	return known;
}
