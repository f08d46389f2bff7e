// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Moves memory, frees none: what the process needs again comes back from swap,
 * one fault at a time. The kernel asks for no sign of idleness here (it ignores
 * accessed bits for MADV_PAGEOUT), so we do; and it fills swap to the last
 * page, so we don't.
 */
#include "remedy/pageout.h"

#include <string.h>

#include "base/parse.h"
#include "base/pstatus.h"
#include "base/text.h"
#include "remedy/advise.h"

#define IN_VAIN (64ull << 20) /* bytes that were advised without any effect: more won't have one either */

static void pageout_plan(struct remedy_facts *facts, struct remedy_plan *ret)
{
	if (facts->swap && !facts->swap->total) {
		text_format(ret->reason, sizeof(ret->reason), "there is no swap that its memory could be moved to");
		return;
	}
	if (!advise_plan(facts, ret))
		return;
	ret->has_predicted = 1;
	ret->predicted = ret->upper = facts->pageable->bytes;
	ret->possible = 1;
}

/* Bytes of swap that may be used now. 0 with the reason. */
static uint64_t pageout_room(const struct remedy_site *site, struct swap *swap, char *why, size_t size)
{
	uint64_t groups, room;
	char have[16], keep[16];

	if (swap_read(site->proc, swap) < 0 || swap_room_of_groups(site->groups, site->target->piddir, &groups) < 0) {
		text_format(why, size, "how much swap is free can't be told");
		return 0;
	}
	room = swap_room(swap, site->swap_keep);
	if (!swap->total)
		text_format(why, size, "there is no swap that its memory could be moved to");
	else if (!room)
		text_format(why, size, "only %s of swap is free, of which %s has to stay free",
			    format_size(swap->free, have, sizeof(have)),
			    format_size(site->swap_keep, keep, sizeof(keep)));
	else if (!groups)
		text_format(why, size, "its control group may use no more swap (memory.swap.max)");
	return swap->total ? MIN(room, groups) : 0;
}

static void pageout_settle(const struct remedy_site *site, struct remedy_plan *plan)
{
	struct swap swap;
	uint64_t room;

	if (!advise_settle(site, false, plan))
		return;
	room = pageout_room(site, &swap, plan->reason, sizeof(plan->reason));
	if (!room) {
		plan->possible = 0;
		return;
	}
	if (site->max_bytes)
		room = MIN(room, site->max_bytes);
	plan->predicted = MIN(plan->predicted, room);
	plan->upper = MIN(plan->upper, room);
}

struct pageout {
	const struct remedy_site *site;
	struct swap swap;
	uint64_t before; /* bytes in swap */
	char why[REMEDY_TEXT_MAX];
};

static const char *pageout_watch(void *ctx, uint64_t advised, uint64_t *ret_moved)
{
	struct pageout *p = ctx;
	struct pstatus now;
	int r = pstatus_read(p->site->target->piddir, &now);

	if (r < 0)
		return r == -ESRCH ? "it has exited" : "how much was moved can't be told";
	*ret_moved = now.vm_swap - MIN(now.vm_swap, p->before);
	if (!*ret_moved && advised >= IN_VAIN)
		return "the kernel moves none of it";
	return pageout_room(p->site, &p->swap, p->why, sizeof(p->why)) ? NULL : p->why;
}

static void pageout_run(const struct remedy_site *site, const struct remedy_plan *plan, struct remedy_result *ret)
{
	struct pageout p = { .site = site };
	const struct advise a = {
		.advice = MADV_PAGEOUT,
		.max_bytes = site->max_bytes,
		.moved = "moved to swap, not freed",
		.watch = pageout_watch,
		.ctx = &p,
	};
	struct pstatus before;
	int r = pstatus_read(site->target->piddir, &before);

	(void)plan;
	if (r < 0) {
		ret->outcome = r == -ESRCH ? REMEDY_GONE : REMEDY_FAILED;
		text_format(ret->reason, sizeof(ret->reason), "%s",
			    r == -ESRCH ? "it has exited" : "how much of it is swapped can't be told");
		return;
	}
	p.before = before.vm_swap;
	if (!pageout_room(site, &p.swap, ret->reason, sizeof(ret->reason))) {
		ret->outcome = REMEDY_REFUSED;
		return;
	}
	advise_run(site, &a, ret);
	if (ret->outcome == REMEDY_DONE)
		text_append(ret->detail, sizeof(ret->detail), "; swap is %s%s", p.swap.name,
			    p.swap.ram ? ", compressed in memory" : "");
}

const struct remedy remedy_pageout = {
	.name = "pageout",
	.outside = true,
	.plan = pageout_plan,
	.settle = pageout_settle,
	.run = pageout_run,
};
