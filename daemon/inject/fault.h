/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault injection: the fault build (make FAULT=1) can die or stop before or after its
 * K-th operation on a tracee. Tests sweep K until the work completes, so that
 * "killed at any instruction" is tried at every boundary that matters.
 *
 *   RECLAIM_FAULT=kill:K        SIGKILL itself just before operation K (1, 2, ...)
 *   RECLAIM_FAULT=kill-after:K  just after it
 *   RECLAIM_FAULT=pause:K       SIGSTOP itself just before operation K
 *   RECLAIM_FAULT=pause-after:K just after it
 *   RECLAIM_FAULT_LOG=FILE      append the name of each operation to FILE, just before it
 */
#ifndef RECLAIM_INJECT_FAULT_H
#define RECLAIM_INJECT_FAULT_H

#ifdef RECLAIM_FAULT
void fault_before(const char *name);
void fault_after(void);
#else
static inline void fault_before(const char *name)
{
	(void)name;
}
static inline void fault_after(void)
{
}
#endif

#endif
