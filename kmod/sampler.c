// SPDX-License-Identifier: GPL-2.0-only
#include <linux/err.h>
#include <linux/freezer.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/wait.h>

#include "process.h"
#include "sampler.h"
#include "target.h"
#include "tunable.h"
#include "walk.h"

/* Looks in a row that may find a process unchanged: some changes, as huge pages made of small ones, leave no trace. */
#define MAX_SKIPPED 64
/* Sleeps shorter than that cost more than they are worth. */
#define MIN_SLEEP_NS (4 * NSEC_PER_MSEC)

/* All of it belongs to the thread, but for wait and poked. */
static struct {
	struct task_struct *thread;
	wait_queue_head_t wait;
	bool poked;
	reclaim_announce_t announce;
	struct list_head queue; /* of all targets; the first one's walk is due first */
	u32 look;
	u64 next_look_ns;

	/* The walk under way: of the queue's first. */
	struct reclaim_target *target;
	struct reclaim_walk walk;
	struct reclaim_sample sample;
	struct reclaim_trace trace;
	bool trace_known;
	unsigned long addr;
} sampler;

static u64 interval_ns(void)
{
	return (u64)reclaim_tunable(scan_interval_ms) * NSEC_PER_MSEC;
}

/* The smallest size at which anything is to be done about a process. */
static u64 track_limit(void)
{
	unsigned int anon = reclaim_tunable(bloat_anon_kb), heap = reclaim_tunable(bloat_heap_kb);
	unsigned int growth = reclaim_tunable(bloat_growth_kb), kb = reclaim_tunable(min_anon_kb);

	kb = anon ? min(kb, anon) : kb;
	kb = heap ? min(kb, heap) : kb;
	kb = growth ? min(kb, growth) : kb;
	return (u64)kb << 10;
}

static void target_drop(struct reclaim_target *t)
{
	if (sampler.target == t)
		sampler.target = NULL;
	reclaim_target_drop(t);
}

static void targets_drop_all(void)
{
	struct reclaim_target *t, *next;

	list_for_each_entry_safe(t, next, &sampler.queue, queue)
		target_drop(t);
}

static void target_watch(struct reclaim_target *t, struct task_struct *task, u64 size, u64 now)
{
	unsigned int reasons, reason;
	struct reclaim_watched what = {
		.anon = size,
		.heap = t->summary.anon[RECLAIM_PART_HEAP],
		.heap_idle = t->summary.heap_idle,
		.heap_known = t->summary.taken_ns,
	};
	u64 growth;

	reasons = reclaim_watch_look(&t->watch, &what, now, &growth);
	for (reason = 0; reason < RECLAIM_REASONS; reason++)
		if (reasons & BIT(reason))
			sampler.announce(task, t->mm, t, reason, growth);
}

static void look_at(struct task_struct *task, pid_t pid, u64 limit, u64 now)
{
	struct mm_struct *mm = reclaim_process_mm(task);
	struct reclaim_counters counters;
	struct reclaim_target *t;
	u64 size;

	if (!mm)
		return;

	reclaim_counters_read(mm, false, &counters);
	size = counters.anon + counters.swap;
	t = reclaim_target_find(mm);
	if (!t && size >= limit) {
		t = reclaim_target_new(mm, pid);
		if (t) {
			refcount_inc(&t->refs);
			list_add(&t->queue, &sampler.queue);
			/* The queue's first must stay it until its walk is over. */
			if (sampler.target)
				list_move(&sampler.target->queue, &sampler.queue);
		}
	}
	/* A process that shares its address space with one seen before adds nothing. */
	if (t && t->seen != sampler.look && size >= limit / 2) {
		t->seen = sampler.look;
		t->pid = pid;
		t->sampled = size >= (u64)reclaim_tunable(min_anon_kb) << 10;
		target_watch(t, task, size, now);
	}
	if (t)
		reclaim_target_put(t);
	mmdrop(mm);
}

