/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Monotonic time. Deadlines are absolute points of this clock, in nanoseconds. */
#ifndef RECLAIM_BASE_CLOCK_H
#define RECLAIM_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static inline struct timespec clock_remaining(uint64_t deadline_ns)
{
	uint64_t now = clock_ns();
	uint64_t left = deadline_ns > now ? deadline_ns - now : 0;

	return (struct timespec){ .tv_sec = (time_t)(left / 1000000000ull), .tv_nsec = (long)(left % 1000000000ull) };
}

#endif
