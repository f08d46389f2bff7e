// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/time64.h>

#include <uapi/linux/reclaim.h>

#include "tunable.h"
#include "watch.h"

/* Growth since the smallest size within the window. */
static u64 growth_look(struct reclaim_watch *w, u64 size, u64 now_ns)
{
	u64 slot_ns = (u64)reclaim_tunable(bloat_window_ms) * NSEC_PER_MSEC / RECLAIM_WATCH_SLOTS;
	u64 smallest = size, passed = div64_u64(now_ns - w->newest_ns, slot_ns);
	unsigned int i;

	if (!w->used || passed >= RECLAIM_WATCH_SLOTS) {
		w->used = 1;
		w->newest_ns = now_ns;
		w->slot[w->newest] = size;
		return 0;
	}
	/* Of slots in which nobody looked all that is known is the one before. */
	for (i = 0; i < passed; i++) {
		u64 before = w->slot[w->newest];

		w->newest = (w->newest + 1) % RECLAIM_WATCH_SLOTS;
		w->slot[w->newest] = i + 1 < passed ? before : size;
		w->used = min_t(unsigned int, w->used + 1, RECLAIM_WATCH_SLOTS);
	}
	w->newest_ns += passed * slot_ns;
	w->slot[w->newest] = min(w->slot[w->newest], size);

	for (i = 0; i < w->used; i++)
		smallest = min(smallest, w->slot[(w->newest + RECLAIM_WATCH_SLOTS - i) % RECLAIM_WATCH_SLOTS]);
	return size - smallest;
}

/*
 * Hysteresis: what was announced must go an eighth below its limit first. And
 * no reason comes twice within the window, however it swings.
 */
static bool crossed(struct reclaim_watch *w, unsigned int reason, u64 value, u64 limit, u64 now_ns)
{
	u64 window_ns = (u64)reclaim_tunable(bloat_window_ms) * NSEC_PER_MSEC;

	if (!limit || value < limit - limit / 8)
		w->announced &= ~BIT(reason);
	if (!limit || value < limit || w->announced & BIT(reason))
		return false;
	if (w->announced_ns[reason] && now_ns - w->announced_ns[reason] < window_ns)
		return false;
	w->announced |= BIT(reason);
	w->announced_ns[reason] = now_ns;
	return true;
}

unsigned int reclaim_watch_look(struct reclaim_watch *w, const struct reclaim_watched *now, u64 now_ns, u64 *growth)
{
	u64 heap_limit = (u64)reclaim_tunable(bloat_heap_kb) << 10, idle_limit = 0;
	unsigned int reasons = 0;

	*growth = growth_look(w, now->anon, now_ns);
	if (crossed(w, RECLAIM_REASON_ANON, now->anon, (u64)reclaim_tunable(bloat_anon_kb) << 10, now_ns))
		reasons |= BIT(RECLAIM_REASON_ANON);
	if (crossed(w, RECLAIM_REASON_GROWTH, *growth, (u64)reclaim_tunable(bloat_growth_kb) << 10, now_ns))
		reasons |= BIT(RECLAIM_REASON_GROWTH);
	if (!now->heap_known)
		return reasons;

	if (crossed(w, RECLAIM_REASON_HEAP, now->heap, heap_limit, now_ns))
		reasons |= BIT(RECLAIM_REASON_HEAP);
	if (heap_limit && now->heap >= heap_limit)
		idle_limit = now->heap / 2;
	if (crossed(w, RECLAIM_REASON_HEAP_IDLE, now->heap_idle, idle_limit, now_ns))
		reasons |= BIT(RECLAIM_REASON_HEAP_IDLE);
	return reasons;
}
