// SPDX-License-Identifier: GPL-2.0-only
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "facts.h"
#include "layout.h"
#include "netlink.h"
#include "netlink-gen.h"
#include "netlink-put.h"
#include "target.h"
#include "tunable.h"
#include "walk.h"

/* What the largest messages take; with less room left a walk would be for nothing. */
#define PROC_ROOM 768
#define REGION_ROOM 1536

static struct genl_family reclaim_nl_family;

/* ---- requests */

/* The policy is one for all operations, so each says which attributes are its own. */
static int check_request(struct sk_buff *skb, struct nlattr **attrs, u64 allowed, struct netlink_ext_ack *extack)
{
	int i;

	if (!netlink_capable(skb, CAP_SYS_PTRACE)) {
		NL_SET_ERR_MSG(extack, "needs CAP_SYS_PTRACE in the initial user namespace");
		return -EPERM;
	}
	for (i = 0; attrs && i < ARRAY_SIZE(reclaim_nl_policy); i++) {
		if (attrs[i] && !(allowed & BIT_ULL(i))) {
			NL_SET_ERR_MSG_ATTR(extack, attrs[i], "not an attribute of this operation's requests");
			return -EINVAL;
		}
	}
	return 0;
}

/* The process that a request names. Its pid is of the namespace of who asks. */
static struct task_struct *requested_task(struct nlattr **attrs, struct netlink_ext_ack *extack)
{
	struct nlattr *pid = attrs ? attrs[RECLAIM_A_PID] : NULL;
	struct task_struct *task;

	if (!pid) {
		NL_SET_ERR_MSG(extack, "pid is missing");
		return ERR_PTR(-EINVAL);
	}
	/* In 6.1 the policy's macro for such a range can't take the const table that the generator makes. */
	if (nla_get_u32(pid) > INT_MAX) {
		NL_SET_ERR_MSG_ATTR(extack, pid, "pid is out of range");
		return ERR_PTR(-ERANGE);
	}
	task = reclaim_process_find(task_active_pid_ns(current), nla_get_u32(pid));
	if (!task) {
		NL_SET_ERR_MSG_ATTR(extack, pid, "no such process");
		return ERR_PTR(-ESRCH);
	}
	if (attrs[RECLAIM_A_START_TIME] &&
	    nla_get_u64(attrs[RECLAIM_A_START_TIME]) != reclaim_process_start_time(task)) {
		put_task_struct(task);
		NL_SET_ERR_MSG_ATTR(extack, attrs[RECLAIM_A_START_TIME], "this pid now belongs to another process");
		return ERR_PTR(-ESRCH);
	}
	return task;
}

/* Errors of facts and walks, in words. */
static int explain(int err, struct netlink_ext_ack *extack)
{
	if (err == -ESRCH)
		NL_SET_ERR_MSG(extack, "the process has no memory: it is exiting, a zombie, or a kernel thread");
	else if (err == -EBUSY)
		NL_SET_ERR_MSG(extack, "the lock of the process's address space is held by others");
	return err;
}

/* ---- proc-get */

static u32 requested_fields(struct nlattr **attrs)
{
	return attrs && attrs[RECLAIM_A_FIELDS] ? nla_get_u32(attrs[RECLAIM_A_FIELDS]) : RECLAIM_FACTS_ALL;
}

int reclaim_nl_proc_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct netlink_ext_ack *extack = info->extack;
	struct reclaim_facts facts = { .fields = requested_fields(info->attrs), .now_ns = ktime_get_ns() };
	struct task_struct *task;
	struct sk_buff *reply;
	void *hdr;
	int err;

	err = check_request(skb, info->attrs, BIT_ULL(RECLAIM_A_PID) | BIT_ULL(RECLAIM_A_START_TIME) |
			    BIT_ULL(RECLAIM_A_FRESH) | BIT_ULL(RECLAIM_A_FIELDS), extack);
	if (err)
		return err;
	task = requested_task(info->attrs, extack);
	if (IS_ERR(task))
		return PTR_ERR(task);
	err = reclaim_facts_read(task, nla_get_u32(info->attrs[RECLAIM_A_PID]), info->attrs[RECLAIM_A_FRESH], &facts);
	put_task_struct(task);
	if (err) /* netlink_rcv_skb() sends no answer to EINTR, for which who asked would wait */
		return explain(err == -EINTR ? -EAGAIN : err, extack);

	reply = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	hdr = genlmsg_put_reply(reply, info, &reclaim_nl_family, 0, RECLAIM_CMD_PROC_GET);
	if (!hdr || reclaim_put_facts(reply, &facts)) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	genlmsg_end(reply, hdr);
	return genlmsg_reply(reply, info);
}

