/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is there as a whole or not at all: written beside its place under another name, then put there.
 * It tells addresses of a process, so only its owner may read it. What is in its place is replaced when it is
 * a regular file, and left alone when it is anything else: a link, a device, a folder. "-" is standard output,
 * which gets what there is until something fails.
 */
#ifndef RECLAIM_CTL_OUTFILE_H
#define RECLAIM_CTL_OUTFILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/cleanup.h"

struct outfile {
	FILE *f;
	int dir; /* where it goes */
	char *name; /* and as what; NULL: standard output */
	char temporary[48]; /* "" when there is none */
};

#define OUTFILE_NONE       \
	{                  \
		.dir = -1, \
	}

/* Is it "-"? A file of this name is "./-". */
bool outfile_is_stdout(const char *path);
/* What is wrong with writing a page, a picture (NULL: not wanted) and with @json a document at once, or NULL. */
const char *outfile_conflict(const char *html, const char *svg, bool json);
/* 0; -EEXIST something is there that isn't a regular file; -errno. The caller calls outfile_done(). */
int outfile_open(const char *path, struct outfile *ret) __must_check;
/* Puts it in its place. 0, or -errno: also of anything that was written before. */
int outfile_commit(struct outfile *o) __must_check;
/* One line that says what went wrong with @path. */
void outfile_explain(const char *path, int error, char *why, size_t size);
void outfile_done(struct outfile *o); /* without a commit nothing is left; accepts finished ones */

#endif
