/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the administrator wants: the keys of reclaimd.conf, their defaults and
 * their bounds, in one table that the parser, `reclaimctl config`, the manual
 * page's test and completion all read. Pure: text in, struct out, no I/O.
 */
#ifndef RECLAIM_POLICY_SETTINGS_H
#define RECLAIM_POLICY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define SETTINGS_RULES_MAX 256
#define SETTINGS_PATTERNS_MAX 64 /* of one key */
#define SETTINGS_KEYS_MAX 48 /* rows of the table */
#define SETTINGS_WHY 256 /* bytes that hold any explanation of what is wrong */

enum policy_mode {
	MODE_OBSERVE, /* look and write down; announce nothing, do nothing */
	MODE_ADVISE, /* and announce what would come back, and the command for it */
	MODE_ENFORCE, /* and do it */
};

/* The same bits as enum worker_remedy, so that policy needs nothing of the worker. */
enum policy_remedy {
	POLICY_COLLECT = 1 << 0,
	POLICY_TRIM = 1 << 1,
	POLICY_PURGE = 1 << 2,
	POLICY_COLD = 1 << 3,
	POLICY_PAGEOUT = 1 << 4,
};

/* They free nothing: they move what is idle, or let it be the first to go. */
#define POLICY_MOVES ((uint32_t)(POLICY_COLD | POLICY_PAGEOUT))

enum policy_depth { DEPTH_AUTO, DEPTH_NORMAL, DEPTH_DEEP };

enum policy_source { POLICY_SOURCE_AUTO, POLICY_SOURCE_NETLINK, POLICY_SOURCE_PROCFS };

/* What may differ from process to process: of [Reclaim], and where a [Rule] says otherwise. */
struct thresholds {
	bool never; /* Never=: leave it alone whatever else is said */
	uint64_t min_anon; /* bytes of anonymous memory below which nobody looks */
	uint64_t min_reclaim; /* predicted bytes below which it isn't worth it */
	uint32_t min_reclaim_permille; /* the same as part of its anonymous memory */
	uint64_t idle_us; /* how long it must have been quiet */
	uint32_t idle_cpu_permille; /* quiet: not more than so much of one CPU */
	uint32_t remedies; /* enum policy_remedy bits, 0: none */
	enum policy_depth depth;
	uint64_t settled_us; /* for how long memory that is moved must have been left alone */
	uint64_t cooldown_us; /* between two actions on one process */
	uint64_t max_stop_us; /* per action */
	uint64_t timeout_us; /* per action */
};

/* A list of globs (fnmatch without flags); a name matches when one of them does. None: matches all. Zeroed: none. */
struct patterns {
	char **v; /* malloc'ed */
	size_t n;
};

enum rule_match { MATCH_COMM, MATCH_EXE, MATCH_UNIT, MATCH_SLICE, MATCH_CGROUP, MATCH_USER, MATCH_ALLOCATOR,
	MATCH_RUNTIME, MATCH_N };

/* All of its match keys that are set must match. Bits of @set: which members of @want it sets (enum threshold_bit). */
struct rule {
	char *name; /* of [Rule NAME] */
	char *origin; /* "FILE:LINE" of the last head of this section, or "built-in" */
	struct patterns match[MATCH_N];
	uint32_t set;
	struct thresholds want;
	char *from[SETTINGS_KEYS_MAX]; /* "FILE:LINE" of each key, in the table's order; NULL: not set */
};

enum threshold_bit {
	SET_NEVER = 1 << 0,
	SET_MIN_ANON = 1 << 1,
	SET_MIN_RECLAIM = 1 << 2,
	SET_MIN_RECLAIM_PERMILLE = 1 << 3,
	SET_IDLE = 1 << 4,
	SET_IDLE_CPU = 1 << 5,
	SET_REMEDIES = 1 << 6,
	SET_DEPTH = 1 << 7,
	SET_COOLDOWN = 1 << 8,
	SET_MAX_STOP = 1 << 9,
	SET_TIMEOUT = 1 << 10,
	SET_SETTLED = 1 << 11,
};

