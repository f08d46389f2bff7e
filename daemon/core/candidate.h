/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that is large enough to be thought about, and the list of all such. */
#ifndef RECLAIM_CORE_CANDIDATE_H
#define RECLAIM_CORE_CANDIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "core/activity.h"
#include "core/traits.h"
#include "core/username.h"
#include "policy/policy.h"
#include "sense/proc.h"

/* What a look has found worth doing, until it is done. */
struct plan {
	bool wanted;
	uint32_t remedies;
	bool by_ages; /* of cold and pageout */
	uint64_t predicted;
	uint64_t not_before_us, until_us; /* when it may be done, and when it is out of date */
	struct thresholds limits;
};

struct candidate {
	pid_t pid;
	uint64_t start_time;
	uid_t uid; /* its real user, of whom rules speak */
	uid_t owner; /* who may look into it, and so be told of it: candidate_owner() */
	char comm[65], user[USERNAME_MAX];
	char *exe, *cgroup, *unit, *slice; /* malloc'ed; NULL as long as they haven't been read */
	uint64_t rss, anon, swap, idle; /* bytes or POLICY_UNKNOWN */
	bool kthread, zombie, stopped, traced, tracer;
	struct traits traits;
	struct activity activity;
	const char *allocator, *runtime; /* static, "" before the first look */
	uint64_t promised; /* by the last look, or POLICY_UNKNOWN */
	uint64_t judged_us;
	struct decision decision; /* the last one */
	bool wants_look;
	struct plan plan;
};

/* Who they are is read by candidate_refresh(). NULL: no memory. */
struct candidate *candidate_new(const struct proc *p);
void candidate_free(struct candidate *c); /* accepts NULL */

/* The figures of a list or of the module's event. */
void candidate_take(struct candidate *c, const struct proc *p);

/*
 * What /proc says of it now; names again when they may have changed, or with
 * @names. @passwd: of passwd(5). 0, -ESRCH when it has gone, -errno.
 */
int candidate_refresh(struct candidate *c, int proc, const char *passwd, bool names, uint64_t awake_us) __must_check;

/*
 * As ptrace asks: what lies in a process's folder belongs to its effective user, and to root what may not be looked
 * into, such as what runs by a set-user-id file (fs/proc/base.c, task_dump_owner()). The real user, who has started
 * it, has no say. The folder itself tells the effective user in any case. 0 or -ESRCH.
 */
int candidate_owner(int piddir, uid_t *ret) __must_check;

/* Borrowed from @c. */
void candidate_subject(const struct candidate *c, uint64_t awake_us, struct subject *ret);

#define CANDIDATES_MAX 1024

/* By pid. */
struct candidates {
	struct candidate **v; /* malloc'ed */
	size_t n, room;
};

void candidates_done(struct candidates *all);
struct candidate *candidates_find(const struct candidates *all, pid_t pid, uint64_t start_time);

/* The list becomes that of @l, sorted by pid: who stays is remembered, who isn't in it is forgotten. 0 or -ENOMEM. */
int candidates_replace(struct candidates *all, const struct proc_list *l) __must_check;

/* That of @p, added when it isn't there. NULL: no memory. */
struct candidate *candidates_take(struct candidates *all, const struct proc *p);

#endif
