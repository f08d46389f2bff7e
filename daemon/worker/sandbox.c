// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define SANDBOX_MEMORY (8ull << 30) /* address space: big libraries are mapped to be parsed */
#define SANDBOX_CPU_SECONDS 60

static const int sandbox_calls[] = {
	SCMP_SYS(read),		SCMP_SYS(pread64),	  SCMP_SYS(recvfrom),	     SCMP_SYS(sendto),
	SCMP_SYS(fstat),	SCMP_SYS(newfstatat),	  SCMP_SYS(lseek),	     SCMP_SYS(mmap),
	SCMP_SYS(munmap),	SCMP_SYS(mremap),	  SCMP_SYS(mprotect),	     SCMP_SYS(madvise),
	SCMP_SYS(brk),		SCMP_SYS(futex),	  SCMP_SYS(clock_gettime),   SCMP_SYS(close),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(getpid),	     SCMP_SYS(gettid),
	SCMP_SYS(exit),		SCMP_SYS(exit_group),	  SCMP_SYS(restart_syscall), SCMP_SYS(fcntl),
	SCMP_SYS(sysinfo), /* qsort() asks how much memory there is */
};

static int sandbox_limits(void)
{
	static const struct {
		int resource;
		rlim_t value;
	} limits[] = {
		{ RLIMIT_AS, SANDBOX_MEMORY },
		{ RLIMIT_CPU, SANDBOX_CPU_SECONDS },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_CORE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit rl = { .rlim_cur = limits[i].value, .rlim_max = limits[i].value };

#ifdef __SANITIZE_ADDRESS__
		if (limits[i].resource == RLIMIT_AS)
			continue; /* the sanitizer's shadow memory alone is terabytes */
#endif
		if (setrlimit(limits[i].resource, &rl) < 0)
			return -errno;
	}
	return 0;
}

static int sandbox_caps(void)
{
	cap_t none = cap_init();
	int r;

	if (!none)
		return -errno;
	r = cap_set_proc(none) < 0 ? -errno : 0;
	(void)cap_free(none);
	return r;
}

static void sandbox_release(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static int sandbox_filter(void)
{
	_cleanup_(sandbox_release) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r;

	if (!ctx)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_calls); i++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, sandbox_calls[i], 0);
		if (r < 0)
			return r;
	}
	return seccomp_load(ctx);
}

int sandbox_enter(void)
{
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;

	if (r == 0)
		r = sandbox_caps();
	if (r == 0)
		r = sandbox_limits();
	if (r == 0)
		r = sandbox_filter();
	return r;
}
