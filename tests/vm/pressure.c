// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pressure [RUNS]: the kernel's own reclaim isn't worse off beside the sampler.
 *
 * A process keeps touching a quarter of its memory while its group is made
 * smaller in small steps with pauses. What it has to get back from swap is
 * counted, with and without the sampler, by turns.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/layout.h"
#include "lib/machine.h"
#include "tap.h"

#define GROUP "/sys/fs/cgroup/pressure"
#define SIZE (128 * MIB)
#define STEPS 12
#define STEP "4M"

static const char *huge;

static int fill(void *data)
{
	char pid[32], *p;

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (file_write(GROUP "/cgroup.procs", pid) < 0)
		return -1;
	p = map_aligned(SIZE, HUGE);
	madvise(p, SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	touch(p, SIZE, PAGE);
	*(char **)data = p;
	return 0;
}

static void touch_hot(void *data)
{
	for (;; sleep_ms(250))
		touch(*(char **)data, SIZE / 4, PAGE);
}

static uint64_t stat_of(const char *name)
{
	static char buf[16384];
	char *p;

	if (file_read(GROUP "/memory.stat", buf, sizeof(buf)) < 0)
		return 0;
	p = strstr(buf, name);
	return p ? strtoull(p + strlen(name), NULL, 10) : 0;
}

/* Pages that came back from swap: all of them were touched, so all of them were hot. */
static int64_t refaults(bool sampler)
{
	char *memory = NULL;
	uint64_t before;
	pid_t pid;

	if (mkdir(GROUP, 0755) < 0 || tunable_set("enabled", sampler) < 0)
		return -1;
	pid = child_start(fill, touch_hot, &memory);
	if (pid < 0)
		return -1;
	sleep_ms(5000);
	before = stat_of("workingset_refault_anon ");
	for (int i = 0; i < STEPS; i++) {
		/* It may not get all of it: then there's nothing cold left. */
		file_write(GROUP "/memory.reclaim", STEP);
		sleep_ms(1000);
	}
	before = stat_of("workingset_refault_anon ") - before;
	child_end(pid);
	while (rmdir(GROUP) < 0)
		sleep_ms(50);
	return before;
}

int main(int argc, char *argv[])
{
	int runs = argc > 1 ? atoi(argv[1]) : 3;
	int64_t with = 0, without = 0, a, b;

	huge = argc > 2 ? argv[2] : NULL;
	file_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	tap(swap_on() == 0 && tunable_set("scan_interval_ms", 2000) == 0 &&
		    tunable_set("scan_cpu_permille", 500) == 0 && tunable_set("min_anon_kb", 16 << 10) == 0,
	    "swap, and an interval of two seconds");
	for (int i = 0; i < runs; i++) {
		a = refaults(false);
		b = refaults(true);
		printf("# %s pages, run %d: %" PRId64 " refaults without the sampler, %" PRId64 " with it\n",
		       huge ? "huge" : "small", i + 1, a, b);
		if (!tap(a >= 0 && b >= 0, "run %d", i + 1))
			return tap_end();
		without += a;
		with += b;
	}
	tunable_set("enabled", 1);
	printf("# json {\"pressure_%s\":{\"runs\":%d,\"refaults_without\":%" PRId64 ",\"refaults_with\":%" PRId64
	       "}}\n",
	       huge ? "huge" : "small", runs, without, with);
	/* A quarter more, and a sixteenth of the hot pages: what single runs differ by. */
	tap(with <= without * 5 / 4 + runs * (int64_t)(SIZE / 4 / PAGE / 16), "no worse beside the sampler: %" PRId64
	    " refaults, without it %" PRId64, with, without);
	return tap_end();
}
