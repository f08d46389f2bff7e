/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the injector asks the reader, and the fixed-size answers. The reader
 * has parsed hostile input and may be under its control: the injector checks
 * lengths, ends every text itself, and verifies addresses against the target.
 */
#ifndef RECLAIM_WORKER_READER_PROTOCOL_H
#define RECLAIM_WORKER_READER_PROTOCOL_H

#include "base/regs.h"
#include "remedy/remedy.h"

#define READER_MAGIC 0x72646572u

enum reader_op {
	READER_PLAN, /* plan remedy number arg */
	READER_PROVE, /* judge the thread with these registers */
};

struct reader_request {
	uint32_t magic, op, arg, pad;
	struct cpu_regs regs;
};

struct reader_reply {
	uint32_t magic, op;
	int32_t error; /* of opening the target or entering the sandbox: -errno, nothing else is filled */
	uint32_t pad;
	union {
		struct remedy_plan plan;
		struct safepoint_verdict verdict;
	};
};

#endif
