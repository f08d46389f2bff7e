/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages by how many of them lie side by side: one long run goes back more cheaply than many short ones. */
#ifndef RECLAIM_INSPECT_PAGE_RUNS_H
#define RECLAIM_INSPECT_PAGE_RUNS_H

#include <stdint.h>

#include "inspect/remote.h"

#define PAGE_RUNS_LOGS 16

struct page_runs {
	/* of [2^N, 2^(N+1)) pages; in the last one also longer ones */
	uint64_t count[PAGE_RUNS_LOGS], bytes[PAGE_RUNS_LOGS];
	uint64_t next, open; /* where the present one would go on, and how long it is by now */
};

/* Ends the present run, if there is one: for whoever wants to know the counts. */
void page_runs_end(struct page_runs *r);

/* Pages come in ascending order; one that doesn't follow the last begins another run. */
static inline void page_runs_add(struct page_runs *r, uint64_t addr)
{
	if (addr != r->next)
		page_runs_end(r);
	r->open += REMOTE_PAGE;
	r->next = addr + REMOTE_PAGE;
}

#endif
