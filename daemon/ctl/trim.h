/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of "trim" share: which processes, what came of each, how it is told. */
#ifndef RECLAIM_CTL_TRIM_H
#define RECLAIM_CTL_TRIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "ctl/aftermath.h"
#include "ctl/ctl.h"
#include "reclaim/worker.h"

struct trim_opts {
	const char *unit, *cgroup, *remedies, *report;
	struct opt_number min, max_stop, timeout, recheck, idle;
	int advice, depth; /* 0: not given */
	bool all, dry_run, force;
};

struct trim_target {
	pid_t pid;
	uint64_t start_time; /* of the process that was chosen; 0: not looked at yet */
	char comm[65]; /* raw bytes */
};

struct trim_targets {
	struct trim_target *v;
	size_t n;
};

/* The processes that --all, --unit or --cgroup means, largest anonymous memory first. 0 or -errno. */
int trim_targets_select(int proc, const struct trim_opts *o, struct trim_targets *ret) __must_check;

/* The named processes; whether they exist is seen when it is their turn. 0 or -ENOMEM. */
int trim_targets_named(const pid_t *pids, size_t n, struct trim_targets *ret) __must_check;

/* What --unit or --cgroup is looked for as: "web.service", "/system.slice/web.service". malloc'ed, NULL: no memory. */
char *trim_group_name(const struct trim_opts *o) __must_check;

void trim_targets_done(struct trim_targets *t);

/* Remedies by name, "auto" as none. 0, or -EINVAL with one line in @why. */
int trim_remedies_parse(const char *list, uint32_t *ret, char *why, size_t why_size) __must_check;

/* The words of such a list, one after another; NULL behind the last. */
const char *trim_remedies_word(size_t i);

/* Name of one remedy bit, "?" when unknown. */
const char *trim_remedy_name(uint32_t bit);

/* What came of one target. Texts are terminated but raw. */
struct trim_row {
	struct worker_result res;
	struct aftermath after;
};

/*
 * Remembers what the process of @row takes now, to be looked at again: it has
 * just been trimmed. @root is "/". One that has gone is just not marked.
 */
void trim_recheck_mark(const struct ctl *ctl, int root, struct trim_row *row);

/*
 * Waits until each of those that are marked has had @wait_us since, or we are
 * interrupted, and looks at it again.
 */
void trim_recheck(const struct ctl *ctl, int root, uint64_t wait_us, struct trim_row *rows, size_t n);

/* The exit status of a run: failed before not permitted before refused before gone. */
int trim_status(const struct trim_row *rows, size_t n, bool group);

/* One line on stderr for a target that was not done. */
void trim_report_failure(const struct trim_row *row, bool group);

/* And for one whose memory has come back, or may. */
void trim_report_warning(const struct trim_row *row);

struct trim_picture;

/* Opens the file of --report and looks at the process. 0; -ECANCELED: interrupted; or -errno. With @why. */
int trim_picture_begin(const struct ctl *ctl, const struct trim_opts *o, pid_t pid, struct trim_picture **ret,
		       char *why, size_t size) __must_check;
/* Looks again, and writes. 0, or -errno with @why. */
int trim_picture_end(const struct ctl *ctl, const struct trim_opts *o, struct trim_picture *tp, char *why, size_t size)
	__must_check;
void trim_picture_free(struct trim_picture *tp); /* accepts NULL */

static inline void trim_picture_freep(struct trim_picture **tp)
{
	trim_picture_free(*tp);
}

/* All rows, and a total when there are several. 0 or -errno. */
int trim_report(struct ctl *ctl, const struct trim_row *rows, size_t n) __must_check;

#endif