static bool proc_wanted(struct nlattr **attrs, struct task_struct *task)
{
	if (!attrs)
		return true;
	if (attrs[RECLAIM_A_UID] &&
	    nla_get_u32(attrs[RECLAIM_A_UID]) != from_kuid_munged(&init_user_ns, task_uid(task)))
		return false;
	return !attrs[RECLAIM_A_CGROUP_ID] || nla_get_u64(attrs[RECLAIM_A_CGROUP_ID]) == reclaim_process_cgroup(task);
}

static int proc_fill(struct sk_buff *skb, struct netlink_callback *cb, const struct reclaim_facts *facts)
{
	void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &reclaim_nl_family, NLM_F_MULTI,
				RECLAIM_CMD_PROC_GET);

	if (!hdr)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, hdr);
	if (reclaim_put_facts(skb, facts)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* One process of a dump. Those that aren't wanted, and those that have just gone, are none. */
static int proc_dump_one(struct sk_buff *skb, struct netlink_callback *cb, struct task_struct *task, pid_t pid,
			 struct reclaim_facts *facts)
{
	struct nlattr **attrs = genl_info_dump(cb)->attrs;
	u64 min_anon = attrs && attrs[RECLAIM_A_MIN_ANON] ? nla_get_u64(attrs[RECLAIM_A_MIN_ANON]) : 0;
	bool fresh = attrs && attrs[RECLAIM_A_FRESH];
	int err;

	if (!proc_wanted(attrs, task))
		return 0;
	if (min_anon && reclaim_facts_size(task) < min_anon)
		return 0;
	/* Others are over before that makes a difference. */
	if (fresh)
		facts->now_ns = ktime_get_ns();
	err = reclaim_facts_read(task, pid, fresh, facts);
	if (err)
		return err == -ESRCH ? 0 : err;
	return proc_fill(skb, cb, facts);
}

/* The cursor is a number, not a pointer: nothing is held from one message to the next. */
struct proc_cursor {
	pid_t next;
};

int reclaim_nl_proc_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct proc_cursor *cursor = (struct proc_cursor *)cb->ctx;
	struct pid_namespace *ns = task_active_pid_ns(current);
	struct reclaim_facts facts;
	struct task_struct *task;
	int err;

	BUILD_BUG_ON(sizeof(*cursor) > sizeof(cb->ctx));

	err = check_request(cb->skb, genl_info_dump(cb)->attrs, BIT_ULL(RECLAIM_A_UID) |
			    BIT_ULL(RECLAIM_A_CGROUP_ID) | BIT_ULL(RECLAIM_A_MIN_ANON) | BIT_ULL(RECLAIM_A_FRESH) |
			    BIT_ULL(RECLAIM_A_FIELDS), cb->extack);
	if (err)
		return err;

	facts.fields = requested_fields(genl_info_dump(cb)->attrs);
	facts.now_ns = ktime_get_ns();
	cb->seq = reclaim_target_generation();
	if (!cursor->next)
		cursor->next = 1;
	for (; (task = reclaim_process_next(ns, &cursor->next)); cursor->next++) {
		err = skb_tailroom(skb) < PROC_ROOM ? -EMSGSIZE : proc_dump_one(skb, cb, task, cursor->next, &facts);
		put_task_struct(task);
		if (!err && signal_pending(current))
			err = -EINTR;
		if (err)
			break;
		cond_resched();
	}
	/* A full message is no error: we are called again. */
	return skb->len ?: err;
}

/* ---- region-get */

struct region_cursor {
	unsigned long addr;
	u64 start_time;
	bool begun;
};

