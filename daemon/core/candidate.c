/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/candidate.h"

#include <string.h>
#include <sys/stat.h>

#include "base/procfs.h"
#include "base/pstat.h"
#include "base/pstatus.h"
#include "base/text.h"

struct candidate *candidate_new(const struct proc *p)
{
	struct candidate *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->pid = p->pid;
	c->start_time = p->start_time;
	c->allocator = c->runtime = "";
	c->promised = POLICY_UNKNOWN;
	candidate_take(c, p);
	return c;
}

static void forget_names(struct candidate *c)
{
	free(c->exe);
	free(c->cgroup);
	free(c->unit);
	free(c->slice);
	c->exe = c->cgroup = c->unit = c->slice = NULL;
}

void candidate_free(struct candidate *c)
{
	if (c)
		forget_names(c);
	free(c);
}

static uint64_t figure(uint64_t bytes)
{
	return bytes == PROC_UNKNOWN ? POLICY_UNKNOWN : bytes;
}

void candidate_take(struct candidate *c, const struct proc *p)
{
	c->rss = figure(p->rss);
	c->anon = figure(p->anon);
	c->swap = figure(p->swap);
	c->idle = figure(p->idle);
}

/* The innermost slice of a control group's path; malloc'ed, "" when none. */
static char *slice_of(const char *cgroup)
{
	const char *found = "";
	size_t len = 0;

	for (const char *at = cgroup; *at;) {
		const size_t n = strcspn(at, "/");

		if (n > strlen(".slice") && !strncmp(at + n - strlen(".slice"), ".slice", strlen(".slice"))) {
			found = at;
			len = n;
		}
		at += n;
		at += strspn(at, "/");
	}
	return strndup(found, len);
}

/* An exec changes the name nearly always, and who has another user is another subject. */
static bool is_renamed(const struct candidate *c, const struct pstat *stat, const struct pstatus *status)
{
	return !c->exe || strcmp(c->comm, stat->comm) || c->uid != status->uid;
}

static int read_names(struct candidate *c, int proc, const char *passwd)
{
	_cleanup_(proc_done) struct proc p = { 0 };
	int r = proc_read(proc, c->pid, PROC_NAMES, &p);

	if (r < 0)
		return r;
	if (p.start_time != c->start_time)
		return -ESRCH;
	forget_names(c);
	c->slice = slice_of(p.cgroup);
	c->exe = TAKE_PTR(p.exe);
	c->cgroup = TAKE_PTR(p.cgroup);
	c->unit = TAKE_PTR(p.unit);
	c->uid = p.uid;
	memcpy(c->comm, p.comm, sizeof(c->comm));
	username_of(passwd, c->uid, c->user);
	return c->slice ? 0 : -ENOMEM;
}

int candidate_owner(int piddir, uid_t *ret)
{
	struct stat mem;

	if (fstatat(piddir, "mem", &mem, 0) < 0)
		return -ESRCH;
	*ret = mem.st_uid;
	return 0;
}

int candidate_refresh(struct candidate *c, int proc, const char *passwd, bool names, uint64_t awake_us)
{
	_cleanup_close_ int dir = procfs_open_pid(proc, c->pid);
	struct pstatus status;
	struct pstat stat;
	int r;

	if (dir < 0)
		return dir;
	r = pstat_read(dir, &stat);
	if (r < 0)
		return r;
	r = pstatus_read(dir, &status);
	if (r == 0)
		r = candidate_owner(dir, &c->owner);
	if (r < 0)
		return r;
	if (stat.start_time != c->start_time)
		return -ESRCH;
	if (names || is_renamed(c, &stat, &status)) {
		r = read_names(c, proc, passwd);
		if (r < 0)
			return r;
	}
	c->kthread = pstat_is_kthread(&stat);
	c->zombie = stat.state == 'Z' || stat.state == 'X';
	c->stopped = stat.state == 'T';
	c->traced = stat.state == 't' || status.tracer > 0;
	activity_look(&c->activity, stat.utime + stat.stime, (unsigned long)sysconf(_SC_CLK_TCK),
		      c->decision.limits.idle_cpu_permille, awake_us);
	return 0;
}

