/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes as the module sees them. What it doesn't know (state, program,
 * unit) /proc adds, for those that are wanted only; pid and start time together
 * say that both speak of the same process.
 */
#include <fcntl.h>
#include <netlink/attr.h>

#include "base/procfs.h"
#include "base/pstat.h"
#include "sense/list.h"
#include "sense/netlink.h"

/* While processes come and go a dump is of several moments, as a listing of /proc always is. */
#define DUMP_TRIES 4
/* A dump of these costs the kernel an eighth less than one of everything. */
#define FIGURES (RECLAIM_PROC_FIELDS_COUNTERS | RECLAIM_PROC_FIELDS_SAMPLE)

int reply_make_proc(const struct reply *r, struct proc *ret)
{
	_cleanup_(proc_done) struct proc p = { 0 };

	proc_unknown(&p);
	if (proc_no_names(&p) < 0)
		return -ENOMEM;
	reply_fill_proc(r, &p);
	*ret = p;
	p = (struct proc){ 0 };
	return 0;
}

/* ---- one process */

struct wanted {
	struct proc *p;
	bool found;
};

static int take_wanted(const struct reply *r, void *data)
{
	struct wanted *w = data;

	if (r->cmd != RECLAIM_CMD_PROC_GET || !reply_is_about(r, w->p) || !reply_has_who(r))
		return -EBADMSG;
	reply_fill_proc(r, w->p);
	w->found = true;
	return 0;
}

/* The module's figures over those of @p, which names the process. -ESRCH also for one without memory. */
static int ask(struct netlink *n, bool fresh, struct proc *p)
{
	_cleanup_(netlink_message_freep) struct nl_msg *msg = netlink_message(n, RECLAIM_CMD_PROC_GET, 0);
	struct wanted w = { .p = p };
	int r;

	if (!msg || nla_put_u32(msg, RECLAIM_A_PID, (uint32_t)p->pid) < 0 ||
	    nla_put_u64(msg, RECLAIM_A_START_TIME, p->start_time) < 0 ||
	    (fresh && nla_put_flag(msg, RECLAIM_A_FRESH) < 0))
		return -ENOMEM;
	r = netlink_request(n, msg, take_wanted, &w);
	if (r == 0 && !w.found)
		return -EBADMSG;
	return r;
}

int netlink_probe(struct netlink *n)
{
	_cleanup_close_ int dir = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pstat stat;
	struct proc p;
	int r;

	if (dir < 0)
		return -errno;
	r = pstat_read(dir, &stat);
	if (r < 0)
		return r;
	/* Where /proc is of another pid namespace than ours, the module and it don't speak of the same pids. */
	proc_unknown(&p);
	p.pid = stat.pid;
	p.start_time = stat.start_time;
	return ask(n, false, &p);
}

int netlink_proc(struct netlink *n, int root, pid_t pid, enum proc_depth depth, struct proc *ret)
{
	_cleanup_(proc_done) struct proc p = { 0 };
	int r = proc_read(root, pid, MIN(depth, PROC_NAMES), &p);

	if (r < 0)
		return r;
	r = ask(n, depth >= PROC_HEAP, &p);
	/* No memory, or gone: /proc tells which. */
	if (r == -ESRCH)
		return proc_read(root, pid, depth, ret);
	if (r < 0)
		return r;
	*ret = p;
	p = (struct proc){ 0 };
	return 0;
}

/* ---- many */

struct dump {
	bool who; /* was asked for */
	struct proc_list list;
	size_t room;
};

static int take_listed(const struct reply *r, void *data)
{
	struct dump *d = data;
	int e;

	if (r->cmd != RECLAIM_CMD_PROC_GET || (d->who && !reply_has_who(r)))
		return -EBADMSG;
	if (d->list.n == d->room) {
		size_t room = MAX(d->room * 2, (size_t)256);
		struct proc *v = reallocarray(d->list.v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		d->list.v = v;
		d->room = room;
	}
	e = reply_make_proc(r, &d->list.v[d->list.n]);
	if (e == 0)
		d->list.n++;
	return e;
}

static int compare_pids(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* A pid that was given away and taken again meanwhile may be there twice; the later one counts. */
static void sort_and_unite(struct proc_list *l)
{
	size_t kept = 0;

	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), compare_pids);
	for (size_t i = 0; i < l->n; i++) {
		if (kept && l->v[kept - 1].pid == l->v[i].pid) {
			bool later = l->v[i].start_time > l->v[kept - 1].start_time;

			proc_done(&l->v[later ? kept - 1 : i]);
			if (later)
				l->v[kept - 1] = l->v[i];
		} else {
			l->v[kept++] = l->v[i];
		}
	}
	l->n = kept;
}

