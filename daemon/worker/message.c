// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/message.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#define MESSAGE_TRIES 20
#define MESSAGE_PAUSE_NS 5000000

int message_send(int fd, const void *buf, size_t len)
{
	const struct timespec pause = { .tv_nsec = MESSAGE_PAUSE_NS };
	ssize_t n;

	for (unsigned int i = 0;; i++) {
		n = send(fd, buf, len, MSG_NOSIGNAL);
		if (n >= 0)
			return (size_t)n == len ? 0 : -EIO;
		if (errno != EINTR && errno != ENOBUFS && errno != ENOMEM)
			return -errno;
		if (errno != EINTR && i >= MESSAGE_TRIES)
			return -errno;
		if (errno != EINTR)
			(void)nanosleep(&pause, NULL);
	}
}
