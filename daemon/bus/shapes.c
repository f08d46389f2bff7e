/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables: which member of which struct has which key. Documentation/dbus/org.reclaim1.rst lists them for people. */
#include "bus/shape.h"
#include "core/ledger.h"
#include "core/manager.h"
#include "core/worker-client.h"
#include "reclaim/explain.h"
#include "reclaim/worker.h"

/* One row of a table. */
#define ROW(type, member, k, how, ...)                                                       \
	{                                                                                    \
		.key = (k), .kind = (how), .offset = offsetof(type, member), ##__VA_ARGS__ \
	}
#define U32(type, member, k) ROW(type, member, k, SHAPE_U32)
#define I32(type, member, k) ROW(type, member, k, SHAPE_I32)
#define U64(type, member, k) ROW(type, member, k, SHAPE_U64)
#define I64(type, member, k) ROW(type, member, k, SHAPE_I64)
#define FLAG(type, member, k) ROW(type, member, k, SHAPE_FLAG)
#define TEXT(type, member, k) ROW(type, member, k, SHAPE_TEXT)
#define CHARS(type, member, k) ROW(type, member, k, SHAPE_CHARS, .n = sizeof(((type *)0)->member))
#define NAME(type, member, k, names, max) ROW(type, member, k, SHAPE_NAME, .n = (max), .name = (names))
#define BITS(type, member, k, names, max) ROW(type, member, k, SHAPE_BITS, .n = (max), .name = (names))
#define BIT(type, member, k, names, max) ROW(type, member, k, SHAPE_BIT, .n = (max), .name = (names))
#define ROWS(type, member, k, rows, columns) ROW(type, member, k, SHAPE_ROWS, .n = (rows), .width = (columns))
#define DICT(type, member, k, shape) ROW(type, member, k, SHAPE_DICT, .of = &(shape))
#define LIST(how, type, member, counter, k, shape, max) \
	ROW(type, member, k, how, .n = (max), .of = &(shape), .count = offsetof(type, counter))
#define SHAPE(table, type) { .v = (table), .n = ARRAY_SIZE(table), .size = sizeof(type) }

/* Names by number; NULL where there is none. */
#define NAMES(function, ...)                                                       \
	static const char *function(uint32_t value)                                \
	{                                                                          \
		static const char *const names[] = { __VA_ARGS__ };                \
		return value < ARRAY_SIZE(names) ? names[value] : NULL;            \
	}

NAMES(outcome_name, [WORKER_RECLAIMED] = "reclaimed", [WORKER_NOTHING] = "nothing", [WORKER_REFUSED] = "refused",
      [WORKER_FAILED] = "failed", [WORKER_TIMEOUT] = "timeout", [WORKER_DENIED] = "denied", [WORKER_GONE] = "gone",
      [WORKER_WOULD] = "would")
NAMES(allocator_name, [EXPLAIN_ALLOC_GLIBC] = "glibc", [EXPLAIN_ALLOC_MUSL] = "musl",
      [EXPLAIN_ALLOC_JEMALLOC] = "jemalloc", [EXPLAIN_ALLOC_TCMALLOC] = "tcmalloc",
      [EXPLAIN_ALLOC_MIMALLOC] = "mimalloc", [EXPLAIN_ALLOC_TBB] = "tbbmalloc", [EXPLAIN_ALLOC_GO] = "go",
      [EXPLAIN_ALLOC_OTHER] = "other")
NAMES(runtime_name, [EXPLAIN_RUNTIME_CPYTHON] = "cpython", [EXPLAIN_RUNTIME_GO] = "go",
      [EXPLAIN_RUNTIME_JAVA] = "java", [EXPLAIN_RUNTIME_NODE] = "node", [EXPLAIN_RUNTIME_RUBY] = "ruby")
NAMES(layer_name, [EXPLAIN_ABSENT] = "absent", [EXPLAIN_READ] = "read", [EXPLAIN_ESTIMATE] = "estimate",
      [EXPLAIN_UNREADABLE] = "unreadable")
NAMES(owner_name, [EXPLAIN_OWNER_GLIBC_HEAP] = "glibc-heap", [EXPLAIN_OWNER_GLIBC_MMAP] = "glibc-mmap",
      [EXPLAIN_OWNER_PYMALLOC] = "pymalloc")
