// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of keys: defaults, values and back, rules; and that the documents say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf-tree.h"
#include "policy-world.h"

#define VALUE_MAX 8192

/* All of it, as a file would have it. malloc'ed. */
static char *settings_text(const struct settings *s)
{
	char *text = NULL, value[VALUE_MAX];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	for (size_t r = 0; r <= s->nrules; r++) {
		const struct rule *rule = r ? &s->rules[r - 1] : NULL;

		fprintf(f, "[Rule %s]\n", rule ? rule->name : "-");
		for (size_t i = 0; settings_key(i); i++) {
			assert_int_equal(settings_format(s, rule, settings_key(i), value, sizeof(value)), 0);
			if (*value)
				fprintf(f, "%s=%s\n", settings_key(i)->key, value);
		}
	}
	assert_int_equal(fclose(f), 0);
	return text;
}

static const struct settings_key *key_named(const char *name)
{
	for (size_t i = 0; settings_key(i); i++)
		if (!strcmp(settings_key(i)->key, name))
			return settings_key(i);
	fail_msg("no key %s", name);
	return NULL;
}

static void expect(const struct settings *s, const struct rule *rule, const char *key, const char *want)
{
	char value[VALUE_MAX];

	assert_int_equal(settings_format(s, rule, key_named(key), value, sizeof(value)), 0);
	assert_string_equal(value, want);
}

static void test_defaults(void **state)
{
	struct settings s;

	(void)state;
	assert_int_equal(settings_default(&s), 0);
	assert_int_equal(s.mode, MODE_ENFORCE);
	assert_int_equal(s.source, POLICY_SOURCE_AUTO);
	assert_int_equal(s.interval_us, 30 * SEC);
	assert_int_equal(s.actions_per_minute, 6);
	assert_int_equal(s.max_workers, 0);
	assert_int_equal(s.stop_budget_us, 200000);
	assert_int_equal(s.backoff_max_us, 24 * HOUR_US);
	assert_int_equal(s.history_max, 16 * MIB);
	assert_null(s.metrics_file);
	assert_int_equal(s.pressure_stall_us, 150000);
	assert_int_equal(s.pressure_window_us, 2 * SEC);
	assert_int_equal(s.defaults.min_anon, 64 * MIB);
	assert_int_equal(s.defaults.min_reclaim, 16 * MIB);
	assert_int_equal(s.defaults.min_reclaim_permille, 100);
	assert_int_equal(s.defaults.idle_us, MIN_US);
	assert_int_equal(s.defaults.idle_cpu_permille, 10);
	/* Not collect: a collection runs the program's own code. */
	assert_int_equal(s.defaults.remedies, POLICY_TRIM | POLICY_PURGE);
	assert_int_equal(s.defaults.depth, DEPTH_NORMAL);
	assert_int_equal(s.defaults.cooldown_us, 10 * MIN_US);
	assert_int_equal(s.defaults.max_stop_us, 20000);
	assert_int_equal(s.defaults.timeout_us, 30 * SEC);
	assert_false(s.defaults.never);
	settings_done(&s);
	settings_done(&s);
}

