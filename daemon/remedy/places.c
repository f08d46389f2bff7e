// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/places.h"

#include "base/cleanup.h"

size_t remedy_places(const struct remedy_plan *plan, uint64_t ret[REMEDY_PLACES_MAX])
{
	const struct remedy_queue *q = &plan->queue;
	const struct lease_code *a = &plan->arena, *g = &plan->gil;
	const uint64_t some[] = { plan->code.restorer, plan->code.fn, a->restorer,     a->lock_fn,
				  a->syscall_insn,     g->restorer,   g->lock_fn,      g->unlock_fn,
				  q->add.fn,	       q->call.fn,    q->finalizer.fn, q->vector.fn };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		if (some[i])
			ret[n++] = some[i];
	for (size_t i = 0; i < REMEDY_FUNCS_MAX; i++)
		if (plan->funcs[i].fn)
			ret[n++] = plan->funcs[i].fn;
	return n;
}
