/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monotonic time. Deadlines are absolute points of this clock, in nanoseconds.
 * What is remembered for longer is in microseconds: of CLOCK_BOOTTIME, which
 * goes on while the machine sleeps, or of CLOCK_REALTIME for people.
 */
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

static inline uint64_t clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000ull + (uint64_t)ts.tv_nsec / 1000;
}

static inline struct timespec clock_remaining(uint64_t deadline_ns)
{
	uint64_t now = clock_ns();
	uint64_t left = deadline_ns > now ? deadline_ns - now : 0;

	return (struct timespec){ .tv_sec = (time_t)(left / 1000000000ull), .tv_nsec = (long)(left % 1000000000ull) };
}

#endif
