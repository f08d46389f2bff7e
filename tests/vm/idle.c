// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two processes touch a quarter of their 256 MiB each second, one with small
 * pages and one with huge ones. After three intervals the module's idle bytes
 * are the other three quarters, within 5 %.
 *
 * idle --damon: the same for longer beside damon_stat (since 6.17), which takes
 * accessed bits too. How wrong the figures are then is said, not judged: of idle
 * bytes, after two intervals, and of accessed bytes, which are of one alone.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/ages.h"
#include "lib/machine.h"
#include "tap.h"

#define SIZE (256 * MIB)
#define HOT (SIZE / 4)
#define INTERVAL_MS 2500
#define SAMPLES 3
#define DAMON_SAMPLES 40
#define TRIES 3
#define DAMON "/sys/module/damon_stat/parameters/enabled"

struct toucher {
	const char *name;
	bool huge;
	pid_t pid;
	char *memory;
	uint64_t gap_us; /* longest time between two rounds */
	/* Errors, % */
	double worst, mean;
	double lost_worst, lost_mean; /* of what was touched, not seen in an interval */
};

static int samples = SAMPLES;

static int toucher_begin(void *data)
{
	struct toucher *t = data;

	t->memory = map_aligned(SIZE, HUGE);
	if (madvise(t->memory, SIZE, t->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0)
		return -1;
	touch(t->memory, SIZE, PAGE);
	return 0;
}

static void toucher_go_on(void *data)
{
	uint64_t last = now_us(), now;
	struct toucher *t = data;

	for (;; last = now) {
		touch(t->memory, HOT, PAGE);
		now = now_us();
		if (now - last > t->gap_us)
			t->gap_us = now - last;
		sleep_ms(1000);
	}
}

static double error_of(uint64_t got)
{
	double want = SIZE - HOT;

	return (got > want ? got - want : want - got) * 100 / want;
}

/* One look at one of them: the figure, and the same once more out of the histogram */
static void sample(struct genl *g, struct toucher *t)
{
	struct ages a;
	struct proc p;
	uint64_t old;
	double e, h, lost;
	int r;

	r = proc_get(g, t->pid, false, &p) ?: ages_get(g, t->pid, &a);
	if (r < 0 || !p.has[RECLAIM_A_IDLE] || a.wrong) {
		printf("# %s: error %d, no figure (%s), sampling %" PRIu64 "\n", t->name, -r, g->message,
		       p.value[RECLAIM_A_SAMPLING]);
		t->worst = 100;
		return;
	}
	old = ages_idle(&a, 2 * INTERVAL_MS);
	e = error_of(p.value[RECLAIM_A_IDLE]);
	h = error_of(old);
	printf("# %s: idle %" PRIu64 " KiB (%.2f %%), histogram %" PRIu64 " KiB (%.2f %%), accessed %" PRIu64
	       " KiB, %" PRIu64 " ms ago\n",
	       t->name, p.value[RECLAIM_A_IDLE] / 1024, e, old / 1024, h, p.value[RECLAIM_A_ACCESSED] / 1024,
	       p.value[RECLAIM_A_SAMPLE_AGE]);
	t->worst = e > t->worst ? e : t->worst;
	t->worst = h > t->worst ? h : t->worst;
	t->mean += e / samples;
	lost = p.value[RECLAIM_A_ACCESSED] < HOT ? (HOT - p.value[RECLAIM_A_ACCESSED]) * 100.0 / HOT : 0;
	t->lost_worst = lost > t->lost_worst ? lost : t->lost_worst;
	t->lost_mean += lost / samples;
}

/* False when one of them didn't get to run in time: then nothing can be said. */
static bool try(struct genl *g, struct toucher *t, int n)
{
	bool good = true;

	for (int i = 0; i < n; i++) {
		t[i].worst = t[i].mean = t[i].lost_worst = t[i].lost_mean = 0;
		t[i].pid = child_start(toucher_begin, toucher_go_on, &t[i]);
		t[i].gap_us = 0;
	}
	/* Three whole ones: the first begins anywhere in the one that runs. */
	sleep_ms(INTERVAL_MS * 4 + 500);
	for (int s = 0; s < samples; s++, sleep_ms(INTERVAL_MS))
		for (int i = 0; i < n; i++)
			sample(g, &t[i]);
	for (int i = 0; i < n; i++) {
		child_end(t[i].pid);
		if (t[i].gap_us > INTERVAL_MS * 800ULL) {
			printf("# %s: didn't run for %" PRIu64 " ms\n", t[i].name, t[i].gap_us / 1000);
			good = false;
		}
	}
	return good;
}

static void set_tunables(void)
{
	tap(tunable_set("scan_interval_ms", INTERVAL_MS) == 0, "an interval of %d ms", INTERVAL_MS);
	tap(tunable_set("idle_after_ms", 2 * INTERVAL_MS) == 0, "idle after two of them");
	/* Emulation is some fifty times slower than what the default is made for. */
	tap(tunable_set("scan_cpu_permille", 500) == 0, "time enough for the sampler");
	tap(tunable_set("min_anon_kb", 16 << 10) == 0, "processes from 16 MiB on");
}

int main(int argc, char *argv[])
{
	bool damon = argc > 1 && !strcmp(argv[1], "--damon"), good = false;
	struct toucher *t = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct genl g;

	t[0].name = "small pages";
	t[1].name = "huge pages";
	t[1].huge = true;
	if (damon && access(DAMON, W_OK) < 0) {
		tap(true, "damon_stat # SKIP this kernel has none");
		return tap_end();
	}
	if (access(DAMON, W_OK) == 0)
		tap(file_write(DAMON, damon ? "Y" : "N") == 0, "damon_stat %s", damon ? "on" : "off");
	samples = damon ? DAMON_SAMPLES : SAMPLES;
	set_tunables();
	if (!tap(genl_open(&g) == 0, "find the family"))
		return tap_end();
	for (int i = 0; i < TRIES && !good; i++)
		good = try(&g, t, 2);
	tap(good, "the machine was fast enough");
	for (int i = 0; i < 2; i++)
		tap(damon || t[i].worst <= 5, "%s: idle bytes are %.2f %% off at worst", t[i].name, t[i].worst);
	for (int i = 0; i < 2; i++)
		printf("# json {\"idle%s_%s\":{\"samples\":%d,\"idle_worst\":%.2f,\"idle_mean\":%.2f,"
		       "\"unseen_worst\":%.2f,\"unseen_mean\":%.2f}}\n",
		       damon ? "_damon" : "", t[i].huge ? "huge" : "small", samples, t[i].worst, t[i].mean,
		       t[i].lost_worst, t[i].lost_mean);
	if (access(DAMON, W_OK) == 0)
		file_write(DAMON, "N");
	return tap_end();
}
