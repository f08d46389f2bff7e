// SPDX-License-Identifier: GPL-2.0-or-later
/* Wrong configurations: each is told by file and line, in words, and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf-tree.h"
#include "policy-world.h"

#define HERE "etc/reclaimd.conf"

struct row {
	const char *text; /* of the file */
	const char *log; /* all that is said, without the file's name */
};

static const struct row errors[] = {
	/* lines */
	{ "Mode=observe\n", "1: an assignment before any section's head, or below one that was wrong" },
	{ "[Daemon\n", "1: a section's head has to end with ']'" },
	{ "[Daemon] # really\n", "1: a section's head has to end with ']'" },
	{ "[Daemon]\nMode\n", "2: neither a section's head nor Key=Value: '=' is missing" },
	{ "[Daemon]\n\n=observe\n", "3: there is no key before '='" },
	{ "[Daemon]\nMode=\xff\n", "2: not valid UTF-8" },
	/* choices, yes and no */
	{ "[Daemon]\nMode=on\n", "2: Mode=: 'on' is not understood; expected one of observe, advise, enforce" },
	{ "[Daemon]\nMode=Enforce\n",
	  "2: Mode=: 'Enforce' is not understood; expected one of observe, advise, enforce" },
	{ "[Daemon]\nSource=proc\n", "2: Source=: 'proc' is not understood; expected one of auto, netlink, procfs" },
	{ "[Reclaim]\nDepth=2\n", "2: Depth=: '2' is not understood; expected one of auto, normal, deep" },
	{ "[Rule a]\nComm=x\nNever=maybe\n", "3: Never=: 'maybe' is not understood; expected yes or no" },
	/* times */
	{ "[Daemon]\nIntervalSec=soon\n",
	  "2: IntervalSec=: 'soon' is not understood; expected a time such as 30s, 150ms or 1min 30s" },
	{ "[Daemon]\nIntervalSec=-1\n",
	  "2: IntervalSec=: '-1' is not understood; expected a time such as 30s, 150ms or 1min 30s" },
	{ "[Daemon]\nIntervalSec=1 min\n",
	  "2: IntervalSec=: '1 min' is not understood; expected a time such as 30s, 150ms or 1min 30s" },
	{ "[Daemon]\nIntervalSec=0\n", "2: IntervalSec=: out of range: from 1s to 1d" },
	{ "[Daemon]\nIntervalSec=999ms\n", "2: IntervalSec=: out of range: from 1s to 1d" },
	{ "[Daemon]\nIntervalSec=25h\n", "2: IntervalSec=: out of range: from 1s to 1d" },
	{ "[Daemon]\nBackoffMaxSec=999999999d\n", "2: BackoffMaxSec=: out of range: from 1s to 30d" },
	{ "[Daemon]\nBackoffMaxSec=99999999999999999999s\n", "2: BackoffMaxSec=: out of range: from 1s to 30d" },
	{ "[Daemon]\nStopBudgetSec=2min\n", "2: StopBudgetSec=: out of range: from 1ms to 1min" },
	{ "[Pressure]\nStallSec=11s\n", "2: StallSec=: out of range: from 1ms to 10s, or 0" },
	{ "[Pressure]\nWindowSec=1s\n", "2: WindowSec=: out of range: from 2s to 10s" },
	{ "[Reclaim]\nIdleSec=31d\n", "2: IdleSec=: out of range: from 0 to 30d" },
	{ "[Reclaim]\nCooldownSec=0\n", "2: CooldownSec=: out of range: from 1s to 30d" },
	{ "[Reclaim]\nMaxStopSec=0\n", "2: MaxStopSec=: out of range: from 1ms to 10s" },
	{ "[Reclaim]\nTimeoutSec=2h\n", "2: TimeoutSec=: out of range: from 100ms to 1h" },
	/* sizes */
	{ "[Reclaim]\nMinAnon=much\n", "2: MinAnon=: 'much' is not understood; expected a size such as 64M" },
	{ "[Reclaim]\nMinAnon=64 M\n", "2: MinAnon=: '64 M' is not understood; expected a size such as 64M" },
	{ "[Reclaim]\nMinAnon=4K\n", "2: MinAnon=: out of range: from 1M to 64T" },
	{ "[Reclaim]\nMinReclaim=99999999T\n", "2: MinReclaim=: out of range: from 64K to 64T" },
	{ "[Daemon]\nHistoryMax=1K\n", "2: HistoryMax=: out of range: from 256K to 64G" },
	/* numbers and percentages */
	{ "[Daemon]\nActionsPerMinute=six\n",
	  "2: ActionsPerMinute=: 'six' is not understood; expected a whole number" },
	{ "[Daemon]\nActionsPerMinute=0\n", "2: ActionsPerMinute=: out of range: from 1 to 6000" },
	{ "[Daemon]\nActionsPerMinute=4294967297\n", "2: ActionsPerMinute=: out of range: from 1 to 6000" },
	{ "[Daemon]\nMaxWorkers=65\n", "2: MaxWorkers=: out of range: from 0 to 64" },
	{ "[Reclaim]\nIdleCPU=1\n", "2: IdleCPU=: '1' is not understood; expected a percentage such as 10% or 2.5%" },
	{ "[Reclaim]\nIdleCPU=1.55%\n",
	  "2: IdleCPU=: '1.55%' is not understood; expected a percentage such as 10% or 2.5%" },
	{ "[Reclaim]\nMinReclaimPercent=100.1%\n", "2: MinReclaimPercent=: out of range: from 0% to 100%" },
	{ "[Reclaim]\nMinReclaimPercent=18446744073709551615%\n",
	  "2: MinReclaimPercent=: out of range: from 0% to 100%" },
	/* remedies and paths */
	{ "[Reclaim]\nRemedies=trim kill\n",
	  "2: Remedies=: 'kill' is not understood; expected some of trim, purge, collect, cold, pageout; or none" },
	{ "[Reclaim]\nRemedies=pageuot\n",
	  "2: Remedies=: 'pageuot' is not understood; expected some of trim, purge, collect, cold, pageout; or none" },
	{ "[Reclaim]\nRemedies=trim none\n", "2: Remedies=: 'none' is not understood; expected it to stand alone" },
	{ "[Daemon]\nMetricsFile=reclaim.prom\n",
	  "2: MetricsFile=: 'reclaim.prom' is not understood; expected a file's absolute path without '..'" },
	{ "[Daemon]\nMetricsFile=/a/../etc/passwd\n",
	  "2: MetricsFile=: '/a/../etc/passwd' is not understood; expected a file's absolute path without '..'" },
	{ "[Daemon]\nMetricsFile=/var/lib/\n",
	  "2: MetricsFile=: '/var/lib/' is not understood; expected a file's absolute path without '..'" },
	{ "[Daemon]\nMetricsFile=/var/x\\ \n",
	  "2: MetricsFile=: '/var/x\\x5c' is not understood; expected a file's absolute path without '..'" },
	/* rules */
	{ "[Rule a]\nExe=/a\\ /b\n", "2: Exe=: a pattern must not end with a backslash: ? stands for any character" },
	{ "[Rule]\nComm=x\n", "1: a rule needs a name, [Rule NAME], of letters, digits and any of -_.:@, at most 64" },
	{ "[Rule a b]\nComm=x\n",
	  "1: a rule needs a name, [Rule NAME], of letters, digits and any of -_.:@, at most 64" },
	{ "[Rule a]\nNever=yes\n",
	  "1: [Rule a] matches nothing in particular: set Comm=, Exe=, Unit= or the like; what holds for all processes "
	  "belongs into [Reclaim]" },
	{ "[Rule sshd]\nComm=\n",
	  "1: [Rule sshd] matches nothing in particular: set Comm=, Exe=, Unit= or the like; what holds for all "
	  "processes belongs into [Reclaim]" },
	{ "[Rule a]\nComm=x\nMaxStopSec=201ms\n",
	  "3: [Rule a]: MaxStopSec= is more than StopBudgetSec=: it could never act" },
	/* what doesn't fit together */
	{ "[Pressure]\nWindowSec=3s\n", "2: WindowSec= has to be a multiple of 2s" },
	{ "[Pressure]\nStallSec=3s\n", "2: StallSec= is more than WindowSec=" },
	{ "[Reclaim]\nMaxStopSec=1s\n", "2: MaxStopSec= is more than StopBudgetSec=: nothing could ever be done" },
	{ "[Daemon]\nStopBudgetSec=10ms\n", "2: MaxStopSec= is more than StopBudgetSec=: nothing could ever be done" },
	{ "[Pressure]\nWindowSec=3s\n[Rule a]\n[Rule b]\nComm=x\nMaxStopSec=9s\n",
	  "2: WindowSec= has to be a multiple of 2s\n" HERE
	  ":3: [Rule a] matches nothing in particular: set Comm=, Exe=, Unit= or the like; what holds for all "
	  "processes belongs into [Reclaim]\n" HERE
	  ":6: [Rule b]: MaxStopSec= is more than StopBudgetSec=: it could never act" },
	/* several at once, the terminal's own signs made harmless */
	{ "[Daemon]\nMode=a\033[2J\nMaxWorkers=x\n[Rule]\nx=y\n[Reclaim]\nIdleCPU=x\n",
	  "2: Mode=: 'a\\x1b[2J' is not understood; expected one of observe, advise, enforce\n" HERE
	  ":3: MaxWorkers=: 'x' is not understood; expected a whole number\n" HERE
	  ":4: a rule needs a name, [Rule NAME], of letters, digits and any of -_.:@, at most 64\n" HERE
	  ":7: IdleCPU=: 'x' is not understood; expected a percentage such as 10% or 2.5%" },
};

