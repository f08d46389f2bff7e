/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "ps": who holds what. Cheap figures for all, page-table walks only for what is shown. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "ctl/glance.h"
#include "ctl/pids.h"
#include "ctl/ps-columns.h"
#include "ctl/users.h"

#define PS_MIN_DEFAULT (10ull << 20)
#define PS_COLUMNS_DEFAULT "PID,USER,RSS,ANON,HEAP,MMAP,FREE,SWAP,THR,ALLOCATOR,RUNTIME,UNIT,COMM"
#define PS_COLUMNS_MODULE "PID,USER,RSS,ANON,IDLE,HEAP,MMAP,FREE,SWAP,THR,ALLOCATOR,RUNTIME,UNIT,COMM"
#define PS_INSIDE_NS 3000000000ull /* for looking into all of them */
#define PS_DEEP_NS 30000000000ull /* and for counting all that is free in them */
#define PS_SORT_DEFAULT "anon"

struct ps_opts {
	struct opt_number min;
	const char *sort, *output;
	bool all, deep;
};

static const struct option_spec ps_options[] = {
	{ "min", 0, "SIZE", "Only with at least so much anonymous memory (10M unless pids are given)", option_size,
	  offsetof(struct ps_opts, min), "a size such as 64M", NULL },
	{ "sort", 0, "COLUMN", "Sort by a column (anon): +COLUMN ascending, -COLUMN descending", option_text,
	  offsetof(struct ps_opts, sort), "a column", NULL },
	{ "output", 'o', "LIST", "Columns to show, in order", option_text, offsetof(struct ps_opts, output),
	  "a list of columns such as pid,rss", NULL },
	{ "all", 0, NULL, "All processes, kernel threads too", option_flag, offsetof(struct ps_opts, all), NULL, NULL },
	{ "deep", 0, NULL, "Look into all that are shown for ALLOCATOR and RUNTIME, and count FREE", option_flag,
	  offsetof(struct ps_opts, deep), NULL, NULL },
};

struct ps_rows {
	struct ps_row *v;
	size_t n;
};

struct ps {
	struct ps_selection show;
	const struct ps_column *sort;
	bool descending;
	enum proc_depth depth;
	bool names; /* user names are shown */
	bool inside; /* so is something that only a look inside tells */
	uint64_t inside_min; /* which is worth it from so much anonymous memory on */
	bool count; /* somebody wants to know how much is free */
	uint64_t count_min; /* which is worth it from so much on that quick looks have left out */
	uint64_t min;
	pid_t *pids;
	size_t npids;
	struct ps_rows rows;
	size_t missing, denied;
};

static void ps_donep(struct ps *ps)
{
	for (size_t i = 0; i < ps->rows.n; i++)
		proc_done(&ps->rows.v[i].proc);
	free(ps->rows.v);
	free(ps->pids);
}

/*
 * A look inside costs some milliseconds each. By default it is for those that
 * are large enough to be shown by default; for all only when asked for.
 */
static void ps_setup_inside(const struct ps_opts *o, struct ps *ps)
{
	bool named = ps->sort->inside;

	ps->inside = ps->sort->inside;
	for (size_t i = 0; i < ps->show.n; i++) {
		ps->inside |= ps->show.v[i]->inside;
		named |= o->output && ps->show.v[i]->inside;
	}
	ps->count = named || o->deep || ps->npids;
	ps->count_min = o->deep ? 0 : TOP_HIDDEN_MIN;
	if (named || o->deep || ps->npids)
		ps->inside_min = 0;
	else if (o->all)
		ps->inside = false;
	else
		ps->inside_min = PS_MIN_DEFAULT;
}

static int ps_setup(const struct ctl *ctl, const struct ps_opts *o, struct ps *ps, char *why, size_t size)
{
	const char *usual = source_is_module(&ctl->source) ? PS_COLUMNS_MODULE : PS_COLUMNS_DEFAULT;
	int r;

	if (o->output || !ctl->json) {
		r = ps_columns_parse(o->output ? o->output : usual, &ps->show, why, size);
		if (r < 0)
			return r;
	} else {
		for (size_t i = 0; i < ps_ncolumns; i++)
			ps->show.v[ps->show.n++] = &ps_columns[i];
	}
	r = ps_sort_parse(o->sort ? o->sort : PS_SORT_DEFAULT, &ps->sort, &ps->descending, why, size);
	if (r < 0)
		return r;
	ps->depth = ps->sort->depth;
	for (size_t i = 0; i < ps->show.n; i++) {
		ps->depth = MAX(ps->depth, ps->show.v[i]->depth);
		ps->names |= !strcmp(ps->show.v[i]->c.key, "user");
	}
	ps->names |= !strcmp(ps->sort->c.key, "user");
	if (o->min.given)
		ps->min = o->min.value;
	else
		ps->min = o->all || ps->npids ? 0 : PS_MIN_DEFAULT;
	ps_setup_inside(o, ps);
	return 0;
}

