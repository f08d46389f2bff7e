/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader: a child of the injector that opens the target, gives up every
 * privilege, and only then parses. It can read the target's memory through an
 * fd that it already has, and talk to the injector; nothing else. The
 * injector side of the conversation is here too.
 */
#ifndef RECLAIM_WORKER_READER_H
#define RECLAIM_WORKER_READER_H

#include <sys/types.h>

#include "worker/reader-protocol.h"

struct reader {
	int fd; /* closing it ends the reader, and so does our end */
};

/* Forks the reader, which begins to open the target. The caller closes ret->fd. 0 or -errno. */
int reader_start(int piddir, struct reader *ret) __must_check;

/*
 * Asks and waits until @deadline_ns. 0; -ETIMEDOUT; -EPIPE when the reader
 * has died; -EBADMSG. After any failure the reader is of no more use.
 */
int reader_ask(const struct reader *rd, const struct reader_request *req, uint64_t deadline_ns,
	       struct reader_reply *ret) __must_check;

#endif
