/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/top-job.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "core/worker-client.h"
#include "ctl/bus-client.h"
#include "ctl/glance.h"
#include "reclaim/explain-names.h"

#define GLANCE_US 1000000ull /* a hundred times what is usual */
#define EXPLAIN_US 10000000ull
#define TRIM_US 10000000ull
#define CLOSE_S 5 /* longer than it takes to give up a worker */

int top_job_init(struct top_job *j, const struct ctl *ctl)
{
	int r;

	*j = (struct top_job){ .ctl = ctl, .cancel = -1 };
	j->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (j->done < 0)
		return -errno;
	j->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = j->cancel < 0 ? -errno : worker_client_path(j->path, sizeof(j->path));
	if (r < 0) {
		closep(&j->done);
		closep(&j->cancel);
	}
	return r;
}

static void explanation_free(struct explanation *e)
{
	if (e)
		explanation_done(e);
	free(e);
}

void top_job_cancel(struct top_job *j)
{
	(void)eventfd_write(j->cancel, 1);
}

void top_job_close(struct top_job *j)
{
	struct timespec until;

	if (j->kind != TOP_JOB_NONE) {
		top_job_cancel(j);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += CLOSE_S;
		if (pthread_timedjoin_np(j->thread, NULL, &until) != 0)
			return;
	}
	explanation_free(j->explanation);
	j->explanation = NULL;
	closep(&j->done);
	closep(&j->cancel);
}

/* ---------------------------------------------------------------- in the thread */

static struct worker_request request(const struct top_job *j, uint32_t op, uint64_t timeout_us)
{
	return (struct worker_request){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = j->pid,
		.start_time = j->start_time,
		.op = op,
		.timeout_us = timeout_us,
		.owner = WORKER_OWNER_ANY,
	};
}

static void not_started(struct top_job *j, int r)
{
	text_format(j->why, sizeof(j->why), "can't start %.140s: %s; see 'reclaimctl doctor'", j->path, strerror(-r));
}

static void run_glance(struct top_job *j)
{
	_cleanup_(explain_answer_done) struct explain_answer a = { .arenas = NULL };
	const bool whole = j->kind == TOP_JOB_COUNT;
	struct worker_request req = request(j, WORKER_OP_GLANCE, whole ? j->count_us : GLANCE_US);
	struct top_look *l = &j->look;
	int r;

	if (!glance_allowed(j->ctl->proc, j->pid)) {
		l->seen = TOP_SEEN_DENIED;
		return;
	}
	l->seen = TOP_SEEN_NOTHING;
	req.flags = whole ? WORKER_F_WHOLE : 0;
	r = worker_client_explain(j->path, &req, j->cancel, &a);
	if (r < 0) {
		not_started(j, r);
		return;
	}
	text_format(l->why, sizeof(l->why), "%s", a.head.reason);
	if (a.head.outcome != WORKER_NOTHING)
		return;
	l->allocator = explain_allocator_name(a.head.allocator);
	l->runtime = explain_runtime_name(a.head.runtime);
	top_inside_fill(&a.head, &l->inside);
	l->inside.whole = whole;
	if (!l->inside.known)
		text_format(l->why, sizeof(l->why), "%s", a.head.glibc.why);
	l->seen = TOP_SEEN_INSIDE;
}

static void run_explain(struct top_job *j)
{
	const struct explain_ask ask = { .timeout_us = EXPLAIN_US, .cancel_fd = j->cancel };
	struct explanation *e = calloc(1, sizeof(*e));
	char why[256];

	if (!e)
		return;
	if (explanation_read(j->ctl->proc, &ask, j->pid, e, why, sizeof(why)) < 0 ||
	    e->proc.start_time != j->start_time) {
		explanation_free(e);
		return;
	}
	notes_compose(e, &e->notes);
	j->explanation = e;
}

/* As "trim" does: who isn't root has it done by the daemon when that runs. */
static void run_trim(struct top_job *j)
{
	_cleanup_(bus_client_close) struct bus_client daemon = { .bus = NULL };
	struct worker_request req = request(j, WORKER_OP_RECLAIM, TRIM_US);
	struct worker_result *res = &j->result;
	int r = -ENOTCONN;

	req.flags = WORKER_F_AUTO | (j->kind == TOP_JOB_DRY_RUN ? WORKER_F_DRY_RUN : 0);
	req.remedies = WORKER_REMEDY_COLLECT | WORKER_REMEDY_TRIM | WORKER_REMEDY_PURGE;
	if (geteuid() != 0 && bus_client_open(&daemon) == CTL_DONE)
		r = bus_client_trim(&daemon, &req, j->cancel, res);
	if (r == -ENOTCONN)
		r = worker_client_run_cancel(j->path, &req, j->cancel, res);
	if (r == 0)
		return;
	not_started(j, r);
	*res = (struct worker_result){ .pid = j->pid, .outcome = WORKER_FAILED };
	text_format(res->reason, sizeof(res->reason), "%s", strerror(-r));
}

static uint64_t timeval_us(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

/* Of workers that have ended, and of this thread. One job at a time: nobody else's are among them. */
static uint64_t cpu_us(void)
{
	struct rusage ru = { 0 };

	(void)getrusage(RUSAGE_CHILDREN, &ru);
	return timeval_us(&ru.ru_utime) + timeval_us(&ru.ru_stime) + clock_us(CLOCK_THREAD_CPUTIME_ID);
}

static void *job_thread(void *arg)
{
	static void (*const run[])(struct top_job *) = {
		[TOP_JOB_GLANCE] = run_glance, [TOP_JOB_COUNT] = run_glance, [TOP_JOB_EXPLAIN] = run_explain,
		[TOP_JOB_TRIM] = run_trim,     [TOP_JOB_DRY_RUN] = run_trim,
	};
	struct top_job *j = arg;
	const uint64_t before = cpu_us();

	run[j->kind](j);
	j->cpu_us = cpu_us() - before;
	(void)eventfd_write(j->done, 1);
	return NULL;
}

/* ---------------------------------------------------------------- beside it */

int top_job_start(struct top_job *j, enum top_job_kind kind, const struct top_proc *t)
{
	eventfd_t ignored;
	int r;

	if (j->kind != TOP_JOB_NONE)
		return -EBUSY;
	explanation_free(j->explanation);
	j->explanation = NULL;
	j->look = (struct top_look){ .seen = TOP_SEEN_NEVER };
	j->why[0] = '\0';
	j->pid = t->p.pid;
	j->start_time = t->p.start_time;
	(void)eventfd_read(j->cancel, &ignored);
	j->kind = kind;
	r = pthread_create(&j->thread, NULL, job_thread, j);
	if (r)
		j->kind = TOP_JOB_NONE;
	return -r;
}

enum top_job_kind top_job_take(struct top_job *j)
{
	const enum top_job_kind kind = j->kind;
	eventfd_t n;

	if (kind == TOP_JOB_NONE || eventfd_read(j->done, &n) < 0)
		return TOP_JOB_NONE;
	(void)pthread_join(j->thread, NULL);
	j->kind = TOP_JOB_NONE;
	return kind;
}
