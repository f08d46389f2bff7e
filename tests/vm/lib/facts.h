/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the module says about processes and their mappings. */
#pragma once

#include "genl.h"
#include <sys/types.h>

/* All figures of one process by attribute; those that the module left out aren't `has`. */
struct proc {
	uint64_t value[RECLAIM_A_MAX + 1];
	bool has[RECLAIM_A_MAX + 1];
	char comm[32];
	int count;
};

struct region {
	uint64_t start, end, offset, present, anon, swapped, swapped_shmem, huge, huge_shmem, huge_file, lazyfree;
	uint64_t start_time;
	uint32_t pid, flags, kind;
	char name[256];
};

#define REGIONS_MAX 512
struct regions {
	struct region list[REGIONS_MAX];
	int count;
};

/* Handlers for genl_call() and genl_listen() */
void proc_take(const struct genl_reply *reply, void *proc);
void region_take(const struct genl_reply *reply, void *regions);

/* 0 or a negative errno */
int proc_get(struct genl *g, pid_t pid, bool fresh, struct proc *ret);
int regions_get(struct genl *g, pid_t pid, struct regions *ret);
/* How many a dump of all processes has, or a negative errno; each goes to @handler, which may be NULL. */
int procs_dump(struct genl *g, bool fresh, genl_handler_t handler, void *data);
/* The same with some of each one's attributes: enum reclaim_proc_fields. */
int procs_dump_fields(struct genl *g, uint32_t fields, genl_handler_t handler, void *data);
