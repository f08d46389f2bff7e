// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * age-get: histograms of a process that sleeps, beside the figures of proc-get
 * for the same visit of the sampler, kind by kind; what isn't there when there
 * are no ages; and requests that make no sense.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/ages.h"
#include "lib/machine.h"
#include "tap.h"

#define HEAP (24 * MIB)
#define MMAP (40 * MIB)
#define INTERVAL_MS 500
/* A power of two of intervals: a bucket begins there, so that histogram and figure mean the same. */
#define IDLE_MS (4 * INTERVAL_MS)
#define GRANULE_KB 64

static int fill(void *data)
{
	(void)data;
	touch(sbrk(HEAP), HEAP, PAGE);
	touch(map_anon(MMAP), MMAP, PAGE);
	return 0;
}

/* Of the kind's histogram, or 0 */
static uint64_t bytes_of(const struct ages *a, uint32_t kind)
{
	uint64_t sum = 0;

	for (int i = 0; i < a->count; i++)
		for (int k = 0; a->list[i].kind == kind && k < a->list[i].count; k++)
			sum += a->list[i].bytes[k];
	return sum;
}

/* Both answers, of the same visit: the sampler may come between them, and then it is tried again. */
static bool both(struct genl *g, pid_t pid, struct ages *a, struct proc *p)
{
	for (int i = 0; i < 20; i++, sleep_ms(INTERVAL_MS / 10)) {
		uint64_t walks = tunable_get("stats/walks") + tunable_get("stats/walks_skipped");

		if (ages_get(g, pid, a) < 0 || proc_get(g, pid, false, p) < 0)
			return false;
		if (tunable_get("stats/walks") + tunable_get("stats/walks_skipped") == walks)
			return true;
	}
	return false;
}

static bool becomes_idle(struct genl *g, pid_t pid, struct ages *a, struct proc *p)
{
	for (int i = 0; i < 100; i++, sleep_ms(INTERVAL_MS / 2))
		if (both(g, pid, a, p) && p->has[RECLAIM_A_IDLE] && p->value[RECLAIM_A_IDLE] >= HEAP + MMAP)
			return true;
	return false;
}

static void expect_same(const struct ages *a, uint32_t kind, const struct proc *p, int attr, const char *what)
{
	uint64_t bytes = bytes_of(a, kind), figure = p->value[attr];

	tap(bytes == figure, "%s: %" PRIu64 " KiB in its histogram, %" PRIu64 " KiB by proc-get", what, bytes / 1024,
	    figure / 1024);
}

static void test_sampled(struct genl *g)
{
	pid_t pid = child_start(fill, NULL, NULL);
	struct ages a;
	struct proc p;

	tap(pid > 0 && becomes_idle(g, pid, &a, &p), "%lu MiB of heap and %lu MiB beside it become idle", HEAP / MIB,
	    MMAP / MIB);
	tap(!a.wrong && a.p.count == 1 && a.p.value[RECLAIM_A_PID] == (uint64_t)pid &&
		    a.p.value[RECLAIM_A_START_TIME] == start_time_of(pid),
	    "one reply, of this process");
	tap(a.p.value[RECLAIM_A_SAMPLING] == RECLAIM_SAMPLING_ACTIVE && a.p.has[RECLAIM_A_SAMPLE_AGE] &&
		    a.p.value[RECLAIM_A_INTERVAL] == INTERVAL_MS && a.p.value[RECLAIM_A_GRANULE] == GRANULE_KB << 10,
	    "sampled each %" PRIu64 " ms in pieces of %" PRIu64 " KiB", a.p.value[RECLAIM_A_INTERVAL],
	    a.p.value[RECLAIM_A_GRANULE] / 1024);
	expect_same(&a, RECLAIM_KIND_HEAP, &p, RECLAIM_A_ANON_HEAP, "heap");
	expect_same(&a, RECLAIM_KIND_MMAP, &p, RECLAIM_A_ANON_MMAP, "mmap");
	expect_same(&a, RECLAIM_KIND_STACK, &p, RECLAIM_A_ANON_STACK, "stack");
	tap(ages_idle(&a, IDLE_MS) == p.value[RECLAIM_A_IDLE],
	    "idle for %d ms: %" PRIu64 " KiB, %" PRIu64 " KiB by proc-get", IDLE_MS, ages_idle(&a, IDLE_MS) / 1024,
	    p.value[RECLAIM_A_IDLE] / 1024);
	/* Too small from now on: what was known of it is gone at the next look. */
	tunable_set("min_anon_kb", 1 << 20);
	for (int i = 0; i < 40; i++, sleep_ms(INTERVAL_MS / 2))
		if (ages_get(g, pid, &a) < 0 || a.p.value[RECLAIM_A_SAMPLING] == RECLAIM_SAMPLING_SMALL)
			break;
	tap(a.p.value[RECLAIM_A_SAMPLING] == RECLAIM_SAMPLING_SMALL, "it is small now, and isn't sampled");
	child_end(pid);
}

static void test_unsampled(struct genl *g)
{
	struct ages a;
	int r = ages_get(g, getpid(), &a);

	tap(r == 0 && a.p.value[RECLAIM_A_SAMPLING] == RECLAIM_SAMPLING_SMALL && !a.count &&
		    !a.p.has[RECLAIM_A_SAMPLE_AGE] && !a.p.has[RECLAIM_A_INTERVAL] && !a.p.has[RECLAIM_A_GRANULE],
	    "a small process has a reason, and nothing else");
	r = ages_get(g, 2, &a);
	tap(r == -ESRCH && g->message[0], "nor has a kernel thread ages: error %d, \"%s\"", -r, g->message);
	r = ages_get(g, 4194303, &a);
	tap(r == -ESRCH && g->message[0], "nor one that isn't there: error %d, \"%s\"", -r, g->message);
}

int main(void)
{
	struct genl g;

	tap(tunable_set("scan_interval_ms", INTERVAL_MS) == 0 && tunable_set("scan_cpu_permille", 500) == 0 &&
		    tunable_set("idle_after_ms", IDLE_MS) == 0 && tunable_set("granule_kb", GRANULE_KB) == 0 &&
		    tunable_set("min_anon_kb", 16 << 10) == 0,
	    "an interval of %d ms, idle after %d ms", INTERVAL_MS, IDLE_MS);
	if (!tap(genl_open(&g) == 0, "find the family"))
		return tap_end();
	test_unsampled(&g);
	test_sampled(&g);
	genl_close(&g);
	return tap_end();
}
