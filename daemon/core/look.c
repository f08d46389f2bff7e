/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/look.h"

#include "reclaim/explain-names.h"
#include "reclaim/worker.h"

_Static_assert((int)POLICY_COLLECT == (int)WORKER_REMEDY_COLLECT && (int)POLICY_TRIM == (int)WORKER_REMEDY_TRIM &&
		       (int)POLICY_PURGE == (int)WORKER_REMEDY_PURGE,
	       "policy has the worker's bits");
_Static_assert((int)POLICY_COLD == (int)WORKER_REMEDY_COLD && (int)POLICY_PAGEOUT == (int)WORKER_REMEDY_PAGEOUT,
	       "policy has the worker's bits");

/*
 * What it would bring at that depth. Auto goes deep where the target isn't at
 * work, and nobody is acted on who is.
 */
static uint64_t predicted_at(const struct explain_remedy *r, enum policy_depth depth)
{
	if (r->predicted == EXPLAIN_UNKNOWN)
		return POLICY_UNKNOWN;
	if (depth == DEPTH_NORMAL || r->deep == EXPLAIN_UNKNOWN)
		return r->predicted;
	return r->predicted > UINT64_MAX / 2 || r->deep > UINT64_MAX / 2 ? POLICY_UNKNOWN : r->predicted + r->deep;
}

void look_prospect(const struct explain_head *head, enum policy_depth depth, struct prospect *ret)
{
	*ret = (struct prospect){ .known = head->outcome == WORKER_NOTHING, .why = head->reason };
	if (!ret->known)
		return;
	for (uint32_t i = 0; i < head->nremedies && ret->n < ARRAY_SIZE(ret->v); i++) {
		const struct explain_remedy *r = &head->remedies[i];

		ret->v[ret->n].remedy = r->remedy;
		ret->v[ret->n].possible = r->possible;
		ret->v[ret->n].predicted = predicted_at(r, depth);
		ret->v[ret->n].reason = r->reason;
		ret->n++;
	}
}

const char *look_allocator(const struct explain_head *head)
{
	const char *name = head->outcome == WORKER_NOTHING ? explain_allocator_name(head->allocator) : NULL;

	return name ? name : "";
}

const char *look_runtime(const struct explain_head *head)
{
	const char *name = head->outcome == WORKER_NOTHING ? explain_runtime_name(head->runtime) : NULL;

	return name ? name : "";
}
