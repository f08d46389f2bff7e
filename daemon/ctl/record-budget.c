// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/record.h"

#define SAVED_US 20000 /* of a time when there was nothing to look at */
#define DEBT_US 500000

void record_budget_begin(struct record_budget *b, uint32_t percent, uint64_t now_us)
{
	*b = (struct record_budget){ .percent = percent, .left_us = SAVED_US, .at_us = now_us };
}

bool record_budget_allows(struct record_budget *b, uint64_t now_us, bool urgent)
{
	const uint64_t passed = MIN(now_us - MIN(b->at_us, now_us), 3600000000ull);
	const uint64_t gained = passed * b->percent / 100;

	/* What was too short to count isn't lost. */
	if (gained) {
		b->left_us = MIN(b->left_us + (int64_t)gained, (int64_t)SAVED_US);
		b->at_us = now_us;
	}
	return b->left_us >= (urgent ? -DEBT_US : 0);
}

void record_budget_spend(struct record_budget *b, uint64_t cost_us)
{
	b->left_us -= (int64_t)MIN(cost_us, 3600000000ull);
}

uint64_t record_budget_pause(const struct record_budget *b, uint64_t interval_us, uint64_t cost_us)
{
	return MAX(interval_us, MIN(cost_us, 3600000000ull) * 100 / b->percent);
}