NAMES(glibc_flag_name, "dynamic", "partial", "unused")
NAMES(python_flag_name, "free-threaded", "no-pymalloc")
NAMES(arena_flag_name, "main", "torn")

const char *shape_remedy_name(uint32_t bit)
{
	static const char *const names[SHAPE_REMEDIES] = { "collect", "trim", "purge", "cold", "pageout" };

	return bit < SHAPE_REMEDIES ? names[bit] : NULL;
}

static const char *kind_name(uint32_t kind)
{
	return kind ? ledger_kind_name((enum ledger_kind)kind) : NULL;
}

/* ---------------------------------------------------------------- trim */

static const struct shape_member step_members[] = {
	BIT(struct worker_step, remedy, "remedy", shape_remedy_name, SHAPE_REMEDIES),
	U64(struct worker_step, predicted, "predicted"),
	I64(struct worker_step, freed, "freed"),
	I64(struct worker_step, swapped, "swapped"),
	I64(struct worker_step, zeroes, "zeroes"),
	U64(struct worker_step, stopped_us, "stopped_us"),
	U64(struct worker_step, duration_us, "duration_us"),
	U64(struct worker_step, call_us, "call_us"),
	CHARS(struct worker_step, detail, "detail"),
};
static const struct shape step = SHAPE(step_members, struct worker_step);

static const struct shape_member result_members[] = {
	I32(struct worker_result, pid, "pid"),
	U64(struct worker_result, start_time, "start_time"),
	CHARS(struct worker_result, comm, "comm"),
	NAME(struct worker_result, outcome, "outcome", outcome_name, WORKER_WOULD + 1),
	CHARS(struct worker_result, reason, "reason"),
	U64(struct worker_result, rss_before, "rss_before"),
	U64(struct worker_result, rss_after, "rss_after"),
	I64(struct worker_result, freed, "freed"),
	U64(struct worker_result, stopped_us_max, "stopped_us_max"),
	U32(struct worker_result, huge_torn, "huge_torn"),
	LIST(SHAPE_LIST, struct worker_result, steps, nsteps, "steps", step, WORKER_STEPS_MAX),
};
const struct shape shape_result = SHAPE(result_members, struct worker_result);

/* ---------------------------------------------------------------- explain */

static const struct shape_member glibc_members[] = {
	NAME(struct explain_glibc, layer, "state", layer_name, EXPLAIN_NLAYERS),
	CHARS(struct explain_glibc, why, "why"),
	BITS(struct explain_glibc, flags, "flags", glibc_flag_name, 3),
	U32(struct explain_glibc, major, "major"),
	U32(struct explain_glibc, minor, "minor"),
	U64(struct explain_glibc, system, "system"),
	U64(struct explain_glibc, in_use, "in_use"),
	U64(struct explain_glibc, cached, "cached"),
	U64(struct explain_glibc, free, "free"),
	U64(struct explain_glibc, free_resident, "free_resident"),
	U64(struct explain_glibc, fastbins, "fast_bins"),
	U64(struct explain_glibc, tcaches, "thread_caches"),
	U64(struct explain_glibc, unknown, "unknown"),
	U64(struct explain_glibc, foreign, "foreign"),
	U64(struct explain_glibc, live_blocks, "live_blocks"),
	U64(struct explain_glibc, free_blocks, "free_blocks"),
	U64(struct explain_glibc, mmapped, "mmapped"),
	U64(struct explain_glibc, mmapped_blocks, "mmapped_blocks"),
	U64(struct explain_glibc, trim_threshold, "trim_threshold"),
	U64(struct explain_glibc, mmap_threshold, "mmap_threshold"),
	U64(struct explain_glibc, top_pad, "top_pad"),
	U64(struct explain_glibc, thp_pagesize, "thp_pagesize"),
	U64(struct explain_glibc, threads, "threads"),
	U64(struct explain_glibc, threads_read, "threads_read"),
	ROWS(struct explain_glibc, runs, "free_runs", EXPLAIN_LOGS, 3),
	ROWS(struct explain_glibc, pins, "pins", EXPLAIN_PINS, 4),
};
static const struct shape glibc = SHAPE(glibc_members, struct explain_glibc);

