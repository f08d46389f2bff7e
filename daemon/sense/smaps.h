/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: smaps as a stream of regions, in constant memory. */
#ifndef RECLAIM_SENSE_SMAPS_H
#define RECLAIM_SENSE_SMAPS_H

#include <stdbool.h>
#include <stddef.h>

#include "sense/region.h"

/* A region is a header with at most a path (4 KiB, newlines escaped to four bytes) and some 30 short lines. */
#define SMAPS_BUFFER ((size_t)64 << 10)

struct smaps {
	int fd;
	char *buf;
	size_t pos, used; /* buf[pos..used) has not been parsed yet */
	bool eof;
	uint64_t last_end;
	size_t n; /* regions so far */
};

/* The caller calls smaps_close(), also after a failure. 0, -ESRCH, -EACCES, -errno. */
int smaps_open(int piddir, struct smaps *ret) __must_check;
void smaps_close(struct smaps *s);

/*
 * 1 with a region, whose name lives until the next call; 0 at the true end;
 * -EBADMSG, -ESRCH when the process went away meanwhile, -EAGAIN when addresses
 * went backwards because the target remapped (start again), -errno.
 */
int smaps_next(struct smaps *s, struct region *ret) __must_check;

#endif
