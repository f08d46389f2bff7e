// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/trim-idle.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "base/swap.h"
#include "ctl/interrupt.h"
#include "sense/settled.h"

#define MODULE "/sys/kernel/reclaim"
#define IDLE_USUAL_US 120000000ull
#define WATCH_USUAL_US 10000000ull
#define REGIONS_MAX 262144

/* UINT64_MAX when it can't be read, or is another process. */
static uint64_t ticks_of(const struct ctl *ctl, const struct trim_target *target, uint64_t *ret_start_time)
{
	_cleanup_close_ int dir = procfs_open_pid(ctl->proc, target->pid);
	struct pstat st;

	if (dir < 0 || pstat_read(dir, &st) < 0 || (target->start_time && target->start_time != st.start_time))
		return UINT64_MAX;
	*ret_start_time = st.start_time;
	return st.utime + st.stime;
}

static void wait_for(uint64_t us)
{
	const uint64_t deadline_ns = clock_ns() + us * 1000;
	struct timespec left;

	/* Any signal that we catch ends a sleep early. */
	while (!interrupt_signal() && clock_ns() < deadline_ns) {
		left = clock_remaining(deadline_ns);
		(void)nanosleep(&left, NULL);
	}
}

int trim_idle_begin(const struct ctl *ctl, const struct trim_targets *targets, uint64_t idle_us, struct trim_idle *ret)
{
	struct trim_idle t = { .idle_us = idle_us, .n = targets->n };

	if (source_is_module(&ctl->source)) {
		*ret = t;
		return 0;
	}
	t.watched_us = idle_us ? idle_us : WATCH_USUAL_US;
	t.ticks = calloc(targets->n + 1, sizeof(*t.ticks));
	if (!t.ticks)
		return -ENOMEM;
	for (size_t i = 0; i < targets->n; i++) {
		struct trim_target *target = &targets->v[i];

		/* From now on it is this process that is meant. */
		t.ticks[i] = ticks_of(ctl, target, &target->start_time);
	}
	wait_for(t.watched_us);
	*ret = t;
	return 0;
}

void trim_idle_done(struct trim_idle *t)
{
	free(t->ticks);
	*t = (struct trim_idle){ 0 };
}

static void fill_ages(struct ctl *ctl, uint64_t idle_us, struct worker_request *req)
{
	_cleanup_close_ int sysfs = open(MODULE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(region_list_done) struct region_list list = { 0 };
	struct settled v[WORKER_RANGES_MAX];
	const uint64_t least_us = settled_least_us(sysfs);
	uint64_t bytes;

	if (least_us == UINT64_MAX || source_regions(&ctl->source, req->pid, REGIONS_MAX, &list) < 0)
		return;
	req->idle = WORKER_IDLE_AGES;
	req->idle_us = MAX(idle_us, least_us);
	req->nranges = (uint32_t)settled_regions(&list, req->idle_us, v, WORKER_RANGES_MAX, &bytes);
	for (uint32_t i = 0; i < req->nranges; i++)
		req->ranges[i] = (struct worker_range){ .start = v[i].start, .end = v[i].end };
}

void trim_idle_fill(struct ctl *ctl, const struct trim_idle *t, size_t i, struct worker_request *req)
{
	struct swap swap;

	if (swap_read(ctl->proc, &swap) == 0)
		req->swap_keep = swap.total / 1000 * SWAP_KEEP_PERMILLE;
	if (!t->ticks) {
		fill_ages(ctl, t->idle_us ? t->idle_us : IDLE_USUAL_US, req);
	} else if (i < t->n && t->ticks[i] != UINT64_MAX) {
		req->idle = WORKER_IDLE_QUIET;
		req->idle_us = t->watched_us;
		req->cpu_ticks = t->ticks[i];
	}
}

void trim_idle_touched(struct ctl *ctl, const struct worker_request *req, const struct worker_result *res)
{
	struct source_range all;
	int r;

	if (req->idle != WORKER_IDLE_AGES || !req->nranges || !res->nsteps)
		return;
	all = (struct source_range){ req->ranges[0].start, req->ranges[req->nranges - 1].end };
	/* Of an older module they go on as if nobody had looked. */
	r = source_reset_ages(&ctl->source, req->pid, req->start_time, &all, 1);
	if (r < 0 && r != -ESRCH)
		(void)fprintf(stderr, "reclaimctl: the module's ages of pid %d go on: %s\n", req->pid, strerror(-r));
}
