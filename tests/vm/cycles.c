// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cycles [CYCLES [MILLISECONDS]]: loads and unloads the module so many times,
 * each time for that long, while processes do their worst to their memory and
 * all of it is sampled, dumped and walked.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "lib/churn.h"
#include "lib/facts.h"
#include "lib/layout.h"
#include "lib/machine.h"
#include "tap.h"

static volatile bool go_on = true;
static unsigned long dumps, regions;

static void walk_regions(const struct genl_reply *reply, void *data)
{
	pid_t *pids = data;

	if (pids[0] < 63)
		pids[++pids[0]] = genl_u32(reply->attr[RECLAIM_A_PID]);
}

static void *ask_on(void *data)
{
	static struct regions found;
	pid_t pids[64]; /* the first is their number */
	struct genl g;

	(void)data;
	while (go_on) {
		if (genl_open(&g) < 0) {
			sleep_ms(1);
			continue;
		}
		pids[0] = 0;
		dumps += procs_dump(&g, true, walk_regions, pids) > 0;
		for (int i = 1; i <= pids[0] && go_on; i++)
			regions += regions_get(&g, pids[i], &found) == 0 && found.count;
		genl_close(&g);
	}
	return NULL;
}

static int cycle(unsigned int ms)
{
	int r, n = 0;

	if (!module_loaded()) {
		r = module_load("/modules/reclaim.ko", "");
		if (r < 0) {
			printf("# load: error %d\n", -r);
			return r;
		}
	}
	tunable_set("min_anon_kb", 0);
	tunable_set("scan_cpu_permille", 500);
	tunable_set("scan_interval_ms", 100);
	tunable_set("bloat_anon_kb", 4096);
	sleep_ms(ms);
	while ((r = module_unload("reclaim")) == -EAGAIN && n++ < 3000)
		sleep_ms(5);
	if (r < 0)
		printf("# unload: error %d\n", -r);
	return r;
}

int main(int argc, char *argv[])
{
	int cycles = argc > 1 ? atoi(argv[1]) : 8, done = 0;
	unsigned int ms = argc > 2 ? atoi(argv[2]) : 700;
	unsigned long churned;
	struct churn *churn;
	pthread_t thread;

	if (!tap(swap_on() == 0, "swap") || !tap((churn = churn_start(4)) != NULL, "churn"))
		return tap_end();
	tap(pthread_create(&thread, NULL, ask_on, NULL) == 0, "ask all the time");
	while (done < cycles && cycle(ms) == 0)
		done++;
	go_on = false;
	pthread_join(thread, NULL);
	churned = churn_end(churn);
	tap(done == cycles, "%d of %d cycles", done, cycles);
	tap(dumps && regions, "%lu dumps with fresh walks, %lu of regions", dumps, regions);
	tap(churned, "%lu changes to memory", churned);
	return tap_end();
}
