/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Skips a test where there are no pidfds, nor what takes one: valgrind 3.19. After <cmocka.h>. */
#ifndef RECLAIM_TESTS_NEED_PIDFD_H
#define RECLAIM_TESTS_NEED_PIDFD_H

#include <sys/syscall.h>
#include <unistd.h>

static inline void need_pidfd(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd < 0)
		skip();
	(void)close(fd);
}

#endif
