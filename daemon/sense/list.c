// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * All processes at once. Nearly all of the time goes into the kernel, which
 * makes up the files of /proc while they are read: several threads share it.
 */
#include "sense/list.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/parse.h"

#define THREADS_MAX 8
#define PER_THREAD 64 /* fewer processes than this aren't worth a thread of their own */

struct pids {
	pid_t *v;
	size_t n, room;
};

struct job {
	int root;
	const struct proc_filter *filter;
	enum proc_depth depth;
	const struct pids *pids;
	struct proc *procs; /* one for each pid */
	int *results; /* of proc_read_filtered() */
	atomic_size_t next;
};

void proc_list_done(struct proc_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		proc_done(&l->v[i]);
	free(l->v);
	*l = (struct proc_list){ 0 };
}

static int pids_add(struct pids *l, pid_t pid)
{
	if (l->n == l->room) {
		size_t room = MAX(l->room * 2, (size_t)512);
		pid_t *v = reallocarray(l->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->room = room;
	}
	l->v[l->n++] = pid;
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int pids_read(int root, struct pids *ret)
{
	/* An open file of its own: the caller's may be anywhere in its listing. */
	_cleanup_close_ int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!d)
		return -errno;
	(void)TAKE_FD(fd);
	while ((errno = 0, entry = readdir(d)) != NULL) {
		pid_t pid;
		int r = parse_pid(entry->d_name, &pid) < 0 ? 0 : pids_add(ret, pid);

		if (r < 0)
			return r;
	}
	if (errno)
		return -errno;
	/* The kernel lists them by number, recorded trees don't. */
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_pids);
	return 0;
}

static int job_read(struct job *job, size_t i)
{
	const struct proc_filter *f = job->filter;
	const pid_t pid = job->pids->v[i];

	if (f->wanted && !f->wanted(pid, f->arg))
		return 0;
	return proc_read_filtered(job->root, pid, f, job->depth, &job->procs[i]);
}

static void *job_work(void *arg)
{
	struct job *job = arg;
	size_t i;

	while ((i = atomic_fetch_add(&job->next, 1)) < job->pids->n)
		job->results[i] = job_read(job, i);
	return NULL;
}

static void job_run(struct job *job)
{
	pthread_t threads[THREADS_MAX];
	size_t want = job->pids->n / PER_THREAD, n = 0;
	cpu_set_t cpus;

	want = job->filter->patient ? 0 : MIN(want, (size_t)THREADS_MAX);
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		want = MIN(want, (size_t)CPU_COUNT(&cpus));
	/* Ourselves is one of them; a thread that can't be had only makes it slower. */
	while (n + 1 < want && pthread_create(&threads[n], NULL, job_work, job) == 0)
		n++;
	(void)job_work(job);
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(threads[i], NULL);
}

/* Moves what was read to the front of the list. The first real error wins. */
static int job_collect(struct job *job, struct proc_list *l)
{
	int error = 0;

	for (size_t i = 0; i < job->pids->n; i++) {
		int r = job->results[i];

		if (r == 1)
			l->v[l->n++] = job->procs[i];
		/* Gone meanwhile, or hidden from us by the mount option hidepid. */
		else if (r < 0 && r != -ESRCH && r != -EPERM && r != -EACCES && !error)
			error = r;
	}
	return error;
}

int proc_list_read(int root, const struct proc_filter *filter, enum proc_depth depth, struct proc_list *ret)
{
	static const struct proc_filter everything = { .kthreads = true };
	_cleanup_(proc_list_done) struct proc_list l = { 0 };
	_cleanup_free_ pid_t *pids_owned = NULL;
	_cleanup_free_ int *results = NULL;
	struct pids pids = { 0 };
	struct job job;
	int r = pids_read(root, &pids);

	pids_owned = pids.v;
	if (r < 0)
		return r;
	l.v = calloc(MAX(pids.n, (size_t)1), sizeof(*l.v));
	results = calloc(MAX(pids.n, (size_t)1), sizeof(*results));
	if (!l.v || !results)
		return -ENOMEM;
	job = (struct job){
		.root = root,
		.filter = filter ? filter : &everything,
		.depth = depth,
		.pids = &pids,
		.procs = l.v, /* collected in place: the front never overtakes the rest */
		.results = results,
	};
	job_run(&job);
	r = job_collect(&job, &l);
	if (r < 0)
		return r;
	*ret = l;
	l = (struct proc_list){ 0 };
	return 0;
}
