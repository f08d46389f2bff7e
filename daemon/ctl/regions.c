/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "regions": each mapping of a process, as the kernel accounts for it. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/bar.h"
#include "ctl/ctl.h"
#include "ctl/pids.h"
#include "ctl/region-columns.h"

#define REGIONS_MAX ((size_t)1 << 20)

struct regions_opts {
	struct opt_number min;
};

static const struct option_spec regions_options[] = {
	{ "min", 0, "SIZE", "Only mappings with at least so much resident memory", option_size,
	  offsetof(struct regions_opts, min), "a size such as 64M", NULL },
};

static int regions_print(struct ctl *ctl, const struct regions_opts *o, const struct region_list *list)
{
	_cleanup_free_ struct region_row *rows = calloc(list->n + 1, sizeof(*rows));
	_cleanup_free_ const void **order = calloc(list->n + 1, sizeof(*order));
	const bool blocks = bar_blocks();
	size_t n = 0;

	if (!rows || !order)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++) {
		/* Unknown is the largest number: shown. */
		if (list->v[i].rss < o->min.value)
			continue;
		rows[n].r = &list->v[i];
		region_row_draw(&rows[n], blocks);
		order[n] = &rows[n];
		n++;
	}
	/* Who owns it is what explain finds out. */
	return render(ctl, region_columns, region_ncolumns - 1, order, n);
}

static int run_regions(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(region_list_done) struct region_list list = { 0 };
	_cleanup_free_ pid_t *pids = NULL;
	char why[256];
	size_t n;
	int r;

	r = pids_parse(args, nargs, &pids, &n, why, sizeof(why));
	if (r == -EINVAL)
		return ctl_fail(ctl, CTL_USAGE, "regions: %s", why);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "regions: %s", strerror(-r));
	r = source_regions(&ctl->source, pids[0], REGIONS_MAX, &list);
	if (r == -ESRCH)
		return ctl_fail(ctl, CTL_GONE, "pid %d: no such process", pids[0]);
	if (r == -EACCES || r == -EPERM)
		return ctl_fail(ctl, CTL_DENIED, "pid %d: %s; be root, or see 'reclaimctl doctor'", pids[0],
				strerror(-r));
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "pid %d: failed to read its mappings: %s%s%s", pids[0], strerror(-r),
				*source_words(&ctl->source) ? ": " : "", source_words(&ctl->source));
	r = regions_print(ctl, opts, &list);
	return ctl_output_done(CTL_DONE, r);
}

const struct verb verb_regions = {
	.name = "regions",
	.args = "PID",
	.help = "Show each mapping of a process: kind, resident, idle age, and what of it is where",
	.details = "The bar is the mapping: resident and used of late, or of unknown age (#), idle for 10 s (+),\n"
		   "idle for a minute (.), not resident (blank). IDLE is for how long at least half of its anonymous\n"
		   "memory has been idle: at most, since others clear the same marks; see doctor. Both know ages\n"
		   "from the kernel module only. Who owns a mapping is what explain tells.\n",
	.min_args = 1,
	.max_args = 1,
	.options = regions_options,
	.noptions = ARRAY_SIZE(regions_options),
	.opts_size = sizeof(struct regions_opts),
	.needs_proc = true,
	.needs_facts = true,
	.run = run_regions,
};
