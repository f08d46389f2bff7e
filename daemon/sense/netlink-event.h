/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: one event of the module, from a message. */
#ifndef RECLAIM_SENSE_NETLINK_EVENT_H
#define RECLAIM_SENSE_NETLINK_EVENT_H

#include <linux/netlink.h>

#include "sense/bloat.h"

/* 1, -EBADMSG, -ENOMEM. */
int event_read(const struct nlmsghdr *h, struct bloat_event *ret) __must_check;

#endif
