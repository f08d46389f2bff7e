/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that explain says comes from one look: the kernel's view, and the worker's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "ctl/bus-client.h"
#include "ctl/explain.h"
#include "sense/source.h"

#define REGIONS_MAX ((size_t)1 << 20)
#define LATE_NS 2000000000ull /* after the deadline: a worker that is late has been ended by then */

/* PY_VERSION_HEX, cpython/Include/patchlevel.h. Before 3.11 the last number can't always be told: then it is 0. */
const char *explain_python_version(uint32_t version, char *buf, size_t size)
{
	snprintf(buf, size, "%u.%u.%u", version >> 24, version >> 16 & 0xff, version >> 8 & 0xff);
	return buf;
}

void explanation_done(struct explanation *e)
{
	proc_done(&e->proc);
	region_list_done(&e->regions);
	explain_answer_done(&e->answer);
	free(e->kinds);
	e->kinds = NULL;
}

bool explanation_looked(const struct explanation *e)
{
	return e->answer.head.outcome == WORKER_NOTHING;
}

static bool has_figures(uint32_t layer)
{
	return layer == EXPLAIN_READ || layer == EXPLAIN_ESTIMATE;
}

bool explanation_has_glibc(const struct explanation *e)
{
	return explanation_looked(e) && has_figures(e->answer.head.glibc.layer);
}

bool explanation_has_python(const struct explanation *e)
{
	return explanation_looked(e) && has_figures(e->answer.head.python.layer);
}

/* The kernel's view. 0; with -EACCES and -EBADMSG the regions just stay unknown. */
static int read_regions(int dir, struct explanation *e)
{
	int r = region_list_read(dir, REGIONS_MAX, &e->regions);

	e->has_regions = r == 0;
	e->regions_error = r;
	return r == -EACCES || r == -EPERM || r == -EBADMSG || r == -E2BIG ? 0 : r;
}

/*
 * By the daemon's worker, which draws no maps, but may look where ours may not: when it runs and we aren't
 * root. 0 or -errno.
 */
static int ask_daemon(const struct worker_request *req, struct explain_answer *ret)
{
	_cleanup_(bus_client_close) struct bus_client c = { .bus = NULL };

	if (geteuid() == 0 || bus_client_open(&c) != CTL_DONE)
		return -ENOTCONN;
	return bus_client_explain(&c, req, ret);
}

/* Where our own worker may not look, totals are better than nothing. */
static void ask_daemon_instead(const struct worker_request *req, struct explain_answer *ret)
{
	struct worker_request plain = *req;
	struct explain_answer answer;

	plain.flags = WORKER_F_OUTSIDE;
	if (ask_daemon(&plain, &answer) != 0)
		return;
	explain_answer_done(ret);
	*ret = answer;
}

/* A worker that can't be started is as one that has failed: the kernel's layer is there all the same. */
static void ask_worker(const struct explain_ask *o, struct explanation *e)
{
	const struct worker_request req = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = e->proc.pid,
		.start_time = e->proc.start_time,
		.op = WORKER_OP_EXPLAIN,
		.flags = WORKER_F_OUTSIDE | (o->map ? WORKER_F_CELLS : 0),
		.timeout_us = o->timeout_us ? o->timeout_us : EXPLAIN_TIMEOUT_US,
		.owner = WORKER_OWNER_ANY,
	};
	struct explain_head *h = &e->answer.head;
	char path[4096];
	int r;

	if (!o->map && ask_daemon(&req, &e->answer) == 0)
		return;
	r = worker_client_path(path, sizeof(path));
	if (r == 0)
		r = worker_client_explain(path, &req, o->cancel_fd ? o->cancel_fd : -1, &e->answer);
	else
		snprintf(path, sizeof(path), "reclaim-worker");
	if (r == 0 && o->map && h->outcome == WORKER_DENIED)
		ask_daemon_instead(&req, &e->answer);
	if (r == 0)
		return;
	h->outcome = WORKER_FAILED;
	snprintf(h->reason, sizeof(h->reason), "can't start %.100s: %s; see 'reclaimctl doctor'", path, strerror(-r));
}

struct asking {
	const struct explain_ask *o;
	struct explanation *e;
};

static void *ask_thread(void *arg)
{
	const struct asking *a = arg;

	ask_worker(a->o, a->e);
	return NULL;
}

