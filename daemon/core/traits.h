/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What makes a process one that nobody should touch and that isn't in its stat
 * and status: asked for only of those that are about to be looked at.
 */
#ifndef RECLAIM_CORE_TRAITS_H
#define RECLAIM_CORE_TRAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct traits {
	bool realtime; /* one of its threads has a real-time or deadline policy */
	bool vmm; /* it has /dev/kvm or a virtual machine open */
	bool avoid; /* its control group, or one above, has user.reclaim_avoid */
};

/*
 * @piddir: of /proc/PID; @cgroups: where control groups are mounted, or -1;
 * @cgroup: its path there, "" when not known. What may not be read isn't there;
 * what can't be, for want of files or memory, is true.
 */
void traits_read(int piddir, int cgroups, const char *cgroup, struct traits *ret);

/* Does @name below @cgroups, or one above it, ask to be left alone? The mark is any value but "0". */
bool traits_avoided(int cgroups, const char *name);

/* Who traces somebody, as threads. */
struct tracers {
	pid_t *v; /* malloc'ed */
	size_t n;
};

int tracers_read(int proc, struct tracers *ret) __must_check;
void tracers_done(struct tracers *t);

/* Is one of them a thread of @pid, whose directory is @piddir? */
bool tracers_have(const struct tracers *t, int piddir, pid_t pid);

#endif
