/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the room only: a worker that is had by connecting to a socket, so that
 * the daemon, which talks to strangers, may be confined as the worker can't be
 * (reclaim/worker.h has the contract). Such a worker is no child of ours: its
 * pidfd comes with its first message.
 */
#ifndef RECLAIM_CORE_WORKER_DOOR_H
#define RECLAIM_CORE_WORKER_DOOR_H

#include "core/worker-process.h"

/* Whether @path is such a socket and not a program. */
bool worker_is_door(const char *path);

/*
 * Asks for a worker; returns at once, before there is one. 0; -ENOBUFS when
 * too many wait already; -EACCES when others than root could stand behind
 * that door; -errno.
 */
int worker_knock(struct worker *w, const char *path) __must_check;

/*
 * Takes its first message, and sends the request that waited for it. 0; -EAGAIN not yet; -EPIPE nobody came, or
 * something else than a worker; -errno.
 */
int worker_meet(struct worker *w) __must_check;

#endif
