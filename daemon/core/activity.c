/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/activity.h"

static uint32_t permille_of(uint64_t ticks, unsigned long hz, uint64_t us)
{
	/* More than 2^32 ticks between two looks is more than a year of CPU: nonsense, and busy in any case. */
	if (!hz || ticks >> 32)
		return UINT32_MAX;
	return (uint32_t)MIN(ticks * 1000000000ull / hz / us, (uint64_t)UINT32_MAX);
}

void activity_look(struct activity *a, uint64_t ticks, unsigned long hz, uint32_t allowed_permille, uint64_t now_us)
{
	if (!a->seen || now_us < a->at_us || ticks < a->ticks) {
		*a = (struct activity){
			.ticks = ticks,
			.at_us = now_us,
			.quiet_since_us = now_us,
			.still_since_us = now_us,
			.seen = true,
		};
		return;
	}
	if (now_us - a->at_us < ACTIVITY_MIN_US)
		return;
	a->permille = permille_of(ticks - a->ticks, hz, now_us - a->at_us);
	if (a->permille > allowed_permille)
		a->quiet_since_us = now_us;
	if (ticks != a->ticks)
		a->still_since_us = now_us;
	a->ticks = ticks;
	a->at_us = now_us;
}

uint64_t activity_still_us(const struct activity *a, uint64_t now_us)
{
	return a->seen && a->still_since_us < now_us ? now_us - a->still_since_us : 0;
}

void activity_discount(struct activity *a, uint64_t ticks)
{
	if (a->seen)
		a->ticks += MIN(ticks, UINT64_MAX - a->ticks);
}

uint64_t activity_quiet_us(const struct activity *a, uint64_t now_us)
{
	return a->seen && a->quiet_since_us < now_us ? now_us - a->quiet_since_us : 0;
}
