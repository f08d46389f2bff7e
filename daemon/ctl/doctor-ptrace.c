/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of what it takes to act on another process. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "base/parse.h"
#include "core/worker-client.h"
#include "ctl/doctor.h"

/* Linux 5.13 and 6.4: newer than the oldest C library that this is built with. */
#define GET_RSEQ_CONFIGURATION 0x420f
#define GET_USER_DISPATCH_CONFIG 0x4211

#define WORKER_TRY_US 5000000ull

static void check_attach(struct doctor *d, struct finding *ret)
{
	int r = doctor_seize(d, 0);

	if (r >= 0)
		r = doctor_release(d);
	if (r >= 0) {
		found(ret, HEALTH_OK, "a child of ours was attached to, stopped and let go");
		return;
	}
	found(ret, HEALTH_FAIL, "attaching to a child of ours failed: %s", strerror(-r));
	mend(ret,
	     "look for a seccomp filter or security module around this shell; in a container add --cap-add=SYS_PTRACE");
}

/* Yama stands between processes of one user that are not ancestor and descendant: our child can't show it. */
static void check_yama(struct doctor *d, struct finding *ret)
{
	bool capable = doctor_capable(d, CAP_SYS_PTRACE);
	char text[16];
	uint64_t scope;
	ssize_t n = doctor_read(d, "proc/sys/kernel/yama/ptrace_scope", text, sizeof(text));

	if (n == -ENOENT) {
		found(ret, HEALTH_OK, "Yama is not in this kernel");
		return;
	}
	if (n < 0 || parse_u64(text, 10, &scope) < 0) {
		found(ret, HEALTH_WARN, "kernel.yama.ptrace_scope can't be read");
		return;
	}
	if (scope == 0 || (scope <= 2 && capable)) {
		found(ret, HEALTH_OK, "kernel.yama.ptrace_scope=%ju%s", (uintmax_t)scope,
		      scope ? ", and CAP_SYS_PTRACE lets us pass" : "");
		return;
	}
	found(ret, HEALTH_FAIL, "kernel.yama.ptrace_scope=%ju lets us attach to %s", (uintmax_t)scope,
	      scope == 1 ? "our own descendants only" : "nobody");
	if (scope >= 3)
		mend(ret, "it can't be lowered in a running system: change it in /etc/sysctl.d and reboot");
	else
		mend(ret, "be root, or: sysctl kernel.yama.ptrace_scope=0");
}

static void check_capability(struct doctor *d, struct finding *ret)
{
	if (doctor_capable(d, CAP_SYS_PTRACE)) {
		found(ret, HEALTH_OK, "CAP_SYS_PTRACE: processes of every user%s",
		      doctor_initial_user_ns() ? "" : " of our user namespace");
		return;
	}
	found(ret, HEALTH_WARN, "no CAP_SYS_PTRACE: only processes of uid %u", getuid());
	mend(ret, "be root for processes of other users");
}

/* Reading another process's memory without stopping it. */
static void check_vm_readv(struct doctor *d, struct finding *ret)
{
	uint64_t copy = 0;
	struct iovec local = { .iov_base = &copy, .iov_len = sizeof(copy) };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)&d->probe, .iov_len = sizeof(copy) };

	if (process_vm_readv(d->child, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(copy) && copy == d->probe) {
		found(ret, HEALTH_OK, "process_vm_readv works");
		return;
	}
	found(ret, HEALTH_FAIL, "process_vm_readv on a child of ours failed: %s", strerror(errno));
	mend(ret, "needs CONFIG_CROSS_MEMORY_ATTACH, and no seccomp filter that forbids it");
}

/* Reads the allow-all filter of @d's child back. 0 or -errno. */
static int read_filter(const struct doctor *d)
{
	struct sock_filter insn = { 0 };
	int r = doctor_seize(d, 0);
	long n;

	if (r < 0)
		return r;
	n = ptrace((__typeof__(PTRACE_CONT))PTRACE_SECCOMP_GET_FILTER, d->child, 0, NULL);
	if (n == 1)
		n = ptrace((__typeof__(PTRACE_CONT))PTRACE_SECCOMP_GET_FILTER, d->child, 0, &insn);
	r = n < 0 ? -errno : n == 1 && insn.k == SECCOMP_RET_ALLOW ? 0 : -EBADMSG;
	if (r < 0)
		return r;
	return doctor_release(d);
}

