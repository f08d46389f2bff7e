// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frees nothing by itself: what is declared cold goes first when the kernel
 * needs memory, and stays when it doesn't. But huge pages that have lost a part
 * are split on the way (mm/madvise.c, madvise_cold_or_pageout_pte_range()), and
 * what they had lost is free then, though no resident size shows it.
 */
#include "remedy/cold.h"

#include "remedy/advise.h"

static void cold_plan(struct remedy_facts *facts, struct remedy_plan *ret)
{
	if (!advise_plan(facts, ret))
		return;
	ret->has_predicted = 1;
	ret->possible = 1;
}

/* A process may sleep for long over memory that it will need at once: only ages tell that it is cold. */
static void cold_settle(const struct remedy_site *site, struct remedy_plan *plan)
{
	(void)advise_settle(site, true, plan);
}

static void cold_run(const struct remedy_site *site, const struct remedy_plan *plan, struct remedy_result *ret)
{
	const struct advise a = { .advice = MADV_COLD, .max_bytes = site->max_bytes, .moved = "deactivated" };

	(void)plan;
	advise_run(site, &a, ret);
}

const struct remedy remedy_cold = {
	.name = "cold",
	.outside = true,
	.plan = cold_plan,
	.settle = cold_settle,
	.run = cold_run,
};
