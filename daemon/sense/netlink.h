/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: a connection to the kernel module, one request at a time. */
#ifndef RECLAIM_SENSE_NETLINK_H
#define RECLAIM_SENSE_NETLINK_H

#include "sense/answer.h"
#include "sense/proc.h"
#include "sense/region.h"
#include "sense/reply.h"
#include "sense/source.h"

struct nl_sock;
struct nl_msg;

/* Whole messages of a dump: the kernel makes them no larger than 32 KiB. */
#define NETLINK_BUFFER ((size_t)64 << 10)

struct netlink {
	struct nl_sock *sock;
	int family;
	char *buf;
	char text[REPLY_TEXT]; /* the kernel's own words for the last failure, or "" */
};

/* libnl's own error codes (-NLE_...), which are not errno's, as negative errno. */
int netlink_errno(int nl_error);

/* Connects; doesn't ask anything yet. -ENOENT: no such family here, -EPERM, -errno. The caller closes. */
int netlink_open(struct netlink *ret) __must_check;
void netlink_close(struct netlink *n);

/*
 * One datagram of the kernel's into n->buf. Length, 0 when there is none within
 * @timeout_ms (-1: wait), -ENOBUFS when some were dropped, -EMSGSIZE, -errno.
 */
ssize_t netlink_receive(struct netlink *n, int timeout_ms) __must_check;

/* A request of ours, or NULL. */
struct nl_msg *netlink_message(const struct netlink *n, uint8_t cmd, int flags);
void netlink_message_freep(struct nl_msg **msg);

/*
 * Sends and reads the answer to its end. -EAGAIN: a dump that the kernel itself
 * says is of several moments, read to its end all the same. -ETIMEDOUT,
 * -EBADMSG, the module's -errno with n->text.
 */
int netlink_request(struct netlink *n, struct nl_msg *msg, answer_take_t take, void *data) __must_check;

/* Ranges in one request: libnl's messages have a page. */
#define NETLINK_RANGES ((size_t)64)

/* A request to reset ages. -ENOMEM, also for more than NETLINK_RANGES. The caller frees it. */
int netlink_age_message(const struct netlink *n, pid_t pid, uint64_t start_time, const struct source_range *ranges,
			size_t count, struct nl_msg **ret) __must_check;

/* The module's side of what source.h offers. */
int netlink_probe(struct netlink *n) __must_check; /* may we ask? */
int netlink_list(struct netlink *n, int root, const struct proc_filter *filter, enum proc_depth depth,
		 struct proc_list *ret) __must_check;
int netlink_proc(struct netlink *n, int root, pid_t pid, enum proc_depth depth, struct proc *ret) __must_check;
int netlink_regions(struct netlink *n, int root, pid_t pid, size_t max, struct region_list *ret) __must_check;
int netlink_reset_ages(struct netlink *n, pid_t pid, uint64_t start_time, const struct source_range *ranges,
		       size_t count) __must_check;

#endif
