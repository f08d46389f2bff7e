/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has it come back? Asked 10 s, a minute and ten minutes after an action. */
#include <string.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "base/pstatus.h"
#include "base/text.h"
#include "core/manager-private.h"

#define SECOND_US 1000000ull

/* @ret_faults: major ones, of the process so far. */
static int read_rss(const struct manager *m, const struct ledger_record *action, uint64_t *ret, uint64_t *ret_swap,
		    uint64_t *ret_faults)
{
	_cleanup_close_ int dir = procfs_open_pid(m->proc, action->pid);
	struct pstatus status;
	struct pstat stat;
	int r = dir < 0 ? dir : pstat_read(dir, &stat);

	if (r == 0 && stat.start_time != action->start_time)
		r = -ESRCH;
	if (r == 0)
		r = pstatus_read(dir, &status);
	/* The address space of one that is exiting is empty: that is no saving. */
	if (r == 0 && !status.vm_size)
		r = -ESRCH;
	if (r != 0)
		return r;
	*ret = status.rss_anon + status.rss_file + status.rss_shmem;
	*ret_swap = status.vm_swap;
	*ret_faults = stat.major_faults;
	return 0;
}

/* Of what was paged out: how much came back, and how many times the process had to wait for a page since then. */
static void compare_swap(const struct ledger_record *action, uint64_t swap, uint64_t faults, struct ledger_record *rec,
			 uint64_t *ret_faults)
{
	*ret_faults = faults - MIN(faults, action->faults);
	if (!action->swapped)
		return;
	rec->swapped = MIN(action->swap - MIN(action->swap, swap), action->swapped);
	rec->swap = swap;
	rec->faults = faults;
}

static void learn(struct manager *m, const struct ledger_record *rec, uint64_t rss, uint64_t faults)
{
	const struct candidate *c = candidates_find(&m->candidates, rec->pid, rec->start_time);
	struct memory_process *process = memory_process(&m->memory, rec->pid, rec->start_time);
	struct memory_program *program = memory_program(&m->memory, rec->exe, rec->real_uid);
	struct thresholds limits;

	manager_limits(m, rec, &limits);
	if (c)
		limits = c->decision.limits;
	policy_learn_refaults(&m->settings, &limits, &process->track, &program->track, rec->swapped, faults,
			      rec->boot_us);
	policy_learn_check(&m->settings, &limits, &process->track, &program->track, rec->after_us, rss, rec->boot_us);
}

static void check(struct manager *m, const struct ledger_record *action, uint64_t after_us)
{
	struct ledger_record rec = *action;
	uint64_t rss = 0, swap = 0, faults = 0, since = 0;

	if (read_rss(m, action, &rss, &swap, &faults) < 0) {
		checks_drop(&m->checks, action->pid, action->start_time);
		return;
	}
	rec.kind = LEDGER_CHECK;
	rec.real_us = clock_us(CLOCK_REALTIME);
	rec.boot_us = manager_now();
	rec.after_us = after_us;
	rec.predicted = (uint64_t)MAX(action->freed, 0);
	rec.rss_before = action->rss_after;
	rec.rss_after = rss;
	rec.freed = action->freed + (int64_t)action->rss_after - (int64_t)rss;
	rec.stopped_us = rec.duration_us = 0;
	rec.words[0] = 0;
	text_format(rec.reason, sizeof(rec.reason), rss > rec.rss_before ? "grown" : "stayed");
	compare_swap(action, swap, faults, &rec, &since);
	if (rec.swapped)
		text_format(rec.words, sizeof(rec.words), "%ju pages had to be waited for since", (uintmax_t)since);
	learn(m, &rec, rss, since);
	(void)manager_write(m, &rec, false);
}

static int on_time(sd_event_source *source, uint64_t usec, void *arg)
{
	struct manager *m = arg;
	struct ledger_record action;
	uint64_t after_us;

	(void)source;
	(void)usec;
	while (checks_take(&m->checks, manager_now(), &action, &after_us))
		check(m, &action, after_us);
	manager_check_plan(m);
	return 0;
}

void manager_check_plan(struct manager *m)
{
	const uint64_t due_us = checks_due_us(&m->checks);

	if (due_us == UINT64_MAX)
		return;
	(void)sd_event_source_set_time(m->check_timer, due_us);
	(void)sd_event_source_set_enabled(m->check_timer, SD_EVENT_ONESHOT);
}

int manager_check_start(struct manager *m)
{
	int r = sd_event_add_time(m->event, &m->check_timer, CLOCK_BOOTTIME, 0, SECOND_US, on_time, m);

	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(m->check_timer, SD_EVENT_OFF);
	manager_check_plan(m);
	return 0;
}