/* Unknown counts as enough: what can't be read is shown, not hidden. */
static bool enough(const struct ps *ps, const struct proc *p)
{
	return p->anon >= ps->min;
}

static int read_named(struct ctl *ctl, struct ps *ps)
{
	for (size_t i = 0; i < ps->npids; i++) {
		struct proc p = { 0 };
		int r = source_proc(&ctl->source, ps->pids[i], ps->depth, &p);

		if (r == -ESRCH) {
			ctl_diag("pid %d: no such process", ps->pids[i]);
			ps->missing++;
			continue;
		}
		if (r == -EACCES || r == -EPERM) {
			ctl_diag("pid %d: %s; be root, or see 'reclaimctl doctor'", ps->pids[i], strerror(-r));
			ps->denied++;
			continue;
		}
		if (r < 0)
			return r;
		if (enough(ps, &p))
			ps->rows.v[ps->rows.n++].proc = p;
		else
			proc_done(&p);
	}
	return 0;
}

static int read_listed(struct ctl *ctl, struct ps *ps, bool all)
{
	const struct proc_filter filter = { .min_anon = ps->min, .kthreads = all };
	_cleanup_(proc_list_done) struct proc_list list = { 0 };
	int r;

	r = source_list(&ctl->source, &filter, ps->depth, &list);
	if (r < 0)
		return r;
	ps->rows.v = calloc(list.n + 1, sizeof(*ps->rows.v));
	if (!ps->rows.v)
		return -ENOMEM;
	for (size_t i = 0; i < list.n; i++) {
		/* It may have shrunk since it passed the filter. */
		if (!enough(ps, &list.v[i]))
			continue;
		ps->rows.v[ps->rows.n++].proc = list.v[i];
		list.v[i] = (struct proc){ 0 };
	}
	return 0;
}

static int ps_read(struct ctl *ctl, struct ps *ps, bool all)
{
	if (!ps->npids)
		return read_listed(ctl, ps, all);
	ps->rows.v = calloc(ps->npids, sizeof(*ps->rows.v));
	if (!ps->rows.v)
		return -ENOMEM;
	return read_named(ctl, ps);
}

static void ps_name_users(struct ps *ps)
{
	_cleanup_(users_done) struct users users = { 0 };

	for (size_t i = 0; i < ps->rows.n; i++) {
		struct ps_row *row = &ps->rows.v[i];

		users_name(&users, row->proc.uid, row->user, sizeof(row->user));
	}
}

static bool worth_a_look(const struct ctl *ctl, const struct ps *ps, const struct proc *p)
{
	return !p->kthread && p->rss != 0 && p->anon != PROC_UNKNOWN && p->anon >= ps->inside_min &&
	       glance_allowed(ctl->proc, p->pid);
}

static void take_look(struct ps_row *row, const struct glance *g)
{
	uint64_t parts[TOP_PARTS];

	row->allocator = g->allocator;
	row->runtime = g->runtime;
	if (!g->inside.known)
		return;
	top_split(&row->proc, &g->inside, parts);
	row->free_resident = g->inside.free;
	row->unseen = parts[TOP_UNSEEN];
	row->at_least = row->unseen;
}

/* What can't be told stays unknown: it is no failure of ps. */
static int ps_look_inside(const struct ctl *ctl, struct ps *ps)
{
	_cleanup_free_ struct glance *v = calloc(ps->rows.n + 1, sizeof(*v));
	_cleanup_free_ size_t *at = calloc(ps->rows.n + 1, sizeof(*at));
	const uint64_t until_ns = clock_ns() + (ps->count && !ps->count_min ? PS_DEEP_NS : PS_INSIDE_NS);
	size_t n = 0, late = 0;
	char why[256];

	if (!v || !at)
		return -ENOMEM;
	for (size_t i = 0; i < ps->rows.n; i++) {
		const struct proc *p = &ps->rows.v[i].proc;

		ps->rows.v[i].free_resident = ps->rows.v[i].unseen = PROC_UNKNOWN;
		if (!ps->inside || !worth_a_look(ctl, ps, p))
			continue;
		v[n].pid = p->pid;
		v[n].start_time = p->start_time;
		v[n].anon = p->anon;
		at[n++] = i;
	}
	if (n && glance_all(v, n, until_ns, &late, why, sizeof(why)) < 0) {
		ctl_diag("ps: ALLOCATOR, RUNTIME and FREE are unknown: %s", why);
		return 0;
	}
	if (ps->count && glance_count(v, n, ps->count_min, until_ns, why, sizeof(why)) < 0)
		ctl_diag("ps: FREE isn't counted: %s", why);
	for (size_t i = 0; i < n; i++)
		take_look(&ps->rows.v[at[i]], &v[i]);
	if (late)
		ctl_diag("ps: there was no time to look into %zu of %zu processes: name some, or use --min", late, n);
	return 0;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct ps *ps = arg;

	return ps_compare(a, b, ps->sort, ps->descending);
}

