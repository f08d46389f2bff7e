// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

#include "base/pstat.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* A copy of the target's own fd: takes the right to attach, as all else here does. */
static int partial_borrow(const struct inject_target *target, int fd)
{
	_cleanup_close_ int pidfd = pstat_pidfd(target->piddir, target->pid);
	int copy;

	if (pidfd < 0)
		return pidfd;
	copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	return copy < 0 ? -errno : copy;
}

static bool partial_socket(int fd)
{
	int least = 1;
	socklen_t len = sizeof(least);

	return getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &least, &len) < 0 || least > 1;
}

static bool partial_terminal(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return errno != ENOTTY && errno != EINVAL; /* another device */
	return !(t.c_lflag & ICANON) && t.c_cc[VMIN] > 1;
}

bool partial_read(const struct inject_target *target, uint64_t fd)
{
	_cleanup_close_ int copy = -1;
	char path[sizeof("fd/2147483647")];
	struct statx st;

	if (fd > INT_MAX)
		return true;
	(void)snprintf(path, sizeof(path), "fd/%d", (int)fd);
	/* The type is known to the kernel; asking a file system in user space for more could take for ever. */
	if (statx(target->piddir, path, AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
		return true;
	/* Only file systems that ask others sleep so that they can be interrupted, and then return what they have. */
	if (S_ISREG(st.stx_mode))
		return true;
	if (!S_ISSOCK(st.stx_mode) && !S_ISCHR(st.stx_mode))
		return false;
	copy = partial_borrow(target, (int)fd);
	if (copy < 0)
		return copy != -ENOSYS; /* before Linux 5.6 it can't be told */
	return S_ISSOCK(st.stx_mode) ? partial_socket(copy) : partial_terminal(copy);
}
