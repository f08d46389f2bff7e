/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/top-group.h"

#include <errno.h>
#include <string.h>

#define NO_UNIT "(no unit)"
#define DEPTH_MAX 12 /* deeper control groups are shown in their ancestor of this depth */

struct tree {
	struct top_view *v;
	struct top_proc **procs;
	size_t n, room;
	size_t *member_of; /* place of the group of each process + 1 */
	size_t *order; /* of the groups */
};

void top_groups_free(struct top_view *v)
{
	for (size_t i = 0; i < v->ngroups; i++)
		free(v->groups[i].key);
	free(v->groups);
	v->groups = NULL;
	v->ngroups = 0;
}

/* ---- what is folded ---- */

static size_t find_folded(const struct top_view *v, const char *key)
{
	size_t i = 0;

	while (i < v->nfolded && strcmp(v->folded[i], key) != 0)
		i++;
	return i;
}

int top_group_fold(struct top_view *v, const char *key, bool fold)
{
	const size_t at = find_folded(v, key);
	char **more, *copy;

	if (fold == (at < v->nfolded))
		return 0;
	if (!fold) {
		free(v->folded[at]);
		v->folded[at] = v->folded[--v->nfolded];
		return 0;
	}
	copy = strdup(key);
	more = copy ? reallocarray(v->folded, v->nfolded + 1, sizeof(*more)) : NULL;
	if (!more) {
		free(copy);
		return -ENOMEM;
	}
	v->folded = more;
	v->folded[v->nfolded++] = copy;
	return 0;
}

/* ---- groups ---- */

static void add_known(uint64_t *sum, uint64_t v)
{
	if (v == PROC_UNKNOWN)
		return;
	*sum = *sum == PROC_UNKNOWN ? v : *sum + v;
}

static void add_figures(struct top_figures *sum, const struct top_figures *f)
{
	add_known(&sum->rss, f->rss);
	add_known(&sum->anon, f->anon);
	add_known(&sum->swap, f->swap);
	add_known(&sum->idle, f->idle);
	add_known(&sum->free, f->free);
	for (size_t k = 0; k < TOP_PARTS; k++)
		sum->parts[k] += f->parts[k];
	/* One that nobody has looked into is missing in it. */
	sum->at_least |= f->at_least || (f->free == PROC_UNKNOWN && f->parts[TOP_UNSEEN]);
}

/* The group whose key is the first @len bytes of @path, made when there is none. Its place, or -ENOMEM. */
static ssize_t group_find(struct tree *t, const char *path, size_t len, size_t parent, int depth)
{
	struct top_view *v = t->v;
	struct top_group *g;
	const char *slash;

	for (size_t i = v->ngroups; i-- > 0;)
		if (!strncmp(v->groups[i].key, path, len) && !v->groups[i].key[len])
			return (ssize_t)i;
	if (v->ngroups == t->room) {
		const size_t room = t->room * 2 + 16;

		g = reallocarray(v->groups, room, sizeof(*g));
		if (!g)
			return -ENOMEM;
		v->groups = g;
		t->room = room;
	}
	g = &v->groups[v->ngroups];
	*g = (struct top_group){ .key = strndup(path, len), .parent = parent, .depth = depth };
	if (!g->key)
		return -ENOMEM;
	slash = strrchr(g->key, '/');
	g->name = slash && slash[1] ? slash + 1 : g->key;
	g->sum = (struct top_figures){ .rss = PROC_UNKNOWN,
				       .anon = PROC_UNKNOWN,
				       .swap = PROC_UNKNOWN,
				       .idle = PROC_UNKNOWN,
				       .free = PROC_UNKNOWN };
	g->folded = find_folded(v, g->key) < v->nfolded;
	return (ssize_t)v->ngroups++;
}

static ssize_t group_of_unit(struct tree *t, const struct proc *p)
{
	const char *unit = p->unit && *p->unit ? p->unit : NO_UNIT;

	return group_find(t, unit, strlen(unit), 0, 0);
}

