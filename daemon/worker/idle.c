// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/idle.h"

_Static_assert((int)REMEDY_IDLE_AGES == (int)WORKER_IDLE_AGES && (int)REMEDY_IDLE_QUIET == (int)WORKER_IDLE_QUIET,
	       "remedies have the worker's kinds");

bool idle_fits(const struct worker_request *req)
{
	uint64_t last = 0;

	if (req->idle >= WORKER_NIDLE || req->nranges > WORKER_RANGES_MAX ||
	    (req->nranges && req->idle != WORKER_IDLE_AGES))
		return false;
	for (uint32_t i = 0; i < req->nranges; i++) {
		const struct worker_range *r = &req->ranges[i];

		if (r->start < last || r->start >= r->end || (r->start | r->end) % REMOTE_PAGE)
			return false;
		last = r->end;
	}
	return true;
}

void idle_take(const struct worker_request *req, struct idle *ret)
{
	ret->remedy = (struct remedy_idle){
		.kind = (enum remedy_idle_kind)req->idle,
		.idle_us = req->idle_us,
		.cpu_ticks = req->cpu_ticks,
		.spans = ret->spans,
		.nspans = req->nranges,
	};
	for (uint32_t i = 0; i < req->nranges; i++)
		ret->spans[i] = (struct pageable_span){ req->ranges[i].start, req->ranges[i].end };
}
