/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The columns of one mapping: for "regions", and for the kernel's layer of "explain". */
#ifndef RECLAIM_CTL_REGION_COLUMNS_H
#define RECLAIM_CTL_REGION_COLUMNS_H

#include "ctl/bar.h"
#include "ctl/render.h"
#include "sense/region.h"

struct region_row {
	const struct region *r;
	const char *owner; /* NULL when not known */
	char bar[BAR_SIZE];
};

extern const struct column *const region_columns[]; /* the owner is the last one */
extern const size_t region_ncolumns;

/* Fills the bar from what the row says. */
void region_row_draw(struct region_row *row, bool blocks);

#endif
