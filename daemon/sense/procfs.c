/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes as /proc shows them. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "base/pstatus.h"
#include "base/scan.h"
#include "sense/heap.h"
#include "sense/list.h"
#include "sense/names.h"
#include "sense/proc.h"
#include "sense/smaps.h"

/* While the target changes its mappings between two reads of ours, the kernel may repeat an address. */
#define DEEP_TRIES 4

void proc_done(struct proc *p)
{
	free(p->exe);
	free(p->cgroup);
	free(p->unit);
	*p = (struct proc){ 0 };
}

struct deep {
	uint64_t heap_size, heap, mmap_anon, stack, huge, lazyfree;
	size_t regions;
};

static void deep_add(struct deep *d, const struct region *r)
{
	switch (r->map.kind) {
	case MAP_KIND_HEAP:
		d->heap_size += r->map.end - r->map.start;
		d->heap += r->rss;
		break;
	case MAP_KIND_STACK:
		d->stack += r->rss;
		break;
	case MAP_KIND_ANON:
	case MAP_KIND_FILE:
	case MAP_KIND_SHMEM:
	case MAP_KIND_SPECIAL:
		d->mmap_anon += r->anon;
		break;
	}

	d->huge += r->huge;
	d->lazyfree += r->lazyfree;
	d->regions++;
}

static int deep_read_once(int piddir, struct deep *ret)
{
	_cleanup_(smaps_close) struct smaps s = { .fd = -1 };
	struct deep d = { 0 };
	struct region reg;
	int r;

	r = smaps_open(piddir, &s);
	if (r < 0)
		return r;
	while ((r = smaps_next(&s, &reg)) > 0)
		deep_add(&d, &reg);
	if (r < 0)
		return r;
	/* It had an address space a moment ago. */
	if (d.regions == 0)
		return -ESRCH;

	*ret = d;
	return 0;
}

/* One process that may not be read, or never holds still, must not hide the others: its figures stay unknown. */
static bool stays_unknown(int r)
{
	return r == -EACCES || r == -EPERM || r == -ENOENT || r == -EAGAIN || r == -EBADMSG;
}

static int read_deep(int piddir, bool has_mm, struct proc *p)
{
	struct deep d = { 0 };
	int r = 0;

	if (has_mm) {
		r = -EAGAIN;
		for (int i = 0; i < DEEP_TRIES && r == -EAGAIN; i++)
			r = deep_read_once(piddir, &d);
	}
	if (r < 0)
		return stays_unknown(r) ? 0 : r;

	p->heap_size = d.heap_size;
	p->heap = d.heap;
	p->mmap_anon = d.mmap_anon;
	p->stack = d.stack;
	p->huge = d.huge;
	p->lazyfree = d.lazyfree;
	return 0;
}

static int read_heap(int piddir, bool has_mm, const struct pstat *stat, struct proc *p)
{
	struct heap h;
	int r;

	if (!has_mm)
		return read_deep(piddir, false, p);

	r = heap_query(piddir, stat, &h);
	/* An older kernel, or a recorded tree. */
	if (r == -EOPNOTSUPP)
		return read_deep(piddir, true, p);
	if (r < 0)
		return stays_unknown(r) ? 0 : r;

	p->heap_size = h.size;
	p->heap = h.resident;
	p->stack = h.stack;
	/* Read at different moments, the parts may exceed the whole. */
	p->mmap_anon = p->anon - MIN(p->anon, h.resident + h.stack);
	return 0;
}

void proc_unknown(struct proc *p)
{
	*p = (struct proc){
		.ppid = -1,
		.tracer = -1,
		.uid = (uid_t)-1,
		.euid = (uid_t)-1,
		.threads = -1,
		.seccomp = -1,
		.rss = PROC_UNKNOWN,
		.anon = PROC_UNKNOWN,
		.file = PROC_UNKNOWN,
		.shmem = PROC_UNKNOWN,
		.swap = PROC_UNKNOWN,
		.heap_size = PROC_UNKNOWN,
		.heap = PROC_UNKNOWN,
		.mmap_anon = PROC_UNKNOWN,
		.stack = PROC_UNKNOWN,
		.huge = PROC_UNKNOWN,
		.lazyfree = PROC_UNKNOWN,
		.idle = PROC_UNKNOWN,
		.heap_idle = PROC_UNKNOWN,
		.sample_age_us = PROC_UNKNOWN,
	};
}