static void look_at_all(u64 now)
{
	struct reclaim_target *t, *next;
	struct task_struct *task;
	u64 limit = track_limit();
	pid_t pid = 1;

	sampler.look++;
	for (; (task = reclaim_process_next(&init_pid_ns, &pid)); pid++) {
		look_at(task, pid, limit, now);
		put_task_struct(task);
		if (kthread_should_stop())
			return;
		cond_resched();
	}
	list_for_each_entry_safe(t, next, &sampler.queue, queue)
		if (t->seen != sampler.look)
			target_drop(t);
	atomic64_inc(&reclaim_stats.looks);
}

/* False when something happened that a trace doesn't show, or might have. */
static bool trace_read(struct reclaim_target *t, struct reclaim_trace *ret)
{
	struct task_struct *task = reclaim_process_find(&init_pid_ns, t->pid);
	struct mm_struct *mm;
	bool known;

	if (!task)
		return false;

	memset(ret, 0, sizeof(*ret));
	mm = reclaim_process_mm(task);
	known = mm == t->mm && reclaim_process_runtime(task, &ret->runtime);
	/* Others in the same address space. */
	if (known && atomic_read(&mm->mm_users) > get_nr_threads(task))
		known = false;
	if (known) {
		reclaim_counters_read(mm, false, &ret->counters);
		ret->total_vm = READ_ONCE(mm->total_vm);
		ret->map_count = READ_ONCE(mm->map_count);
	}
	if (mm)
		mmdrop(mm);
	put_task_struct(task);
	return known;
}

static void walk_leave(struct reclaim_target *t, u64 due)
{
	t->due_ns = due;
	list_move_tail(&t->queue, &sampler.queue);
	sampler.target = NULL;
}

static void sample_publish(struct reclaim_target *t)
{
	struct reclaim_summary summary;

	reclaim_sample_summarize(&sampler.sample, reclaim_tunable(idle_after_ms), &summary);
	spin_lock(&t->lock);
	t->sample = sampler.sample;
	t->summary = summary;
	spin_unlock(&t->lock);
}

/* What hasn't run hasn't accessed anything, and what hasn't changed isn't worth a walk. */
static bool walk_skip(struct reclaim_target *t, u64 now)
{
	sampler.trace_known = trace_read(t, &sampler.trace);
	if (!t->sample.taken_ns || !t->trace_known || !sampler.trace_known || t->skipped >= MAX_SKIPPED)
		return false;
	if (t->interval_ms && t->interval_ms != reclaim_tunable(scan_interval_ms))
		return false;
	/* As if it had been accessed. */
	if (READ_ONCE(t->reset))
		return false;
	if (memcmp(&t->trace, &sampler.trace, sizeof(t->trace)))
		return false;

	sampler.sample = t->sample;
	sampler.sample.valid_ns = now;
	sample_publish(t);
	t->skipped++;
	atomic64_inc(&reclaim_stats.walks_skipped);
	return true;
}

/* Ages count intervals. One that came a little early counts too, and the rest of a late one isn't lost. */
static unsigned int ticks_since(struct reclaim_target *t, u64 now)
{
	u64 interval = (u64)t->interval_ms * NSEC_PER_MSEC;
	u64 ticks = div64_u64(now - t->epoch_ns + interval / 4, interval);

	t->epoch_ns += ticks * interval;
	return min_t(u64, ticks, RECLAIM_AGE_MAX);
}

static void walk_begin(struct reclaim_target *t, u64 now)
{
	unsigned int interval_ms = reclaim_tunable(scan_interval_ms), granule = reclaim_tunable(granule_kb) << 10;
	bool clear = t->sampled && reclaim_walk_may_clear(t->mm);
	struct reclaim_walk *w = &sampler.walk;

	sampler.target = t;
	sampler.addr = 0;
	sampler.sample = (struct reclaim_sample){
		.taken_ns = now,
		.interval_ms = clear ? interval_ms : 0,
		.granule = granule,
	};
	reclaim_walk_init(w, t->mm, clear ? &t->ages : NULL);
	w->clear = clear;

	mutex_lock(&t->ages_lock);
	WRITE_ONCE(t->reset, false);
	if (!clear || t->interval_ms != interval_ms || granule != 1U << t->ages.shift) {
		reclaim_ages_restart(&t->ages, granule);
		t->interval_ms = clear ? interval_ms : 0;
		t->epoch_ns = now;
	} else {
		w->ticks = ticks_since(t, now);
	}
	if (clear)
		w->idle_ticks = reclaim_age_ticks(reclaim_tunable(idle_after_ms), interval_ms);
	t->ages.pass++;
	t->ages.incomplete = false;
	mutex_unlock(&t->ages_lock);
}

