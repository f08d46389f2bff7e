// SPDX-License-Identifier: GPL-2.0-or-later
/* What no single key can tell. */
#include <string.h>

#include "base/text.h"
#include "policy/rules.h"
#include "policy/settings-keys.h"

#define WINDOW_STEP 2000000ull /* the kernel's, for triggers of those without CAP_SYS_RESOURCE */

struct checking {
	const struct settings *s;
	settings_report_fn report;
	void *arg;
	int result;
};

/* Where the key was said, or NULL for a default. */
static const char *said(const struct checking *c, const struct rule *rule, const char *key)
{
	for (size_t i = 0; i < settings_nkeys; i++)
		if (!strcmp(settings_keys[i].pub.key, key))
			return settings_origin(c->s, rule, &settings_keys[i].pub);
	return NULL;
}

/* Of two keys that don't fit together the one that was set is to blame. */
static const char *either(const struct checking *c, const char *a, const char *b)
{
	const char *from = said(c, NULL, a);

	return from ? from : said(c, NULL, b);
}

static void wrong(struct checking *c, const char *origin, const char *what)
{
	c->report(c->arg, true, origin ? origin : "", what);
	c->result = -EINVAL;
}

static void check_rule(struct checking *c, const struct rule *r)
{
	char what[SETTINGS_WHY];

	if (!rule_matches_something(r)) {
		text_format(
			what, sizeof(what),
			"[Rule %s] matches nothing in particular: set Comm=, Exe=, Unit= or the like; what holds for "
			"all processes belongs into [Reclaim]",
			r->name);
		wrong(c, r->origin, what);
	}
	if ((r->set & SET_MAX_STOP) && r->want.max_stop_us > c->s->stop_budget_us) {
		text_format(what, sizeof(what),
			    "[Rule %s]: MaxStopSec= is more than StopBudgetSec=: it could never act", r->name);
		wrong(c, said(c, r, "MaxStopSec"), what);
	}
}

int settings_check(const struct settings *s, settings_report_fn report, void *arg)
{
	struct checking c = { .s = s, .report = report, .arg = arg };

	if (s->pressure_window_us % WINDOW_STEP)
		wrong(&c, said(&c, NULL, "WindowSec"), "WindowSec= has to be a multiple of 2s");
	if (s->pressure_stall_us > s->pressure_window_us)
		wrong(&c, either(&c, "StallSec", "WindowSec"), "StallSec= is more than WindowSec=");
	if (s->defaults.max_stop_us > s->stop_budget_us)
		wrong(&c, either(&c, "MaxStopSec", "StopBudgetSec"),
		      "MaxStopSec= is more than StopBudgetSec=: nothing could ever be done");
	for (size_t i = 0; i < s->nrules; i++)
		check_rule(&c, &s->rules[i]);
	return c.result;
}