static const struct shape_member python_members[] = {
	NAME(struct explain_python, layer, "state", layer_name, EXPLAIN_NLAYERS),
	CHARS(struct explain_python, why, "why"),
	BITS(struct explain_python, flags, "flags", python_flag_name, 2),
	U32(struct explain_python, version, "version"),
	U64(struct explain_python, arena_size, "arena_size"),
	U64(struct explain_python, pool_size, "pool_size"),
	U64(struct explain_python, arenas, "arenas"),
	U64(struct explain_python, arena_bytes, "arena_bytes"),
	U64(struct explain_python, pools_used, "pools_used"),
	U64(struct explain_python, pools_full, "pools_full"),
	U64(struct explain_python, pools_free, "pools_free"),
	U64(struct explain_python, pools_virgin, "pools_virgin"),
	U64(struct explain_python, pools_retired, "pools_retired"),
	U64(struct explain_python, used_blocks, "blocks_used"),
	U64(struct explain_python, free_blocks, "blocks_free"),
	U64(struct explain_python, in_use, "in_use"),
	U64(struct explain_python, free, "free"),
	U64(struct explain_python, resident, "resident"),
	U64(struct explain_python, free_resident, "free_resident"),
	U64(struct explain_python, free_resident_pools, "free_resident_pools"),
	U64(struct explain_python, free_resident_blocks, "free_resident_blocks"),
	U64(struct explain_python, unknown, "unknown"),
	ROWS(struct explain_python, classes, "classes", EXPLAIN_CLASSES, 4),
	ROWS(struct explain_python, pins, "pins", EXPLAIN_PYTHON_PINS, 5),
};
static const struct shape python = SHAPE(python_members, struct explain_python);

static const struct shape_member remedy_members[] = {
	BIT(struct explain_remedy, remedy, "remedy", shape_remedy_name, SHAPE_REMEDIES),
	FLAG(struct explain_remedy, possible, "possible"),
	CHARS(struct explain_remedy, reason, "reason"),
	U64(struct explain_remedy, predicted, "predicted"),
	U64(struct explain_remedy, lower, "lower"),
	U64(struct explain_remedy, upper, "upper"),
	U64(struct explain_remedy, deep, "deep"),
};
static const struct shape remedy = SHAPE(remedy_members, struct explain_remedy);

static const struct shape_member arena_members[] = {
	U64(struct explain_arena, address, "address"),
	BITS(struct explain_arena, flags, "flags", arena_flag_name, 2),
	U32(struct explain_arena, heaps, "heaps"),
	U64(struct explain_arena, system, "system"),
	U64(struct explain_arena, in_use, "in_use"),
	U64(struct explain_arena, cached, "cached"),
	U64(struct explain_arena, free, "free"),
	U64(struct explain_arena, free_resident, "free_resident"),
	U64(struct explain_arena, top, "top"),
	U64(struct explain_arena, top_resident, "top_resident"),
	U64(struct explain_arena, trim, "trim"),
	U64(struct explain_arena, live_blocks, "live_blocks"),
	U64(struct explain_arena, free_blocks, "free_blocks"),
	U64(struct explain_arena, threads, "threads"),
	ROWS(struct explain_arena, runs, "page_runs", EXPLAIN_RUN_LOGS, 2),
	ROWS(struct explain_arena, pinned, "pinned", 1, 4),
};
static const struct shape arena = SHAPE(arena_members, struct explain_arena);

static const struct shape_member range_members[] = {
	U64(struct explain_range, lo, "start"),
	U64(struct explain_range, hi, "end"),
	U64(struct explain_range, resident, "resident"),
	NAME(struct explain_range, owner, "owner", owner_name, EXPLAIN_NOWNERS),
};
static const struct shape range = SHAPE(range_members, struct explain_range);

#define ANSWER struct explain_answer