static void check_get_filter(struct doctor *d, struct finding *ret)
{
	struct doctor filtered = { .root = -1 };
	int r = doctor_child_start(&filtered, true);

	(void)d;
	if (r < 0) {
		found(ret, HEALTH_WARN, "PTRACE_SECCOMP_GET_FILTER: not tried, a child under a filter can't be had: %s",
		      strerror(-r));
		return;
	}
	r = read_filter(&filtered);
	doctor_child_end(&filtered);
	if (r >= 0) {
		found(ret, HEALTH_OK, "PTRACE_SECCOMP_GET_FILTER: targets under a seccomp filter can be served");
		return;
	}
	found(ret, HEALTH_WARN,
	      "PTRACE_SECCOMP_GET_FILTER refused (%s): targets under a seccomp filter will be refused", strerror(-r));
	mend(ret, "needs CAP_SYS_ADMIN, CONFIG_CHECKPOINT_RESTORE and no seccomp filter on ourselves");
}

/* The kernel answers these for a stopped tracee with the size of the structure. */
static void check_get(struct doctor *d, int request, size_t size, const char *name, const char *without,
		      struct finding *ret)
{
	uint64_t buf[16];
	int r = doctor_seize(d, 0), saved;
	long got;

	if (r < 0) {
		found(ret, HEALTH_WARN, "%s: not tried, attaching failed: %s", name, strerror(-r));
		return;
	}
	errno = 0;
	got = ptrace((__typeof__(PTRACE_CONT))request, d->child, size, buf);
	saved = errno;
	r = doctor_release(d);
	if (r < 0)
		found(ret, HEALTH_WARN, "%s: letting the child go failed: %s", name, strerror(-r));
	else if (got >= 0)
		found(ret, HEALTH_OK, "%s works", name);
	else
		found(ret, HEALTH_INFO, "%s: %s; %s", name, strerror(saved), without);
}

static void check_rseq(struct doctor *d, struct finding *ret)
{
	check_get(d, GET_RSEQ_CONFIGURATION, 24, "PTRACE_GET_RSEQ_CONFIGURATION",
		  "restartable sequences of a target are not seen (Linux 5.13 and later)", ret);
}

static void check_dispatch(struct doctor *d, struct finding *ret)
{
	check_get(d, GET_USER_DISPATCH_CONFIG, 32, "PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG",
		  "syscall user dispatch of a target is not seen (Linux 6.4 and later)", ret);
}

/* The worker is found and starts: a dry run on the child, which is never stopped by it. */
static void check_worker(struct doctor *d, struct finding *ret)
{
	struct worker_request req = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = d->child,
		.flags = WORKER_F_DRY_RUN,
		.remedies = WORKER_REMEDY_TRIM,
		.timeout_us = WORKER_TRY_US,
		.owner = WORKER_OWNER_ANY,
	};
	char path[4096], reason[WORKER_TEXT_MAX];
	struct worker_result res;
	int r = worker_client_path(path, sizeof(path));

	if (r >= 0)
		r = worker_client_run(path, &req, &res);
	if (r < 0) {
		found(ret, HEALTH_FAIL, "%.150s can't be started: %s", path, strerror(-r));
		mend(ret, "install reclaim-worker, or name it with RECLAIM_WORKER=PATH");
		return;
	}
	escape_text(res.reason, reason, sizeof(reason));
	if (res.outcome == WORKER_FAILED || res.outcome == WORKER_TIMEOUT || res.outcome == WORKER_GONE) {
		found(ret, HEALTH_FAIL, "%.100s: a dry run failed: %.180s", path, reason);
		mend(ret, "reclaimctl and reclaim-worker must be of the same version; see the other failures");
		return;
	}
	found(ret, HEALTH_OK, "%.150s starts and answers", path);
}

const struct check doctor_ptrace_checks[] = {
	{ "ptrace", check_attach },
	{ "yama", check_yama },
	{ "cap-sys-ptrace", check_capability },
	{ "process-vm-readv", check_vm_readv },
	{ "ptrace-seccomp", check_get_filter },
	{ "ptrace-rseq", check_rseq },
	{ "ptrace-user-dispatch", check_dispatch },
	{ "worker", check_worker },
};
const size_t doctor_n_ptrace_checks = ARRAY_SIZE(doctor_ptrace_checks);
