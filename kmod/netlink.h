/* SPDX-License-Identifier: GPL-2.0-only */
/* The generic netlink family: Documentation/netlink/specs/reclaim.yaml. */
#ifndef RECLAIM_NETLINK_H
#define RECLAIM_NETLINK_H

#include <linux/types.h>

struct mm_struct;
struct reclaim_target;
struct task_struct;

int reclaim_netlink_init(void);
void reclaim_netlink_exit(void);

/* Tells those who listen. Of the type reclaim_announce_t. */
void reclaim_netlink_announce(struct task_struct *task, struct mm_struct *mm, struct reclaim_target *t, u32 reason,
			      u64 growth);

#endif
