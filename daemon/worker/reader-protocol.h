/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the injector asks the reader, and the fixed-size answers. The reader
 * has parsed hostile input and may be under its control: the injector checks
 * lengths, ends every text itself, and verifies addresses against the target.
 */
#ifndef RECLAIM_WORKER_READER_PROTOCOL_H
#define RECLAIM_WORKER_READER_PROTOCOL_H

#include "base/regs.h"
#include "reclaim/worker.h"
#include "remedy/advise.h"
#include "remedy/purge.h"

#define READER_MAGIC 0x72646572u

enum reader_op {
	READER_PLAN, /* plan remedy number arg */
	READER_PROVE, /* judge the thread with these registers; arg: enum reader_prove */
	READER_SCAN, /* the next round of a purge */
	READER_CHECK, /* what holds of it under the lock: answered in the shared lists */
	READER_HUGE, /* huge pages; arg: enum reader_huge; answered in the shared lists' ranges */
	READER_ADVISE, /* the next ranges that a cold or pageout was planned for */
	READER_LOOK, /* read there: may hang, where the injector must not */
	/* arg: enum worker_op, or READER_EXPLAIN_MAP; behind the reply come the messages of reclaim/explain.h */
	READER_EXPLAIN,
};

#define READER_EXPLAIN_MAP WORKER_NOPS /* WORKER_OP_EXPLAIN, with a map */

enum reader_huge {
	READER_HUGE_NOTE, /* remember them; as many ranges as below says */
	READER_HUGE_TORN, /* a page each of those that have lost a part since */
};

enum reader_huge_noted { READER_HUGE_NONE, READER_HUGE_SEEN, READER_HUGE_GUESSED };

enum reader_prove {
	READER_PROVE_CALL, /* may it call into the allocator? */
	READER_PROVE_PYTHON, /* and may it take Python's global lock? */
	READER_PROVE_QUEUE, /* and may it add to Python's pending calls? */
	READER_PROVE_QUEUE_ALONE, /* the same, of the only thread */
};

struct reader_request {
	uint32_t magic, op, arg;
	uint32_t seq; /* filled by reader_ask(), echoed in the reply */
	union {
		struct cpu_regs regs; /* READER_PROVE */
		struct purge_ask ask; /* READER_SCAN, READER_CHECK */
		struct {
			uint64_t addr, len;
		} look; /* READER_LOOK */
	};
};

struct reader_reply {
	uint32_t magic, op;
	/* of opening the target or entering the sandbox, or of a scan or check: -errno, nothing else is filled */
	int32_t error;
	uint32_t seq;
	union {
		struct remedy_plan plan;
		struct safepoint_verdict verdict;
		struct purge_round round;
		struct advise_round advise;
	};
};

#endif
