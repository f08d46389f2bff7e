/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Would the target's own seccomp filters let a chain finish without us?
 *
 * The chain's rt_sigreturn and the system calls of the injected function run
 * under the target's filters, so those are evaluated beforehand: classic BPF
 * over struct seccomp_data (Documentation/userspace-api/seccomp_filter.rst).
 * Suspending them (PTRACE_O_SUSPEND_SECCOMP) is no way out: it ends with our
 * life, and meanwhile frees a hostile target of its sandbox.
 */
#ifndef RECLAIM_INJECT_SECCOMP_H
#define RECLAIM_INJECT_SECCOMP_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

/*
 * Runs one program of @n instructions. 0 and the raw SECCOMP_RET_* value;
 * -EBADMSG for a program that the kernel would not have accepted.
 */
int seccomp_eval(const struct sock_filter *insns, size_t n, const struct seccomp_data *data, uint32_t *ret)
	__must_check;

/*
 * Looks at all filters of the stopped thread @tid. 0: rt_sigreturn, madvise,
 * brk and futex would all be harmless. -EACCES: one of them would kill, trap
 * or wake a supervisor; its name goes to *ret_name. Other -errno: can't tell.
 */
int seccomp_allows_chain(pid_t tid, const char **ret_name) __must_check;

#endif
