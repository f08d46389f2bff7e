/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a ledger: "ledger-N" holds the records N, N + 1, ... one behind
 * the other, so that a record's place says which one it must be.
 */
#ifndef RECLAIM_CORE_LEDGER_SEGMENT_H
#define RECLAIM_CORE_LEDGER_SEGMENT_H

#include "core/ledger-record.h"

#define LEDGER_SEGMENT_MIN (16ull * LEDGER_SLOT)
#define LEDGER_SEGMENT_MAX (8ull << 30)
#define LEDGER_SEGMENT_NAME 32

struct ledger_segment {
	uint64_t first, size; /* number of the first record, bytes */
};

struct ledger_segments {
	struct ledger_segment *v; /* malloc'ed, oldest first */
	size_t n;
	bool gone; /* one went while they were listed: younger ones may have come that aren't here */
};

/* What else lies in the folder is passed over. 0 or -errno. */
int ledger_segments_list(int dir, struct ledger_segments *ret) __must_check;
void ledger_segments_done(struct ledger_segments *s);

char *ledger_segment_name(uint64_t first, char buf[static LEDGER_SEGMENT_NAME]);

/* Opens with O_CLOEXEC and as what it must be, a regular file. fd or -errno. */
int ledger_segment_open(int dir, uint64_t first, int flags) __must_check;

/* Reads until @size or the end of the file. Bytes or -errno. */
ssize_t ledger_segment_read(int fd, void *buf, size_t size, uint64_t offset) __must_check;

#endif