/* What is formatted is understood again, to the same value. */
static void test_values(void **state)
{
	static const struct {
		const char *section, *key, *value, *shown;
	} rows[] = {
		{ "Daemon", "Mode", "observe", "observe" },
		{ "Daemon", "Mode", "advise", "advise" },
		{ "Daemon", "Source", "netlink", "netlink" },
		{ "Daemon", "Source", "procfs", "procfs" },
		{ "Daemon", "IntervalSec", "90", "90s" },
		{ "Daemon", "IntervalSec", "1min 30s", "90s" },
		{ "Daemon", "IntervalSec", "1d", "1d" },
		{ "Daemon", "IntervalSec", "1.5s", "1500ms" },
		{ "Daemon", "IntervalSec", "1000001us", "1000001us" },
		{ "Daemon", "ActionsPerMinute", "6000", "6000" },
		{ "Daemon", "MaxWorkers", "0", "0" },
		{ "Daemon", "MaxWorkers", "64", "64" },
		{ "Daemon", "StopBudgetSec", "1ms", "1ms" },
		{ "Daemon", "BackoffMaxSec", "30d", "30d" },
		{ "Daemon", "HistoryMax", "1G", "1G" },
		{ "Daemon", "MetricsFile", "/var/lib/x y.prom", "/var/lib/x y.prom" },
		{ "Pressure", "StallSec", "0", "0" },
		{ "Pressure", "WindowSec", "10s", "10s" },
		{ "Reclaim", "MinAnon", "1048577", "1048577" },
		{ "Reclaim", "MinAnon", "1.5G", "1536M" },
		{ "Reclaim", "MinReclaimPercent", "2.5%", "2.5%" },
		{ "Reclaim", "MinReclaimPercent", "0%", "0%" },
		{ "Reclaim", "MinReclaimPercent", "100%", "100%" },
		{ "Reclaim", "IdleSec", "0", "0" },
		{ "Reclaim", "Remedies", "none", "none" },
		{ "Reclaim", "Remedies", "collect,purge trim trim", "trim purge collect" },
		{ "Reclaim", "Depth", "deep", "deep" },
		{ "Rule r", "Never", "TRUE", "yes" },
		{ "Rule r", "Never", "0", "no" },
		{ "Rule r", "Comm", "a?  [bc]* d", "a? [bc]* d" },
		{ "Rule r", "MinAnon", "2M", "2M" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char shown[VALUE_MAX];
		struct world w;
		const bool in_rule = !strncmp(rows[i].section, "Rule", 4);

		world_init(&w);
		world_set(&w, rows[i].section, rows[i].key, rows[i].value);
		const struct rule *rule = in_rule ? &w.s.rules[w.s.nrules - 1] : NULL;

		expect(&w.s, rule, rows[i].key, rows[i].shown);
		assert_string_equal(settings_origin(&w.s, rule, key_named(rows[i].key)), "test:1");
		text_format(shown, sizeof(shown), "%s", rows[i].shown);
		world_set(&w, rows[i].section, rows[i].key, "");
		assert_null(settings_origin(&w.s, rule, key_named(rows[i].key)));
		world_set(&w, rows[i].section, rows[i].key, shown);
		expect(&w.s, rule, rows[i].key, shown);
		world_done(&w);
	}
}

static void test_small_buffer(void **state)
{
	struct world w;
	char buf[8];

	(void)state;
	world_init(&w);
	world_set(&w, "Daemon", "MetricsFile", "/1234567");
	assert_int_equal(settings_format(&w.s, NULL, key_named("MetricsFile"), buf, 8), -ENOSPC);
	assert_int_equal(settings_format(&w.s, NULL, key_named("Mode"), buf, 7), -ENOSPC);
	assert_int_equal(settings_format(&w.s, NULL, key_named("Mode"), buf, 8), 0);
	assert_int_equal(settings_format(&w.s, NULL, key_named("Mode"), buf, 0), -ENOSPC);
	assert_int_equal(settings_format(&w.s, &w.s.rules[0], key_named("Comm"), buf, 8), -ENOSPC);
	world_done(&w);
}

/* An empty value takes back what was said, for every key; of lists all of it. */
static void test_empty(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	_cleanup_free_ char *before = settings_text(&w.s);

	world_set(&w, "Daemon", "Mode", "observe");
	world_set(&w, "Daemon", "MetricsFile", "/x");
	world_set(&w, "Reclaim", "Remedies", "none");
	world_set(&w, "Daemon", "Mode", "");
	world_set(&w, "Daemon", "MetricsFile", "");
	world_set(&w, "Reclaim", "Remedies", "");
	_cleanup_free_ char *after = settings_text(&w.s);

	assert_string_equal(after, before);
	world_set(&w, "Rule r", "Exe", "/a /b");
	world_set(&w, "Rule r", "Exe", "/b /c");
	expect(&w.s, &w.s.rules[w.s.nrules - 1], "Exe", "/a /b /c");
	world_set(&w, "Rule r", "Exe", "");
	world_set(&w, "Rule r", "Exe", "/d");
	expect(&w.s, &w.s.rules[w.s.nrules - 1], "Exe", "/d");
	world_done(&w);
}

static void limits_of(struct world *w)
{
	world_screen(w);
}

static void test_rules(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	world_set(&w, "Rule a", "Exe", "/opt/*");
	world_set(&w, "Rule a", "MinAnon", "1M");
	world_set(&w, "Rule a", "CooldownSec", "1h");
	world_set(&w, "Rule b", "Unit", "app.service other.service");
	world_set(&w, "Rule b", "User", "alice");
	world_set(&w, "Rule b", "MinAnon", "2M");
	limits_of(&w);
	assert_int_equal(w.d.limits.min_anon, 2 * MIB);
	assert_int_equal(w.d.limits.cooldown_us, HOUR_US);
	assert_int_equal(w.d.limits.idle_us, MIN_US);
	assert_string_equal(w.d.rule, "b");
	/* All keys of a rule have to match. */
	w.p.user = "bob";
	limits_of(&w);
	assert_int_equal(w.d.limits.min_anon, MIB);
	assert_string_equal(w.d.rule, "a");
	/* The order is that of the first mention. */
	w.p.user = "alice";
	world_set(&w, "Rule a", "MinAnon", "3M");
	limits_of(&w);
	assert_int_equal(w.d.limits.min_anon, 2 * MIB);
	/* By number, too; and an asterisk goes over slashes. */
	w.p.user = "";
	world_set(&w, "Rule b", "User", "100?");
	limits_of(&w);
	assert_string_equal(w.d.rule, "b");
	w.p.exe = "/opt/deep/er/worker";
	w.p.unit = "";
	limits_of(&w);
	assert_string_equal(w.d.rule, "a");
	w.p.exe = "/usr/opt/worker";
	limits_of(&w);
	assert_null(w.d.rule);
	assert_int_equal(w.d.limits.min_anon, 64 * MIB);
	world_done(&w);
}

/* Each key of a rule overrides its default, and each pattern key matches the name that it is about. */
static void test_every_key_in_rules(void **state)
{
	static const struct {
		const char *key, *value;
		size_t offset, size;
	} rows[] = {
#define ROW(k, v, f) { k, v, offsetof(struct thresholds, f), sizeof(((struct thresholds *)NULL)->f) }
		ROW("MinAnon", "2M", min_anon),
		ROW("MinReclaim", "1M", min_reclaim),
		ROW("MinReclaimPercent", "3%", min_reclaim_permille),
		ROW("IdleSec", "3s", idle_us),
		ROW("IdleCPU", "4%", idle_cpu_permille),
		ROW("Remedies", "collect", remedies),
		ROW("Depth", "deep", depth),
		ROW("SettledSec", "8s", settled_us),
		ROW("CooldownSec", "5s", cooldown_us),
		ROW("MaxStopSec", "6ms", max_stop_us),
		ROW("TimeoutSec", "7s", timeout_us),
		ROW("Never", "yes", never),
	};
	static const char *const matches[][2] = {
		{ "Comm", "worker" },
		{ "Exe", "/opt/app/worker" },
		{ "Unit", "app.service" },
		{ "Slice", "system.slice" },
		{ "User", "alice" },
		{ "Allocator", "glibc" },
		{ "ControlGroup", "/system.slice/app.service" },
		{ "Runtime", "python" },
	};
	size_t in_rules = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world w;

		world_init(&w);
		world_set(&w, "Rule r", matches[i % ARRAY_SIZE(matches)][0], matches[i % ARRAY_SIZE(matches)][1]);
		w.p.allocator = "glibc";
		w.p.runtime = "python";
		limits_of(&w);
		assert_memory_equal(&w.d.limits, &w.s.defaults, sizeof(w.s.defaults));
		world_set(&w, "Rule r", rows[i].key, rows[i].value);
		limits_of(&w);
		assert_memory_not_equal((char *)&w.d.limits + rows[i].offset, (char *)&w.s.defaults + rows[i].offset,
					rows[i].size);
		/* And nothing else. */
		memcpy((char *)&w.d.limits + rows[i].offset, (char *)&w.s.defaults + rows[i].offset, rows[i].size);
		assert_memory_equal(&w.d.limits, &w.s.defaults, sizeof(w.s.defaults));
		w.p.comm = w.p.exe = w.p.unit = w.p.slice = w.p.cgroup = w.p.user = w.p.allocator = w.p.runtime = "x";
		limits_of(&w);
		assert_null(w.d.rule);
		world_done(&w);
	}
	for (size_t i = 0; settings_key(i); i++)
		in_rules += settings_key(i)->in_rules;
	assert_int_equal(in_rules, ARRAY_SIZE(rows) + ARRAY_SIZE(matches));
}