static const struct shape_member facts_members[] = {
	I32(ANSWER, head.pid, "pid"),
	U64(ANSWER, head.start_time, "start_time"),
	NAME(ANSWER, head.outcome, "outcome", outcome_name, WORKER_WOULD + 1),
	CHARS(ANSWER, head.reason, "reason"),
	NAME(ANSWER, head.allocator, "allocator", allocator_name, EXPLAIN_NALLOCATORS),
	NAME(ANSWER, head.also, "also", allocator_name, EXPLAIN_NALLOCATORS),
	NAME(ANSWER, head.runtime, "runtime", runtime_name, EXPLAIN_NRUNTIMES),
	U64(ANSWER, head.elapsed_us, "elapsed_us"),
	LIST(SHAPE_LIST, ANSWER, head.remedies, head.nremedies, "remedies", remedy, EXPLAIN_REMEDIES_MAX),
	DICT(ANSWER, head.glibc, "glibc", glibc),
	DICT(ANSWER, head.python, "cpython", python),
	U64(ANSWER, head.arenas_total, "arenas_total"),
	LIST(SHAPE_HEAP, ANSWER, arenas, head.narenas, "arenas", arena, EXPLAIN_ARENAS_MAX),
	LIST(SHAPE_HEAP, ANSWER, ranges, head.nranges, "ranges", range, EXPLAIN_RANGES_MAX),
};
const struct shape shape_facts = SHAPE(facts_members, struct explain_answer);

/* ---------------------------------------------------------------- lists */

static const struct shape_member process_members[] = {
	I32(struct manager_process, pid, "pid"),
	U64(struct manager_process, start_time, "start_time"),
	U32(struct manager_process, uid, "uid"),
	TEXT(struct manager_process, comm, "comm"),
	TEXT(struct manager_process, exe, "exe"),
	TEXT(struct manager_process, unit, "unit"),
	TEXT(struct manager_process, allocator, "allocator"),
	TEXT(struct manager_process, runtime, "runtime"),
	U64(struct manager_process, rss, "rss"),
	U64(struct manager_process, anon, "anon"),
	U64(struct manager_process, swap, "swap"),
	U64(struct manager_process, idle, "idle"),
	U64(struct manager_process, predicted, "predicted"),
	U64(struct manager_process, last_freed, "last_freed"),
	U64(struct manager_process, last_action_us, "last_action_us"),
	U64(struct manager_process, not_before_us, "not_before_us"),
	U64(struct manager_process, quiet_us, "quiet_us"),
	U32(struct manager_process, actions, "actions"),
	TEXT(struct manager_process, verdict, "verdict"),
	TEXT(struct manager_process, reason, "reason"),
	TEXT(struct manager_process, words, "words"),
};
const struct shape shape_process = SHAPE(process_members, struct manager_process);

static const struct shape_member record_members[] = {
	U64(struct ledger_record, seq, "seq"),
	U64(struct ledger_record, real_us, "real_us"),
	U64(struct ledger_record, boot_us, "boot_us"),
	CHARS(struct ledger_record, boot_id, "boot_id"),
	NAME(struct ledger_record, kind, "kind", kind_name, LEDGER_KINDS),
	I32(struct ledger_record, pid, "pid"),
	U64(struct ledger_record, start_time, "start_time"),
	U32(struct ledger_record, uid, "uid"),
	CHARS(struct ledger_record, comm, "comm"),
	CHARS(struct ledger_record, exe, "exe"),
	CHARS(struct ledger_record, unit, "unit"),
	CHARS(struct ledger_record, slice, "slice"),
	CHARS(struct ledger_record, cgroup, "cgroup"),
	CHARS(struct ledger_record, reason, "reason"),
	CHARS(struct ledger_record, words, "words"),
	BITS(struct ledger_record, remedies, "remedies", shape_remedy_name, SHAPE_REMEDIES),
	U64(struct ledger_record, predicted, "predicted"),
	I64(struct ledger_record, freed, "freed"),
	U64(struct ledger_record, rss_before, "rss_before"),
	U64(struct ledger_record, rss_after, "rss_after"),
	U64(struct ledger_record, stopped_us, "stopped_us"),
	U64(struct ledger_record, duration_us, "duration_us"),
	U64(struct ledger_record, after_us, "after_us"),
	U64(struct ledger_record, swapped, "swapped"),
	U64(struct ledger_record, swap, "swap"),
	U64(struct ledger_record, faults, "faults"),
};
const struct shape shape_record = SHAPE(record_members, struct ledger_record);
