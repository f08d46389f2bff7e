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

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "base/cleanup.h"

/*
 * Runs one program of @n instructions. 0 and the raw SECCOMP_RET_* value;
 * -EBADMSG for a program that the kernel would not have accepted.
 */
int seccomp_eval(const struct sock_filter *insns, size_t n, const struct seccomp_data *data, uint32_t *ret)
	__must_check;

/* A system call that a chain is going to make. For @soft ones an error return is harmless. */
struct seccomp_call {
	const char *name;
	bool soft;
	struct seccomp_data data;
};

#define SECCOMP_CALL(call, ...)                                                                      \
	{                                                                                            \
		.name = #call, .data = { .nr = SYS_##call, .arch = AUDIT_ARCH_X86_64, __VA_ARGS__ }, \
	}

/* What functions of glibc's allocator may call, and the chain's own end. */
extern const struct seccomp_call seccomp_alloc_calls[];
extern const size_t seccomp_nalloc_calls;

/*
 * Looks at all filters of the stopped thread @tid, which has some. 0: @calls
 * would all be harmless. -EACCES: one of them would kill, trap or wake a
 * supervisor; its name goes to *ret_name. Other -errno: can't tell.
 */
int seccomp_allows(pid_t tid, const struct seccomp_call *calls, size_t ncalls, const char **ret_name) __must_check;

#endif