static const struct row warnings[] = {
	{ "[Daemon]\nMood=observe\n", "2: unknown key 'Mood' in [Daemon]" },
	{ "[Daemon]\nmode=observe\n", "2: unknown key 'mode' in [Daemon]: did you mean Mode= in [Daemon]?" },
	{ "[Daemon]\nMinAnon=1M\n", "2: unknown key 'MinAnon' in [Daemon]: did you mean MinAnon= in [Reclaim]?" },
	{ "[Reclaim]\nNever=yes\n", "2: unknown key 'Never' in [Reclaim]: did you mean Never= in [Rule NAME]?" },
	{ "[Rule a]\nComm=x\nMode=observe\n", "3: unknown key 'Mode' in [Rule a]: did you mean Mode= in [Daemon]?" },
	{ "[Demon]\nMode=observe\nMode=nonsense\n",
	  "1: unknown section [Demon]: there are [Daemon], [Pressure], [Reclaim] and [Rule NAME]" },
	{ "[Rules]\nComm=x\n",
	  "1: unknown section [Rules]: there are [Daemon], [Pressure], [Reclaim] and [Rule NAME]" },
};

static void log_is(const struct conf_tree *t, const char *want)
{
	_cleanup_free_ char *whole = NULL;

	assert_true(asprintf(&whole, HERE ":%s\n", want) > 0);
	assert_string_equal(t->log, whole);
}

