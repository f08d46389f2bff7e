/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/task.h"

#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/text.h"
#include "core/intake.h"
#include "core/worker-door.h"

#define US_PER_NS(ns) ((ns) / 1000)
#define TICK_US 10000

struct task *task_find(const struct tasks *all, pid_t pid)
{
	for (struct task *t = all->first; t; t = t->next)
		if (t->req.pid == pid)
			return t;
	return NULL;
}

/* First the loop lets go of its files, then they are closed: their numbers are soon those of another worker's. */
static void task_close(struct task *t)
{
	t->exit = sd_event_source_disable_unref(t->exit);
	t->answer = sd_event_source_disable_unref(t->answer);
	t->timer = sd_event_source_disable_unref(t->timer);
	worker_donep(&t->worker);
}

static void task_free(struct task *t)
{
	if (!t)
		return;
	task_close(t);
	if (t->intake)
		intake_done(t->intake);
	free(t->intake);
	explain_answer_done(&t->facts);
	free(t);
}

static void task_freep(struct task **t)
{
	task_free(*t);
}

static void task_unlink(struct task *t)
{
	struct task **at = &t->all->first;

	while (*at && *at != t)
		at = &(*at)->next;
	if (*at) {
		*at = t->next;
		t->all->n--;
	}
}

/* No answer: why not becomes one. */
static void task_fail(struct task *t, enum worker_outcome outcome, const char *why)
{
	if (t->want != TASK_ACT) {
		explain_answer_done(&t->facts);
		intake_fail(&t->req, outcome, why, &t->facts);
		return;
	}
	t->result = (struct worker_result){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = t->req.pid,
		.start_time = t->req.start_time,
		.outcome = outcome,
	};
	text_format(t->result.reason, sizeof(t->result.reason), "%s", why);
}

static bool task_answered(const struct task *t)
{
	return t->want == TASK_ACT ? t->result.magic : t->facts.head.magic;
}

static void task_tell(struct task *t)
{
	task_fn fn = t->fn;

	t->fn = NULL;
	if (fn)
		fn(t, t->arg);
}

static int receive_result(struct task *t)
{
	char why[WORKER_TEXT_MAX];
	const char *fault;
	int r = worker_take_result(&t->worker, &t->req, &t->result, &fault);

	if (r != -EBADMSG)
		return r;
	text_format(why, sizeof(why), "the worker sent %s", fault);
	task_fail(t, WORKER_FAILED, why);
	return 1;
}

static int receive_facts(struct task *t)
{
	char why[WORKER_TEXT_MAX];
	const char *fault;
	int r = intake_receive(t->intake, t->worker.sock, &fault);

	if (r == -EBADMSG) {
		text_format(why, sizeof(why), "the worker sent %s", fault);
		task_fail(t, WORKER_FAILED, why);
		return 1;
	}
	if (r == 1) {
		t->facts = t->intake->answer;
		t->intake->answer = (struct explain_answer){ 0 };
	} else if (r == -ENOMEM) {
		task_fail(t, WORKER_FAILED, "not enough memory for its answer");
		r = 1;
	}
	return r;
}

/* Takes what is there, after it has come. 1 when it has answered, -EAGAIN when it may still, -EPIPE when it won't. */
static int task_receive(struct task *t)
{
	int r = worker_unmet(&t->worker) ? worker_meet(&t->worker) : 0;

	if (r < 0)
		return r;
	do
		r = t->want == TASK_ACT ? receive_result(t) : receive_facts(t);
	while (r == 0);
	return r;
}

