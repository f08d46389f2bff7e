/* SPDX-License-Identifier: GPL-2.0-only */
/* What can be tested without a process. With RECLAIM_DEBUG=y a failure refuses to load. */
#ifndef RECLAIM_SELFTEST_H
#define RECLAIM_SELFTEST_H

#ifdef RECLAIM_DEBUG
int reclaim_selftest(void);
#else
static inline int reclaim_selftest(void)
{
	return 0;
}
#endif

#endif
