/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which processes a "trim" is about. */
#include <errno.h>
#include <string.h>

#include "ctl/trim.h"
#include "sense/proc.h"

#define TRIM_MIN_ALL (10ull << 20)
#define CGROUP_ROOT "/sys/fs/cgroup"
#define ANCESTORS_MAX 256

struct choice {
	const struct trim_opts *o;
	uint64_t min;
	char *unit; /* with its suffix, or NULL */
	char *cgroup; /* without the mount point and a final slash, or NULL */
	pid_t spared[ANCESTORS_MAX]; /* ourselves, and with --all our ancestors */
	size_t nspared;
};

static void choice_donep(struct choice *c)
{
	free(c->unit);
	free(c->cgroup);
}

void trim_targets_done(struct trim_targets *t)
{
	free(t->v);
	*t = (struct trim_targets){ 0 };
}

/* As systemctl does: a name without a dot means the service. */
static char *unit_name(const char *unit)
{
	char *name = NULL;

	if (asprintf(&name, "%s%s", unit, strchr(unit, '.') ? "" : ".service") < 0)
		return NULL;
	return name;
}

static char *cgroup_path(const char *path)
{
	/* The second is where systemd mounts version 2 beside version 1. */
	static const char *const mounts[] = { CGROUP_ROOT, "/unified" };
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		len = strlen(mounts[i]);
		if (strncmp(path, mounts[i], len) || (path[len] != '/' && path[len]))
			break;
		path += len;
	}
	while (*path == '/')
		path++;
	len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

char *trim_group_name(const struct trim_opts *o)
{
	_cleanup_free_ char *path = NULL;
	char *name = NULL;

	if (o->unit)
		return unit_name(o->unit);
	path = cgroup_path(o->cgroup);
	return path && asprintf(&name, "/%s", path) >= 0 ? name : NULL;
}

/* @below is a normal path without slashes at its ends; the empty one is the root, which holds everything. */
static bool cgroup_within(const char *cgroup, const char *below)
{
	size_t len = strlen(below);

	if (!len)
		return true;
	if (*cgroup == '/')
		cgroup++;
	return !strncmp(cgroup, below, len) && (!cgroup[len] || cgroup[len] == '/');
}

static int spare_ancestors(int proc, struct choice *c)
{
	pid_t pid = c->spared[0];

	while (c->nspared < ANCESTORS_MAX) {
		_cleanup_(proc_done) struct proc p = { 0 };
		int r = proc_read(proc, pid, PROC_BASIC, &p);

		/* It has exited: nobody knows any more who was above it. */
		if (r == -ESRCH)
			return 0;
		if (r < 0)
			return r;
		if (p.ppid <= 0)
			return 0;
		pid = p.ppid;
		c->spared[c->nspared++] = pid;
	}
	return -ELOOP;
}

static int choice_setup(int proc, const struct trim_opts *o, struct choice *c)
{
	c->o = o;
	c->spared[c->nspared++] = getpid();
	if (o->unit) {
		c->unit = unit_name(o->unit);
		if (!c->unit)
			return -ENOMEM;
	}
	if (o->cgroup) {
		c->cgroup = cgroup_path(o->cgroup);
		if (!c->cgroup)
			return -ENOMEM;
	}
	if (o->min.given)
		c->min = o->min.value;
	else
		c->min = o->all ? TRIM_MIN_ALL : 0;
	return o->all ? spare_ancestors(proc, c) : 0;
}

static bool chosen(const struct choice *c, const struct proc *p)
{
	for (size_t i = 0; i < c->nspared; i++)
		if (c->spared[i] == p->pid)
			return false;
	if (p->anon == PROC_UNKNOWN ? c->min > 0 : p->anon < c->min)
		return false;
	if (c->unit)
		return p->unit && !strcmp(p->unit, c->unit);
	if (c->cgroup)
		return p->cgroup && *p->cgroup && cgroup_within(p->cgroup, c->cgroup);
	return p->pid != 1;
}

static int larger_first(const void *a, const void *b)
{
	const struct proc *pa = a, *pb = b;

	if (pa->anon != pb->anon)
		return pa->anon > pb->anon ? -1 : 1;
	return pa->pid < pb->pid ? -1 : 1;
}

int trim_targets_select(int proc, const struct trim_opts *o, struct trim_targets *ret)
{
	_cleanup_(proc_list_done) struct proc_list list = { 0 };
	_cleanup_(trim_targets_done) struct trim_targets t = { 0 };
	_cleanup_(choice_donep) struct choice c = { 0 };
	struct proc_filter filter = { .kthreads = false };
	int r;

	r = choice_setup(proc, o, &c);
	if (r < 0)
		return r;
	filter.min_rss = c.min;
	r = proc_list_read(proc, &filter, c.unit || c.cgroup ? PROC_NAMES : PROC_BASIC, &list);
	if (r < 0)
		return r;
	t.v = calloc(list.n + 1, sizeof(*t.v));
	if (!t.v)
		return -ENOMEM;
	qsort(list.v, list.n, sizeof(*list.v), larger_first);
	for (size_t i = 0; i < list.n; i++) {
		const struct proc *p = &list.v[i];
		struct trim_target *target = &t.v[t.n];

		if (!chosen(&c, p))
			continue;
		*target = (struct trim_target){ .pid = p->pid, .start_time = p->start_time };
		snprintf(target->comm, sizeof(target->comm), "%s", p->comm);
		t.n++;
	}
	*ret = t;
	t = (struct trim_targets){ 0 };
	return 0;
}

int trim_targets_named(const pid_t *pids, size_t n, struct trim_targets *ret)
{
	struct trim_target *v = calloc(n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		v[i].pid = pids[i];
	*ret = (struct trim_targets){ .v = v, .n = n };
	return 0;
}