static void task_timer(struct task *t, uint64_t us)
{
	(void)sd_event_source_set_time_relative(t->timer, us);
	(void)sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

static uint64_t task_limit_us(const struct task *t)
{
	return t->req.timeout_us + US_PER_NS(WORKER_GRACE_NS);
}

/* Lets the target go. */
static void task_kill(struct task *t)
{
	worker_kill(&t->worker);
	t->killed = true;
	task_timer(t, US_PER_NS(WORKER_REAP_NS));
}

/* It has exited: nothing here waits any more. */
static void task_end(struct task *t)
{
	char why[WORKER_TEXT_MAX];

	t->exit = sd_event_source_disable_unref(t->exit);
	t->answer = sd_event_source_disable_unref(t->answer);
	/* Already told, or answered in its last moment. */
	if (t->fn && !task_answered(t) && task_receive(t) != 1) {
		const bool cut = t->killed && !t->deaf, came = !worker_unmet(&t->worker);
		const bool late = worker_why_died(&t->worker, why);

		if (cut && came)
			text_format(why, sizeof(why), "no answer in time: the worker was killed and the target let go");
		task_fail(t, cut || late ? WORKER_TIMEOUT : WORKER_FAILED, why);
	}
	task_close(t);
	task_unlink(t);
	task_tell(t);
	task_free(t);
}

static int task_on_exit(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	(void)source;
	(void)fd;
	(void)revents;
	task_end(arg);
	return 0;
}

/* Where pidfds don't work, in a sandbox or an emulator. */
static int task_on_tick(sd_event_source *source, uint64_t usec, void *arg)
{
	struct task *t = arg;

	(void)usec;
	if (worker_exited(&t->worker)) {
		task_end(t);
		return 0;
	}
	(void)sd_event_source_set_time_relative(source, TICK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* 0 as well for one that hasn't come yet: its first message brings what can be waited for. */
static int task_watch_exit(struct task *t)
{
	sd_event *e = t->all->event;
	int r;

	if (t->exit || worker_unmet(&t->worker))
		return 0;
	if (t->worker.pidfd >= 0)
		r = sd_event_add_io(e, &t->exit, t->worker.pidfd, EPOLLIN, task_on_exit, t);
	else
		r = sd_event_add_time_relative(e, &t->exit, CLOCK_MONOTONIC, TICK_US, 0, task_on_tick, t);
	/* An answer before its sender's exit. */
	return r < 0 ? r : sd_event_source_set_priority(t->exit, SD_EVENT_PRIORITY_NORMAL + 1);
}

static int task_on_answer(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct task *t = arg;
	const bool unmet = worker_unmet(&t->worker);
	int r = task_receive(t);

	(void)fd;
	(void)revents;
	/* Nobody came, or one whose end we wouldn't see. */
	if ((worker_unmet(&t->worker) && r != -EAGAIN) || task_watch_exit(t) < 0) {
		task_end(t);
		return 0;
	}
	/* It was asked only now. */
	if (unmet && !worker_unmet(&t->worker) && !t->killed)
		task_timer(t, task_limit_us(t));
	if (r == -EAGAIN)
		return 0;
	/* What is left is its exit, for which it has a moment, unless the rest of its answer isn't wanted. */
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	t->deaf = r != 1 && !t->killed;
	if (r == 1 && t->want == TASK_HEAD)
		task_kill(t);
	else if (!t->killed)
		task_timer(t, US_PER_NS(WORKER_REAP_NS));
	return 0;
}

static int task_on_time(sd_event_source *source, uint64_t usec, void *arg)
{
	struct task *t = arg;
	char why[WORKER_TEXT_MAX];

	(void)source;
	(void)usec;
	if (!t->killed) {
		task_kill(t);
		return 0;
	}
	/* Killed, but asleep in the kernel: it stays in the list until it is really gone. */
	if (t->fn && !task_answered(t)) {
		text_format(
			why, sizeof(why),
			"no answer in time: worker %d was killed but has not died yet: the target may still be held",
			t->worker.pid);
		task_fail(t, WORKER_TIMEOUT, why);
	}
	task_tell(t);
	return 0;
}

static int task_watch(struct task *t)
{
	sd_event *e = t->all->event;
	int r;

	r = task_watch_exit(t);
	if (r >= 0)
		r = sd_event_add_io(e, &t->answer, t->worker.sock, EPOLLIN, task_on_answer, t);
	if (r >= 0)
		r = sd_event_add_time_relative(e, &t->timer, CLOCK_MONOTONIC, task_limit_us(t), 0, task_on_time, t);
	return r < 0 ? r : 0;
}

static int task_spawn(struct task *t)
{
	_cleanup_close_ int null = worker_open_null();
	int r;

	if (null < 0)
		return null;
	r = worker_start(&t->worker, t->all->path, null);
	if (r < 0)
		return r;
	r = worker_send_request(&t->worker, &t->req);
	/* EPIPE: it has died already, which its pidfd tells. */
	return r == -EPIPE ? 0 : r;
}

int task_start(struct tasks *all, const struct worker_request *req, enum task_want want, task_fn fn, void *arg)
{
	_cleanup_(task_freep) struct task *t = NULL;
	int r;

	if (!req->timeout_us || req->timeout_us > WORKER_TIMEOUT_MAX_US)
		return -EINVAL;
	if (task_find(all, req->pid))
		return -EBUSY;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->all = all;
	t->req = *req;
	t->want = want;
	t->worker = (struct worker){ .pidfd = -1, .sock = -1 };
	t->began_us = clock_us(CLOCK_BOOTTIME);
	if (want != TASK_ACT) {
		t->intake = calloc(1, sizeof(*t->intake));
		if (!t->intake)
			return -ENOMEM;
		t->intake->req = &t->req;
		t->intake->head_only = want == TASK_HEAD;
	}
	r = task_spawn(t);
	if (r >= 0)
		r = task_watch(t);
	if (r < 0)
		return r;
	t->fn = fn;
	t->arg = arg;
	t->next = all->first;
	all->first = TAKE_PTR(t);
	all->n++;
	return 0;
}

void tasks_stop(struct tasks *all)
{
	for (struct task *t = all->first; t; t = t->next)
		task_kill(t);
	while (all->first) {
		struct task *t = all->first;

		if (!task_answered(t) && task_receive(t) != 1)
			task_fail(t, WORKER_FAILED, "interrupted: the daemon stops");
		task_close(t);
		task_unlink(t);
		task_tell(t);
		task_free(t);
	}
}