static void walk_end(struct reclaim_target *t)
{
	mutex_lock(&t->ages_lock);
	reclaim_ages_sweep(&t->ages);
	mutex_unlock(&t->ages_lock);
	sampler.sample.incomplete = t->ages.incomplete;
	sampler.sample.valid_ns = sampler.sample.taken_ns;
	sample_publish(t);
	t->trace = sampler.trace;
	t->trace_known = sampler.trace_known;
	t->skipped = 0;
	atomic64_inc(&reclaim_stats.walks);
	walk_leave(t, sampler.sample.taken_ns + interval_ns());
}

static void walk_slice(struct reclaim_target *t)
{
	u64 pages = sampler.walk.pages;
	int err;

	mutex_lock(&t->ages_lock);
	err = reclaim_sample_walk(&sampler.sample, &sampler.walk, &sampler.addr);
	mutex_unlock(&t->ages_lock);
	atomic64_add(sampler.walk.pages - pages, &reclaim_stats.pages);
	if (!err) {
		walk_end(t);
	} else if (err != -EAGAIN) {
		/* Gone, which the next look will notice, or its lock is held. */
		atomic64_inc(&reclaim_stats.walks_abandoned);
		walk_leave(t, ktime_get_ns() + interval_ns());
	}
}

/* Does a little, and says how long nothing else is to be done, in nanoseconds. */
static u64 sampler_work(void)
{
	u64 now = ktime_get_ns();
	struct reclaim_target *t;

	if (!reclaim_tunable(enabled)) {
		targets_drop_all();
		sampler.next_look_ns = 0;
		return interval_ns();
	}
	if (now >= sampler.next_look_ns) {
		sampler.next_look_ns = now + interval_ns();
		look_at_all(now);
		return 0;
	}

	t = list_first_entry_or_null(&sampler.queue, struct reclaim_target, queue);
	if (!t)
		return sampler.next_look_ns - now;
	if (sampler.target) {
		walk_slice(t);
		return 0;
	}
	if (t->due_ns > now)
		return min(sampler.next_look_ns, t->due_ns) - now;
	if (walk_skip(t, now))
		walk_leave(t, now + interval_ns());
	else
		walk_begin(t, now);
	return 0;
}

static int sampler_thread(void *unused)
{
	u64 debt = 0;

	set_freezable();
	while (!kthread_should_stop()) {
		u64 start = ktime_get_ns(), wait = sampler_work(), busy = ktime_get_ns() - start;
		unsigned int share = reclaim_tunable(scan_cpu_permille);

		atomic64_add(busy, &reclaim_stats.busy_ns);
		debt += div_u64(busy * (1000 - share), share);
		wait = max(wait, debt);
		if (wait < MIN_SLEEP_NS) {
			try_to_freeze();
			cond_resched();
			continue;
		}

		start = ktime_get_ns();
		wait_event_freezable_timeout(sampler.wait, READ_ONCE(sampler.poked) || kthread_should_stop(),
					     nsecs_to_jiffies(wait) + 1);
		if (READ_ONCE(sampler.poked)) {
			WRITE_ONCE(sampler.poked, false);
			sampler.next_look_ns = 0;
		}
		debt -= min(debt, ktime_get_ns() - start);
	}
	targets_drop_all();
	return 0;
}

void reclaim_sampler_poke(void)
{
	WRITE_ONCE(sampler.poked, true);
	wake_up(&sampler.wait);
}

int reclaim_sampler_start(reclaim_announce_t announce)
{
	struct task_struct *thread;

	init_waitqueue_head(&sampler.wait);
	INIT_LIST_HEAD(&sampler.queue);
	sampler.announce = announce;
	thread = kthread_run(sampler_thread, NULL, "reclaim-sampler");
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	sampler.thread = thread;
	return 0;
}

void reclaim_sampler_stop(void)
{
	kthread_stop(sampler.thread);
}
