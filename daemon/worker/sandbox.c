// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/pagemap.h"

#define SANDBOX_MEMORY (8ull << 30) /* address space: big libraries are mapped to be parsed */
#define SANDBOX_DATA (512ull << 20) /* memory of its own: forged tables must not eat the machine's */
#define SANDBOX_CPU_SECONDS 60
#define SANDBOX_NOBODY 65534

static const int sandbox_calls[] = {
	SYS_read,
	SYS_pread64,
	SYS_recvfrom,
	SYS_sendto,
	SYS_fstat,
	SYS_newfstatat,
	SYS_lseek,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_brk,
	SYS_futex,
	SYS_clock_gettime,
	SYS_clock_nanosleep, /* message_send() waits for the kernel to have memory again */
	SYS_close,
	SYS_rt_sigreturn,
	SYS_rt_sigprocmask,
	SYS_getpid,
	SYS_gettid,
	SYS_exit,
	SYS_exit_group,
	SYS_restart_syscall,
	SYS_sysinfo, /* qsort() asks how much memory there is */
#ifdef __SANITIZE_ADDRESS__
	/* What it needs to leave, and to say what it has found. */
	SYS_sigaltstack,
	SYS_write,
#endif
};

/* Allowed with these arguments only: all of @mask in argument @arg is @value. */
static const struct {
	int nr;
	unsigned int arg;
	uint32_t mask, value;
} sandbox_filtered[] = {
	/* F_SETOWN and F_SETSIG, for one, could kill any process. */
	{ SYS_fcntl, 1, UINT32_MAX, F_GETFD },
	{ SYS_fcntl, 1, UINT32_MAX, F_GETFL },
	/* Of a pagemap that was opened before; on anything else the kernel refuses it. */
	{ SYS_ioctl, 1, UINT32_MAX, PAGEMAP_SCAN_CALL },
	{ SYS_mmap, 2, PROT_EXEC, 0 },
	{ SYS_mprotect, 2, PROT_EXEC, 0 },
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

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define RULES_BEGIN 4
#define RULE 2
#define RULE_ARGUMENT 6

/*
 * Written down here, and not built by a library: nothing is allocated, so that no
 * shortage of memory can leave a filter that is not this one. The arguments are
 * ints and flags below 2^32, of which the kernel looks at the low half only.
 */
static int sandbox_filter(void)
{
	struct sock_filter
		code[RULES_BEGIN + RULE * ARRAY_SIZE(sandbox_calls) + RULE_ARGUMENT * ARRAY_SIZE(sandbox_filtered) + 1];
	size_t n = 0;
	struct sock_fprog prog = { .filter = code };

	code[n++] = (struct sock_filter)LOAD(arch);
	code[n++] = (struct sock_filter)EQUAL(AUDIT_ARCH_X86_64, 1, 0);
	code[n++] = (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS);
	/* Numbers of x32 have a bit more, and so are none of these. */
	code[n++] = (struct sock_filter)LOAD(nr);
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_calls); i++) {
		code[n++] = (struct sock_filter)EQUAL((uint32_t)sandbox_calls[i], 0, 1);
		code[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_filtered); i++) {
		code[n++] = (struct sock_filter)EQUAL((uint32_t)sandbox_filtered[i].nr, 0, 5);
		code[n++] = (struct sock_filter)LOAD(args[sandbox_filtered[i].arg]);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, sandbox_filtered[i].mask);
		code[n++] = (struct sock_filter)EQUAL(sandbox_filtered[i].value, 0, 1);
		code[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
		code[n++] = (struct sock_filter)LOAD(nr);
	}
	code[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | ENOSYS);
	prog.len = (unsigned short)n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0 ? -errno : 0;
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