/* @who: names and users too, which somebody else tells otherwise. */
static int dump_all(struct netlink *n, bool who, uint64_t min_anon, struct proc_list *ret)
{
	int r = -EAGAIN;

	for (int i = 0; i < DUMP_TRIES && r == -EAGAIN; i++) {
		_cleanup_(netlink_message_freep) struct nl_msg *msg =
			netlink_message(n, RECLAIM_CMD_PROC_GET, NLM_F_DUMP);
		struct dump d = { .who = who };

		if (!msg || (!who && nla_put_u32(msg, RECLAIM_A_FIELDS, FIGURES) < 0) ||
		    (min_anon && nla_put_u64(msg, RECLAIM_A_MIN_ANON, min_anon) < 0))
			return -ENOMEM;
		r = netlink_request(n, msg, take_listed, &d);
		if (r == 0 || (r == -EAGAIN && i == DUMP_TRIES - 1)) {
			sort_and_unite(&d.list);
			*ret = d.list;
			return 0;
		}
		proc_list_done(&d.list);
	}
	return r;
}

/* The module's figures in @ours over those of @p; what the sampler hasn't got is walked for now. */
static int join(struct netlink *n, int root, const struct proc *ours, enum proc_depth depth, struct proc *p)
{
	int r;

	if (ours) {
		p->rss = ours->rss;
		p->anon = ours->anon;
		p->file = ours->file;
		p->shmem = ours->shmem;
		p->swap = ours->swap;
		p->heap_size = ours->heap_size;
		p->heap = ours->heap;
		p->mmap_anon = ours->mmap_anon;
		p->stack = ours->stack;
		p->huge = ours->huge;
		p->lazyfree = ours->lazyfree;
		p->idle = ours->idle;
		p->heap_idle = ours->heap_idle;
		p->sample_age_us = ours->sample_age_us;
		p->sampling = ours->sampling;
	}
	if (depth < PROC_HEAP || p->heap != PROC_UNKNOWN)
		return 0;
	r = ask(n, true, p);
	if (r == -ESRCH) {
		struct proc deep;

		r = proc_read(root, p->pid, depth, &deep);
		if (r < 0)
			return r;
		proc_done(p);
		*p = deep;
	}
	return r;
}

static bool left_out(int r)
{
	return r == -ESRCH || r == -EPERM || r == -EACCES;
}

/* Few of many: /proc is asked for those only. */
static int list_large(struct netlink *n, int root, const struct proc_filter *filter, enum proc_depth depth,
		      struct proc_list *ret)
{
	_cleanup_(proc_list_done) struct proc_list l = { 0 };
	size_t kept = 0, i;
	/* From PROC_BASIC on /proc names those that are left. */
	int r = dump_all(n, depth == PROC_COUNTERS, filter->min_anon, &l);

	for (i = 0; r == 0 && i < l.n; i++) {
		struct proc p = l.v[i];

		l.v[i] = (struct proc){ 0 };
		if (p.rss < filter->min_rss || p.anon < filter->min_anon)
			r = -ESRCH;
		if (r == 0 && depth >= PROC_BASIC) {
			struct proc ours = p;

			r = proc_read(root, ours.pid, MIN(depth, PROC_NAMES), &p);
			if (r == 0 && p.start_time != ours.start_time)
				r = -ESRCH;
			if (r == 0)
				r = join(n, root, &ours, depth, &p);
			proc_done(&ours);
		}
		if (r == 0)
			l.v[kept++] = p;
		else
			proc_done(&p);
		if (left_out(r))
			r = 0;
	}
	if (r < 0)
		return r;
	l.n = kept;
	*ret = l;
	l = (struct proc_list){ 0 };
	return 0;
}

int netlink_list(struct netlink *n, int root, const struct proc_filter *filter, enum proc_depth depth,
		 struct proc_list *ret)
{
	_cleanup_(proc_list_done) struct proc_list ours = { 0 }, l = { 0 };
	size_t kept = 0;
	int r;

	if (filter && filter->min_anon && !filter->kthreads)
		return list_large(n, root, filter, depth, ret);
	/* Kernel threads and zombies have no memory, and the module lists what has. */
	r = dump_all(n, false, 0, &ours);
	if (r == 0)
		r = proc_list_read(root, filter, MIN(depth, PROC_NAMES), &l);
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		const struct proc *o = ours.n ? bsearch(&l.v[i], ours.v, ours.n, sizeof(*ours.v), compare_pids) : NULL;

		r = join(n, root, o && o->start_time == l.v[i].start_time ? o : NULL, depth, &l.v[i]);
		if (r == 0 && kept < i) {
			l.v[kept] = l.v[i];
			l.v[i] = (struct proc){ 0 };
		}
		if (r == 0)
			kept++;
		else
			proc_done(&l.v[i]);
		if (left_out(r))
			r = 0;
	}
	if (r < 0)
		return r;
	l.n = kept;
	*ret = l;
	l = (struct proc_list){ 0 };
	return 0;
}
