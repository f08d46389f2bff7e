// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/trim.h"

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "remedy/attempt.h"
#include "remedy/code.h"
#include "remedy/looks.h"

/*
 * malloc_trim walks every free chunk and drops every free page: measured 80 to
 * 120 us per MiB (glibc 2.36, blocks of 16 KiB, every second one free). Used
 * as an upper estimate over all anonymous memory.
 */
#define TRIM_NS_PER_MIB 125000ull
#define TRIM_NS_BASE 200000ull
#define TRIM_LOOK_NS 1000000000ull /* for the prediction; the target isn't stopped meanwhile */
#define TRIM_NS_PER_SWAPPED_PAGE 100000ull /* the headers of swapped free chunks are read back in, one by one */

static void trim_predicted(const struct glibc_facts *f, struct remedy_plan *ret)
{
	ret->has_predicted = 1;
	ret->predicted = f->trim;
	ret->lower = f->trim_lower;
	ret->upper = f->trim_upper;
}

/* Null where it can't be told, or not soon enough. */
static void trim_predict(struct remedy_facts *facts, struct remedy_plan *ret)
{
	struct remote *mem = &facts->target->mem;
	struct glibc_facts f = { 0 };
	struct glibc g;
	char why[REMEDY_TEXT_MAX];

	if (facts->looks && facts->looks->glibc) {
		trim_predicted(facts->looks->glibc, ret);
		return;
	}
	mem->deadline_ns = clock_ns() + TRIM_LOOK_NS;
	if (glibc_locate(facts->target, &facts->allocator, &g, why, sizeof(why)) == 0 &&
	    glibc_look(facts->target, &g, 0, NULL, &f) == 0) {
		trim_predicted(&f, ret);
		glibc_facts_done(&f);
	}
	mem->deadline_ns = 0;
}

static void trim_plan(struct remedy_facts *facts, struct remedy_plan *ret)
{
	const struct allocator_info *a = &facts->allocator;

	if (a->kind != ALLOCATOR_GLIBC && a->provider) {
		text_format(ret->reason, sizeof(ret->reason),
			    "its malloc is %s's (%s), which malloc_trim knows nothing of", allocator_name(a->kind),
			    module_basename(a->provider));
		return;
	}
	if (a->kind != ALLOCATOR_GLIBC) {
		text_format(ret->reason, sizeof(ret->reason), "its memory is managed by %s, which has no malloc_trim",
			    allocator_name(a->kind));
		return;
	}
	if (code_function(facts, a->libc, a->is_static, "malloc_trim", &ret->code) < 0 ||
	    code_data(facts, &ret->data_lo, &ret->data_hi) < 0) {
		text_format(ret->reason, sizeof(ret->reason),
			    "its C library is not what its file says (or has no malloc_trim)");
		return;
	}
	if (a->also)
		text_format(ret->note, sizeof(ret->note), "%s (%s) is in it too and is not trimmed",
			    allocator_name(a->also_kind), module_basename(a->also));
	trim_predict(facts, ret);
	ret->possible = 1;
}

static bool trim_too_long(const struct remedy_site *site, struct remedy_result *ret)
{
	uint64_t ns =
		TRIM_NS_BASE + (site->anon >> 20) * TRIM_NS_PER_MIB + (site->swap >> 12) * TRIM_NS_PER_SWAPPED_PAGE;
	char expect[32], limit[32];

	if (!site->max_stop_ns || ns <= site->max_stop_ns)
		return false;
	ret->outcome = REMEDY_REFUSED;
	text_format(ret->reason, sizeof(ret->reason), "malloc_trim may take up to %s here, the limit is %s",
		    format_time_us(ns / 1000, expect, sizeof(expect)),
		    format_time_us(site->max_stop_ns / 1000, limit, sizeof(limit)));
	return true;
}

static void trim_run(const struct remedy_site *site, const struct remedy_plan *plan, struct remedy_result *ret)
{
	const struct chain_call call = { .fn = plan->code.fn, .nargs = 1 }; /* malloc_trim(0) */
	const struct attempt attempt = {
		.code = &plan->code,
		.calls = &call,
		.ncalls = 1,
		.data_lo = plan->data_lo,
		.data_hi = plan->data_hi,
		.what = "malloc_trim",
	};

	if (trim_too_long(site, ret))
		return;
	if (attempt_calls(site, &attempt, ret) && *plan->note)
		text_append(ret->detail, sizeof(ret->detail), "; %s", plan->note);
}

const struct remedy remedy_trim = {
	.name = "trim",
	.plan = trim_plan,
	.run = trim_run,
};
