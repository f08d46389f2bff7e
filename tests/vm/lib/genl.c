// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <linux/genetlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "genl.h"

#define TYPE_MASK ((uint16_t)~(NLA_F_NESTED | NLA_F_NET_BYTEORDER))
#define REPLY_SIZE 65536

uint32_t genl_u32(const struct nlattr *a)
{
	uint32_t v = 0;

	if (a && genl_size(a) == sizeof(v))
		memcpy(&v, genl_data(a), sizeof(v));
	return v;
}

uint64_t genl_u64(const struct nlattr *a)
{
	uint64_t v = 0;

	if (a && genl_size(a) == sizeof(v))
		memcpy(&v, genl_data(a), sizeof(v));
	return v;
}

const char *genl_string(const struct nlattr *a)
{
	if (!a || !memchr(genl_data(a), 0, genl_size(a)))
		return "";
	return genl_data(a);
}

struct nlattr *genl_next(void *data, size_t size, struct nlattr *a)
{
	char *end = (char *)data + size;
	char *p = a ? (char *)a + NLA_ALIGN(a->nla_len) : data;

	a = (struct nlattr *)p;
	if (p + NLA_HDRLEN > end || a->nla_len < NLA_HDRLEN || p + a->nla_len > end)
		return NULL;
	return a;
}

void genl_begin(struct genl *g, struct genl_request *r, uint8_t cmd, uint16_t flags)
{
	struct genlmsghdr h = { .cmd = cmd, .version = RECLAIM_FAMILY_VERSION };

	memset(&r->head, 0, sizeof(r->head));
	r->head.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	r->head.nlmsg_type = g->family;
	r->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	r->head.nlmsg_seq = ++g->seq;
	memcpy(r->bytes + NLMSG_HDRLEN, &h, sizeof(h));
}

void genl_put(struct genl_request *r, uint16_t type, const void *data, size_t size)
{
	size_t at = NLMSG_ALIGN(r->head.nlmsg_len);
	struct nlattr a = { .nla_len = NLA_HDRLEN + size, .nla_type = type };

	if (at + NLA_HDRLEN + size > sizeof(r->bytes) || NLA_HDRLEN + size > UINT16_MAX)
		abort();
	memcpy(r->bytes + at, &a, sizeof(a));
	if (size)
		memcpy(r->bytes + at + NLA_HDRLEN, data, size);
	r->head.nlmsg_len = at + NLA_HDRLEN + size;
}

void genl_put_u32(struct genl_request *r, uint16_t type, uint32_t value)
{
	genl_put(r, type, &value, sizeof(value));
}

void genl_put_u64(struct genl_request *r, uint16_t type, uint64_t value)
{
	genl_put(r, type, &value, sizeof(value));
}

void genl_put_flag(struct genl_request *r, uint16_t type)
{
	genl_put(r, type, NULL, 0);
}

int genl_send(struct genl *g, struct genl_request *r)
{
	return send(g->fd, r, r->head.nlmsg_len, 0) < 0 ? -errno : 0;
}

/* What reading a message costs counts in "cost", so this is one plain loop. */
static void parse(struct nlmsghdr *h, struct genl_reply *ret)
{
	struct genlmsghdr *gh = NLMSG_DATA(h);
	char *p = (char *)gh + GENL_HDRLEN, *end = (char *)h + h->nlmsg_len;

	*ret = (struct genl_reply){ .cmd = gh->cmd, .end = end };
	while (end - p >= NLA_HDRLEN) {
		struct nlattr *a = (struct nlattr *)p;
		uint16_t type = a->nla_type & TYPE_MASK;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > end - p)
			break;
		if (type <= RECLAIM_A_MAX && !ret->attr[type])
			ret->attr[type] = a;
		p += NLA_ALIGN(a->nla_len);
	}
}

/* What the kernel says besides the number */
static void take_extack(struct genl *g, struct nlmsghdr *h)
{
	struct nlmsgerr *e = NLMSG_DATA(h);
	size_t skip = sizeof(*e);
	struct nlattr *a = NULL;
	char *data;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(e->msg.nlmsg_len) - NLMSG_HDRLEN;
	data = (char *)e + skip;
	while ((a = genl_next(data, (char *)h + h->nlmsg_len - data, a))) {
		if ((a->nla_type & TYPE_MASK) == NLMSGERR_ATTR_MSG)
			snprintf(g->message, sizeof(g->message), "%s", genl_string(a));
		if ((a->nla_type & TYPE_MASK) == NLMSGERR_ATTR_OFFS)
			g->bad_offset = genl_u32(a);
	}
}

