/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract between reclaim-worker and whoever starts it (reclaimctl now,
 * the daemon).
 *
 * The client starts the worker with one end of a SOCK_SEQPACKET socketpair as
 * fd WORKER_FD, sends exactly one struct worker_request, and receives exactly
 * one struct worker_result, or what reclaim/explain.h says when it asked for
 * facts only; then the worker exits. A message whose length,
 * magic or version is not exactly right is refused. Texts are NUL-terminated;
 * a receiver puts the NUL there itself before it believes it.
 *
 * Or a client connects to the socket of "reclaim-worker --serve", which forks a
 * worker for each. Then a struct worker_hello comes before everything else,
 * with a pidfd of the worker (SCM_RIGHTS); the worker does nothing before that
 * was sent, serves nobody of another uid, and ends when the client hangs up.
 *
 * The client owns the last deadline: when no result came by timeout_us plus a
 * grace, it kills the worker, which is safe for the target at any moment.
 */
#ifndef RECLAIM_WORKER_H
#define RECLAIM_WORKER_H

#include <stdint.h>

#define WORKER_FD 3
#define WORKER_MAGIC 0x726c636du /* "rlcm" */
#define WORKER_VERSION 3u
#define WORKER_STEPS_MAX 8
#define WORKER_RANGES_MAX 256
#define WORKER_TEXT_MAX 256
#define WORKER_OWNER_ANY UINT32_MAX /* no user's id */

/* What is asked for. A worker from before these refuses the last two, since they come without remedies. */
enum worker_op {
	WORKER_OP_RECLAIM,
	WORKER_OP_EXPLAIN, /* look at everything; the target is never stopped */
	WORKER_OP_GLANCE, /* the same, cheaply: totals that a list of processes shows; what it leaves out is unknown */
	WORKER_NOPS,
};

enum worker_remedy {
	WORKER_REMEDY_COLLECT = 1 << 0,
	WORKER_REMEDY_TRIM = 1 << 1,
	WORKER_REMEDY_PURGE = 1 << 2,
	WORKER_REMEDY_COLD = 1 << 3,
	WORKER_REMEDY_PAGEOUT = 1 << 4,
};

enum worker_flag {
	WORKER_F_DRY_RUN = 1 << 0, /* say what would happen; the target is never stopped */
	WORKER_F_FORCE = 1 << 1, /* allow pid 1 */
	WORKER_F_ADVICE_FREE = 1 << 2, /* purge gives pages back by MADV_FREE instead of MADV_DONTNEED */
	WORKER_F_NORMAL = 1 << 3, /* purge: never retire pools (--depth=normal) */
	WORKER_F_DEEP = 1 << 4, /* purge: retire pools also when the target is busy (--depth=deep) */
	WORKER_F_AUTO = 1 << 5, /* of the remedies asked for, in the order of their bits, those that pay */
	WORKER_F_OUTSIDE = 1 << 6, /* explain: also cold and pageout, for which all its page tables are walked */
	WORKER_F_CELLS = 1 << 7, /* explain: a map as well */
	WORKER_F_WHOLE = 1 << 8, /* glance: the same totals, but nothing is left out */
};

enum worker_outcome {
	WORKER_RECLAIMED = 1, /* memory came back */
	WORKER_NOTHING, /* done, and nothing came back */
	WORKER_REFUSED, /* not safe or not supported: reason says why */
	WORKER_FAILED,
	WORKER_TIMEOUT, /* the deadline passed; the target has been let go */
	WORKER_DENIED, /* not permitted (exit status 4; "failed" in JSON) */
	WORKER_GONE, /* no such process any more (exit status 5; "failed" in JSON) */
	WORKER_WOULD, /* dry run: would act ("nothing" in JSON, reason says so) */
};

/* How it is known that memory has been left alone. Cold and pageout are refused without. */
enum worker_idle {
	WORKER_IDLE_UNKNOWN,
	WORKER_IDLE_AGES, /* nobody has accessed what is in ranges for idle_us: the kernel module has seen it */
	WORKER_IDLE_QUIET, /* idle_us ago the process had used cpu_ticks of the CPUs: no more since then */
	WORKER_NIDLE,
};

struct worker_range {
	uint64_t start, end; /* addresses, whole pages */
};

struct worker_request {
	uint32_t magic, version;
	int32_t pid;
	uint32_t flags; /* enum worker_flag */
	uint64_t start_time; /* of the process that was looked at (/proc/PID/stat field 22); 0: any */
	uint32_t remedies; /* enum worker_remedy bits; 0 unless op is WORKER_OP_RECLAIM */
	uint32_t op; /* enum worker_op */
	uint64_t timeout_us; /* for the whole operation; 1 ms .. 1 h */
	uint64_t max_stop_us; /* refuse when a stop is expected to be longer; 0: no limit */
	/*
	 * The user on whose behalf it is asked for, when only theirs may be touched, else WORKER_OWNER_ANY: a process
	 * may have become another user's since the client looked, by executing a set-user-id file.
	 */
	uint32_t owner;
	uint32_t reserved; /* 0 */
	/* of cold and pageout: */
	uint32_t idle; /* enum worker_idle */
	uint32_t nranges; /* of WORKER_IDLE_AGES */
	uint64_t idle_us;
	uint64_t cpu_ticks; /* of WORKER_IDLE_QUIET: utime + stime of /proc/PID/stat */
	uint64_t max_bytes; /* at most so many; 0: no limit */
	uint64_t swap_keep; /* bytes of swap that stay free */
	struct worker_range ranges[WORKER_RANGES_MAX]; /* ascending, not overlapping */
};

struct worker_hello {
	uint32_t magic, version;
	int32_t pid; /* as the worker sees itself; for messages, signals go by the pidfd */
	uint32_t unused;
};

struct worker_step {
	uint32_t remedy; /* one enum worker_remedy bit */
	uint32_t has_predicted;
	uint64_t predicted; /* bytes */
	int64_t freed; /* bytes, measured; negative when the target grew meanwhile */
	int64_t swapped; /* bytes that are in swap now and weren't before: moved there, not freed */
	int64_t zeroes; /* and what fell when the kernel then split torn huge pages: it drops pages of zeros (6.12) */
	uint64_t stopped_us; /* all stops together */
	uint64_t duration_us;
	uint64_t call_us; /* the part of stopped_us spent in the target's own function */
	char detail[WORKER_TEXT_MAX];
};

struct worker_result {
	uint32_t magic, version;
	int32_t pid;
	uint32_t outcome; /* enum worker_outcome */
	uint64_t start_time;
	uint64_t rss_before, rss_after; /* bytes */
	int64_t freed; /* rss_before - rss_after */
	uint64_t stopped_us_max; /* the longest of all stops */
	uint32_t nsteps;
	uint32_t huge_torn; /* huge pages that lost a part and were split */
	char comm[WORKER_TEXT_MAX]; /* raw bytes of the target's comm */
	char reason[WORKER_TEXT_MAX]; /* "" when none */
	struct worker_step steps[WORKER_STEPS_MAX];
};

_Static_assert(sizeof(struct worker_request) == 96 + WORKER_RANGES_MAX * 16, "worker_request is a wire format");
_Static_assert(sizeof(struct worker_step) == 320, "worker_step is a wire format");
_Static_assert(sizeof(struct worker_result) == 64 + 2 * WORKER_TEXT_MAX + WORKER_STEPS_MAX * 320,
	       "worker_result is a wire format");

#endif
