/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder that looks like /proc to the daemon: made-up processes, of which each figure can be changed. */
#ifndef TESTS_UNIT_PROC_TREE_H
#define TESTS_UNIT_PROC_TREE_H

#include <stdint.h>
#include <sys/types.h>

#include "conf-tree.h"

/* Above any pid that a real process has: what is asked of the kernel and not of the folder finds nobody. */
#define PROC_TREE_PID 5000000

struct proc_tree_process {
	pid_t pid, tracer;
	uint64_t start_time;
	uid_t uid; /* the real one; the files are whose the test is */
	const char *comm, *exe, *cgroup;
	uint64_t anon; /* bytes */
	uint64_t ticks;
};

/* Below TOP/proc of @t, with what belongs to no process. */
void proc_tree_init(struct conf_tree *t, const char *boot_id);
/* Makes it, or changes it. */
void proc_tree_put(struct conf_tree *t, const struct proc_tree_process *p);
void proc_tree_end(struct conf_tree *t, pid_t pid); /* it exits */

#endif
