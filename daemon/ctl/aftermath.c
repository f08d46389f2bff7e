/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/aftermath.h"

#include <inttypes.h>

#include "base/parse.h"
#include "base/text.h"

#define MIB (1ull << 20)
/* The whole machine's figure has everybody's noise in it. */
#define NOISE_CGROUP MIB
#define NOISE_MACHINE (16 * MIB)
/* Less than half a huge page has come from elsewhere. */
#define REGROWN_LEAST MIB

bool aftermath_real_known(const struct aftermath *a)
{
	return a->scope != METER_NONE && a->real_before != METER_UNKNOWN && a->real_after != METER_UNKNOWN;
}

int64_t aftermath_real_freed(const struct aftermath *a)
{
	return (int64_t)(a->real_before - a->real_after);
}

/* |v|, also of the least there is */
static uint64_t magnitude(int64_t v)
{
	return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

bool aftermath_differs(const struct aftermath *a, int64_t freed)
{
	const bool machine = a->scope == METER_MACHINE;
	uint64_t far;

	if (!aftermath_real_known(a))
		return false;
	far = magnitude((int64_t)((uint64_t)freed - (uint64_t)aftermath_real_freed(a)));
	return far >= (machine ? NOISE_MACHINE : NOISE_CGROUP) && far >= magnitude(freed) / (machine ? 4 : 10);
}

static void warn_regrown(struct aftermath *a, const struct thp *thp)
{
	char back[24], waited[32], none[48] = "";

	if (thp->max_ptes_none != THP_UNKNOWN)
		text_format(none, sizeof(none), " (it is %" PRIu64 ")", thp->max_ptes_none);
	text_format(a->warning, sizeof(a->warning),
		    "%s has come back within %s: khugepaged has filled huge pages up again; 0 in " THP_MAX_PTES_NONE
		    "%s stops that",
		    format_size(a->regrowth.by_khugepaged, back, sizeof(back)),
		    format_time_us(a->waited_us, waited, sizeof(waited)), none);
}

static void warn_may_regrow(struct aftermath *a, uint32_t torn, const struct thp *thp)
{
	text_format(a->warning, sizeof(a->warning),
		    "%" PRIu32
		    " huge pages were split, and khugepaged may fill them up again (%s): 0 in " THP_MAX_PTES_NONE
		    " stops that, --recheck=30s shows whether it happens",
		    torn, thp->mode == THP_ALWAYS ? "every program gets them" : "this program asks for them");
}

void aftermath_judge(struct aftermath *a, const struct worker_result *res, const struct thp *thp)
{
	const bool done = res->outcome == WORKER_RECLAIMED || res->outcome == WORKER_NOTHING;

	a->warning[0] = '\0';
	if (a->looked && a->regrowth.by_khugepaged != FOOTPRINT_UNKNOWN) {
		if (a->regrowth.by_khugepaged >= REGROWN_LEAST)
			warn_regrown(a, thp);
		return;
	}
	if (a->marked && !a->looked)
		text_format(a->warning, sizeof(a->warning),
			    "it could not be looked at again: it has exited, or we "
			    "were interrupted");
	else if (done && res->huge_torn && thp_fills(thp))
		warn_may_regrow(a, res->huge_torn, thp);
}

const char *aftermath_describe(const struct aftermath *a, char *buf, size_t size)
{
	const struct regrowth *g = &a->regrowth;
	char waited[32], grown[24], by[24];

	text_format(buf, size, "after %s ", format_time_us(a->waited_us, waited, sizeof(waited)));
	if (g->anon > 0)
		text_append(buf, size, "%s has come back", format_size(magnitude(g->anon), grown, sizeof(grown)));
	else
		text_append(buf, size, "nothing has come back");
	if (g->by_khugepaged == FOOTPRINT_UNKNOWN)
		text_append(buf, size, "; what khugepaged does can't be told");
	else if (g->by_khugepaged)
		text_append(buf, size, ", %s of it by khugepaged", format_size(g->by_khugepaged, by, sizeof(by)));
	text_append(buf, size, "; the program had %" PRIu64 " page faults", g->faults);
	return buf;
}
