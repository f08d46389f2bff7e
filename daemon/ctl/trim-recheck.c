/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A second look at what was trimmed, some time later. */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "ctl/interrupt.h"
#include "ctl/trim.h"

#define SLICE_NS 50000000ull /* so soon an interrupt is seen */

/* The very process that was trimmed. 0 or -errno. */
static int read_footprint(const struct ctl *ctl, int root, const struct worker_result *res, struct footprint *ret)
{
	_cleanup_close_ int dir = procfs_open_pid(ctl->proc, res->pid);
	struct pstat st;
	int r = dir < 0 ? dir : pstat_read(dir, &st);

	if (r == 0 && res->start_time && st.start_time != res->start_time)
		r = -ESRCH;
	return r < 0 ? r : footprint_read(root, dir, ret);
}

void trim_recheck_mark(const struct ctl *ctl, int root, struct trim_row *row)
{
	struct aftermath *a = &row->after;

	a->marked = read_footprint(ctl, root, &row->res, &a->mark) == 0;
	a->marked_ns = clock_ns();
}

/* false: interrupted */
static bool wait_until(uint64_t deadline_ns)
{
	uint64_t now;

	while (!interrupt_signal() && (now = clock_ns()) < deadline_ns) {
		const struct timespec left = clock_remaining(MIN(deadline_ns, now + SLICE_NS));

		(void)nanosleep(&left, NULL);
	}
	return !interrupt_signal();
}

/* One that has exited meanwhile, or is another one by now, was not looked at. */
static void look_again(const struct ctl *ctl, int root, struct trim_row *row)
{
	struct aftermath *a = &row->after;

	a->looked = read_footprint(ctl, root, &row->res, &a->now) == 0;
	a->waited_us = (clock_ns() - a->marked_ns) / 1000;
	if (a->looked)
		regrowth_between(&a->mark, &a->now, &a->regrowth);
}

void trim_recheck(const struct ctl *ctl, int root, uint64_t wait_us, struct trim_row *rows, size_t n)
{
	const bool progress = ctl_terminal(STDERR_FILENO);
	char wait[32];

	for (size_t i = 0; i < n; i++) {
		if (!rows[i].after.marked)
			continue;
		if (progress)
			fprintf(stderr, "\r\033[Ktrim: waiting %s to look again",
				format_time_us(wait_us, wait, sizeof(wait)));
		/* In the order of their marks: the first one has waited longest. */
		if (!wait_until(rows[i].after.marked_ns + wait_us * 1000))
			break;
		look_again(ctl, root, &rows[i]);
	}
	if (progress)
		fputs("\r\033[K", stderr);
}