static int region_fill(struct sk_buff *skb, struct netlink_callback *cb, u32 pid, u64 start_time,
		       const struct reclaim_region *r, const struct reclaim_sample *s, const char *name)
{
	void *hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &reclaim_nl_family, NLM_F_MULTI,
				RECLAIM_CMD_REGION_GET);

	if (!hdr)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, hdr);
	if (nla_put_u32(skb, RECLAIM_A_PID, pid) ||
	    nla_put_u64_64bit(skb, RECLAIM_A_START_TIME, start_time, RECLAIM_A_PAD) ||
	    reclaim_put_region(skb, r, s, name)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* As many mappings as fit. Negative, or 0 when there are no more. */
static int regions_dump(struct sk_buff *skb, struct netlink_callback *cb, u32 pid, struct mm_struct *mm, char *path)
{
	struct region_cursor *cursor = (struct region_cursor *)cb->ctx;
	struct reclaim_target *t = reclaim_target_find(mm);
	struct reclaim_sample sample = {};
	struct reclaim_region region;
	struct reclaim_walk walk;
	int err = 0;

	if (t)
		reclaim_target_get_sample(t, &sample);
	reclaim_walk_init(&walk, mm, sample.interval_ms ? &t->ages : NULL);
	while (!err) {
		unsigned long addr = cursor->addr;

		err = skb_tailroom(skb) < REGION_ROOM ? -EMSGSIZE : reclaim_layout_next(&walk, &addr, &region);
		if (err)
			break;
		err = region_fill(skb, cb, pid, cursor->start_time, &region, &sample,
				  reclaim_region_name(&region, path, PATH_MAX));
		reclaim_region_done(&region);
		if (!err)
			cursor->addr = addr;
	}
	if (t)
		reclaim_target_put(t);
	return err == -ENOENT ? 0 : err;
}

int reclaim_nl_region_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct region_cursor *cursor = (struct region_cursor *)cb->ctx;
	struct nlattr **attrs = genl_info_dump(cb)->attrs;
	struct task_struct *task;
	struct mm_struct *mm;
	char *path;
	int err;

	BUILD_BUG_ON(sizeof(*cursor) > sizeof(cb->ctx));

	err = check_request(cb->skb, attrs, BIT_ULL(RECLAIM_A_PID) | BIT_ULL(RECLAIM_A_START_TIME), cb->extack);
	if (err)
		return err;
	task = requested_task(attrs, cb->extack);
	if (IS_ERR(task))
		return PTR_ERR(task);
	mm = reclaim_process_mm(task);
	/* Its pid is another's by now, who may be without memory. */
	if (mm && cursor->begun && cursor->start_time != reclaim_process_start_time(task)) {
		mmdrop(mm);
		mm = NULL;
	}
	cursor->begun = true;
	cursor->start_time = reclaim_process_start_time(task);
	put_task_struct(task);
	if (!mm)
		return explain(-ESRCH, cb->extack);
	/* Nothing counts the changes of an address space for us; this misses few. Never 0. */
	cb->seq = (u32)(READ_ONCE(mm->total_vm) * 31 + READ_ONCE(mm->map_count)) | 1;
	path = kmalloc(PATH_MAX, GFP_KERNEL);
	err = path ? regions_dump(skb, cb, nla_get_u32(attrs[RECLAIM_A_PID]), mm, path) : -ENOMEM;
	kfree(path);
	mmdrop(mm);
	return skb->len ?: explain(err, cb->extack);
}

/* ---- age-get */

int reclaim_nl_age_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct reclaim_facts facts = { .fields = RECLAIM_PROC_FIELDS_SAMPLE, .now_ns = ktime_get_ns() };
	struct reclaim_sample sample;
	struct task_struct *task;
	struct sk_buff *reply;
	void *hdr;
	int err;

	err = check_request(skb, info->attrs, BIT_ULL(RECLAIM_A_PID) | BIT_ULL(RECLAIM_A_START_TIME), info->extack);
	if (err)
		return err;
	task = requested_task(info->attrs, info->extack);
	if (IS_ERR(task))
		return PTR_ERR(task);
	err = reclaim_facts_read(task, nla_get_u32(info->attrs[RECLAIM_A_PID]), false, &facts);
	if (!err)
		err = reclaim_facts_sample(task, &sample);
	put_task_struct(task);
	if (err)
		return explain(err, info->extack);

	reply = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	hdr = genlmsg_put_reply(reply, info, &reclaim_nl_family, 0, RECLAIM_CMD_AGE_GET);
	if (!hdr || reclaim_put_age(reply, &facts, &sample)) {
		nlmsg_free(reply);
		return -EMSGSIZE;
	}
	genlmsg_end(reply, hdr);
	return genlmsg_reply(reply, info);
}

/* ---- age-reset */

static int range_read(const struct nlattr *nest, struct netlink_ext_ack *extack, u64 *start, u64 *end)
{
	struct nlattr *attrs[ARRAY_SIZE(reclaim_range_nl_policy)];
	int err = nla_parse_nested(attrs, ARRAY_SIZE(reclaim_range_nl_policy) - 1, nest, reclaim_range_nl_policy,
				   extack);

	if (err)
		return err;
	if (!attrs[RECLAIM_A_RANGE_START] || !attrs[RECLAIM_A_RANGE_END]) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "a range has a start and an end");
		return -EINVAL;
	}
	*start = nla_get_u64(attrs[RECLAIM_A_RANGE_START]);
	*end = nla_get_u64(attrs[RECLAIM_A_RANGE_END]);
	if (*start >= *end) {
		NL_SET_ERR_MSG_ATTR(extack, nest, "the range ends before it starts");
		return -ERANGE;
	}
	return 0;
}

