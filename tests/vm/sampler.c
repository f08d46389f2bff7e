// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sampler [MIB]: what the sampler costs with a process of that size (4 GiB) that
 * touches a part of it all the time: for each page, in all, and how long it
 * holds the process's mmap lock.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/facts.h"
#include "lib/machine.h"
#include "tap.h"

#define INTERVAL_MS 2000
#define PERMILLE 100
#define SECONDS 30

static size_t size = 4096 * MIB;
static char *memory;
/* Longest time that mapping and unmapping a page took, which needs the lock for itself alone */
static volatile uint64_t *worst_us;

static int fill(void *data)
{
	(void)data;
	memory = map_aligned(size, HUGE);
	madvise(memory, size, MADV_NOHUGEPAGE);
	touch(memory, size, PAGE);
	return 0;
}

static void map_on(void *data)
{
	(void)data;
	for (unsigned int i = 0;; i++) {
		uint64_t began = now_us();

		munmap(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
		began = now_us() - began;
		if (began > *worst_us)
			*worst_us = began;
		if (i % 64 == 0)
			touch(memory + size / 4 * (i / 64 % 64) / 64, size / 4 / 64, PAGE);
		sleep_ms(2);
	}
}

int main(int argc, char *argv[])
{
	uint64_t pages, busy, walks, hold, began, took, quiet;
	struct proc p;
	struct genl g;
	pid_t pid;
	int r;

	size = argc > 1 ? strtoul(argv[1], NULL, 0) * MIB : size;
	worst_us = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tap(tunable_set("scan_interval_ms", INTERVAL_MS) == 0 && tunable_set("scan_cpu_permille", PERMILLE) == 0 &&
		    tunable_set("enabled", 0) == 0,
	    "an interval of %d ms, %d permille of a processor", INTERVAL_MS, PERMILLE);
	pid = child_start(fill, map_on, NULL);
	if (!tap(pid > 0 && genl_open(&g) == 0, "a process of %zu MiB", size / MIB))
		return tap_end();
	sleep_ms(5000);
	quiet = *worst_us;
	*worst_us = 0;

	pages = tunable_get("stats/pages");
	busy = tunable_get("stats/busy_ns");
	walks = tunable_get("stats/walks");
	tunable_set("enabled", 1);
	began = now_us();
	sleep_ms(SECONDS * 1000);
	took = now_us() - began;
	pages = tunable_get("stats/pages") - pages;
	busy = tunable_get("stats/busy_ns") - busy;
	walks = tunable_get("stats/walks") - walks;
	hold = tunable_get("stats/hold_max_ns");
	tap(walks > 0 && pages > 0, "%" PRIu64 " walks, %" PRIu64 " pages", walks, pages);
	tap(busy * 1000 / (took * 1000) <= PERMILLE * 11 / 10, "%.1f permille of a processor", busy / (double)took);
	printf("# %.0f ns a page; lock held for %" PRIu64 " us at most; mmap() and munmap() took %" PRIu64
	       " us at worst, without the sampler %" PRIu64 " us\n",
	       pages ? (double)busy / pages : 0, hold / 1000, *worst_us, quiet);
	printf("# json {\"sampler\":{\"mib\":%zu,\"walks\":%" PRIu64 ",\"pages\":%" PRIu64 ",\"busy_ns\":%" PRIu64
	       ",\"wall_us\":%" PRIu64 ",\"hold_max_ns\":%" PRIu64 ",\"mmap_worst_us\":%" PRIu64
	       ",\"mmap_worst_quiet_us\":%" PRIu64 "}}\n",
	       size / MIB, walks, pages, busy, took, hold, *worst_us, quiet);
	tap(hold <= 1000000, "no hold of the lock is over a millisecond: %" PRIu64 " us", hold / 1000);
	r = proc_get(&g, pid, false, &p);
	tap(r == 0 && p.has[RECLAIM_A_SAMPLE_AGE] && p.value[RECLAIM_A_SAMPLE_AGE] <= 2 * INTERVAL_MS,
	    "it was sampled, %" PRIu64 " ms ago", p.value[RECLAIM_A_SAMPLE_AGE]);
	child_end(pid);
	genl_close(&g);
	return tap_end();
}
