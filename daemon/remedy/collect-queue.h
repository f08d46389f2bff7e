/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A collection in an interpreter that is at work: through its own queue of pending calls. */
#ifndef RECLAIM_REMEDY_COLLECT_QUEUE_H
#define RECLAIM_REMEDY_COLLECT_QUEUE_H

#include "inspect/cpython.h"
#include "remedy/remedy.h"

/* In the reader. @enabled: the collector is. Always fills @ret. */
void collect_queue_plan(struct remedy_facts *facts, const struct cpython *py, bool enabled, struct remedy_queue *ret);

/* In the injector. Always fills @ret. */
void collect_queue_run(const struct remedy_site *site, const struct remedy_plan *plan, uint64_t search_deadline_ns,
		       struct remedy_result *ret);

#endif
