/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to the room: one entry of the list of processes. */
#ifndef RECLAIM_SENSE_LIST_H
#define RECLAIM_SENSE_LIST_H

#include "sense/proc.h"

/* 1 when read, 0 when @filter (which may be NULL) leaves it out, -errno. */
int proc_read_filtered(int root, pid_t pid, const struct proc_filter *filter, enum proc_depth depth, struct proc *ret)
	__must_check;

/* Writes over @p: a process of which nothing is known, not even its pid. */
void proc_unknown(struct proc *p);

/* What PROC_NAMES would add, as unknown. 0 or -ENOMEM; the caller calls proc_done() either way. */
int proc_no_names(struct proc *p) __must_check;

#endif
