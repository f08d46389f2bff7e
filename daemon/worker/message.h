/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One message on a socket between the worker's processes, or to whoever asked. */
#ifndef RECLAIM_WORKER_MESSAGE_H
#define RECLAIM_WORKER_MESSAGE_H

#include <stddef.h>

/*
 * All of it or nothing. What was done is told only once: a signal, or a kernel that
 * has no memory for the message this very moment, is no reason not to tell. 0 or -errno.
 */
int message_send(int fd, const void *buf, size_t len);

/*
 * Without waiting, neither for memory nor for room: somebody may be stopped meanwhile, and a reader that its target has
 * captured may answer ahead and never read. 0 or -errno, -EAGAIN when there is no room.
 */
int message_try(int fd, const void *buf, size_t len);

#endif
