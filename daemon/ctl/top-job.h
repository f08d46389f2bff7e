/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What takes a worker, beside the screen: one job at a time, in a thread of
 * its own, whose end is told by a file that becomes readable.
 */
#ifndef RECLAIM_CTL_TOP_JOB_H
#define RECLAIM_CTL_TOP_JOB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "ctl/ctl.h"
#include "ctl/explain.h"
#include "ctl/top-model.h"
#include "reclaim/worker.h"

enum top_job_kind {
	TOP_JOB_NONE,
	TOP_JOB_GLANCE, /* answers with look */
	TOP_JOB_COUNT, /* the same, and nothing is left out */
	TOP_JOB_EXPLAIN, /* with explanation */
	TOP_JOB_TRIM, /* with result */
	TOP_JOB_DRY_RUN, /* the same */
};

struct top_job {
	enum top_job_kind kind; /* NONE: idle */
	pid_t pid;
	uint64_t start_time;
	uint64_t count_us; /* how long a count may take; set before it is started */
	/* the answer */
	struct top_look look;
	struct explanation *explanation; /* malloc'ed; NULL when the process has gone */
	struct worker_result result;
	uint64_t cpu_us; /* what it cost: our thread's and the workers' time */
	char why[512]; /* why no worker could be started, "" when one could */
	/* private */
	const struct ctl *ctl;
	int done, cancel; /* eventfds */
	pthread_t thread;
	char path[4096];
};

/* The files and the worker's path. 0 or -errno. */
int top_job_init(struct top_job *j, const struct ctl *ctl) __must_check;

/*
 * Gives up what is at work, waits for that, and frees all. Where it can't be
 * given up (asleep in the kernel) it is left to the end of the program, which must come soon.
 */
void top_job_close(struct top_job *j);

/* 0; -EBUSY while another one runs; -errno. @done becomes readable at its end. */
int top_job_start(struct top_job *j, enum top_job_kind kind, const struct top_proc *t) __must_check;

/*
 * After @done became readable: the answer is there until the next start. The
 * kind that it was, NONE when it still runs.
 */
enum top_job_kind top_job_take(struct top_job *j);

/* Gives up what is at work, in so far as it can be; its answer says so. */
void top_job_cancel(struct top_job *j);

#endif