/* @ages: NULL only to check the request. */
static int reset_ages(struct genl_info *info, struct reclaim_ages *ages)
{
	struct nlattr *attr;
	int err = 0, rest;
	u64 start, end;

	if (!info->attrs[RECLAIM_A_RANGE] && ages)
		reclaim_ages_reset(ages, 0, ULONG_MAX);
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rest) {
		if (nla_type(attr) != RECLAIM_A_RANGE)
			continue;
		err = range_read(attr, info->extack, &start, &end);
		if (err)
			break;
		if (ages)
			reclaim_ages_reset(ages, start, end);
	}
	return err;
}

int reclaim_nl_age_reset_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct reclaim_target *t;
	struct task_struct *task;
	struct mm_struct *mm;
	int err;

	err = check_request(skb, info->attrs, BIT_ULL(RECLAIM_A_PID) | BIT_ULL(RECLAIM_A_START_TIME) |
			    BIT_ULL(RECLAIM_A_RANGE), info->extack) ?: reset_ages(info, NULL);
	if (err)
		return err;
	task = requested_task(info->attrs, info->extack);
	if (IS_ERR(task))
		return PTR_ERR(task);
	mm = reclaim_process_mm(task);
	put_task_struct(task);
	if (!mm)
		return explain(-ESRCH, info->extack);

	t = reclaim_target_find(mm);
	mmdrop(mm);
	if (!t)
		return 0;
	err = mutex_lock_killable(&t->ages_lock);
	if (!err) {
		err = reset_ages(info, &t->ages);
		WRITE_ONCE(t->reset, true);
		mutex_unlock(&t->ages_lock);
	}
	reclaim_target_put(t);
	return err;
}

/* ---- bloat */

/* State isn't in the event but in proc-get: who was too slow for events asks again. */
void reclaim_netlink_announce(struct task_struct *task, struct mm_struct *mm, struct reclaim_target *t, u32 reason,
			      u64 growth)
{
	struct reclaim_facts facts = { .fields = RECLAIM_FACTS_ALL, .now_ns = ktime_get_ns() };
	struct sk_buff *skb;
	void *hdr;
	int err;

	if (!genl_has_listeners(&reclaim_nl_family, &init_net, RECLAIM_NLGRP_BLOAT))
		return;

	err = reclaim_facts_read(task, task_pid_nr(task), false, &facts);
	if (err)
		return;
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		goto err_lost;
	hdr = genlmsg_put(skb, 0, 0, &reclaim_nl_family, 0, RECLAIM_CMD_PROC_BLOAT_NTF);
	if (!hdr || reclaim_put_facts(skb, &facts) ||
	    nla_put_u32(skb, RECLAIM_A_REASON, reason) ||
	    nla_put_u64_64bit(skb, RECLAIM_A_GROWTH, growth, RECLAIM_A_PAD))
		goto err_skb;
	genlmsg_end(skb, hdr);

	err = genlmsg_multicast(&reclaim_nl_family, skb, 0, RECLAIM_NLGRP_BLOAT, GFP_KERNEL);
	if (err == -ENOBUFS || err == -ENOMEM)
		goto err_lost;
	if (!err)
		atomic64_inc(&reclaim_stats.events);
	return;

err_skb:
	nlmsg_free(skb);
err_lost:
	atomic64_inc(&reclaim_stats.events_lost);
}

/* ---- the family */

/*
 * What events tell is as much of a secret as what replies tell. But a family can't
 * refuse a listener by itself (what bind() of 6.9 returns is ignored), and
 * CAP_SYS_PTRACE isn't among what it can have the kernel ask for. This one is
 * the next that says as much.
 */
static const struct genl_multicast_group reclaim_nl_groups[] = {
	[RECLAIM_NLGRP_BLOAT] = { .name = RECLAIM_MCGRP_BLOAT, .flags = GENL_MCAST_CAP_SYS_ADMIN },
};

/*
 * Only in the initial network namespace: GENL_MCAST_CAP_SYS_ADMIN asks the
 * user namespace that owns the network namespace, which must be the initial one.
 */
static struct genl_family reclaim_nl_family __ro_after_init = {
	.name = RECLAIM_FAMILY_NAME,
	.version = RECLAIM_FAMILY_VERSION,
	.maxattr = ARRAY_SIZE(reclaim_nl_policy) - 1,
	.policy = reclaim_nl_policy,
	.netnsok = false,
	/* A walk may take long; nothing here needs the lock that all families share. */
	.parallel_ops = true,
	.module = THIS_MODULE,
	.small_ops = reclaim_nl_ops,
	.n_small_ops = ARRAY_SIZE(reclaim_nl_ops),
	.resv_start_op = RECLAIM_CMD_MAX + 1,
	.mcgrps = reclaim_nl_groups,
	.n_mcgrps = ARRAY_SIZE(reclaim_nl_groups),
};

int reclaim_netlink_init(void)
{
	return genl_register_family(&reclaim_nl_family);
}

void reclaim_netlink_exit(void)
{
	genl_unregister_family(&reclaim_nl_family);
}
