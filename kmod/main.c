// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>

#include "netlink.h"
#include "sampler.h"
#include "selftest/selftest.h"
#include "sysfs.h"
#include "tunable.h"

static int __init reclaim_init(void)
{
	int err;

	err = reclaim_selftest();
	if (err)
		goto err_selftest;

	reclaim_tunables_init();

	/* Before anyone can ask for something to be announced. */
	err = reclaim_netlink_init();
	if (err)
		goto err_netlink;

	err = reclaim_sampler_start(reclaim_netlink_announce);
	if (err)
		goto err_sampler;

	err = reclaim_sysfs_init();
	if (err)
		goto err_sysfs;

	return 0;

err_sysfs:
	reclaim_sampler_stop();
err_sampler:
	reclaim_netlink_exit();
err_netlink:
err_selftest:
	return err;
}

static void __exit reclaim_exit(void)
{
	reclaim_sysfs_exit();
	reclaim_sampler_stop();
	reclaim_netlink_exit();
}

module_init(reclaim_init);
module_exit(reclaim_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("What processes hold in memory, and how long they have left it alone");
MODULE_AUTHOR("The authors of reclaim");
MODULE_VERSION("0.1.0");
MODULE_ALIAS("net-pf-16-proto-16-family-reclaim");
