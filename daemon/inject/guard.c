// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/guard.h"

#include <errno.h>
#include <signal.h>

int guard_open(struct guard *g, uint64_t ns)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	timer_t timer;

	if (ns != GUARD_NEVER && timer_create(CLOCK_MONOTONIC, &ev, &timer) < 0)
		return -errno;
	*g = (struct guard){ .ns = ns };
	if (ns != GUARD_NEVER) {
		g->timer = timer;
		g->open = true;
	}
	return 0;
}

void guard_arm(struct guard *g, uint64_t more_ns)
{
	uint64_t ns = g->ns + more_ns;
	const struct itimerspec at = {
		.it_value = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) },
	};

	/* Can't fail on a timer that exists with a time that is valid. */
	if (g->open)
		(void)timer_settime(g->timer, 0, &at, NULL);
}

void guard_close(struct guard *g)
{
	if (g->open)
		(void)timer_delete(g->timer);
	g->open = false;
}
