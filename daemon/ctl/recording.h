/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of processes over time, in a file that "record" writes and "report" reads.
 *
 * A head of 40 bytes, then blocks: a byte says what it is, two how long it is, then that, then a CRC-32 of all
 * of it. A block is written at once, and says nothing that one before it doesn't help to understand: a file
 * that was cut anywhere is whole up to there. Numbers are in base 128, low digits first; a sample has only
 * what has changed since the one before it of the same process, times are since the block before.
 *
 * Whoever reads one trusts nothing in it: what is damaged ends it, and all that comes out is within bounds.
 */
#ifndef RECLAIM_CTL_RECORDING_H
#define RECLAIM_CTL_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "ctl/explain.h"

#define RECORDING_MAGIC "RCLREC\r\n" /* so that a transfer as text is noticed */
#define RECORDING_VERSION 1u
#define RECORDING_HEAD 40u
#define RECORDING_TARGETS 64u
#define RECORDING_TEXT 512u
#define RECORDING_BLOCK 2048u /* bytes of a block at most, without type, length and checksum */
#define RECORDING_SIZE_MAX (1ull << 57) /* more than a process can have; and 64 of them can be added up */
#define RECORDING_TIME_MAX (1ull << 56) /* two thousand years, in us */
#define RECORDING_UNKNOWN UINT64_MAX

/* Figures of a sample, in bytes. The numbers are a file format: more go to the end, in another version. */
enum recorded {
	RECORDED_RSS,
	RECORDED_ANON,
	RECORDED_FILE,
	RECORDED_SHMEM,
	RECORDED_SWAP,
	RECORDED_COUNTED, /* these the kernel keeps anyway; the others take a look */
	RECORDED_ACCOUNT = RECORDED_COUNTED, /* resident, by enum account_kind */
	RECORDED_GLIBC_IN_USE = RECORDED_ACCOUNT + ACCOUNT_N,
	RECORDED_GLIBC_CACHED,
	RECORDED_GLIBC_FREE_RESIDENT,
	RECORDED_GLIBC_FREE,
	RECORDED_PYTHON_IN_USE,
	RECORDED_PYTHON_FREE_RESIDENT,
	RECORDED_PYTHON_FREE,
	RECORDED_OFFER, /* what the best remedy promises */
	RECORDED_N,
};
_Static_assert(ACCOUNT_N == 10 && RECORDED_N == 23, "samples are a file format");

enum recording_event_kind {
	RECORDING_GROWTH = 1,
	RECORDING_DROP, /* the program freed it */
	RECORDING_RETURNED, /* what it had freed before went back */
	RECORDING_SWAPPED,
	RECORDING_TRIM, /* by the daemon, who said so */
	RECORDING_EXEC,
	RECORDING_EXIT,
	RECORDING_EVENTS,
};
const char *recording_event_name(enum recording_event_kind k); /* "growth" */

enum recording_type {
	RECORDING_BLOCK_TARGET = 1,
	RECORDING_BLOCK_SAMPLE,
	RECORDING_BLOCK_EVENT,
	RECORDING_BLOCK_END, /* it was finished, not cut off */
};

struct recording_head {
	uint64_t real_us; /* CLOCK_REALTIME when it began */
	uint64_t interval_us; /* as asked for */
};

/* Whom samples and events are about: they name it by its number. The first one is 0. */
struct recording_target {
	pid_t pid;
	uint64_t start_time;
	char comm[65], exe[RECORDING_TEXT]; /* raw */
};

struct recording_sample {
	bool looked; /* else only the counted figures are known */
	uint64_t v[RECORDED_N]; /* RECORDING_UNKNOWN when not known */
};

struct recording_event {
	enum recording_event_kind kind;
	int64_t bytes; /* resident size changed by so much; 0: that isn't the point */
	char words[RECORDING_TEXT]; /* raw, may be "" */
};

struct recording_block {
	enum recording_type type;
	uint32_t target; /* number; of a new one its own */
	uint64_t at_us; /* since the begin, the machine's sleep included */
	union {
		struct recording_target about;
		struct recording_sample sample;
		struct recording_event event;
	};
};

/* What blocks refer to. Zeroed: before the first one. */
struct recording_state {
	uint64_t at_us;
	uint32_t ntargets;
	uint64_t last[RECORDING_TARGETS][RECORDED_N]; /* each one more than it is, so that unknown is 0 */
};

/* The bytes of the head and of one block. @buf has RECORDING_HEAD, RECORDING_BLOCK + 7 bytes. Returns how many. */
void recording_encode_head(const struct recording_head *h, unsigned char *buf);
size_t recording_encode(struct recording_state *s, const struct recording_block *b, unsigned char *buf);

/* ---- writing ---- */

struct recording_writer {
	int dir, fd;
	char *name, *old; /* below dir; what was there before: NULL when nothing */
	uint64_t size, synced_us;
	struct recording_state state;
};

#define RECORDING_WRITER_NONE       \
	{                           \
		.dir = -1, .fd = -1 \
	}

/*
 * For its owner alone. A recording that is there already is kept as "PATH.old"; anything else that is there, at
 * either name, is left alone, and so is one that is still being written. 0, or -errno
 * (-EEXIST, -ENOTEMPTY, -EBUSY: such a thing) with one line in @why. The caller calls recording_close().
 */
int recording_create(const char *path, const struct recording_head *h, struct recording_writer *ret, char *why,
		     size_t size) __must_check;
/* 0, or -errno: then nothing of it is in the file, what was before still is, and no more may be put behind it. */
int recording_put(struct recording_writer *w, const struct recording_block *b) __must_check;
void recording_discard(struct recording_writer *w); /* as if it hadn't been created */
int recording_close(struct recording_writer *w); /* on disk. 0 or -errno; accepts closed ones */

/* ---- reading ---- */

enum recording_ending {
	RECORDING_ENDED, /* by a last block */
	RECORDING_CUT, /* in the middle of a block, or behind one: killed, or still being written */
	RECORDING_DAMAGED,
};

struct recording_reader {
	FILE *f; /* borrowed */
	struct recording_head head;
	struct recording_state state;
	enum recording_ending ending; /* when recording_next() has returned 0 */
	uint64_t offset; /* of what can't be read, then */
};

/* Reads from the begin. 0; -EBADMSG not a recording; -ENOTSUP of another version; -errno. */
int recording_read(FILE *f, struct recording_reader *ret) __must_check;
/* 1, 0 at the end, -errno. Blocks are in the order of time; targets come before what is about them. */
int recording_next(struct recording_reader *r, struct recording_block *ret) __must_check;

#endif
