// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/page-runs.h"

void page_runs_end(struct page_runs *r)
{
	const uint64_t pages = r->open / REMOTE_PAGE;
	unsigned int log;

	if (pages) {
		log = MIN(63 - (unsigned int)__builtin_clzll(pages), PAGE_RUNS_LOGS - 1u);
		r->count[log]++;
		r->bytes[log] += r->open;
	}
	r->open = r->next = 0;
}
