/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much memory is really in use, for a look before and one after something
 * was given back. The resident size of a process falls with every page that it
 * unmaps, also when that page stays in use: as part of a huge page, or in
 * another process.
 */
#ifndef RECLAIM_SENSE_METER_H
#define RECLAIM_SENSE_METER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define METER_UNKNOWN UINT64_MAX

enum meter_scope {
	METER_NONE,
	METER_CGROUP, /* a control group that the process has to itself: what it is charged for */
	METER_MACHINE, /* all of the machine: what everybody does meanwhile counts in it */
};

struct meter {
	enum meter_scope scope;
	int fd; /* of a file that says how much, read anew each time; -1: none */
};

#define METER_CLOSED     \
	{                \
		.fd = -1 \
	}

/*
 * Finds the narrowest one there is for the process @pid, whose directory is
 * @piddir and which holds @anon bytes of anonymous memory: a group that is
 * charged for less isn't the one that pays for it (it came there later).
 * @root: "/", or a recorded tree. The caller calls meter_close().
 */
void meter_open(int root, int piddir, pid_t pid, uint64_t anon, struct meter *ret);
void meter_close(struct meter *m); /* accepts METER_CLOSED and closed ones */

/* Bytes in use now, or METER_UNKNOWN. */
uint64_t meter_used(const struct meter *m);

#endif
