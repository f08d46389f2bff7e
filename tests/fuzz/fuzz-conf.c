// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=8192 */
/*
 * Configuration files of any kind: from text to settings, and a process judged
 * by them. What was accepted is within its bounds, and written down again it
 * is read to the very same settings.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/text.h"
#include "fuzz.h"
#include "policy/policy.h"

#define MINUTE 60000000ull

static int on_set(void *arg, const char *section, const char *key, const char *value, const char *origin)
{
	char why[SETTINGS_WHY] = "";
	int r = settings_set(arg, section, key, value, origin, why, sizeof(why));

	MUST(r == 0 || r == -ENOENT || r == -EINVAL || r == -ERANGE);
	/* Whatever is wrong is explained, in signs that a terminal may be shown. */
	MUST((r == 0) == !*why);
	for (const char *p = why; *p; p++)
		MUST((unsigned char)*p >= ' ' && *p != 0x7f);
	return 0;
}

static int on_bad(void *arg, const char *origin, const char *what)
{
	(void)arg;
	MUST(*origin && *what);
	return 0;
}

static void on_report(void *arg, bool error, const char *origin, const char *what)
{
	(void)origin;
	MUST(error && *what);
	*(bool *)arg = true;
}

static void read_settings(const char *text, size_t len, struct settings *ret)
{
	const struct conf_handler h = { on_set, on_bad, ret };

	MUST(settings_default(ret) == 0);
	MUST(conf_parse("f", text, len, &h) == 0);
}

static char *write_settings(const struct settings *s, size_t *ret_len)
{
	static char value[SETTINGS_PATTERNS_MAX * 4200];
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	MUST(f);
	for (size_t i = 0; i <= s->nrules; i++) {
		const struct rule *rule = i ? &s->rules[i - 1] : NULL;

		if (rule)
			fprintf(f, "[Rule %s]\n", rule->name);
		for (size_t k = 0; settings_key(k); k++) {
			MUST(settings_format(s, rule, settings_key(k), value, sizeof(value)) == 0);
			if (!rule && !settings_key(k)->rules_only)
				fprintf(f, "[%s]\n", settings_key(k)->section);
			/* A rule that was there before is emptied first: lists add up. */
			if (rule)
				fprintf(f, "%s=\n", settings_key(k)->key);
			if (*value)
				fprintf(f, "%s=%s\n", settings_key(k)->key, value);
		}
	}
	MUST(fclose(f) == 0);
	return text;
}

static void check_bounds(const struct settings *s)
{
	MUST(s->mode <= MODE_ENFORCE && s->source <= POLICY_SOURCE_PROCFS && s->defaults.depth <= DEPTH_DEEP);
	MUST(s->interval_us >= 1000000 && s->interval_us <= 1440 * MINUTE);
	MUST(s->actions_per_minute >= 1 && s->actions_per_minute <= 6000 && s->max_workers <= 64);
	MUST(s->stop_budget_us >= 1000 && s->stop_budget_us <= MINUTE);
	MUST(s->defaults.min_anon >= 1 << 20 && s->defaults.min_reclaim >= 1 << 16);
	MUST(s->defaults.idle_cpu_permille <= 1000 && s->defaults.min_reclaim_permille <= 1000);
	MUST(s->defaults.remedies <= (POLICY_COLLECT | POLICY_TRIM | POLICY_PURGE));
	MUST(s->nrules <= SETTINGS_RULES_MAX);
	for (size_t i = 0; i < s->nrules; i++)
		for (size_t m = 0; m < MATCH_N; m++)
			MUST(s->rules[i].match[m].n <= SETTINGS_PATTERNS_MAX);
}

static void judge(const struct settings *s)
{
	const struct subject p = { .pid = 2,
				   .user = "u",
				   .comm = "worker",
				   .exe = "/opt/worker",
				   .unit = "a.service",
				   .slice = "b.slice",
				   .cgroup = "/b.slice/a.service",
				   .rss = 1 << 30,
				   .anon = 1 << 30,
				   .idle = POLICY_UNKNOWN,
				   .quiet_us = UINT64_MAX,
				   .allocator = "glibc",
				   .runtime = "" };
	const struct prospect found = { .known = true, .n = 1, .v = { { POLICY_TRIM, true, 1 << 30, NULL } } };
	const struct outcome what = { .acted = true, .predicted = 1 << 30, .freed = 1, .rss_after = 1 };
	struct track process = { .acted_us = 0 }, program = { .acted_us = 0 };
	struct budget b = { .since_us = 0 };
	const uint64_t now = 1000 * MINUTE;
	struct decision d;
	enum reason reason;
	uint64_t again;

	policy_decide(s, &p, &found, &process, &program, URGENCY_NONE, now, &d);
	MUST(d.verdict == VERDICT_ACT || d.verdict == VERDICT_WOULD || d.verdict == VERDICT_LEAVE);
	MUST((d.verdict == VERDICT_LEAVE) == !d.remedies && *d.words);
	policy_learn_action(s, &d.limits, &process, &program, &what, now);
	policy_screen(s, &p, &process, &program, URGENCY_PRESSURE, now, &d);
	MUST(d.verdict == VERDICT_WAIT ? d.not_before_us > now : d.verdict == VERDICT_LEAVE);
	MUST(budget_take(s, &b, 1, now, &reason, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings s, again;
	bool failed = false;
	char *text, *twice;
	size_t len, len2;

	read_settings((const char *)data, size, &s);
	check_bounds(&s);
	MUST((settings_check(&s, on_report, &failed) < 0) == failed);
	judge(&s);
	text = write_settings(&s, &len);
	read_settings(text, len, &again);
	twice = write_settings(&again, &len2);
	MUST(len == len2 && !memcmp(text, twice, len));
	free(text);
	free(twice);
	settings_done(&s);
	settings_done(&again);
	return 0;
}