static void fill_basic(const struct pstat *stat, const struct pstatus *status, struct proc *p)
{
	proc_unknown(p);
	p->pid = stat->pid;
	p->ppid = stat->ppid;
	p->tracer = status->tracer;
	p->start_time = stat->start_time;
	p->uid = status->uid;
	p->euid = status->euid;
	p->state = stat->state;
	p->threads = status->threads;
	p->seccomp = status->seccomp;
	p->kthread = pstat_is_kthread(stat);
	p->rss = status->rss_anon + status->rss_file + status->rss_shmem;
	p->anon = status->rss_anon;
	p->file = status->rss_file;
	p->shmem = status->rss_shmem;
	p->swap = status->vm_swap;
	memcpy(p->comm, stat->comm, sizeof(p->comm));
}

int proc_no_names(struct proc *p)
{
	p->exe = strdup("");
	p->cgroup = strdup("");
	p->unit = strdup("");

	return p->exe && p->cgroup && p->unit ? 0 : -ENOMEM;
}

static bool is_less(uint64_t pages, uint64_t bytes)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return pages < bytes / page + (bytes % page != 0);
}

/*
 * Too small for the filter? The counters of statm are those of status, for a fraction of the price; and of most
 * processes this is all that is read. What can't be said here is said by the other files.
 */
static bool is_small(int root, pid_t pid, const struct proc_filter *f)
{
	char name[sizeof("-2147483648/statm")], text[128];
	uint64_t size, resident, shared;
	const char *p = text;

	if (pid <= 0 || (!f->min_rss && !f->min_anon))
		return false;
	(void)snprintf(name, sizeof(name), "%d/statm", pid);
	if (procfs_read_once(root, name, text, sizeof(text)) < 0 || !scan_u64(&p, &size) || *p++ != ' ' ||
	    !scan_u64(&p, &resident) || *p++ != ' ' || !scan_u64(&p, &shared) || *p != ' ' || shared > resident)
		return false;
	return is_less(resident, f->min_rss) || is_less(resident - shared, f->min_anon);
}

int proc_read_filtered(int root, pid_t pid, const struct proc_filter *filter, enum proc_depth depth, struct proc *ret)
{
	_cleanup_(proc_done) struct proc p = { 0 };
	_cleanup_close_ int dir = -1;
	struct pstatus status;
	struct pstat stat;
	bool has_mm;
	int r;

	if (filter && is_small(root, pid, filter))
		return 0;
	dir = procfs_open_pid(root, pid);
	if (dir < 0)
		return dir;
	r = pstat_read(dir, &stat);
	if (r < 0)
		return r;
	if (filter && !filter->kthreads && pstat_is_kthread(&stat))
		return 0;
	r = pstatus_read(dir, &status);
	if (r < 0)
		return r;
	/* The number of a thread opens too, though no listing shows it. */
	if (status.tgid != status.pid)
		return -ESRCH;

	fill_basic(&stat, &status, &p);
	if (filter && (p.rss < filter->min_rss || p.anon < filter->min_anon))
		return 0;

	has_mm = status.vm_size > 0;
	r = depth >= PROC_NAMES ? proc_read_names(dir, has_mm, &p) : proc_no_names(&p);
	if (r < 0)
		return r;
	if (depth == PROC_HEAP)
		r = read_heap(dir, has_mm, &stat, &p);
	else if (depth == PROC_DEEP)
		r = read_deep(dir, has_mm, &p);
	if (r < 0)
		return r;

	*ret = p;
	p = (struct proc){ 0 };
	return 1;
}

int proc_read(int root, pid_t pid, enum proc_depth depth, struct proc *ret)
{
	int r = proc_read_filtered(root, pid, NULL, depth, ret);

	return r < 0 ? r : 0;
}
