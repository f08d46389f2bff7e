/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A look into many processes: one worker each, some at a time, all within a deadline. */
#ifndef RECLAIM_CTL_GLANCE_H
#define RECLAIM_CTL_GLANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "ctl/top-split.h"

struct glance {
	pid_t pid;
	uint64_t start_time;
	uint64_t anon; /* its size: no more of it can be unseen */
	/* filled, when somebody could tell */
	const char *allocator, *runtime; /* NULL when not known */
	struct top_inside inside;
};

/*
 * Fills @v, as far as it gets until @deadline_ns. *ret_late: those whose turn
 * didn't come in time. 0; -errno when workers can't be started, @why says why.
 */
int glance_all(struct glance *v, size_t n, uint64_t deadline_ns, size_t *ret_late, char *why, size_t size) __must_check;

/*
 * Counts what that has left out, of all with @least bytes of it or more, who could hide most first. What can't be
 * counted in time stays as it was. 0, or as glance_all().
 */
int glance_count(struct glance *v, size_t n, uint64_t least, uint64_t deadline_ns, char *why, size_t size) __must_check;

/* May we trace it? Asked of the kernel beforehand, since a worker costs a thousand times more. */
bool glance_allowed(int proc, pid_t pid);

#endif
