/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RECLAIM_COMPAT_NET_GENETLINK_H
#define RECLAIM_COMPAT_NET_GENETLINK_H

#include_next <net/genetlink.h>
#include <linux/version.h>

/* Since 6.6; before that attributes of a dump's request were in a structure of another name. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define genl_info_dump(cb) genl_dumpit_info(cb)
#endif

#endif
