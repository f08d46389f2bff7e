/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "top": who could give memory back, live. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/bar.h"
#include "ctl/top-keys.h"

#define MIN_DEFAULT (10ull << 20)
#define DELAY_DEFAULT_US 2000000ull
#define DELAY_MIN_US 200000ull /* a tenth of the default would cost ten times as much */
#define DELAY_MAX_US 3600000000ull

struct top_opts {
	struct opt_number delay, count, min;
	int sort, group; /* 0: not given */
	const char *filter;
	bool batch, all, mouse, deep;
};

#define AT(field) offsetof(struct top_opts, field)

static const struct option_spec top_options[] = {
	{ "batch", 'b', NULL, "For logs: print the list each time instead of drawing it", option_flag, AT(batch), NULL,
	  NULL },
	{ "count", 'n', "N", "End after so many times", option_count, AT(count), "a number above 0", NULL },
	{ "delay", 'd', "TIME", "Between two times, 200ms to 1h (2s)", option_time, AT(delay), "a time such as 5s",
	  NULL },
	{ "min", 0, "SIZE", "Show those with so much anonymous memory (10M)", option_size, AT(min),
	  "a size such as 64M", NULL },
	{ "all", 0, NULL, "Show the small ones too", option_flag, AT(all), NULL, NULL },
	{ "deep", 0, NULL, "Count all that is free at once, whatever it costs", option_flag, AT(deep), NULL, NULL },
	{ "sort", 0, "COLUMN", "Sort by: free (default), rss, anon, idle, swap, pid, user, comm", option_choice,
	  AT(sort), NULL, top_sort_names },
	{ "group", 0, "HOW", "As a tree: none (default), unit, cgroup", option_choice, AT(group), NULL,
	  top_group_names },
	{ "filter", 0, "WORDS", "Only those with all of these in pid, command, user, unit, control group", option_text,
	  AT(filter), "words", NULL },
	{ "mouse", 0, NULL, "Begin with the mouse on", option_flag, AT(mouse), NULL, NULL },
};

/* What is wrong with the options, or NULL. */
static const char *find_fault(const struct ctl *ctl, const struct top_opts *o)
{
	if (o->delay.given && (o->delay.value < DELAY_MIN_US || o->delay.value > DELAY_MAX_US))
		return "--delay must be between 200ms and 1h";
	if (o->min.given && o->all)
		return "--min and --all exclude each other";
	if (o->filter && strlen(o->filter) >= TOP_FILTER_MAX)
		return "--filter is too long";
	if (ctl->json && !o->batch)
		return "--json is for --batch";
	return NULL;
}

static int run_top(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	/* Not on the stack: what can't be given up may use it until the program has ended. */
	static struct top_job job;
	_cleanup_(top_done) struct top t = { .ctl = ctl, .job = &job };
	const struct top_opts *o = opts;
	const char *fault = find_fault(ctl, o);
	int r;

	(void)args;
	(void)nargs;
	if (fault)
		return ctl_fail(ctl, CTL_USAGE, "top: %s", fault);
	t.delay_us = o->delay.given ? o->delay.value : DELAY_DEFAULT_US;
	t.count = o->count.value;
	t.model.min = o->min.given ? o->min.value : MIN_DEFAULT;
	t.model.all = t.view.all = o->all;
	t.model.live = !o->batch;
	t.view.sort = o->sort ? (enum top_sort)(o->sort - 1) : TOP_SORT_FREE;
	t.view.by = o->group ? (enum top_group_by)(o->group - 1) : TOP_FLAT;
	text_format(t.view.filter, sizeof(t.view.filter), "%s", o->filter ? o->filter : "");
	t.mouse = o->mouse;
	t.deep = t.unlimited = o->deep;
	t.blocks = bar_blocks();
	r = top_job_init(&job, ctl);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "failed to find the worker: %s", strerror(-r));
	r = o->batch ? top_run_batch(&t) : top_run_live(&t);
	top_job_close(&job);
	return r;
}

static void top_more_help(FILE *f)
{
	fputs("\nKeys:\n", f);
	for (size_t i = 0; i < top_nkey_rows; i++)
		fprintf(f, "  %-10s %s\n", top_key_rows[i].name, top_key_rows[i].help);
}

const struct verb verb_top = {
	.name = "top",
	.args = "",
	.help = "Show live who could give memory back, look inside, give it back",
	.details = "FREE is what the allocators of a process hold free in resident pages. It is looked up for\n"
		   "processes with at least --min of anonymous memory, those on the screen first, the largest\n"
		   "first, and again when they change, within 0.3 % of a CPU. With '>' it is a lower bound: what a\n"
		   "quick look has left out is unseen, until it has been counted, of the same 0.3 %: those that\n"
		   "could hide most first, with key l at once, with --deep all of them. No process is stopped for\n"
		   "that; only a trim does, which asks before. With --batch everybody is looked into before the\n"
		   "first list, for 3 seconds at most (30 with --deep); with --json each list is one document on a\n"
		   "line of its own.\n",
	.options = top_options,
	.noptions = ARRAY_SIZE(top_options),
	.opts_size = sizeof(struct top_opts),
	.needs_proc = true,
	.needs_facts = true,
	.run = run_top,
	.more_help = top_more_help,
};
