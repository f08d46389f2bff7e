// SPDX-License-Identifier: GPL-2.0-only
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "facts.h"
#include "target.h"
#include "tunable.h"
#include "walk.h"

static u32 sampling_of(struct mm_struct *mm, const struct reclaim_counters *c, const struct reclaim_summary *s)
{
	if (!reclaim_tunable(enabled))
		return RECLAIM_SAMPLING_DISABLED;
	if (c->anon + c->swap < (u64)reclaim_tunable(min_anon_kb) << 10)
		return RECLAIM_SAMPLING_SMALL;
	if (mm_has_notifiers(mm))
		return RECLAIM_SAMPLING_SECONDARY_MMU;
	if (!reclaim_walk_may_clear(mm))
		return RECLAIM_SAMPLING_UNSUPPORTED;
	if (!s->taken_ns || !s->interval_ms)
		return RECLAIM_SAMPLING_PENDING;
	return s->incomplete ? RECLAIM_SAMPLING_NO_MEMORY : RECLAIM_SAMPLING_ACTIVE;
}

static int sample_now(struct mm_struct *mm, struct reclaim_target *t, struct reclaim_facts *f)
{
	unsigned int after_ms = reclaim_tunable(idle_after_ms);
	struct reclaim_summary *s = &f->sample;
	struct reclaim_sample fresh = {
		.taken_ns = ktime_get_ns(),
		.interval_ms = s->interval_ms,
		.granule = s->granule,
		.incomplete = s->incomplete,
	};
	struct reclaim_walk walk;
	unsigned long addr = 0;
	int err;

	reclaim_walk_init(&walk, mm, t && s->interval_ms ? &t->ages : NULL);
	if (s->interval_ms)
		walk.idle_ticks = reclaim_age_ticks(after_ms, s->interval_ms);
	do {
		err = reclaim_sample_walk(&fresh, &walk, &addr);
		if (err == -EAGAIN && signal_pending(current))
			return -EINTR;
		cond_resched();
	} while (err == -EAGAIN);
	if (err == -EBUSY)
		return 0;
	if (err)
		return err;

	fresh.valid_ns = fresh.taken_ns;
	reclaim_sample_summarize(&fresh, after_ms, s);
	f->age_ms = 0;
	return 0;
}

/* What is at hand without walking. */
static void facts_collect(struct task_struct *task, pid_t pid, struct mm_struct *mm, struct reclaim_facts *ret)
{
	u64 now = ret->now_ns;

	reclaim_process_read(task, pid, ret->fields & RECLAIM_PROC_FIELDS_WHO, &ret->process);
	reclaim_counters_read(mm, true, &ret->counters);
	reclaim_target_find_summary(mm, &ret->sample);
	ret->age_ms = now > ret->sample.valid_ns ? div_u64(now - ret->sample.valid_ns, NSEC_PER_MSEC) : 0;
	ret->sampling = sampling_of(mm, &ret->counters, &ret->sample);
}

int reclaim_facts_read(struct task_struct *task, pid_t pid, bool fresh, struct reclaim_facts *ret)
{
	struct mm_struct *mm = reclaim_process_mm(task);
	struct reclaim_target *t;
	int err = 0;

	if (!mm)
		return -ESRCH;

	facts_collect(task, pid, mm, ret);
	if (fresh) {
		t = reclaim_target_find(mm);
		err = sample_now(mm, t, ret);
		if (t)
			reclaim_target_put(t);
	}
	mmdrop(mm);
	return err;
}

int reclaim_facts_sample(struct task_struct *task, struct reclaim_sample *ret)
{
	struct mm_struct *mm = reclaim_process_mm(task);
	struct reclaim_target *t;

	if (!mm)
		return -ESRCH;

	*ret = (struct reclaim_sample){};
	t = reclaim_target_find(mm);
	if (t) {
		reclaim_target_get_sample(t, ret);
		reclaim_target_put(t);
	}
	mmdrop(mm);
	return 0;
}

u64 reclaim_facts_size(struct task_struct *task)
{
	struct mm_struct *mm = reclaim_process_mm(task);
	struct reclaim_counters c;

	if (!mm)
		return 0;
	reclaim_counters_read(mm, false, &c);
	mmdrop(mm);
	return c.anon + c.swap;
}
