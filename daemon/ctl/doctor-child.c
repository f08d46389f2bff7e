/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The child that "doctor" tries things on, and attaching to it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/doctor.h"

#define STOP_NS 2000000000ull /* a sleeping child stops at once; this is for an overloaded machine */

static int allow_all(void)
{
	struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
	const struct sock_fprog prog = { .len = 1, .filter = &allow };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		return -errno;
	return 0;
}

/* Tells how it went through @fd, then sleeps until it is killed. */
static void __attribute__((__noreturn__)) be_child(pid_t parent, bool filtered, int fd)
{
	int r = prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;

	/* Never outlives us, also when we were killed before that line. */
	if (getppid() != parent)
		_exit(1);
	if (r >= 0 && filtered)
		r = allow_all();
	if (write(fd, &r, sizeof(r)) != sizeof(r) || r < 0)
		_exit(1);
	for (;;)
		pause();
}

int doctor_child_start(struct doctor *d, bool filtered)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	pid_t parent = getpid(), pid;
	int fds[2], r = -EIO;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		be_child(parent, filtered, theirs);
	closep(&theirs);
	d->child = pid;
	do
		n = read(ours, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	/* Nothing: it has died. */
	if (n != sizeof(r))
		r = -ESRCH;
	if (r < 0)
		doctor_child_end(d);
	return r;
}

void doctor_child_end(struct doctor *d)
{
	pid_t r;

	if (d->child <= 0)
		return;
	(void)kill(d->child, SIGKILL);
	do
		r = waitpid(d->child, NULL, 0);
	while (r < 0 && errno == EINTR);
	d->child = 0;
}

/* pidfds don't tell of stops, so this asks again and again, for a short while. */
static int wait_for_stop(pid_t pid)
{
	const struct timespec pause_for = { .tv_nsec = 200000 };
	uint64_t deadline = clock_ns() + STOP_NS;
	int status;

	while (clock_ns() < deadline) {
		pid_t r = waitpid(pid, &status, WNOHANG | __WALL);

		if (r == pid)
			return WIFSTOPPED(status) ? 0 : -ESRCH;
		if (r < 0 && errno != EINTR)
			return -errno;
		(void)nanosleep(&pause_for, NULL);
	}
	return -ETIMEDOUT;
}

int doctor_seize(const struct doctor *d, unsigned long options)
{
	int r;

	if (ptrace(PTRACE_SEIZE, d->child, 0, options) < 0)
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, d->child, 0, 0) < 0)
		return -errno;
	r = wait_for_stop(d->child);
	/* It can't be detached while it runs; it is killed at the end anyway. */
	return r;
}

int doctor_release(const struct doctor *d)
{
	return ptrace(PTRACE_DETACH, d->child, 0, 0) < 0 ? -errno : 0;
}