/* Rules that come with the program, by the names that the kernel shows. */
static void test_shipped_rules(void **state)
{
	static const char *const never[] = {
		"systemd-journal",
		"dbus-daemon",
		"dbus-broker-lau",
		"systemd-udevd",
		"(udev-worker)",
		"sshd",
		"sshd-session",
		"systemd-logind",
		"Xorg",
		"gnome-shell",
		"kwin_wayland",
		"sway",
		"weston",
		"gdb",
		"strace",
		"qemu-system-x86",
		"firecracker",
		"cloud-hyperviso",
		"VBoxHeadless",
		"VirtualBoxVM",
		"reclaimd",
		"lldb-server",
		"kwin_x11",
	};
	static const char *const others[] = { "python3", "sshfs",	  "postgres",	    "gdbm",
					      "Xo",	 "dbus-launch-x", "weston-terminal" };
	struct world w;

	(void)state;
	world_init(&w);
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		w.p.comm = never[i];
		world_screen(&w);
		assert_int_equal(w.d.reason, REASON_NEVER);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		w.p.comm = others[i];
		world_screen(&w);
		assert_int_equal(w.d.verdict, VERDICT_LOOK);
	}
	w.p.exe = "/usr/libexec/valgrind/memcheck-amd64-linux";
	world_screen(&w);
	assert_string_equal(w.d.words, "[Rule valgrind] says Never=yes");
	world_done(&w);
}