/* The kernel walks the page tables for us while the worker walks the heaps; each fills its own part of @e. */
static int read_both(int dir, const struct explain_ask *o, struct explanation *e, uint64_t **ret_stacks, size_t *ret_n)
{
	struct asking a = { .o = o, .e = e };
	/* In a kernel thread there is nothing to be looked at: the worker would say so too. */
	const bool ask = !e->proc.kthread;
	pthread_t thread;
	bool beside = ask && pthread_create(&thread, NULL, ask_thread, &a) == 0;
	int r;

	if (ask && !beside)
		ask_worker(o, e);
	r = read_regions(dir, e);
	if (r == 0)
		r = stacks_read(dir, ret_stacks, ret_n);
	if (beside)
		(void)pthread_join(thread, NULL);
	return r;
}

/* How long memory was idle, by the kernel module where it answers us: for the mappings that are still the same. */
static void read_ages(int procfs, pid_t pid, struct explanation *e)
{
	_cleanup_(region_list_done) struct region_list ages = { 0 };
	struct source source = { 0 };
	char why[256];
	size_t k = 0;

	if (source_open(procfs, SOURCE_AUTO, &source, why, sizeof(why)) < 0)
		return;
	if (source_is_module(&source) && source_regions(&source, pid, REGIONS_MAX, &ages) == 0)
		for (size_t i = 0; i < e->regions.n; i++) {
			struct region *r = &e->regions.v[i];

			while (k < ages.n && ages.v[k].map.start < r->map.start)
				k++;
			if (k < ages.n && ages.v[k].map.start == r->map.start && ages.v[k].map.end == r->map.end)
				r->age = ages.v[k].age;
		}
	source_close(&source);
}

/* One looking, which its thread owns together with whoever waits for it: the last to let go frees it. */
struct looking {
	int procfs;
	struct explain_ask ask;
	pid_t pid;
	struct explanation e;
	int r;
	atomic_bool left; /* by one of the two */
};

static int look_all(int procfs, const struct explain_ask *o, pid_t pid, struct explanation *e)
{
	_cleanup_close_ int dir = procfs_open_pid(procfs, pid);
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ uint64_t *stacks = NULL;
	size_t nstacks = 0;
	int r = dir < 0 ? dir : proc_read(procfs, pid, PROC_NAMES, &e->proc);

	if (r == 0)
		r = read_both(dir, o, e, &stacks, &nstacks);
	if (r == 0)
		r = account_fill(e, stacks, nstacks);
	if (r == 0 && o->map && e->has_regions)
		read_ages(procfs, pid, e);
	thp_read(root, &e->thp);
	return r;
}

/* true when the other one has let go of it before: then it is the caller's alone. */
static bool looking_leave(struct looking *l)
{
	return atomic_exchange(&l->left, true);
}

static void looking_free(struct looking *l)
{
	explanation_done(&l->e);
	free(l);
}

static void *looking_thread(void *arg)
{
	struct looking *l = arg;

	l->r = look_all(l->procfs, &l->ask, l->pid, &l->e);
	if (looking_leave(l))
		looking_free(l);
	return NULL;
}

/*
 * The kernel makes up smaps under the lock of the target's mappings, for which it waits as long as somebody has it:
 * who reads the target's memory has, where that is a file on a file system that doesn't answer, and who wants to
 * change them keeps all others out meanwhile. A thread that waits there ends with our process. true when it is done.
 */
static bool looking_wait(struct looking *l)
{
	const uint64_t us = l->ask.timeout_us ? l->ask.timeout_us : EXPLAIN_TIMEOUT_US;
	const uint64_t end_ns = clock_ns() + us * 1000 + LATE_NS;
	const struct timespec end = { .tv_sec = (time_t)(end_ns / 1000000000), .tv_nsec = (long)(end_ns % 1000000000) };
	pthread_t thread;

	if (!l->ask.give_up || pthread_create(&thread, NULL, looking_thread, l) != 0) {
		(void)looking_thread(l);
		return true;
	}
	if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &end) == 0)
		return true;
	(void)pthread_detach(thread);
	return looking_leave(l);
}

int explanation_read(int procfs, const struct explain_ask *o, pid_t pid, struct explanation *e, char *why, size_t size)
{
	struct looking *l = calloc(1, sizeof(*l));
	int r = -ENOMEM;

	if (l) {
		*l = (struct looking){ .procfs = procfs, .ask = *o, .pid = pid };
		r = -ETIMEDOUT;
	}
	if (l && looking_wait(l)) {
		r = l->r;
		*e = l->e;
		free(l);
	}
	if (r == -ETIMEDOUT)
		snprintf(why, size, "timed out: its mappings are too many, or locked; allow more with --timeout");
	else if (r < 0)
		snprintf(why, size, "%s", r == -ESRCH ? "no such process" : strerror(-r));
	return r;
}
