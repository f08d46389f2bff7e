// SPDX-License-Identifier: GPL-2.0-or-later
/* Limits of all processes together. */
#include "policy/policy.h"

#define MINUTE_US 60e6
#define DEBT_MAX 10 /* minutes' worth: one figure must not keep everybody waiting for hours */

/* Seldom used, the daemon may begin with a minute's worth at once, never with more. */
static void budget_refill(const struct settings *s, struct budget *b, uint64_t now_us)
{
	const double minutes = (double)(now_us > b->since_us ? now_us - b->since_us : 0) / MINUTE_US;
	const double actions = s->actions_per_minute, stop_us = (double)s->stop_budget_us;
	const double pageout = (double)s->pageout_per_minute;

	b->actions = b->since_us ? MIN(actions, b->actions + minutes * actions) : actions;
	b->stop_us = b->since_us ? MIN(stop_us, b->stop_us + minutes * stop_us) : stop_us;
	b->pageout = b->since_us ? MIN(pageout, b->pageout + minutes * pageout) : pageout;
	b->since_us = MAX(now_us, b->since_us);
}

/* When @missing will have come back. */
static uint64_t budget_again(uint64_t now_us, double missing, double per_minute)
{
	return now_us + (uint64_t)(missing / per_minute * MINUTE_US) + 1;
}

bool budget_take_look(const struct settings *s, struct budget *b, unsigned int ncpus)
{
	if (b->running >= (s->max_workers ? s->max_workers : MAX(ncpus, 1u)))
		return false;
	b->running++;
	return true;
}

bool budget_take(const struct settings *s, struct budget *b, unsigned int ncpus, uint64_t now_us,
		 enum reason *ret_reason, uint64_t *ret_again_us)
{
	budget_refill(s, b, now_us);
	if (b->actions < 1) {
		*ret_reason = REASON_RATE;
		*ret_again_us = budget_again(now_us, 1 - b->actions, s->actions_per_minute);
		return false;
	}
	/* How long this one will stop its target is known afterwards: who went over lets the next ones wait. */
	if (b->stop_us <= 0) {
		*ret_reason = REASON_STOP_BUDGET;
		*ret_again_us = budget_again(now_us, -b->stop_us, (double)s->stop_budget_us);
		return false;
	}
	if (!budget_take_look(s, b, ncpus)) {
		*ret_reason = REASON_WORKERS;
		*ret_again_us = POLICY_UNKNOWN;
		return false;
	}
	b->actions -= 1;
	return true;
}

uint64_t budget_take_pageout(const struct settings *s, struct budget *b, uint64_t most, uint64_t worth, uint64_t now_us,
			     uint64_t *ret_again_us)
{
	/* Where a minute's worth isn't worth it, a minute's worth has to do. */
	const double least = (double)MIN(MIN(worth, most), s->pageout_per_minute);
	uint64_t taken;

	budget_refill(s, b, now_us);
	if (b->pageout < least || b->pageout < 1) {
		*ret_again_us = budget_again(now_us, MAX(least, 1) - b->pageout, (double)s->pageout_per_minute);
		return 0;
	}
	taken = MIN(most, (uint64_t)b->pageout);
	b->pageout -= (double)taken;
	return taken;
}

void budget_give_pageout(struct budget *b, uint64_t taken, uint64_t moved)
{
	/* More than was taken: the next ones wait. */
	b->pageout += (double)taken - (double)moved;
}

void budget_give(const struct settings *s, struct budget *b, uint64_t stopped_us, uint64_t now_us)
{
	budget_refill(s, b, now_us);
	b->stop_us = MAX(b->stop_us - (double)stopped_us, -DEBT_MAX * (double)s->stop_budget_us);
	b->running -= b->running > 0;
}
