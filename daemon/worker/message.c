// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/message.h"

#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#define MESSAGE_TRIES 20
#define MESSAGE_PAUSE_NS 5000000

static int message_put(int fd, const void *buf, size_t len, int flags)
{
	ssize_t n;

	do
		n = send(fd, buf, len, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int message_try(int fd, const void *buf, size_t len)
{
	return message_put(fd, buf, len, MSG_DONTWAIT);
}

int message_send(int fd, const void *buf, size_t len)
{
	const struct timespec pause = { .tv_nsec = MESSAGE_PAUSE_NS };
	int r = message_put(fd, buf, len, 0);

	for (unsigned int i = 0; (r == -ENOBUFS || r == -ENOMEM) && i < MESSAGE_TRIES; i++) {
		(void)nanosleep(&pause, NULL);
		r = message_put(fd, buf, len, 0);
	}
	return r;
}
