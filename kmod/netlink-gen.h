/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/reclaim.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_RECLAIM_GEN_H
#define _LINUX_RECLAIM_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/reclaim.h>

/* Common nested types */
extern const struct nla_policy reclaim_range_nl_policy[RECLAIM_A_RANGE_END + 1];

/* Global operation policy for reclaim */
extern const struct nla_policy reclaim_nl_policy[RECLAIM_A_RANGE + 1];

/* Ops table for reclaim */
extern const struct genl_small_ops reclaim_nl_ops[4];

int reclaim_nl_proc_get_doit(struct sk_buff *skb, struct genl_info *info);
int reclaim_nl_proc_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb);
int reclaim_nl_region_get_dumpit(struct sk_buff *skb,
				 struct netlink_callback *cb);
int reclaim_nl_age_get_doit(struct sk_buff *skb, struct genl_info *info);
int reclaim_nl_age_reset_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	RECLAIM_NLGRP_BLOAT,
};

#endif /* _LINUX_RECLAIM_GEN_H */
