/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: the answer to one request, out of what is received. Talks to nobody. */
#ifndef RECLAIM_SENSE_ANSWER_H
#define RECLAIM_SENSE_ANSWER_H

#include "sense/reply.h"

/* Called for each reply; a negative result ends the taking, and is the result of the request. */
typedef int (*answer_take_t)(const struct reply *reply, void *data);

struct answer {
	/* set by who asked */
	int family;
	uint32_t seq; /* of the request */
	char *text; /* REPLY_TEXT bytes for the kernel's own words */
	answer_take_t take;
	void *data;
	/* begin as zero */
	bool interrupted;
	int error; /* of ours; the rest of a dump is still read, else the next one finds this one going on */
};

/*
 * Reads a datagram. 0: there is more to come, 1: that was all of it, -EAGAIN: it
 * was, and the kernel says that it is of several moments, -EBADMSG, or what
 * failed on our side or its own.
 */
int answer_datagram(struct answer *a, const char *buf, size_t len) __must_check;

#endif
