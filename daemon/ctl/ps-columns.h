/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The columns of "ps": what each shows and what has to be read for it. */
#ifndef RECLAIM_CTL_PS_COLUMNS_H
#define RECLAIM_CTL_PS_COLUMNS_H

#include "ctl/render.h"
#include "sense/proc.h"

#define PS_COLUMNS_MAX 40

struct ps_row {
	struct proc proc;
	char user[64]; /* "" when the uid has no name */
	/* From inside: NULL and PROC_UNKNOWN unless somebody looked and could tell. */
	const char *allocator, *runtime;
	uint64_t free_resident, unseen;
	bool at_least; /* free_resident is a lower bound, since something is unseen */
};

struct ps_column {
	struct column c; /* first: rendered as it is */
	enum proc_depth depth; /* what it takes to fill it */
	bool descending; /* sorted so unless told otherwise */
	bool inside; /* a worker has to look into the process */
};

extern const struct ps_column ps_columns[];
extern const size_t ps_ncolumns;

/* By heading (any case) or JSON key; NULL when there is none. */
const struct ps_column *ps_column_find(const char *name);

struct ps_selection {
	const struct ps_column *v[PS_COLUMNS_MAX];
	size_t n;
};

/* "PID,rss,unit". 0, or -EINVAL with one line in @why. */
int ps_columns_parse(const char *list, struct ps_selection *ret, char *why, size_t why_size) __must_check;

/* "anon", "+pid", "-rss". 0, or -EINVAL with one line in @why. */
int ps_sort_parse(const char *text, const struct ps_column **ret, bool *ret_descending, char *why, size_t why_size)
	__must_check;

/* Order of two rows by a column: unknown values last, ties by pid. */
int ps_compare(const struct ps_row *a, const struct ps_row *b, const struct ps_column *by, bool descending);

#endif
