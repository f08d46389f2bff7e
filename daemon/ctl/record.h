/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of "record" share: whom it watches, what is worth a mark, and what looking may cost. */
#ifndef RECLAIM_CTL_RECORD_H
#define RECLAIM_CTL_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "ctl/bus-client.h"
#include "ctl/ctl.h"
#include "ctl/recording.h"

/* ---- what is worth a mark (record-marks.c): no I/O ---- */

struct record_marks {
	bool begun;
	uint64_t low, high; /* resident, since the last mark */
	uint64_t swap; /* when it was high */
	uint64_t held; /* free and resident, the most since then; RECORDING_UNKNOWN: never seen */
};

/* Has resident size moved by @size, and by an eighth of itself, since the last mark? */
bool record_marks_moved(const struct record_marks *m, const struct recording_sample *s, uint64_t size);
/* The same, and what it was. True when @ret is filled; then the next one counts from here. */
bool record_marks_take(struct record_marks *m, const struct recording_sample *s, uint64_t size,
		       struct recording_event *ret);
void record_marks_reset(struct record_marks *m); /* what happened has a mark already: count from the next sample */

/* ---- what looking may cost (record-budget.c): no I/O ---- */

struct record_budget {
	uint32_t percent; /* of a CPU */
	int64_t left_us;
	uint64_t at_us;
};

void record_budget_begin(struct record_budget *b, uint32_t percent, uint64_t now_us);
/* May there be a look? @urgent: something has just happened, and may be paid for later. */
bool record_budget_allows(struct record_budget *b, uint64_t now_us, bool urgent);
void record_budget_spend(struct record_budget *b, uint64_t cost_us);
/* How long a round that cost so much has to last, so that even without looks it stays below. */
uint64_t record_budget_pause(const struct record_budget *b, uint64_t interval_us, uint64_t cost_us);

/* ---- one process (record-target.c) ---- */

struct record_target {
	struct recording_target about;
	int dir, pidfd; /* of /proc/PID; -1 where the kernel has none */
	uint64_t start_stack; /* where it is, exec changes that; 0 when hidden */
	bool gone, inside, denied; /* the last look saw its inside; there was one that might not */
	char why[EXPLAIN_TEXT_MAX]; /* not */
	struct record_marks marks;
};

int record_target_open(const struct ctl *ctl, pid_t pid, struct record_target *ret, char *why, size_t size)
	__must_check; /* 0; -ESRCH; -ENOTSUP: a kernel thread; -errno; one line in @why */
void record_target_close(struct record_target *t);
bool record_target_lives(const struct record_target *t); /* as far as that can be told */
/* What the kernel counts anyway. 0, or -ESRCH when it has exited; -errno. */
int record_target_count(const struct ctl *ctl, struct record_target *t, struct recording_sample *ret) __must_check;
/* All layers, as explain sees them; the counted figures alone where that fails this time. 0, -ESRCH, -errno. */
int record_target_look(const struct ctl *ctl, struct record_target *t, int cancel_fd, struct recording_sample *ret)
	__must_check;
/* Does it run another program than before? Then about.comm and about.exe are that. */
bool record_target_exec(const struct ctl *ctl, struct record_target *t);

/* ---- what the daemon does meanwhile (record-daemon.c) ---- */

struct record_daemon {
	struct bus_client c;
	bool gone;
	uint64_t try_at_us;
	ledger_fn fn;
	void *arg;
};

/* Listens as soon as there is one. To be called before each wait, and when there is something on its fd. */
void record_daemon_work(struct record_daemon *d, uint64_t now_us);
int record_daemon_fd(const struct record_daemon *d); /* -1: none */

/* ---- a command (record-command.c) ---- */

/* 0 when it runs; -errno of starting it. */
int record_command_start(const char *const *argv, pid_t *ret) __must_check;
/*
 * false: it hasn't ended within a tenth of a second. How it did, in words; "" when that isn't known; and what it has
 * used of the CPUs, with its own children.
 */
bool record_command_wait(pid_t pid, uint64_t *ret_cpu_us, char *ret, size_t size);
uint64_t record_cpu_us(const struct rusage *ru);

/* ---- all of it (record-run.c) ---- */

struct record_opts {
	const char *output;
	struct opt_number interval, duration, count, cpu, mark;
};

#define RECORD_FILE "reclaim.rec"

int record_run(struct ctl *ctl, const struct record_opts *o, const char *const *args, size_t nargs); /* ctl_status */

#endif
