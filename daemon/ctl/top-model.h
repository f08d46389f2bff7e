/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "top" knows of each process, from one interval to the next. */
#ifndef RECLAIM_CTL_TOP_MODEL_H
#define RECLAIM_CTL_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "ctl/top-split.h"
#include "ctl/users.h"
#include "reclaim/worker.h"
#include "sense/machine.h"
#include "sense/source.h"

enum top_seen {
	TOP_SEEN_NEVER,
	TOP_SEEN_DENIED, /* may not be looked into */
	TOP_SEEN_NOTHING, /* looked, but nobody could tell: why says so */
	TOP_SEEN_INSIDE,
};

struct top_look {
	enum top_seen seen;
	uint64_t at_us, rss; /* CLOCK_BOOTTIME, and its size then */
	struct top_inside inside;
	bool whole; /* counted, not glanced at: stays until it changes, or a glance contradicts */
	uint64_t left_out; /* by the last glance: so much more may be free */
	uint64_t count_us; /* not counted before that; 0: nobody has tried yet */
	const char *allocator, *runtime; /* NULL when not known; static */
	char why[EXPLAIN_TEXT_MAX]; /* raw */
};

/* The last trim of it, by us. */
enum top_trim { TOP_TRIM_NONE, TOP_TRIM_QUEUED, TOP_TRIM_RUNNING, TOP_TRIM_DONE };

struct top_given {
	enum top_trim state;
	bool dry;
	uint32_t outcome; /* enum worker_outcome */
	int64_t freed;
	uint64_t predicted; /* of a dry run */
	uint64_t stopped_us, at_us;
	char reason[WORKER_TEXT_MAX]; /* raw */
};

struct top_proc {
	struct proc p; /* names are filled for those that are shown */
	char user[64]; /* "": has no name, or it isn't known yet */
	struct top_look look;
	struct top_given given;
	uint64_t parts[TOP_PARTS];
	bool wanted; /* somebody has asked to have it counted */
	bool tagged;
	bool visible; /* on the screen now: looked into first. Set by whoever draws */
	/* private */
	uint64_t named; /* the interval in which its names were read, 0: never */
	bool listed, asked, user_known;
};

struct top_total {
	size_t processes, looked, denied;
	uint64_t parts[TOP_PARTS];
	bool at_least; /* of one of those that were looked into, what is free is a lower bound */
	uint64_t given; /* by our trims */
};

struct top_model {
	struct top_proc **v; /* by pid; malloc'ed, and so is each */
	size_t n;
	uint64_t min; /* anonymous memory from which a process is large: shown, looked into, read each time */
	bool all; /* names are wanted of small ones too */
	bool whole; /* the next interval leaves nobody out */
	bool live; /* nobody may wait for the name of a user: it comes later */
	uint64_t tick; /* intervals */
	struct machine machine;
	struct top_total total;
	struct users users;
};

void top_model_done(struct top_model *m); /* accepts zeroed */

/*
 * One interval: reads what has changed. Small processes are read in turns, an eighth of them each time. 0 or -errno,
 * then all is as before.
 */
int top_model_update(struct top_model *m, struct source *s) __must_check;

/* That very process, NULL when it has gone. */
struct top_proc *top_model_find(const struct top_model *m, pid_t pid, uint64_t start_time);

/* As top_model_find(), but NULL also for a zombie: nothing of it is left to be looked at. */
struct top_proc *top_model_alive(const struct top_model *m, pid_t pid, uint64_t start_time);

bool top_model_is_large(const struct top_model *m, const struct proc *p);

/* Whom to look into next, at @now_us: what is on the screen first, the largest first; NULL when nobody is due. */
struct top_proc *top_model_due(const struct top_model *m, uint64_t now_us);

/*
 * Whom to count, of those of which a glance has left out @least bytes or more: who could hide most first, and what
 * was counted long ago last. None that has changed since that glance, which is to be @quiet_us old: counting what is
 * at work costs much and comes to nothing. NULL when there is none.
 */
struct top_proc *top_model_hiding(const struct top_model *m, uint64_t now_us, uint64_t least, uint64_t quiet_us);

/* Who has been asked for. */
struct top_proc *top_model_wanted(const struct top_model *m);

/* A new look: what was counted once stays, as long as a glance agrees with it. */
void top_model_take_look(struct top_proc *t, const struct top_look *look, bool whole, uint64_t now_us);

/* May more be free than is known? */
bool top_proc_at_least(const struct top_proc *t);

/* After a look or a trim has been written into @t, or its figures changed. */
void top_model_recount(struct top_model *m);

#endif
