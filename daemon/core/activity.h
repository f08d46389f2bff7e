/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How busy a process is, from what it has used of the CPUs between two looks
 * at /proc/PID/stat: all its threads, those that have ended too. Pure.
 */
#ifndef RECLAIM_CORE_ACTIVITY_H
#define RECLAIM_CORE_ACTIVITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

/* Looks that follow faster than this say nothing new: the kernel counts in ticks of 10 ms. */
#define ACTIVITY_MIN_US 1000000ull

/* Zeroed: never looked at. Times are microseconds of one clock. */
struct activity {
	uint64_t ticks, at_us; /* of the last look */
	uint64_t quiet_since_us;
	uint64_t still_since_us; /* not a single tick since then */
	uint32_t permille; /* of one CPU, between the last two looks */
	bool seen;
};

/*
 * @ticks: utime + stime, at @hz per second. More than @allowed_permille of one
 * CPU since the last look is busy. What was before the first look is not known:
 * a process is quiet since then at the earliest.
 */
void activity_look(struct activity *a, uint64_t ticks, unsigned long hz, uint32_t allowed_permille, uint64_t now_us);

/* For how long it hasn't used the CPUs at all, as far as the kernel counts: less than a tick of 10 ms. */
uint64_t activity_still_us(const struct activity *a, uint64_t now_us);

/* @ticks of them were not its own doing: they don't count at the next look. */
void activity_discount(struct activity *a, uint64_t ticks);

/* For how long it has been quiet: 0 when it was busy at the last look. */
uint64_t activity_quiet_us(const struct activity *a, uint64_t now_us);

#endif
