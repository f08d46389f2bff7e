/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events of the kernel module. */
#include "sense/bloat.h"

#include <netlink/genl/ctrl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "sense/netlink.h"
#include "sense/netlink-event.h"

struct bloat {
	struct netlink n;
	size_t at, used; /* of n.buf: what hasn't been read yet */
};

void bloat_close(struct bloat **b)
{
	if (*b)
		netlink_close(&(*b)->n);
	free(*b);
	*b = NULL;
}

int bloat_open(struct bloat **ret)
{
	_cleanup_(bloat_close) struct bloat *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	r = netlink_open(&b->n);
	if (r < 0)
		return r;
	r = genl_ctrl_resolve_grp(b->n.sock, RECLAIM_FAMILY_NAME, RECLAIM_MCGRP_BLOAT);
	if (r >= 0)
		r = nl_socket_add_membership(b->n.sock, r);
	if (r < 0)
		return netlink_errno(r);
	*ret = TAKE_PTR(b);
	return 0;
}

int bloat_fd(const struct bloat *b)
{
	return nl_socket_get_fd(b->n.sock);
}

int event_read(const struct nlmsghdr *h, struct bloat_event *ret)
{
	static const enum bloat_reason reasons[] = {
		[RECLAIM_REASON_ANON] = BLOAT_ANON,
		[RECLAIM_REASON_HEAP] = BLOAT_HEAP,
		[RECLAIM_REASON_GROWTH] = BLOAT_GROWTH,
		[RECLAIM_REASON_HEAP_IDLE] = BLOAT_HEAP_IDLE,
	};
	struct bloat_event e = { .reason = BLOAT_OTHER };
	struct reply reply;
	uint64_t reason;
	int r = reply_read(h, &reply);

	if (r < 0)
		return r;
	if (reply.cmd != RECLAIM_CMD_PROC_BLOAT_NTF)
		return -EBADMSG;
	r = reply_make_proc(&reply, &e.proc);
	if (r < 0)
		return r;
	reason = reply.value[RECLAIM_A_REASON];
	if (reason < ARRAY_SIZE(reasons))
		e.reason = reasons[reason];
	e.growth = reply.value[RECLAIM_A_GROWTH];
	*ret = e;
	return 1;
}

/* The next event of what was received: 1, 0 when there is none, -EBADMSG, -ENOMEM. */
static int next_received(struct bloat *b, struct bloat_event *ret)
{
	while (b->at < b->used) {
		struct nlmsghdr *h = (struct nlmsghdr *)(b->n.buf + b->at);
		int left = (int)(b->used - b->at);

		if (!nlmsg_ok(h, left)) {
			b->at = b->used;
			return -EBADMSG;
		}
		(void)nlmsg_next(h, &left);
		b->at = left > 0 ? b->used - (size_t)left : b->used;
		/* Answers of the family's lookup, or of other families. */
		if (h->nlmsg_type == b->n.family)
			return event_read(h, ret);
	}
	return 0;
}

int bloat_next(struct bloat *b, int timeout_ms, struct bloat_event *ret, bool *ret_resync)
{
	bool resync = false;
	int r;

	for (;;) {
		ssize_t len;

		r = next_received(b, ret);
		if (r == 1 || r == -ENOMEM)
			break;
		/* Whatever it was, it is lost. */
		resync |= r == -EBADMSG;
		/* The loss is news: who has been told once isn't kept waiting. */
		len = netlink_receive(&b->n, resync ? 0 : timeout_ms);
		if (len == -ENOBUFS || len == -EMSGSIZE) {
			resync = true;
			continue;
		}
		r = (int)len;
		if (len <= 0)
			break;
		b->at = 0;
		b->used = (size_t)len;
	}
	if (r >= 0)
		*ret_resync = resync;
	return r;
}
