// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/beside.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/procfs.h"

#define SETS 8 /* of 1024 processors each: NR_CPUS is 8192 at most (arch/x86/Kconfig, Linux 6.18) */
#define STAT_PROCESSOR 39 /* proc_pid_stat(5), since Linux 2.2.8; two behind it, since 2.5.19, the policy */
#define STAT_MAX 2048

/* Beside one that goes first always we might never wake up. */
static bool beside_gives_way(long policy)
{
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

/* On which it was last. -EBUSY: no place for us; -errno. */
static int beside_processor(const struct inject_target *target, pid_t tid)
{
	char path[sizeof("task/-2147483648/stat")], text[STAT_MAX], *end;
	long cpu, policy;
	const char *at;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "task/%d/stat", tid);
	n = procfs_read_once(target->piddir, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	/* Its name, field 2, is of any bytes, and ends with the last of these. */
	at = strrchr(text, ')');
	for (int field = 2; at && field < STAT_PROCESSOR; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -EBADMSG;
	cpu = strtol(at, &end, 10);
	if (end == at || cpu < 0 || cpu >= (long)SETS * CPU_SETSIZE)
		return -EBADMSG;
	(void)strtoul(end, &end, 10); /* its real-time priority */
	policy = strtol(end, &end, 10);
	return *end == ' ' && beside_gives_way(policy) ? (int)cpu : -EBUSY;
}

/* What we were bound to before. Its control group may use others by now: then whatever there is. */
static void beside_leave(const cpu_set_t own[SETS])
{
	cpu_set_t all[SETS];

	if (sched_setaffinity(0, sizeof(all), own) == 0)
		return;
	memset(all, 0xff, sizeof(all));
	(void)sched_setaffinity(0, sizeof(all), all);
}

/* An act has many searches, and a worker one act. */
static bool crowded;

bool beside_sleep(const struct inject_target *target, pid_t tid, unsigned long ns)
{
	const struct timespec ts = { .tv_nsec = (long)ns };
	const int cpu = crowded ? -EBUSY : beside_processor(target, tid);
	const uint64_t began_ns = clock_ns();
	cpu_set_t own[SETS], one[SETS];
	bool bound = false;

	memset(own, 0, sizeof(own));
	memset(one, 0, sizeof(one));
	if (cpu >= 0 && sched_getaffinity(0, sizeof(own), own) == 0 && CPU_ISSET_S(cpu, sizeof(own), own)) {
		CPU_SET_S(cpu, sizeof(one), one);
		bound = sched_setaffinity(0, sizeof(one), one) == 0;
	}
	(void)nanosleep(&ts, NULL);
	if (bound) {
		beside_leave(own);
		crowded = clock_ns() - began_ns > ns + BESIDE_LATE_NS;
	}
	return bound;
}