/* 1: go on; 0: done; or a negative errno */
static int take(struct genl *g, struct nlmsghdr *h, genl_handler_t handler, void *data)
{
	struct genl_reply reply;

	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		g->interrupted = true;
	if (h->nlmsg_type == NLMSG_ERROR) {
		take_extack(g, h);
		return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
	}
	if (h->nlmsg_type == NLMSG_DONE) {
		if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(int)))
			return *(int *)NLMSG_DATA(h);
		return 0;
	}
	if (h->nlmsg_type == g->family && handler) {
		parse(h, &reply);
		handler(&reply, data);
	}
	return 1;
}

static int receive(struct genl *g, uint32_t seq, genl_handler_t handler, void *data)
{
	static _Thread_local char buf[REPLY_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t n = recv(g->fd, buf, sizeof(buf), 0);
	int r = 1;

	if (n < 0)
		return -errno;
	for (struct nlmsghdr *h = (void *)buf; r > 0 && NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
		if (h->nlmsg_seq == seq)
			r = take(g, h, handler, data);
	return r;
}

int genl_call(struct genl *g, struct genl_request *req, genl_handler_t handler, void *data)
{
	int r;

	g->interrupted = false;
	g->message[0] = 0;
	g->bad_offset = 0;
	r = genl_send(g, req);
	if (r < 0)
		return r;
	do
		r = receive(g, req->head.nlmsg_seq, handler, data);
	while (r > 0);
	return r;
}

int genl_listen(struct genl *g, int timeout_ms, genl_handler_t handler, void *data)
{
	struct pollfd p = { .fd = g->fd, .events = POLLIN };
	int r = poll(&p, 1, timeout_ms);

	if (r < 0)
		return errno == EINTR ? 0 : -errno;
	return r ? receive(g, 0, handler, data) : 0;
}

static void family_found(struct genl *g, struct nlattr *groups)
{
	struct nlattr *group = NULL;

	while (groups && (group = genl_next(genl_data(groups), genl_size(groups), group))) {
		struct nlattr *a = NULL;
		const char *name = "";
		uint32_t id = 0;

		while ((a = genl_next(genl_data(group), genl_size(group), a))) {
			if (a->nla_type == CTRL_ATTR_MCAST_GRP_NAME)
				name = genl_string(a);
			if (a->nla_type == CTRL_ATTR_MCAST_GRP_ID)
				id = genl_u32(a);
		}
		if (!strcmp(name, RECLAIM_MCGRP_BLOAT))
			g->group = id;
	}
}

static void family_reply(const struct genl_reply *reply, void *data)
{
	struct genl *g = data;
	uint16_t id = 0;

	if (reply->attr[CTRL_ATTR_FAMILY_ID])
		memcpy(&id, genl_data(reply->attr[CTRL_ATTR_FAMILY_ID]), sizeof(id));
	family_found(g, reply->attr[CTRL_ATTR_MCAST_GROUPS]);
	g->found = id;
}

static int find_family(struct genl *g)
{
	struct genl_request req;
	int r;

	g->family = GENL_ID_CTRL;
	genl_begin(g, &req, CTRL_CMD_GETFAMILY, 0);
	genl_put(&req, CTRL_ATTR_FAMILY_NAME, RECLAIM_FAMILY_NAME, sizeof(RECLAIM_FAMILY_NAME));
	r = genl_call(g, &req, family_reply, g);
	if (r < 0)
		return r;
	g->family = g->found;
	return g->found ? 0 : -ENOENT;
}

int genl_open(struct genl *ret)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	int one = 1, r;

	*ret = (struct genl){ .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC) };
	if (ret->fd < 0)
		return -errno;
	setsockopt(ret->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(ret->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	r = bind(ret->fd, (void *)&self, sizeof(self)) < 0 ? -errno : find_family(ret);
	if (r < 0)
		genl_close(ret);
	return r;
}

void genl_close(struct genl *g)
{
	if (g->fd >= 0)
		close(g->fd);
	g->fd = -1;
}

int genl_join(struct genl *g)
{
	if (setsockopt(g->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &g->group, sizeof(g->group)) < 0)
		return -errno;
	return 0;
}
