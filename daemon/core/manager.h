/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon itself, without its doors: event loop, sweep, looks, actions,
 * checks, ledger. The bus translates to and from this; it never decides.
 * Everything runs in the one thread of the event loop.
 */
#ifndef RECLAIM_CORE_MANAGER_H
#define RECLAIM_CORE_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct manager;

struct manager_state {
	const char *mode, *source; /* "enforce", "netlink"; static */
	bool pressure;
	uint64_t started_real_us, interval_us, last_sweep_us, sweeps;
	uint64_t processes, candidates; /* of the last sweep: large or half as large; to be looked at or acted on */
	uint64_t looks, actions, refused, failed, would; /* since start */
	uint64_t freed, swapped, predicted, stopped_us; /* since start: bytes, bytes moved to swap, bytes, us */
	uint32_t running; /* workers */
	uint64_t settings_loaded_real_us, reloads, reload_failures;
};
void manager_state(const struct manager *m, struct manager_state *ret);

/* One process of the last sweep that is large enough to be looked at. Texts are borrowed until the next sweep. */
struct manager_process {
	pid_t pid;
	uint64_t start_time;
	uid_t uid;
	const char *comm, *exe, *unit, *allocator, *runtime;
	uint64_t rss, anon, swap, idle, predicted, last_freed, last_action_us, not_before_us, quiet_us;
	uint32_t actions;
	const char *verdict, *reason, *words; /* of the last decision */
};
/* @uid: only theirs, (uid_t)-1: all. @fn's result != 0 ends it and is returned. */
typedef int (*manager_process_fn)(void *arg, const struct manager_process *p);
int manager_processes(const struct manager *m, uid_t uid, manager_process_fn fn, void *arg) __must_check;

/* For requests from outside: called exactly once, later or at once, from the loop. */
struct manager_result {
	/* 0 or -errno of the request itself (-EBUSY: in its cooldown or being acted on; -EAGAIN: no worker free) */
	int error;
	const struct worker_result *worker; /* of a trim, when error is 0 */
	const struct explain_answer *facts; /* of an explain */
	char why[192];
};
typedef void (*manager_done_fn)(void *arg, const struct manager_result *r);

struct manager_request {
	pid_t pid;
	uint64_t start_time; /* 0: looked up now, and kept to */
	uint32_t remedies, flags; /* of include/reclaim/worker.h */
	uint64_t timeout_us, max_stop_us; /* 0: the settings' own for it */
	uid_t asked_by; /* for the ledger; who may ask is the bus's affair */
	uid_t owner; /* whose it must be when it is touched; (uid_t)-1: anybody's */
};
/*
 * A trim from outside keeps to one worker per target and to the number of workers; not to idleness. 0: @fn will be
 * called; -errno: never. manager_forget() lets go of all requests of @arg (its asker is gone): @fn isn't called.
 */
int manager_trim(struct manager *m, const struct manager_request *req, manager_done_fn fn, void *arg) __must_check;
int manager_explain(struct manager *m, const struct manager_request *req, manager_done_fn fn, void *arg) __must_check;
void manager_forget(struct manager *m, void *arg);

/* Whose is it, now? For authorisation: 0, -ESRCH. */
int manager_owner(struct manager *m, pid_t pid, uid_t *ret_uid, uint64_t *ret_start_time) __must_check;

/* All or nothing. 0, or -EINVAL with the first error ("FILE:LINE: what") in @why; the old settings stay. */
int manager_reload(struct manager *m, char *why, size_t why_size) __must_check;

/* Where its ledger is, for History: borrowed. */
const char *manager_state_dir(const struct manager *m);

/* The settings in force as a file's text; malloc'ed. */
int manager_config(const struct manager *m, char **ret) __must_check;

/* Its state and totals as OpenMetrics text; malloc'ed. */
int manager_metrics(const struct manager *m, char **ret) __must_check;

/* What the doors announce. NULL members are fine. */
struct ledger_record;
struct manager_listener {
	void (*bloated)(void *arg, const struct manager_process *p);
	void (*record)(void *arg, const struct ledger_record *rec); /* every record as it is written */
	void *arg;
};
void manager_listen(struct manager *m, const struct manager_listener *l); /* one listener; copied */

#endif