static void test_errors(void **state)
{
	static const struct settings untouched = { .interval_us = 12345 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct settings s = untouched;
		struct conf_tree t;

		conf_tree_init(&t);
		conf_tree_put(&t, HERE, errors[i].text);
		assert_int_equal(settings_read(t.dirs, conf_tree_report, &t, &s), -EINVAL);
		log_is(&t, errors[i].log);
		assert_true(t.errors > 0);
		assert_int_equal(t.warnings, 0);
		assert_memory_equal(&s, &untouched, sizeof(s));
		conf_tree_done(&t);
	}
	assert_true(ARRAY_SIZE(errors) >= 30);
}

static void test_warnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(warnings); i++) {
		struct settings s;
		struct conf_tree t;

		conf_tree_init(&t);
		conf_tree_put(&t, HERE, warnings[i].text);
		assert_int_equal(settings_read(t.dirs, conf_tree_report, &t, &s), 0);
		log_is(&t, warnings[i].log);
		assert_int_equal(t.errors, 0);
		assert_int_equal(s.mode, MODE_ENFORCE);
		settings_done(&s);
		conf_tree_done(&t);
	}
}

/* An error in one file, and the drop-in that is right doesn't count either. */
static void test_all_or_nothing(void **state)
{
	struct settings s = { .interval_us = 1 };
	struct conf_tree t;

	(void)state;
	conf_tree_init(&t);
	conf_tree_put(&t, HERE, "[Daemon]\nMode=observe\n");
	conf_tree_put(&t, HERE ".d/50-bad.conf", "[Daemon]\nMaxWorkers=x\n");
	assert_int_equal(settings_read(t.dirs, conf_tree_report, &t, &s), -EINVAL);
	assert_string_equal(t.log,
			    HERE ".d/50-bad.conf:2: MaxWorkers=: 'x' is not understood; expected a whole number\n");
	assert_int_equal(s.interval_us, 1);
	/* What doesn't fit together is blamed on who said it last, be it over two files. */
	*t.log = '\0';
	conf_tree_put(&t, HERE ".d/50-bad.conf", "[Pressure]\nStallSec=5s\n");
	conf_tree_put(&t, "usr/reclaimd.conf.d/10-window.conf", "[Pressure]\nWindowSec=4s\n");
	assert_int_equal(settings_read(t.dirs, conf_tree_report, &t, &s), -EINVAL);
	assert_string_equal(t.log, HERE ".d/50-bad.conf:2: StallSec= is more than WindowSec=\n");
	conf_tree_put(&t, HERE ".d/50-bad.conf", "[Pressure]\nStallSec=3s\n");
	assert_int_equal(settings_read(t.dirs, conf_tree_report, &t, &s), 0);
	assert_int_equal(s.pressure_stall_us, 3 * SEC);
	settings_done(&s);
	conf_tree_done(&t);
}

