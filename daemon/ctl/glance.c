/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/glance.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "core/worker-client.h"
#include "reclaim/explain-names.h"

#define THREADS_MAX 8
#define EACH_US 1000000ull /* for one process: a hundred times what is usual */
#define EACH_COUNT_US 10000000ull
#define EACH_MIN_US 1000ull

/* Shared by the threads that start workers. */
struct glances {
	struct glance **v;
	size_t n;
	uint64_t deadline_ns;
	bool whole;
	char path[4096]; /* of the worker */
	pthread_mutex_t lock; /* of what follows */
	size_t next, late;
	int error; /* of starting a worker: nobody goes on then */
};

static void take_facts(const struct explain_head *h, bool whole, struct glance *ret)
{
	struct top_inside in;

	if (h->outcome != WORKER_NOTHING)
		return;
	top_inside_fill(h, &in);
	in.whole = whole;
	/* Counting is what failed: what a glance has told still holds. */
	if (ret->inside.known && (!in.known || in.unseen > ret->inside.unseen))
		return;
	ret->inside = in;
	ret->allocator = explain_allocator_name(h->allocator);
	ret->runtime = explain_runtime_name(h->runtime);
}

/* A glance takes what it takes, a count no longer than all of them may. */
static uint64_t time_us(const struct glances *g)
{
	const uint64_t now_ns = clock_ns(), left_us = (g->deadline_ns - MIN(g->deadline_ns, now_ns)) / 1000;

	return g->whole ? MAX(MIN(left_us, EACH_COUNT_US), EACH_MIN_US) : EACH_US;
}

static int glance_one(const struct glances *g, struct glance *ret)
{
	_cleanup_(explain_answer_done) struct explain_answer answer = { 0 };
	const struct worker_request req = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = ret->pid,
		.start_time = ret->start_time,
		.op = WORKER_OP_GLANCE,
		.timeout_us = time_us(g),
		.flags = g->whole ? WORKER_F_WHOLE : 0,
		.owner = WORKER_OWNER_ANY,
	};
	int r = worker_client_explain(g->path, &req, -1, &answer);

	if (r == 0)
		take_facts(&answer.head, g->whole, ret);
	return r;
}

/* The next one that is to be looked at, NULL when there is none. */
static struct glance *take_turn(struct glances *g, int error)
{
	struct glance *turn = NULL;

	pthread_mutex_lock(&g->lock);
	if (error < 0 && !g->error)
		g->error = error;
	if (g->error < 0 || g->next >= g->n) {
		turn = NULL;
	} else if (clock_ns() >= g->deadline_ns) {
		g->late = g->n - g->next;
		g->next = g->n;
	} else {
		turn = g->v[g->next++];
	}
	pthread_mutex_unlock(&g->lock);
	return turn;
}

static void *glance_thread(void *arg)
{
	struct glances *g = arg;
	struct glance *turn;
	int error = 0;

	while ((turn = take_turn(g, error)) != NULL)
		error = glance_one(g, turn);
	return NULL;
}

bool glance_allowed(int proc, pid_t pid)
{
	_cleanup_close_ int dir = procfs_open_pid(proc, pid);
	_cleanup_close_ int mem = dir < 0 ? -1 : procfs_open(dir, "mem");

	return mem >= 0;
}

static size_t threads_wanted(size_t n)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return MIN(n, MIN(cpus > 0 ? (size_t)cpus : 1, (size_t)THREADS_MAX));
}

static int run_all(struct glances *g, size_t *ret_late, char *why, size_t size)
{
	pthread_t threads[THREADS_MAX];
	size_t running = 0;
	int r = worker_client_path(g->path, sizeof(g->path));

	if (r < 0) {
		snprintf(why, size, "failed to find the worker: %s", strerror(-r));
		return r;
	}
	/* This thread is one of them: when no other can be started, it takes longer. */
	while (running + 1 < threads_wanted(g->n) && pthread_create(&threads[running], NULL, glance_thread, g) == 0)
		running++;
	(void)glance_thread(g);
	for (size_t i = 0; i < running; i++)
		(void)pthread_join(threads[i], NULL);
	if (g->error < 0) {
		snprintf(why, size, "can't start %.140s: %s; see 'reclaimctl doctor'", g->path, strerror(-g->error));
		return g->error;
	}
	*ret_late = g->late;
	return 0;
}

int glance_all(struct glance *v, size_t n, uint64_t deadline_ns, size_t *ret_late, char *why, size_t size)
{
	_cleanup_free_ struct glance **turns = calloc(n + 1, sizeof(*turns));
	struct glances g = { .v = turns, .n = n, .deadline_ns = deadline_ns, .lock = PTHREAD_MUTEX_INITIALIZER };

	if (!turns) {
		snprintf(why, size, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		v[i].allocator = v[i].runtime = NULL;
		v[i].inside = (struct top_inside){ .known = false };
		turns[i] = &v[i];
	}
	return run_all(&g, ret_late, why, size);
}

static uint64_t unseen(const struct glance *g)
{
	return MIN(g->inside.unseen, g->anon);
}

static int compare_unseen(const void *a, const void *b)
{
	const struct glance *x = *(struct glance *const *)a, *y = *(struct glance *const *)b;

	return (unseen(x) < unseen(y)) - (unseen(x) > unseen(y));
}

int glance_count(struct glance *v, size_t n, uint64_t least, uint64_t deadline_ns, char *why, size_t size)
{
	_cleanup_free_ struct glance **turns = calloc(n + 1, sizeof(*turns));
	struct glances g = { .v = turns, .deadline_ns = deadline_ns, .whole = true, .lock = PTHREAD_MUTEX_INITIALIZER };
	size_t late = 0;

	if (!turns) {
		snprintf(why, size, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		if (unseen(&v[i]) >= MAX(least, 1ull))
			turns[g.n++] = &v[i];
	if (!g.n)
		return 0;
	qsort(turns, g.n, sizeof(*turns), compare_unseen);
	return run_all(&g, &late, why, size);
}
