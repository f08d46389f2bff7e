/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "reclaim-worker --serve": workers for whoever connects, see reclaim/worker.h. */
#ifndef RECLAIM_WORKER_DOOR_H
#define RECLAIM_WORKER_DOOR_H

/*
 * Takes the listening socket that a service manager passed (sd_listen_fds(3):
 * one, LISTEN_PID says that it is for us) and forks for each connection.
 *
 * 0 in such a child: it has said hello on WORKER_FD, is asked there as ever, and
 * ends as soon as the client has hung up, wherever it is. -EPIPE in one whose
 * client is gone already, -EACCES where it isn't of our uid. In the parent
 * -EBADF without such a socket and -errno when no more can be served.
 */
int door_serve(void) __attribute__((__warn_unused_result__));

#endif