static void test_limits(void **state)
{
	char section[80], value[16], why[SETTINGS_WHY] = "", *huge;
	struct world w;
	size_t shipped;

	(void)state;
	world_init(&w);
	shipped = w.s.nrules;
	for (size_t i = shipped; i < SETTINGS_RULES_MAX; i++) {
		text_format(section, sizeof(section), "Rule r%zu", i);
		world_set(&w, section, "Comm", "x");
	}
	assert_int_equal(settings_set(&w.s, "Rule more", "Comm", "x", "f:1", why, sizeof(why)), -ERANGE);
	assert_string_equal(why, "too many rules: at most 256");
	for (unsigned int i = 1; i < SETTINGS_PATTERNS_MAX; i++) {
		text_format(value, sizeof(value), "x%u", i);
		world_set(&w, section, "Comm", value);
	}
	assert_int_equal(settings_set(&w.s, section, "Comm", "more", "f:1", why, sizeof(why)), -ERANGE);
	assert_string_equal(why, "Comm=: too many: at most 64 patterns");
	/* Twice the same is once. */
	world_set(&w, section, "Comm", "x1");
	huge = malloc(5000);
	memset(huge, 'x', 4999);
	huge[4999] = '\0';
	assert_int_equal(settings_set(&w.s, section, "Exe", huge, "f:1", why, sizeof(why)), -ERANGE);
	assert_string_equal(why, "Exe=: a pattern is too long: at most 4095 bytes");
	huge[4095] = '\0';
	world_set(&w, section, "Exe", huge);
	/* A name of 64 is one, of 65 none. */
	text_format(section, sizeof(section), "Rule %.65s", huge);
	assert_int_equal(settings_set(&w.s, section, "Comm", "x", "f:1", why, sizeof(why)), -EINVAL);
	free(huge);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_all_or_nothing),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
