/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has the module's ages begin anew where we have taken signs of access away ourselves. */
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "sense/netlink.h"

static int put_range(struct nl_msg *msg, const struct source_range *range)
{
	struct nlattr *nest = nla_nest_start(msg, RECLAIM_A_RANGE);

	if (!nest || nla_put_u64(msg, RECLAIM_A_RANGE_START, range->start) < 0 ||
	    nla_put_u64(msg, RECLAIM_A_RANGE_END, range->end) < 0)
		return -ENOMEM;
	nla_nest_end(msg, nest);
	return 0;
}

int netlink_age_message(const struct netlink *n, pid_t pid, uint64_t start_time, const struct source_range *ranges,
			size_t count, struct nl_msg **ret)
{
	_cleanup_(netlink_message_freep) struct nl_msg *msg = netlink_message(n, RECLAIM_CMD_AGE_RESET, NLM_F_ACK);

	if (!msg || nla_put_u32(msg, RECLAIM_A_PID, (uint32_t)pid) < 0 ||
	    nla_put_u64(msg, RECLAIM_A_START_TIME, start_time) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (put_range(msg, &ranges[i]) < 0)
			return -ENOMEM;
	*ret = TAKE_PTR(msg);
	return 0;
}

/* There is nothing to be told. */
static int take_nothing(const struct reply *r, void *data)
{
	(void)r;
	(void)data;
	return -EBADMSG;
}

int netlink_reset_ages(struct netlink *n, pid_t pid, uint64_t start_time, const struct source_range *ranges,
		       size_t count)
{
	int r;

	do {
		_cleanup_(netlink_message_freep) struct nl_msg *msg = NULL;
		const size_t some = MIN(count, NETLINK_RANGES);

		r = netlink_age_message(n, pid, start_time, ranges, some, &msg);
		if (r == 0)
			r = netlink_request(n, msg, take_nothing, NULL);
		ranges += some;
		count -= some;
	} while (r == 0 && count);
	return r;
}
