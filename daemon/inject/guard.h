/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel timer that kills this process unless it is rearmed in time.
 *
 * While we trace a thread, it may stand still until we let it go. When this
 * process is paused meanwhile (SIGSTOP, a frozen cgroup, no CPU), the thread
 * would stand still as long, with a lock perhaps. Our death frees it, and
 * SIGKILL from a timer reaches also a process that is paused (not one in a
 * frozen cgroup of version 1, where it waits for the thaw).
 */
#ifndef RECLAIM_INJECT_GUARD_H
#define RECLAIM_INJECT_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"

#define GUARD_NEVER UINT64_MAX

struct guard {
	timer_t timer;
	bool open;
	uint64_t ns;
};

/* @ns: how long we may be paused; GUARD_NEVER: no guard. Not armed yet. */
int guard_open(struct guard *g, uint64_t ns) __must_check;

/* From now on: death in @more_ns and the guard's own time, unless this is called again. */
void guard_arm(struct guard *g, uint64_t more_ns);

/* Disarms; accepts a zeroed one. */
void guard_close(struct guard *g);

#endif
