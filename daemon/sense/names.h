/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: what PROC_NAMES adds. */
#ifndef RECLAIM_SENSE_NAMES_H
#define RECLAIM_SENSE_NAMES_H

#include "sense/proc.h"

/* Fills exe, cgroup, unit and bits of @p, whose strings are NULL; @has_mm: it has an address space. */
int proc_read_names(int piddir, bool has_mm, struct proc *p) __must_check;

/* 32 or 64 by the layout of an auxiliary vector (x32 counts as 32), 0 when it cannot be told. */
int proc_bits_of_auxv(const char *auxv, size_t len);

/* The path in the text of a cgroup file: version 2's, else that of systemd's own hierarchy. malloc'ed, "" when none. */
int proc_cgroup_of_text(const char *text, char **ret) __must_check;

#endif
