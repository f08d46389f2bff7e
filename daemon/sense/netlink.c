/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection. libnl makes the messages and finds the family; receiving is
 * done here, since nl_recvmsgs() makes ENOMEM of ENOBUFS, one code of ENOENT and
 * ESRCH, and doesn't see the error that a dump ends with.
 */
#include "sense/netlink.h"

#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* A walk of hundreds of GiB lies between two replies, on a busy machine. */
#define ANSWER_MS 60000

int netlink_errno(int nl_error)
{
	static const int table[] = {
		[NLE_SUCCESS] = 0,	     [NLE_FAILURE] = EIO,	   [NLE_INTR] = EINTR,
		[NLE_BAD_SOCK] = EBADF,	     [NLE_AGAIN] = EAGAIN,	   [NLE_NOMEM] = ENOMEM,
		[NLE_EXIST] = EEXIST,	     [NLE_INVAL] = EINVAL,	   [NLE_RANGE] = ERANGE,
		[NLE_MSGSIZE] = EMSGSIZE,    [NLE_OPNOTSUPP] = EOPNOTSUPP, [NLE_AF_NOSUPPORT] = EAFNOSUPPORT,
		[NLE_OBJ_NOTFOUND] = ENOENT, [NLE_MSG_TRUNC] = EMSGSIZE,   [NLE_MSG_TOOSHORT] = EBADMSG,
		[NLE_BUSY] = EBUSY,	     [NLE_NOACCESS] = EACCES,	   [NLE_PERM] = EPERM,
		[NLE_NODEV] = ENODEV,	     [NLE_DUMP_INTR] = EAGAIN,
	};
	const unsigned int e = nl_error < 0 ? 0u - (unsigned int)nl_error : (unsigned int)nl_error;

	if (!e)
		return 0;
	return e < ARRAY_SIZE(table) && table[e] ? -table[e] : -EIO;
}

void netlink_close(struct netlink *n)
{
	if (n->sock)
		nl_socket_free(n->sock);
	free(n->buf);
	*n = (struct netlink){ .sock = NULL };
}

int netlink_open(struct netlink *ret)
{
	_cleanup_(netlink_close) struct netlink n = { .sock = nl_socket_alloc() };
	const int on = 1;
	int r, fd;

	n.buf = malloc(NETLINK_BUFFER);
	if (!n.sock || !n.buf)
		return -ENOMEM;
	r = netlink_errno(genl_connect(n.sock));
	if (r < 0)
		return r;
	fd = nl_socket_get_fd(n.sock);
	/* Words are a comfort; a kernel that has none to give serves all the same. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	n.family = genl_ctrl_resolve(n.sock, RECLAIM_FAMILY_NAME);
	if (n.family < 0)
		return netlink_errno(n.family);
	*ret = n;
	n = (struct netlink){ .sock = NULL };
	return 0;
}

struct nl_msg *netlink_message(const struct netlink *n, uint8_t cmd, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, n->family, 0, flags, cmd, RECLAIM_FAMILY_VERSION)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

void netlink_message_freep(struct nl_msg **msg)
{
	nlmsg_free(*msg);
}

ssize_t netlink_receive(struct netlink *n, int timeout_ms)
{
	struct pollfd p = { .fd = nl_socket_get_fd(n->sock), .events = POLLIN };
	struct sockaddr_nl from = { .nl_pid = 1 };
	struct iovec iov = { n->buf, NETLINK_BUFFER };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t len;
	int r;

	do {
		r = poll(&p, 1, timeout_ms);
		if (r == 0)
			return 0;
		len = r < 0 ? -1 : recvmsg(p.fd, &m, MSG_DONTWAIT);
		if (len < 0 && errno == EAGAIN)
			return 0;
		/* Other processes can send to us too; port 0 is the kernel's, and nobody else's. */
	} while ((len < 0 && errno == EINTR) || (len >= 0 && from.nl_pid != 0));
	if (len < 0)
		return -errno;
	return m.msg_flags & MSG_TRUNC ? -EMSGSIZE : len;
}

int netlink_request(struct netlink *n, struct nl_msg *msg, answer_take_t take, void *data)
{
	struct answer a = { .family = n->family, .text = n->text, .take = take, .data = data };
	int r;

	n->text[0] = '\0';
	r = netlink_errno(MIN(nl_send_auto(n->sock, msg), 0));
	a.seq = nlmsg_hdr(msg)->nlmsg_seq;
	while (r == 0) {
		ssize_t len = netlink_receive(n, ANSWER_MS);

		if (len < 0)
			return (int)len;
		if (len == 0)
			return -ETIMEDOUT;
		r = answer_datagram(&a, n->buf, (size_t)len);
	}
	return MIN(r, 0);
}
