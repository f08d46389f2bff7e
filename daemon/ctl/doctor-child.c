/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The child that "doctor" tries things on, and attaching to it. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/doctor.h"

#define STOP_NS 2000000000ull /* a sleeping child stops at once; this is for an overloaded machine */

int doctor_child_start(struct doctor *d)
{
	pid_t parent = getpid(), pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		/* Never outlives us, also when we are killed between the two lines. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		for (;;)
			pause();
	}
	d->child = pid;
	return 0;
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
