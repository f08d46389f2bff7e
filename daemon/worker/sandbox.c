// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/pagemap.h"

#define SANDBOX_MEMORY (8ull << 30) /* address space: big libraries are mapped to be parsed */
#define SANDBOX_DATA (512ull << 20) /* memory of its own: forged tables must not eat the machine's */
#define SANDBOX_CPU_SECONDS 60
#define SANDBOX_NOBODY 65534

static const int sandbox_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(pread64),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lseek),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(close),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(sysinfo), /* qsort() asks how much memory there is */
#ifdef __SANITIZE_ADDRESS__
	/* What it needs to leave, and to say what it has found. */
	SCMP_SYS(sigaltstack),
	SCMP_SYS(write),
#endif
};

/* Allowed with these arguments only. F_SETOWN and F_SETSIG, for one, could kill any process. */
static const struct {
	int nr;
	struct scmp_arg_cmp arg;
} sandbox_filtered[] = {
	{ SCMP_SYS(fcntl), { .arg = 1, .op = SCMP_CMP_EQ, .datum_a = F_GETFD } },
	{ SCMP_SYS(fcntl), { .arg = 1, .op = SCMP_CMP_EQ, .datum_a = F_GETFL } },
	/* Of a pagemap that was opened before; on anything else the kernel refuses it. */
	{ SCMP_SYS(ioctl), { .arg = 1, .op = SCMP_CMP_EQ, .datum_a = PAGEMAP_SCAN_CALL } },
	{ SCMP_SYS(mmap), { .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0 } },
	{ SCMP_SYS(mprotect), { .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0 } },
};

/* When memory runs out because of what we read, we are the ones to go. */
static int sandbox_oom_first(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "1000", 4) != 4 ? -errno : 0;
}

/* Root's open fds stay, root's power over other processes and files goes. */
static int sandbox_user(void)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) == 0 && setresgid(SANDBOX_NOBODY, SANDBOX_NOBODY, SANDBOX_NOBODY) == 0 &&
	    setresuid(SANDBOX_NOBODY, SANDBOX_NOBODY, SANDBOX_NOBODY) == 0)
		return 0;
	/* A user namespace that knows no such user has no power outside of it. */
	return errno == EINVAL || errno == EPERM ? 0 : -errno;
}

/* Changing the user has reset both, so our parent may have died unnoticed. */
static int sandbox_process(pid_t parent)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static int sandbox_limits(void)
{
	static const struct {
		int resource;
		rlim_t value;
	} limits[] = {
		{ RLIMIT_AS, SANDBOX_MEMORY },
		{ RLIMIT_DATA, SANDBOX_DATA },
		{ RLIMIT_CPU, SANDBOX_CPU_SECONDS },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_CORE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit rl = { .rlim_cur = limits[i].value, .rlim_max = limits[i].value };

#ifdef __SANITIZE_ADDRESS__
		if (limits[i].resource == RLIMIT_AS || limits[i].resource == RLIMIT_DATA)
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
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_filtered); i++) {
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, sandbox_filtered[i].nr, 1, &sandbox_filtered[i].arg);
		if (r < 0)
			return r;
	}
	return seccomp_load(ctx);
}

int sandbox_enter(void)
{
	const pid_t parent = getppid();
	int r = sandbox_oom_first();

	if (r == 0)
		r = sandbox_user();
	if (r == 0)
		r = sandbox_process(parent);
	if (r == 0)
		r = sandbox_caps();
	if (r == 0)
		r = sandbox_limits();
	if (r == 0)
		r = sandbox_filter();
	return r;
}
