/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the model is shown, in which order: filter, sorting, groups, and where the cursor is. */
#ifndef RECLAIM_CTL_TOP_VIEW_H
#define RECLAIM_CTL_TOP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "ctl/top-model.h"

enum top_sort {
	TOP_SORT_FREE,
	TOP_SORT_RSS,
	TOP_SORT_ANON,
	TOP_SORT_IDLE,
	TOP_SORT_SWAP,
	TOP_SORT_PID,
	TOP_SORT_USER,
	TOP_SORT_COMM,
	TOP_SORTS,
};

enum top_group_by { TOP_FLAT, TOP_BY_UNIT, TOP_BY_CGROUP, TOP_GROUPINGS };

extern const char *const top_sort_names[TOP_SORTS + 1]; /* NULL-terminated, as the others */
extern const char *const top_group_names[TOP_GROUPINGS + 1];

#define TOP_FILTER_MAX 64

/* The figures of a line: of a process, or the sum of a group. */
struct top_figures {
	uint64_t rss, anon, swap, idle, free; /* PROC_UNKNOWN when nobody knows */
	uint64_t parts[TOP_PARTS];
	bool at_least; /* free is a lower bound */
};

struct top_group {
	char *key; /* malloc'ed: a unit, or the path of a cgroup; raw bytes */
	const char *name; /* the part of it that is shown */
	size_t parent; /* of its place + 1; 0: none */
	int depth;
	size_t processes; /* in it and below */
	struct top_figures sum;
	bool folded;
};

struct top_line {
	int depth;
	const struct top_group *group; /* NULL: a process */
	struct top_proc *proc; /* of the model as it was when the lines were made: it may have gone since */
	pid_t pid; /* its identity */
	uint64_t start_time;
	size_t member_of; /* of a process: place of its group + 1 */
	struct top_figures figures;
};

struct top_view {
	/* what is wanted */
	enum top_sort sort;
	bool reversed, all, share; /* share: each bar of its own RSS */
	enum top_group_by by;
	char filter[TOP_FILTER_MAX];
	/* what is shown */
	struct top_line *lines; /* malloc'ed */
	size_t nlines, nprocs;
	struct top_group *groups; /* malloc'ed */
	size_t ngroups;
	/* where the cursor is: a process by its identity, a group by its key */
	size_t cursor, first; /* line; first one on the screen */
	pid_t pid;
	uint64_t start_time;
	char *key; /* malloc'ed */
	char **folded; /* keys; malloc'ed, each too */
	size_t nfolded;
};

void top_view_done(struct top_view *v); /* accepts zeroed */

/* Makes the lines anew; the cursor stays on what it was on. 0 or -ENOMEM, then the lines are gone. */
int top_view_build(struct top_view *v, const struct top_model *m) __must_check;

/* The line of the cursor, NULL when there is none. */
struct top_line *top_view_line(const struct top_view *v);

/* To a line, or the nearest one that there is. */
void top_view_go(struct top_view *v, size_t line);

/* Scrolls so that the cursor is among @height lines. */
void top_view_scroll(struct top_view *v, size_t height);

/* Folds the group of the cursor, or opens it; of a process that in which it is. The view is to be built again. */
int top_view_fold(struct top_view *v, bool fold) __must_check;

/* Does @t contain the words of a filter: in pid, command, user, unit, control group? Case doesn't matter. */
bool top_view_matches(const struct top_proc *t, const char *filter);

void top_figures_of(const struct top_proc *t, struct top_figures *ret);

/* Order of two processes. */
int top_view_compare(const struct top_view *v, const struct top_proc *a, const struct top_proc *b);

#endif