void candidate_subject(const struct candidate *c, uint64_t awake_us, struct subject *ret)
{
	*ret = (struct subject){
		.pid = c->pid,
		.start_time = c->start_time,
		.uid = c->uid,
		.user = c->user,
		.comm = c->comm,
		.exe = c->exe ? c->exe : "",
		.unit = c->unit ? c->unit : "",
		.slice = c->slice ? c->slice : "",
		.cgroup = c->cgroup ? c->cgroup : "",
		.rss = c->rss,
		.anon = c->anon,
		.swap = c->swap,
		.idle = c->idle,
		.settled = POLICY_UNKNOWN,
		.still_us = activity_still_us(&c->activity, awake_us),
		.quiet_us = activity_quiet_us(&c->activity, awake_us),
		.cpu_permille = c->activity.permille,
		.kthread = c->kthread,
		.zombie = c->zombie,
		.stopped = c->stopped,
		.traced = c->traced,
		.tracer = c->tracer,
		.realtime = c->traits.realtime,
		.vmm = c->traits.vmm,
		.avoid = c->traits.avoid,
		.allocator = c->allocator,
		.runtime = c->runtime,
	};
}

void candidates_done(struct candidates *all)
{
	for (size_t i = 0; i < all->n; i++)
		candidate_free(all->v[i]);
	free(all->v);
	*all = (struct candidates){ 0 };
}

/* Where @pid is, or would be. */
static size_t place_of(const struct candidates *all, pid_t pid)
{
	size_t lo = 0, hi = all->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (all->v[mid]->pid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct candidate *candidates_find(const struct candidates *all, pid_t pid, uint64_t start_time)
{
	const size_t i = place_of(all, pid);

	if (i == all->n || all->v[i]->pid != pid || all->v[i]->start_time != start_time)
		return NULL;
	return all->v[i];
}

static int make_room(struct candidates *all, size_t n)
{
	struct candidate **v;

	if (n <= all->room)
		return 0;
	n = MAX(n, all->room * 2);
	v = reallocarray(all->v, n, sizeof(*v));
	if (!v)
		return -ENOMEM;
	all->v = v;
	all->room = n;
	return 0;
}

int candidates_replace(struct candidates *all, const struct proc_list *l)
{
	_cleanup_(candidates_done) struct candidates old = *all;

	*all = (struct candidates){ 0 };
	if (make_room(all, MAX(l->n, (size_t)1)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++) {
		const struct proc *p = &l->v[i];
		const size_t at = place_of(&old, p->pid);
		struct candidate *c = NULL;

		if (at < old.n && old.v[at]->pid == p->pid && old.v[at]->start_time == p->start_time) {
			c = old.v[at];
			memmove(&old.v[at], &old.v[at + 1], (old.n - at - 1) * sizeof(*old.v));
			old.n--;
			candidate_take(c, p);
		} else {
			c = candidate_new(p);
		}
		if (!c)
			return -ENOMEM;
		all->v[all->n++] = c;
	}
	return 0;
}

struct candidate *candidates_take(struct candidates *all, const struct proc *p)
{
	size_t at = place_of(all, p->pid);
	struct candidate *c;

	if (at < all->n && all->v[at]->pid == p->pid) {
		c = all->v[at];
		if (c->start_time == p->start_time) {
			candidate_take(c, p);
			return c;
		}
		/* The pid has been given to another one. */
		c = candidate_new(p);
		if (c) {
			candidate_free(all->v[at]);
			all->v[at] = c;
		}
		return c;
	}
	c = candidate_new(p);
	if (!c || make_room(all, all->n + 1) < 0) {
		candidate_free(c);
		return NULL;
	}
	memmove(&all->v[at + 1], &all->v[at], (all->n - at) * sizeof(*all->v));
	all->v[at] = c;
	all->n++;
	return c;
}