struct settings {
	/* [Daemon] */
	enum policy_mode mode;
	enum policy_source source;
	uint64_t interval_us; /* of the sweep, and of nothing faster */
	uint32_t actions_per_minute; /* of all processes together */
	uint32_t max_workers; /* at a time; 0: as many as CPUs */
	uint64_t stop_budget_us; /* of all targets together, per minute */
	uint64_t backoff_max_us; /* the longest a process is left alone for having taken its memory back */
	uint64_t history_max; /* bytes on disk */
	char *metrics_file; /* malloc'ed; NULL: none */
	/* [Pressure] */
	uint64_t pressure_stall_us; /* some stall within pressure_window_us that makes things urgent; 0: never */
	uint64_t pressure_window_us; /* a multiple of 2 s */
	uint32_t swap_keep_permille; /* of swap, stays free */
	uint64_t pageout_per_minute; /* bytes, of all processes together */
	/* [Reclaim] */
	struct thresholds defaults;
	/* [Rule NAME], in the order of their names' first appearance; later ones win key by key */
	struct rule *rules; /* malloc'ed */
	size_t nrules;
	char *from[SETTINGS_KEYS_MAX]; /* as in rules; NULL: the default */
};

/*
 * Puts in the built-in defaults with the rules that protect what must not be touched. The shipped reclaimd.conf shows
 * all of them as comments: they hold also where there is no file, or one that replaces it. 0 or -ENOMEM.
 */
int settings_default(struct settings *ret) __must_check;
void settings_done(struct settings *s); /* accepts zeroed */

/*
 * One assignment. @section as in the file ("Daemon", "Rule foo"), @origin "FILE:LINE". @key NULL: the head of a
 * section, which makes a rule. An empty value puts the default back (of a list: empties it, as in systemd; in a rule:
 * says nothing). 0; -ENOENT: no such section or key (a warning); -EINVAL, -ERANGE: a bad value (an error), both with
 * words for people in @why; -ENOMEM. Whatever is wrong changes nothing.
 */
int settings_set(struct settings *s, const char *section, const char *key, const char *value, const char *origin,
		 char *why, size_t why_size) __must_check;

/* @error: else a warning. @origin: "FILE:LINE", "FILE", or "" where it belongs to no place. */
typedef void (*settings_report_fn)(void *arg, bool error, const char *origin, const char *what);

/* What no single key can tell: cross-checks. Each that fails is reported, as an error; 0 or -EINVAL. */
int settings_check(const struct settings *s, settings_report_fn report, void *arg) __must_check;

/* Of every key one row. For `config`, docs tests, completion. */
struct settings_key {
	const char *section, *key;
	const char *help; /* one short line */
	bool in_rules; /* may stand in [Rule] too */
	bool rules_only;
};

const struct settings_key *settings_key(size_t i); /* NULL after the last */
/*
 * The value as it would stand in a file; @rule: NULL for the section's own, else of that rule ("" when not set there).
 * 0 or -ENOSPC.
 */
int settings_format(const struct settings *s, const struct rule *rule, const struct settings_key *key, char *buf,
		    size_t size) __must_check;
/* Where it was said: "FILE:LINE" or "built-in"; NULL: it is the default (in a rule: not set). */
const char *settings_origin(const struct settings *s, const struct rule *rule, const struct settings_key *key);

/* settings-read.c: the one place of this room that has files read, by base/conf.h. */
extern const char *const settings_dirs[]; /* from the weakest to the strongest, NULL-terminated */
#define SETTINGS_FILE "reclaimd.conf"

/*
 * Defaults, then all files. All or nothing: -EINVAL when there was any error, each reported; -ENOMEM, which isn't.
 * @dirs: NULL for settings_dirs.
 */
int settings_read(const char *const *dirs, settings_report_fn report, void *arg, struct settings *ret) __must_check;

#endif
