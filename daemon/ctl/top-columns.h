/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The columns of "top", and how they share the width of a screen. */
#ifndef RECLAIM_CTL_TOP_COLUMNS_H
#define RECLAIM_CTL_TOP_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/top-view.h"

enum top_column_kind { TOP_COLUMN_TEXT, TOP_COLUMN_NUMBER, TOP_COLUMN_BAR, TOP_COLUMN_REST };

struct top_column {
	const char *heading, *help;
	enum top_column_kind kind;
	int width; /* of BAR and REST the least */
	int from; /* only on screens of so many columns and more */
	int sort; /* enum top_sort, or -1 */
	bool module; /* only when something is known that the kernel module tells */
	bool (*hidden)(const struct top_view *v); /* NULL: never */
	void (*get)(const struct top_line *line, char *buf, size_t size); /* escaped; NULL: of BAR and REST */
};

extern const struct top_column top_columns[];
extern const size_t top_ncolumns;

#define TOP_COLUMNS_MAX 16

struct top_place {
	const struct top_column *column;
	int x, width;
};

/* Has the kernel module told how long memory has been idle, of any process? */
bool top_knows_idle(const struct top_model *m);

/* Which columns a screen of @width has and where. How many. */
size_t top_layout(const struct top_view *v, int width, bool module, struct top_place ret[TOP_COLUMNS_MAX]);

#endif
