/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between top-view.c and top-group.c: processes as a tree of what they belong to. */
#ifndef RECLAIM_CTL_TOP_GROUP_H
#define RECLAIM_CTL_TOP_GROUP_H

#include "ctl/top-view.h"

/* The lines of @n processes, which are in their order already. 0 or -ENOMEM. */
int top_groups_lines(struct top_view *v, struct top_proc **procs, size_t n) __must_check;
void top_groups_free(struct top_view *v);

/* 0 or -ENOMEM */
int top_group_fold(struct top_view *v, const char *key, bool fold) __must_check;

uint64_t top_sort_value(const struct top_figures *f, enum top_sort by);
int top_compare_values(uint64_t a, uint64_t b, bool reversed);

#endif
