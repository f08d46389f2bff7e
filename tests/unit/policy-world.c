// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy-world.h"

void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(settings_default(&w->s), 0);
	w->now = 1000 * HOUR_US;
	w->p = (struct subject){
		.pid = 4711,
		.start_time = 99,
		.uid = 1000,
		.user = "alice",
		.comm = "worker",
		.exe = "/opt/app/worker",
		.unit = "app.service",
		.slice = "system.slice",
		.cgroup = "/system.slice/app.service",
		.rss = 500 * MIB,
		.anon = 400 * MIB,
		.swap = 0,
		.idle = POLICY_UNKNOWN,
		.quiet_us = HOUR_US,
		.allocator = "",
		.runtime = "",
	};
	w->found = (struct prospect){
		.known = true,
		.n = 1,
		.v = { { .remedy = POLICY_TRIM, .possible = true, .predicted = 100 * MIB } },
	};
}

void world_done(struct world *w)
{
	settings_done(&w->s);
}

void world_set(struct world *w, const char *section, const char *key, const char *value)
{
	char why[SETTINGS_WHY] = "";

	if (settings_set(&w->s, section, key, value, "test:1", why, sizeof(why)) != 0)
		fail_msg("[%s] %s=%s: %s", section, key, value, why);
}

void world_screen(struct world *w)
{
	policy_screen(&w->s, &w->p, &w->process, &w->program, w->urgency, w->now, &w->d);
}

void world_decide(struct world *w)
{
	policy_decide(&w->s, &w->p, &w->found, &w->process, &w->program, w->urgency, w->now, &w->d);
}

void world_act(struct world *w, uint64_t freed, uint64_t rss)
{
	const struct outcome what = { .acted = true, .predicted = freed, .freed = (int64_t)freed, .rss_after = rss };

	policy_learn_action(&w->s, &w->s.defaults, &w->process, &w->program, &what, w->now);
}

void world_check(struct world *w, uint64_t after_us, uint64_t rss)
{
	w->now = w->process.acted_us + after_us;
	policy_learn_check(&w->s, &w->s.defaults, &w->process, &w->program, after_us, rss, w->now);
}
