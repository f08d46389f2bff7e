/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cold and pageout ask for before they are thought of: memory that was
 * left alone, by the module's ages or because nobody was awake, and room in
 * swap. Needed only when memory is short.
 */
#include <fcntl.h>

#include "base/procfs.h"
#include "base/swap.h"
#include "core/manager-private.h"
#include "sense/settled.h"

#define MODULE "/sys/kernel/reclaim"

/* Bytes, and where they are. POLICY_UNKNOWN without the module, or when its looks are too far apart. */
static uint64_t settled(struct manager *m, const struct candidate *c, uint64_t idle_us, struct settled *ret,
			size_t *ret_n)
{
	_cleanup_close_ int sysfs = open(MODULE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(region_list_done) struct region_list list = { 0 };
	uint64_t bytes;

	if (settled_least_us(sysfs) > idle_us || senses_ages(&m->senses, c->pid, &list) < 0)
		return POLICY_UNKNOWN;
	*ret_n = settled_regions(&list, idle_us, ret, WORKER_RANGES_MAX, &bytes);
	return bytes;
}

/* Bytes of swap that have to stay free. */
static uint64_t swap_keep(const struct manager *m, const struct swap *swap)
{
	return swap->total / 1000 * m->settings.swap_keep_permille;
}

static uint64_t room(const struct manager *m, const struct candidate *c)
{
	_cleanup_close_ int dir = procfs_open_pid(m->proc, c->pid);
	uint64_t groups;
	struct swap swap;

	if (dir < 0 || swap_read(m->proc, &swap) < 0 || swap_room_of_groups(m->cgroups, dir, &groups) < 0)
		return 0;
	return MIN(groups, swap_room(&swap, swap_keep(m, &swap)));
}

void manager_idle_facts(struct manager *m, const struct candidate *c, const struct thresholds *limits,
			struct subject *ret)
{
	struct settled v[WORKER_RANGES_MAX];
	size_t n;

	ret->settled = settled(m, c, limits->settled_us, v, &n);
	ret->swap_room = room(m, c);
}

static bool prove_by_ages(struct manager *m, const struct candidate *c, const struct thresholds *limits,
			  struct worker_request *req)
{
	struct settled v[WORKER_RANGES_MAX];
	size_t n = 0;

	if (settled(m, c, limits->settled_us, v, &n) == POLICY_UNKNOWN)
		return false;
	req->idle = WORKER_IDLE_AGES;
	req->idle_us = limits->settled_us;
	req->nranges = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		req->ranges[i] = (struct worker_range){ .start = v[i].start, .end = v[i].end };
	return true;
}

void manager_idle_prove(struct manager *m, const struct candidate *c, const struct thresholds *limits, bool by_ages,
			struct worker_request *req)
{
	const uint64_t still_us = activity_still_us(&c->activity, manager_awake_us());
	struct swap swap;

	if (swap_read(m->proc, &swap) == 0)
		req->swap_keep = swap_keep(m, &swap);
	if (by_ages && prove_by_ages(m, c, limits, req))
		return;
	if (still_us < limits->settled_us)
		return;
	req->idle = WORKER_IDLE_QUIET;
	req->idle_us = still_us;
	req->cpu_ticks = c->activity.ticks;
}

void manager_idle_touched(struct manager *m, const struct worker_request *req, const struct worker_result *res)
{
	if (req->idle == WORKER_IDLE_AGES && req->nranges && res->nsteps)
		senses_touched(&m->senses, req->pid, req->start_time, req->ranges[0].start,
			       req->ranges[req->nranges - 1].end);
}
