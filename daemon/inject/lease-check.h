/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to the room: what must hold for a lease. */
#ifndef RECLAIM_INJECT_LEASE_CHECK_H
#define RECLAIM_INJECT_LEASE_CHECK_H

#include "inject/lease-chain.h"

/* inject_prepare() for a lease; finds p->self. */
int lease_check(struct lease_plan *p, struct inject *inj, const char **ret_why) __must_check;

/*
 * Last of all: the lock isn't this thread's own. -EAGAIN when that isn't seen.
 */
int lease_check_lock(const struct lease_plan *p, const struct inject *inj, const char **ret_why) __must_check;

/* Lists that fit, lie in user space, and leave the chain alone. -EINVAL, -ENOSPC. */
int lease_check_lists(const struct lease_plan *p, const struct chain *c, const struct lease_write *writes,
		      size_t nwrites, const struct lease_range *ranges, size_t nranges) __must_check;

#endif
