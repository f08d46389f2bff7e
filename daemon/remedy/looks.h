/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks at the target that were made already, for plans to predict from: an
 * explanation asks for all of them at one moment and does nothing in between.
 * Whoever plans in order to act has none, and looks himself.
 */
#ifndef RECLAIM_REMEDY_LOOKS_H
#define RECLAIM_REMEDY_LOOKS_H

#include "inspect/glibc.h"
#include "inspect/pymalloc-image.h"

struct remedy_looks {
	const struct glibc_facts *glibc; /* NULL: not looked at, or could not be told */
	uint64_t glibc_droppable; /* resident bytes in ranges that a purge may drop */
	struct pymalloc_image *pymalloc; /* NULL: likewise */
};

/* Sums up what a purge may drop: a visitor's range(). @ctx is a uint64_t. */
int remedy_looks_range(void *ctx, const struct glibc_range *range);

#endif
