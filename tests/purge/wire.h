/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between a Python that asks for its own purge (apply.c) and the planner that looks at it from outside (plan.c). */
#ifndef RECLAIM_TESTS_PURGE_WIRE_H
#define RECLAIM_TESTS_PURGE_WIRE_H

#include <stdint.h>

#define WIRE_WRITES 1000
#define WIRE_RANGES 1000
#define WIRE_VALUES 65536

enum wire_op {
	WIRE_SWEEP,
	WIRE_PREDICT,
};

struct wire_ask {
	uint32_t op, deep;
	uint64_t reserve, max_retired, max_bytes;
	uint32_t max_writes, max_ranges, max_values, max_reads;
	uint64_t budget_ns; /* of a check */
	uint32_t max_rounds, pad;
};

/* One round: then the writes, the ranges, the values. rounds with last set carry nothing but the figures. */
struct wire_round {
	uint32_t last, n_writes, n_ranges, n_values;
	int32_t error, pad;
	uint64_t figures[16];
};

enum wire_figure {
	WIRE_ROUNDS,
	WIRE_ARENAS,
	WIRE_TORN,
	WIRE_RESIDENT,
	WIRE_TOUCHED,
	WIRE_LISTS_TORN,
	WIRE_WRITES_SUM,
	WIRE_RANGES_SUM,
	WIRE_VALUES_SUM,
	WIRE_SCAN_US,
	WIRE_CHECK_US_MAX,
	WIRE_CHECK_US_SUM,
	WIRE_EMPTY, /* rounds that came out empty */
	WIRE_FREE_POOLS,
	WIRE_RETIRED_POOLS,
	WIRE_UNKNOWN,
	/* of a prediction */
	WIRE_NORMAL = 0,
	WIRE_DEEP = 1,
};

struct wire_write {
	uint64_t addr;
	uint32_t offset, len;
};

struct wire_range {
	uint64_t addr, len;
};

#endif
