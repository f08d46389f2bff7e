/* SPDX-License-Identifier: GPL-2.0-only */
/* /sys/kernel/reclaim/: see Documentation/ABI/testing/sysfs-kernel-reclaim. */
#ifndef RECLAIM_SYSFS_H
#define RECLAIM_SYSFS_H

int reclaim_sysfs_init(void);
void reclaim_sysfs_exit(void);

#endif
