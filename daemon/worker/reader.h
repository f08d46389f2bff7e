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

#include "worker/idle.h"
#include "worker/reader-protocol.h"

struct reader {
	int fd; /* closing it ends the reader, and so does our end */
	pid_t pid; /* 0: there is none, or it has been reaped */
	/*
	 * Memory shared with the reader, which is not trusted and may write to it
	 * at any moment: copy first, then look.
	 */
	const struct purge_lists *lists;
};

#define READER_NONE      \
	{                \
		.fd = -1 \
	}

/*
 * Forks the reader, which begins to open the target, and knows of @req what it says of idle memory. The caller calls
 * reader_close(). 0 or -errno.
 */
int reader_start(int piddir, const struct worker_request *req, struct reader *ret) __must_check;

void reader_close(struct reader *rd); /* accepts READER_NONE and closed ones */

/*
 * The same, and reaps it, so that what it cost is booked to whoever waits for us: nearly all that a look costs. One
 * that can't be killed at once (asleep in the kernel) is left behind.
 */
void reader_end(struct reader *rd);

/*
 * Asks and waits until @deadline_ns. 0; -ETIMEDOUT: the answer is dropped when
 * it comes, and the next one may be asked for; -EPIPE when the reader has
 * died, -EBADMSG: it is of no more use.
 */
int reader_ask(const struct reader *rd, const struct reader_request *req, uint64_t deadline_ns,
	       struct reader_reply *ret) __must_check;

/* struct inject_target's look(); @reader is a struct reader. */
int reader_look(void *reader, uint64_t addr, size_t len, uint64_t deadline_ns) __must_check;

/*
 * What comes behind a reply: the length of the next message, which is longer
 * than @size when it didn't fit. -ETIMEDOUT, -EPIPE.
 */
ssize_t reader_next(const struct reader *rd, void *buf, size_t size, uint64_t deadline_ns) __must_check;

#endif
