/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker at work, beside the event loop: it is started, and its answer comes
 * back through a call from the loop. One per target at a time.
 */
#ifndef RECLAIM_CORE_TASK_H
#define RECLAIM_CORE_TASK_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "core/worker-client.h"
#include "core/worker-process.h"

struct task;

enum task_want {
	TASK_ACT, /* one worker_result */
	TASK_HEAD, /* facts, of which the head alone is wanted */
	TASK_FACTS, /* all of them */
};

/*
 * Called once. @task->result (ACT) or @task->facts are filled, whatever became
 * of the worker; they are gone after the call.
 */
typedef void (*task_fn)(struct task *task, void *arg);

struct tasks {
	sd_event *event;
	struct task *first;
	const char *path; /* of the worker; borrowed */
	size_t n; /* workers that live, also those that have answered */
};

struct task {
	/* for whoever started it */
	struct worker_request req;
	struct worker_result result;
	struct explain_answer facts;
	uint64_t began_us; /* CLOCK_BOOTTIME */
	/* private */
	struct tasks *all;
	struct task *next;
	enum task_want want;
	task_fn fn; /* NULL: has been called */
	void *arg;
	struct worker worker;
	struct intake *intake;
	bool killed, deaf; /* deaf: it has closed its socket without an answer */
	sd_event_source *exit, *answer, *timer;
};

/*
 * 0: @fn will be called, from the loop; -EBUSY: there is one for this process;
 * -errno: not started, @fn is never called.
 */
int task_start(struct tasks *all, const struct worker_request *req, enum task_want want, task_fn fn, void *arg)
	__must_check;

/* That of a process, or NULL. */
struct task *task_find(const struct tasks *all, pid_t pid);

/* Kills them all, which lets their targets go, and says so to those who wait. Waits for their end, but not for ever. */
void tasks_stop(struct tasks *all);

#endif
