// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hashtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "target.h"
#include "tunable.h"

static DEFINE_HASHTABLE(targets, 10);
static atomic_t generation = ATOMIC_INIT(1);

static void generation_bump(void)
{
	/* 0 would tell a dump not to check. */
	if (!atomic_inc_return(&generation))
		atomic_inc(&generation);
}

unsigned int reclaim_target_generation(void)
{
	return atomic_read(&generation);
}

struct reclaim_target *reclaim_target_find(struct mm_struct *mm)
{
	struct reclaim_target *t;

	rcu_read_lock();
	hash_for_each_possible_rcu(targets, t, node, (unsigned long)mm) {
		if (t->mm == mm && refcount_inc_not_zero(&t->refs))
			break;
	}
	rcu_read_unlock();

	return t;
}

void reclaim_target_put(struct reclaim_target *t)
{
	if (!refcount_dec_and_test(&t->refs))
		return;
	reclaim_ages_destroy(&t->ages);
	mutex_destroy(&t->ages_lock);
	mmdrop(t->mm);
	kfree_rcu(t, rcu);
}

struct reclaim_target *reclaim_target_new(struct mm_struct *mm, pid_t pid)
{
	struct reclaim_target *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return NULL;

	mmgrab(mm);
	t->mm = mm;
	t->pid = pid;
	refcount_set(&t->refs, 1);
	spin_lock_init(&t->lock);
	mutex_init(&t->ages_lock);
	INIT_LIST_HEAD(&t->queue);
	reclaim_ages_init(&t->ages, reclaim_tunable(granule_kb) << 10);
	hash_add_rcu(targets, &t->node, (unsigned long)mm);
	atomic64_inc(&reclaim_stats.targets);
	generation_bump();

	return t;
}

void reclaim_target_drop(struct reclaim_target *t)
{
	hash_del_rcu(&t->node);
	list_del(&t->queue);
	atomic64_dec(&reclaim_stats.targets);
	generation_bump();
	reclaim_target_put(t);
}

void reclaim_target_get_sample(struct reclaim_target *t, struct reclaim_sample *ret)
{
	spin_lock(&t->lock);
	*ret = t->sample;
	spin_unlock(&t->lock);
}

/* Without a reference, which many in a row would notice: what is found under RCU lasts as long. */
void reclaim_target_find_summary(struct mm_struct *mm, struct reclaim_summary *ret)
{
	struct reclaim_target *t;

	rcu_read_lock();
	hash_for_each_possible_rcu(targets, t, node, (unsigned long)mm)
		if (t->mm == mm)
			break;
	if (t) {
		spin_lock(&t->lock);
		*ret = t->summary;
		spin_unlock(&t->lock);
	} else {
		*ret = (struct reclaim_summary){};
	}
	rcu_read_unlock();
}