/* "/a/b": "/", then "/a" in it, then "/a/b". */
static ssize_t group_of_cgroup(struct tree *t, const struct proc *p)
{
	const char *path = p->cgroup && *p->cgroup ? p->cgroup : "/";
	ssize_t at = group_find(t, "/", 1, 0, 0);
	int depth = 1;

	for (const char *end = path; at >= 0 && *end == '/' && end[1] && depth < DEPTH_MAX; depth++) {
		end += 1 + strcspn(end + 1, "/");
		at = group_find(t, path, (size_t)(end - path), (size_t)at + 1, depth);
	}
	return at;
}

static int put_in_groups(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct top_figures f;
		const struct proc *p = &t->procs[i]->p;
		ssize_t at = t->v->by == TOP_BY_UNIT ? group_of_unit(t, p) : group_of_cgroup(t, p);

		if (at < 0)
			return (int)at;
		t->member_of[i] = (size_t)at + 1;
		top_figures_of(t->procs[i], &f);
		for (size_t g = t->member_of[i]; g; g = t->v->groups[g - 1].parent) {
			add_figures(&t->v->groups[g - 1].sum, &f);
			t->v->groups[g - 1].processes++;
		}
	}
	return 0;
}

static int compare_groups(const void *a, const void *b, void *arg)
{
	const struct top_view *v = arg;
	const struct top_group *ga = &v->groups[*(const size_t *)a], *gb = &v->groups[*(const size_t *)b];
	int r = top_compare_values(top_sort_value(&ga->sum, v->sort), top_sort_value(&gb->sum, v->sort), v->reversed);

	if (!r)
		r = top_compare_values(ga->sum.anon, gb->sum.anon, false);
	return r ? r : strcmp(ga->key, gb->key);
}

/* ---- lines ---- */

static struct top_line *add_line(struct top_view *v, int depth)
{
	struct top_line *line = &v->lines[v->nlines++];

	*line = (struct top_line){ .depth = depth };
	return line;
}

static void add_process(struct tree *t, size_t i, int depth)
{
	struct top_line *line = add_line(t->v, depth);

	line->proc = t->procs[i];
	line->pid = line->proc->p.pid;
	line->start_time = line->proc->p.start_time;
	line->member_of = t->member_of ? t->member_of[i] : 0;
	top_figures_of(line->proc, &line->figures);
}

/* Of a group its processes, then the groups in it, no deeper than DEPTH_MAX. */
static void add_members(struct tree *t, size_t parent, int depth)
{
	struct top_view *v = t->v;

	for (size_t i = 0; parent && i < t->n; i++)
		if (t->member_of[i] == parent)
			add_process(t, i, depth);
	for (size_t i = 0; i < v->ngroups; i++) {
		const struct top_group *g = &v->groups[t->order[i]];
		struct top_line *line;

		if (g->parent != parent)
			continue;
		line = add_line(v, depth);
		line->group = g;
		line->figures = g->sum;
		if (!g->folded)
			add_members(t, t->order[i] + 1, depth + 1);
	}
}

int top_groups_lines(struct top_view *v, struct top_proc **procs, size_t n)
{
	_cleanup_free_ size_t *member_of = calloc(n + 1, sizeof(*member_of)), *order = NULL;
	struct tree t = { .v = v, .procs = procs, .n = n, .member_of = member_of };
	int r;

	if (!member_of)
		return -ENOMEM;
	r = v->by == TOP_FLAT ? 0 : put_in_groups(&t);
	if (r < 0)
		return r;
	v->lines = calloc(n + v->ngroups + 1, sizeof(*v->lines));
	order = t.order = calloc(v->ngroups + 1, sizeof(*order));
	if (!v->lines || !order)
		return -ENOMEM;
	for (size_t i = 0; i < v->ngroups; i++)
		order[i] = i;
	if (v->ngroups > 1)
		qsort_r(order, v->ngroups, sizeof(*order), compare_groups, v);
	for (size_t i = 0; v->by == TOP_FLAT && i < n; i++)
		add_process(&t, i, 0);
	if (v->by != TOP_FLAT)
		add_members(&t, 0, 0);
	return 0;
}
