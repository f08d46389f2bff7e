/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder with configuration files, for tests; and what reading it had to say. */
#ifndef TESTS_UNIT_CONF_TREE_H
#define TESTS_UNIT_CONF_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct conf_tree {
	char top[64];
	const char *dirs[3]; /* TOP/usr and TOP/etc */
	char paths[2][80];
	char log[4096]; /* one line for each report, without TOP */
	unsigned int errors, warnings;
};

void conf_tree_init(struct conf_tree *t);
void conf_tree_done(struct conf_tree *t);

/* @name below TOP; folders on the way are made. */
void conf_tree_write(struct conf_tree *t, const char *name, const char *text, size_t len);
void conf_tree_put(struct conf_tree *t, const char *name, const char *text);
void conf_tree_link(struct conf_tree *t, const char *name, const char *target);
char *conf_tree_path(const struct conf_tree *t, const char *name); /* malloc'ed */

/* A settings_report_fn. */
void conf_tree_report(void *arg, bool error, const char *origin, const char *what);
void conf_tree_log(struct conf_tree *t, const char *format, ...) __printf_like(2, 3);
/* Puts @origin without TOP into the log's manner. */
const char *conf_tree_short(const struct conf_tree *t, const char *origin);

#endif
