// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cost [PROCESSES]: processor time of asking the module, beside that of reading
 * /proc, both by this program. Emulated, so only ratios mean something.
 *
 * A line "# json ..." holds all figures.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/facts.h"
#include "lib/machine.h"
#include "tap.h"

#define MAX 1000
#define MAPPINGS 60
#define ROUNDS 5

static pid_t pids[MAX];
static int count;

/* Like a small program with its libraries: many mappings, some pages in each */
static int be_small(void *data)
{
	char *p = map_anon(MAPPINGS * 32 * PAGE);

	(void)data;
	madvise(p, MAPPINGS * 32 * PAGE, MADV_NOHUGEPAGE);
	for (int i = 0; i < MAPPINGS; i++) {
		touch(p + i * 32 * PAGE, 8 * PAGE, PAGE);
		if (i % 2)
			mprotect(p + i * 32 * PAGE, 32 * PAGE, PROT_READ);
	}
	return 0;
}

static int be_big(void *data)
{
	size_t size = 512 * MIB;
	char *p = map_aligned(size, HUGE);

	madvise(p, size, data ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	touch(p, size, PAGE);
	return 0;
}

static bool read_file(pid_t pid, const char *name)
{
	static char buf[65536];
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	do
		n = read(fd, buf, sizeof(buf));
	while (n > 0);
	close(fd);
	return n == 0;
}

/* One way to learn about all processes; false when it failed */
struct way {
	const char *name;
	bool (*ask)(struct genl *g, const char *name);
	double us; /* for one process, the best round */
};

static bool ask_proc(struct genl *g, const char *name)
{
	(void)g;
	for (int i = 0; i < count; i++)
		if (!read_file(pids[i], name))
			return false;
	return true;
}

static void take_cached(const struct genl_reply *reply, void *data)
{
	*(int *)data += reply->attr[RECLAIM_A_SAMPLE_AGE] && reply->attr[RECLAIM_A_ANON_MMAP];
}

static bool ask_dump(struct genl *g, const char *name)
{
	int cached = 0, n = procs_dump(g, false, take_cached, &cached);

	(void)name;
	/* All of them with what the sampler found */
	return n >= count && cached >= count;
}

/* Counters and what was found by walks, and no names */
static bool ask_figures(struct genl *g, const char *name)
{
	int cached = 0;
	int n = procs_dump_fields(g, RECLAIM_PROC_FIELDS_COUNTERS | RECLAIM_PROC_FIELDS_SAMPLE, take_cached, &cached);

	(void)name;
	return n >= count && cached >= count;
}

static bool ask_fresh(struct genl *g, const char *name)
{
	(void)name;
	return procs_dump(g, true, NULL, NULL) >= count;
}

static bool measure(struct genl *g, struct way *w)
{
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t began = cpu_us();
		double us;

		if (!w->ask(g, w->name))
			return false;
		us = (double)(cpu_us() - began) / count;
		if (!i || us < w->us)
			w->us = us;
	}
	return true;
}

/* Waits until the sampler has been everywhere. */
static bool sampled(struct genl *g)
{
	for (int i = 0; i < 60; i++) {
		if (ask_dump(g, NULL))
			return true;
		sleep_ms(1000);
	}
	return false;
}

static void test_small(struct genl *g)
{
	enum { ROLLUP, STATUS, STATM, DUMP, FIGURES, FRESH, WAYS };
	struct way ways[WAYS] = {
		[ROLLUP] = { "smaps_rollup", ask_proc, 0 }, [STATUS] = { "status", ask_proc, 0 },
		[STATM] = { "statm", ask_proc, 0 },	    [DUMP] = { "dump", ask_dump, 0 },
		[FIGURES] = { "figures", ask_figures, 0 }, [FRESH] = { "fresh dump", ask_fresh, 0 },
	};
	bool good = true;

	while (count < MAX && (pids[count] = child_start(be_small, NULL, NULL)) > 0)
		count++;
	tap(count == MAX, "%d small processes", count);
	tap(sampled(g), "all of them sampled");
	for (int i = 0; i < WAYS; i++)
		good &= measure(g, &ways[i]);
	tap(good, "each way works");
	for (int i = 0; i < WAYS; i++)
		printf("# %-14s %8.2f us a process\n", ways[i].name, ways[i].us);
	printf("# json {\"processes\":%d", count);
	for (int i = 0; i < WAYS; i++)
		printf(",\"%s_us\":%.2f", ways[i].name, ways[i].us);
	printf("}\n");
	printf("# a dump with names: %.1f times less than smaps_rollup, %.1f than status\n",
	       ways[ROLLUP].us / ways[DUMP].us, ways[STATUS].us / ways[DUMP].us);
	tap(ways[ROLLUP].us >= 50 * ways[FIGURES].us, "a dump of figures costs %.1f times less than smaps_rollup",
	    ways[ROLLUP].us / ways[FIGURES].us);
	tap(ways[STATUS].us >= 20 * ways[FIGURES].us, "a dump of figures costs %.1f times less than status",
	    ways[STATUS].us / ways[FIGURES].us);
	tap(ways[ROLLUP].us >= 3 * ways[FRESH].us, "fresh walks cost %.1f times less than smaps_rollup",
	    ways[ROLLUP].us / ways[FRESH].us);
	while (count > 0)
		child_end(pids[--count]);
}

static void test_big(struct genl *g, bool huge)
{
	double rollup = 0, fresh = 0;
	pid_t pid = child_start(be_big, NULL, huge ? "" : NULL);
	struct proc p;
	bool good = pid > 0;

	for (int i = 0; i < 7; i++) {
		uint64_t a = cpu_us(), b, c;

		good &= read_file(pid, "smaps_rollup");
		b = cpu_us();
		good &= proc_get(g, pid, true, &p) == 0 && p.value[RECLAIM_A_ANON_MMAP] >= 512 * MIB;
		c = cpu_us();
		rollup = !i || b - a < rollup ? b - a : rollup;
		fresh = !i || c - b < fresh ? c - b : fresh;
	}
	tap(good, "512 MiB in %s pages", huge ? "huge" : "small");
	printf("# json {\"big_%s\":{\"smaps_rollup_us\":%.0f,\"fresh_us\":%.0f}}\n", huge ? "huge" : "small", rollup,
	       fresh);
	tap(huge || rollup >= 5 * fresh, "smaps_rollup %.0f us, a fresh walk %.0f us: %.1f times less", rollup, fresh,
	    rollup / fresh);
	child_end(pid);
}

int main(void)
{
	struct genl g;

	tap(tunable_set("min_anon_kb", 0) == 0 && tunable_set("scan_interval_ms", 1000) == 0 &&
		    tunable_set("scan_cpu_permille", 1000) == 0,
	    "sample everything");
	if (!tap(genl_open(&g) == 0, "find the family"))
		return tap_end();
	test_small(&g);
	test_big(&g, false);
	test_big(&g, true);
	genl_close(&g);
	return tap_end();
}
