/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader's half of purge: which locks, what would come of it, and then one round after the other. */
#ifndef RECLAIM_REMEDY_PURGE_PLAN_H
#define RECLAIM_REMEDY_PURGE_PLAN_H

#include "remedy/purge.h"

/* struct remedy's plan(). Leaves the state for the rounds in @facts. */
void purge_plan(struct remedy_facts *facts, struct remedy_plan *ret);

/*
 * The next round of what purge_plan() has planned: 0 or -errno; -EINVAL when nothing was.
 * Reads without any lock.
 */
int purge_scan(struct purge_side *side, const struct purge_ask *ask, struct purge_round *ret) __must_check;

/* The same under the lock of that round. @ret is filled from its beginning. 0; -EAGAIN it isn't held; -errno. */
int purge_check(struct purge_side *side, const struct purge_ask *ask, struct purge_lists *ret) __must_check;

#endif