static char *read_document(const char *name)
{
	char path[512], *text = NULL;
	size_t size = 0;
	_cleanup_fclose_ FILE *f = NULL;

	text_format(path, sizeof(path), "%s/../../%s", FIXTURES, name);
	f = fopen(path, "re");
	if (!f || getdelim(&text, &size, '\0', f) < 0)
		fail_msg("failed to read %s", path);
	return text;
}

/* The shipped file says nothing; its comments, made settings, say what is built in, no more and no less. */
static void test_shipped_file(void **state)
{
	_cleanup_free_ char *file = read_document("daemon/units/reclaimd.conf"), *all = NULL, *want = NULL, *got = NULL;
	struct settings built_in, s;
	struct conf_tree t;
	size_t said = 0;

	(void)state;
	assert_int_equal(settings_default(&built_in), 0);
	want = settings_text(&built_in);
	conf_tree_init(&t);
	conf_tree_put(&t, "etc/reclaimd.conf", file);
	assert_int_equal(settings_read(t.dirs, conf_tree_report, &t, &s), 0);
	got = settings_text(&s);
	assert_string_equal(got, want);
	settings_done(&s);

	all = strdup(file);
	for (char *p = all; p; p = strchr(p + 1, '\n'))
		for (char *q = *p == '\n' ? p + 1 : p; *q == '#' && q[1] != ' ' && q[1] != '\n';)
			*q = ' ';
	conf_tree_put(&t, "etc/reclaimd.conf", all);
	assert_int_equal(settings_read(t.dirs, conf_tree_report, &t, &s), 0);
	assert_string_equal(t.log, "");
	free(got);
	got = settings_text(&s);
	assert_string_equal(got, want);
	/* Each default stands there: MetricsFile= alone is empty and so can't be told from nothing. */
	for (size_t i = 0; settings_key(i); i++)
		said += settings_origin(&s, NULL, settings_key(i)) != NULL;
	for (size_t i = 0; settings_key(i); i++)
		said += settings_key(i)->rules_only;
	for (size_t i = 0; i < s.nrules; i++)
		assert_non_null(strstr(settings_origin(&s, &s.rules[i], key_named("Never")), "etc/reclaimd.conf:"));
	assert_non_null(strstr(file, "\n#MetricsFile=\n"));
	size_t all_keys = 0;

	while (settings_key(all_keys))
		all_keys++;
	assert_int_equal(said + 1, all_keys);
	settings_done(&s);
	settings_done(&built_in);
	conf_tree_done(&t);
}

/* Of the manual page: a section's head is its line and a line of '='; an entry is "Key=" in a line of its own. */
static void test_manual_page(void **state)
{
	_cleanup_free_ char *page = read_document("Documentation/man/reclaimd.conf.5.rst");
	char section[64] = "", *save = NULL, entry[80], value[VALUE_MAX], want[VALUE_MAX + 8];
	size_t seen[SETTINGS_KEYS_MAX] = { 0 };
	struct settings s;
	const char *at;

	(void)state;
	assert_int_equal(settings_default(&s), 0);
	for (size_t i = 0; settings_key(i); i++) {
		const struct settings_key *k = settings_key(i);

		text_format(entry, sizeof(entry), "\n%s=\n  ", k->key);
		at = strstr(page, entry);
		if (!at)
			fail_msg("%s= isn't documented", k->key);
		/* The default, within the entry. */
		if (k->rules_only || !strcmp(k->key, "MetricsFile"))
			continue;
		assert_int_equal(settings_format(&s, NULL, k, value, sizeof(value)), 0);
		text_format(want, sizeof(want), "**%s**", value);
		at = strstr(at, want);
		if (!at || (size_t)(at - strstr(page, entry)) > 900)
			fail_msg("the default of %s=, %s, isn't documented", k->key, want);
	}
	/* And nothing that there isn't, each in its section. */
	for (char *line = strtok_r(page, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t len = strlen(line);

		if (*line == '[' && line[len - 1] == ']')
			text_format(section, sizeof(section), "%.*s", (int)(len - 2), line + 1);
		if (line[len - 1] != '=' || line[0] == '=' || strchr(line, ' '))
			continue;
		line[len - 1] = '\0';
		for (size_t i = 0; settings_key(i); i++)
			if (!strcmp(settings_key(i)->key, line) &&
			    !strncasecmp(settings_key(i)->section, section, strlen(settings_key(i)->section)))
				seen[i]++;
		(void)key_named(line);
	}
	for (size_t i = 0; settings_key(i); i++)
		assert_int_equal(seen[i], 1);
	settings_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),      cmocka_unit_test(test_values),
		cmocka_unit_test(test_small_buffer),  cmocka_unit_test(test_empty),
		cmocka_unit_test(test_rules),	      cmocka_unit_test(test_every_key_in_rules),
		cmocka_unit_test(test_shipped_rules), cmocka_unit_test(test_shipped_file),
		cmocka_unit_test(test_manual_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
