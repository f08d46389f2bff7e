/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/top-view.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "ctl/top-group.h"

const char *const top_sort_names[] = { "free", "rss", "anon", "idle", "swap", "pid", "user", "comm", NULL };
const char *const top_group_names[] = { "none", "unit", "cgroup", NULL };

static void lines_free(struct top_view *v)
{
	free(v->lines);
	v->lines = NULL;
	v->nlines = v->nprocs = 0;
	top_groups_free(v);
}

void top_view_done(struct top_view *v)
{
	lines_free(v);
	free(v->key);
	for (size_t i = 0; i < v->nfolded; i++)
		free(v->folded[i]);
	free(v->folded);
	*v = (struct top_view){ .lines = NULL };
}

void top_figures_of(const struct top_proc *t, struct top_figures *ret)
{
	*ret = (struct top_figures){
		.rss = t->p.rss,
		.anon = t->p.anon,
		.swap = t->p.swap,
		.idle = t->p.idle,
		.free = t->look.inside.known ? t->parts[TOP_FREE] : PROC_UNKNOWN,
		.at_least = top_proc_at_least(t),
	};
	memcpy(ret->parts, t->parts, sizeof(ret->parts));
}

static bool contains(const char *text, const char *word, size_t len)
{
	for (; text && strlen(text) >= len; text++)
		if (!strncasecmp(text, word, len))
			return true;
	return false;
}

bool top_view_matches(const struct top_proc *t, const char *filter)
{
	char pid[16];

	text_format(pid, sizeof(pid), "%d", t->p.pid);
	for (const char *w = filter + strspn(filter, " "); *w;) {
		const size_t len = strcspn(w, " ");

		if (!contains(pid, w, len) && !contains(t->p.comm, w, len) && !contains(t->user, w, len) &&
		    !contains(t->p.unit, w, len) && !contains(t->p.cgroup, w, len))
			return false;
		w += len;
		w += strspn(w, " ");
	}
	return true;
}

uint64_t top_sort_value(const struct top_figures *f, enum top_sort by)
{
	switch (by) {
	case TOP_SORT_FREE:
		return f->free;
	case TOP_SORT_RSS:
		return f->rss;
	case TOP_SORT_ANON:
		return f->anon;
	case TOP_SORT_IDLE:
		return f->idle;
	case TOP_SORT_SWAP:
		return f->swap;
	case TOP_SORT_PID:
	case TOP_SORT_USER:
	case TOP_SORT_COMM:
	case TOP_SORTS:
		break;
	}
	return 0;
}

/* Large ones first, unknown last whatever the direction. */
int top_compare_values(uint64_t a, uint64_t b, bool reversed)
{
	if (a == b)
		return 0;
	if (a == PROC_UNKNOWN || b == PROC_UNKNOWN)
		return a == PROC_UNKNOWN ? 1 : -1;
	return (a > b) != reversed ? -1 : 1;
}

int top_view_compare(const struct top_view *v, const struct top_proc *a, const struct top_proc *b)
{
	struct top_figures fa, fb;
	int r = 0;

	if (v->sort == TOP_SORT_COMM)
		r = strcmp(a->p.comm, b->p.comm);
	else if (v->sort == TOP_SORT_USER)
		r = strcmp(a->user, b->user);
	else if (v->sort == TOP_SORT_PID)
		r = (a->p.pid > b->p.pid) - (a->p.pid < b->p.pid);
	if (r)
		return v->reversed ? -r : r;
	top_figures_of(a, &fa);
	top_figures_of(b, &fb);
	r = top_compare_values(top_sort_value(&fa, v->sort), top_sort_value(&fb, v->sort), v->reversed);
	if (!r)
		r = top_compare_values(fa.anon, fb.anon, false);
	return r ? r : (a->p.pid > b->p.pid) - (a->p.pid < b->p.pid);
}

static int compare(const void *a, const void *b, void *arg)
{
	return top_view_compare(arg, *(struct top_proc *const *)a, *(struct top_proc *const *)b);
}

static bool is_shown(const struct top_view *v, const struct top_model *m, const struct top_proc *t)
{
	if (t->p.kthread || !t->p.rss || t->p.rss == PROC_UNKNOWN)
		return false;
	/* What has just been trimmed doesn't vanish with its result. */
	if (!v->all && !t->tagged && t->given.state == TOP_TRIM_NONE && !top_model_is_large(m, &t->p))
		return false;
	return top_view_matches(t, v->filter);
}

/* ---- the cursor ---- */

struct top_line *top_view_line(const struct top_view *v)
{
	return v->cursor < v->nlines ? &v->lines[v->cursor] : NULL;
}

static int remember(struct top_view *v)
{
	const struct top_line *line = top_view_line(v);
	char *key = NULL;

	if (line && line->group) {
		key = strdup(line->group->key);
		if (!key)
			return -ENOMEM;
	}
	free(v->key);
	v->key = key;
	v->pid = line ? line->pid : 0;
	v->start_time = line ? line->start_time : 0;
	return 0;
}

static bool is_at(const struct top_view *v, const struct top_line *line)
{
	if (line->group)
		return v->key && !strcmp(line->group->key, v->key);
	return v->pid && line->proc->p.pid == v->pid && line->proc->p.start_time == v->start_time;
}

/* Where nobody has moved it, it stays at the top, to show the largest. */
static void find_cursor(struct top_view *v)
{
	for (size_t i = 0; v->cursor && i < v->nlines; i++) {
		if (!is_at(v, &v->lines[i]))
			continue;
		v->cursor = i;
		return;
	}
	if (v->cursor >= v->nlines)
		v->cursor = v->nlines ? v->nlines - 1 : 0;
}

void top_view_go(struct top_view *v, size_t line)
{
	v->cursor = v->nlines ? MIN(line, v->nlines - 1) : 0;
}

void top_view_scroll(struct top_view *v, size_t height)
{
	if (v->cursor < v->first)
		v->first = v->cursor;
	if (height && v->cursor >= v->first + height)
		v->first = v->cursor - height + 1;
	if (v->first + height > v->nlines)
		v->first = v->nlines > height ? v->nlines - height : 0;
}

int top_view_fold(struct top_view *v, bool fold)
{
	const struct top_line *line = top_view_line(v);
	const struct top_group *g = line ? line->group : NULL;

	if (line && !g && line->member_of) {
		g = &v->groups[line->member_of - 1];
		/* Onto it, or the cursor would be in what can't be seen any more. */
		for (size_t i = v->cursor; fold && i-- > 0;) {
			if (v->lines[i].group != g)
				continue;
			v->cursor = i;
			break;
		}
	}
	return g ? top_group_fold(v, g->key, fold) : 0;
}

int top_view_build(struct top_view *v, const struct top_model *m)
{
	_cleanup_free_ struct top_proc **procs = calloc(m->n + 1, sizeof(struct top_proc *));
	int r = remember(v);
	size_t n = 0;

	lines_free(v);
	if (!procs || r < 0)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++)
		if (is_shown(v, m, m->v[i]))
			procs[n++] = m->v[i];
	if (n > 1)
		qsort_r(procs, n, sizeof(struct top_proc *), compare, v);
	v->nprocs = n;
	r = top_groups_lines(v, procs, n);
	if (r < 0) {
		lines_free(v);
		return r;
	}
	find_cursor(v);
	return 0;
}
