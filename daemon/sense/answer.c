/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/answer.h"

#include <netlink/msg.h>

/* 0: go on, 1: the end, -errno: the end too. */
static int answer_message(struct answer *a, const struct nlmsghdr *h)
{
	struct reply reply;
	int r;

	/* What is left of an earlier request that was given up. */
	if (h->nlmsg_seq != a->seq)
		return 0;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
		r = reply_end(h, a->text);
		if (r == 0)
			r = a->error;
		if (r == 0 && a->interrupted)
			r = -EAGAIN;
		return r < 0 ? r : 1;
	}
	if (h->nlmsg_type != a->family || a->error)
		return 0;
	r = reply_read(h, &reply);
	if (r >= 0)
		r = a->take(&reply, a->data);
	if (r < 0)
		a->error = r;
	return 0;
}

int answer_datagram(struct answer *a, const char *buf, size_t len)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	int left = (int)len, r;

	for (; nlmsg_ok(h, left); h = nlmsg_next((struct nlmsghdr *)h, &left)) {
		r = answer_message(a, h);
		if (r != 0)
			return r;
	}
	return left > 0 ? -EBADMSG : 0;
}