static int ps_print(struct ctl *ctl, const struct ps *ps)
{
	const struct column *columns[PS_COLUMNS_MAX];
	_cleanup_free_ const void **rows = NULL;

	rows = calloc(ps->rows.n + 1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < ps->rows.n; i++)
		rows[i] = &ps->rows.v[i];
	for (size_t i = 0; i < ps->show.n; i++)
		columns[i] = &ps->show.v[i]->c;
	return render(ctl, columns, ps->show.n, rows, ps->rows.n);
}

static int run_ps(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(ps_donep) struct ps ps = { .depth = PROC_COUNTERS };
	const struct ps_opts *o = opts;
	char why[256];
	int r;

	r = pids_parse(args, nargs, &ps.pids, &ps.npids, why, sizeof(why));
	if (r == -EINVAL)
		return ctl_fail(ctl, CTL_USAGE, "ps: %s", why);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "ps: %s", strerror(-r));
	if (ps.npids && o->all)
		return ctl_fail(ctl, CTL_USAGE, "ps: --all and process ids exclude each other");
	r = ps_setup(ctl, o, &ps, why, sizeof(why));
	if (r < 0)
		return ctl_fail(ctl, CTL_USAGE, "ps: %s", why);
	r = ps_read(ctl, &ps, o->all);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "failed to read processes: %s%s%s", strerror(-r),
				*source_words(&ctl->source) ? ": " : "", source_words(&ctl->source));
	if (ps.names)
		ps_name_users(&ps);
	r = ps_look_inside(ctl, &ps);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "ps: %s", strerror(-r));
	qsort_r(ps.rows.v, ps.rows.n, sizeof(*ps.rows.v), compare, &ps);
	r = ps_print(ctl, &ps);
	if (r >= 0 && !ps.rows.n && !ps.missing && !ps.denied && !ctl->json)
		ctl_diag("no process has that much anonymous memory: see --min and --all");
	return ctl_output_done(ps.denied ? CTL_DENIED : ps.missing ? CTL_GONE : CTL_DONE, r);
}

static void ps_more_help(FILE *f)
{
	fputs("\nColumns, as heading or JSON key:\n", f);
	for (size_t i = 0; i < ps_ncolumns; i++)
		fprintf(f, "  %-10s %-14s %s\n", ps_columns[i].c.name, ps_columns[i].c.key, ps_columns[i].c.help);
}

static const char *ps_word(const char *option, size_t i)
{
	if (strcmp(option, "sort") && strcmp(option, "output"))
		return NULL;
	return i < ps_ncolumns ? ps_columns[i].c.key : NULL;
}

const struct verb verb_ps = {
	.name = "ps",
	.args = "[PID...]",
	.help = "Show who holds what: RSS, anonymous memory, heap, free but resident, swap, unit",
	.details = "Without pids: every process with at least 10M of anonymous memory.\n"
		   "Default columns: " PS_COLUMNS_DEFAULT ".\n"
		   "With the kernel module IDLE too, after ANON: see SAMPLING and SAMPLED for what it is worth.\n"
		   "JSON has every column, or those of --output; what nobody can tell is null.\n"
		   "ALLOCATOR, RUNTIME and FREE need a look inside, some milliseconds for each process. They are\n"
		   "known for processes named by pid and those with at least 10M of anonymous memory, but not with\n"
		   "--all; with --deep, or when --output or --sort names one of them, for all that are shown.\n"
		   "FREE with '>' is a lower bound: the look was a quick one, and what it has left out (UNSEEN) may\n"
		   "be free too. All is counted with --deep, and where there is much of it in these other cases, in\n"
		   "the 3 seconds that looks may take (30 with --deep). The targets are never stopped.\n"
		   "A pid that does not exist is reported, the others are shown, and the exit status is 5.\n",
	.max_args = SIZE_MAX,
	.options = ps_options,
	.noptions = ARRAY_SIZE(ps_options),
	.opts_size = sizeof(struct ps_opts),
	.needs_proc = true,
	.needs_facts = true,
	.run = run_ps,
	.more_help = ps_more_help,
	.word = ps_word,
};
