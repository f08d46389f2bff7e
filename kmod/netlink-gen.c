// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/reclaim.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink-gen.h"

#include <uapi/linux/reclaim.h>

/* Common nested types */
const struct nla_policy reclaim_range_nl_policy[RECLAIM_A_RANGE_END + 1] = {
	[RECLAIM_A_RANGE_START] = { .type = NLA_U64, },
	[RECLAIM_A_RANGE_END] = { .type = NLA_U64, },
};

/* Global operation policy for reclaim */
const struct nla_policy reclaim_nl_policy[RECLAIM_A_RANGE + 1] = {
	[RECLAIM_A_PID] = NLA_POLICY_MIN(NLA_U32, 1),
	[RECLAIM_A_START_TIME] = { .type = NLA_U64, },
	[RECLAIM_A_UID] = { .type = NLA_U32, },
	[RECLAIM_A_CGROUP_ID] = { .type = NLA_U64, },
	[RECLAIM_A_MIN_ANON] = { .type = NLA_U64, },
	[RECLAIM_A_FRESH] = { .type = NLA_FLAG, },
	[RECLAIM_A_FIELDS] = NLA_POLICY_MASK(NLA_U32, 0x7),
	[RECLAIM_A_RANGE] = NLA_POLICY_NESTED(reclaim_range_nl_policy),
};

/* Ops table for reclaim */
const struct genl_small_ops reclaim_nl_ops[4] = {
	{
		.cmd	= RECLAIM_CMD_PROC_GET,
		.doit	= reclaim_nl_proc_get_doit,
		.dumpit	= reclaim_nl_proc_get_dumpit,
	},
	{
		.cmd	= RECLAIM_CMD_REGION_GET,
		.dumpit	= reclaim_nl_region_get_dumpit,
	},
	{
		.cmd	= RECLAIM_CMD_AGE_GET,
		.doit	= reclaim_nl_age_get_doit,
	},
	{
		.cmd	= RECLAIM_CMD_AGE_RESET,
		.doit	= reclaim_nl_age_reset_doit,
	},
};

static const struct genl_multicast_group reclaim_nl_mcgrps[] = {
	[RECLAIM_NLGRP_BLOAT] = { "bloat", },
};
