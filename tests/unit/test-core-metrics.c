// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/ledger-totals.h"
#include "core/manager.h"
#include "core/metrics.h"
#include "ledger-fake.h"
#include "reclaim/worker.h"

#define TEN_MIN 600000000ull

static const struct manager_state some = {
	.mode = "enforce",
	.source = "netlink",
	.pressure = true,
	.started_real_us = 1700000000000001,
	.interval_us = 60000000,
	.last_sweep_us = 1700000060500000,
	.sweeps = 2,
	.processes = 300,
	.candidates = 12,
	.looks = 9,
	.actions = 3,
	.refused = 1,
	.failed = 4,
	.would = 5,
	.freed = 1ull << 40,
	.swapped = 3ull << 20,
	.predicted = UINT64_MAX,
	.stopped_us = 1500,
	.running = 7,
	.settings_loaded_real_us = 1700000000000000,
	.reloads = 6,
	.reload_failures = 8,
};

static struct ledger_record rec_of(enum ledger_kind kind, const char *exe, const char *reason)
{
	struct ledger_record rec = {
		.kind = kind,
		.pid = 5,
		.comm = "comm",
		.predicted = 100,
		.freed = 80,
		.stopped_us = 10,
		.real_us = 77,
	};

	snprintf(rec.exe, sizeof(rec.exe), "%s", exe);
	snprintf(rec.reason, sizeof(rec.reason), "%s", reason);
	return rec;
}

static void add(struct ledger_totals *t, struct ledger_record rec)
{
	assert_int_equal(ledger_totals_add(t, &rec), 0);
}

static void test_totals(void **state)
{
	_cleanup_(ledger_totals_done) struct ledger_totals t = { 0 };
	struct ledger_record rec;

	(void)state;
	add(&t, rec_of(LEDGER_LOOK, "/a", ""));
	add(&t, rec_of(LEDGER_ACTION, "/a", "reclaimed"));
	add(&t, rec_of(LEDGER_ACTION, "/b", "nothing"));
	add(&t, rec_of(LEDGER_ACTION, "/b", "refused"));
	add(&t, rec_of(LEDGER_ACTION, "/b", "timeout"));
	add(&t, rec_of(LEDGER_WOULD, "", ""));
	rec = rec_of(LEDGER_ACTION, "/a", "reclaimed");
	rec.freed = -50; /* grown meanwhile */
	rec.predicted = rec.stopped_us = LEDGER_UNKNOWN;
	add(&t, rec);
	rec = rec_of(LEDGER_CHECK, "/a", "");
	rec.after_us = TEN_MIN / 10; /* too early to count */
	add(&t, rec);
	rec.after_us = TEN_MIN;
	add(&t, rec);
	rec.freed = 1000; /* smaller than it was left: by itself */
	add(&t, rec);
	rec.freed = -1000; /* larger than before */
	add(&t, rec);
	/* These are no program's. */
	add(&t, rec_of(LEDGER_LEAVE, "/c", "never"));
	rec = rec_of(LEDGER_LOOK, "/d", "");
	rec.pid = 0;
	add(&t, rec);

	assert_int_equal(t.n, 3);
	assert_string_equal(t.v[0].program, "/a");
	assert_string_equal(t.v[2].program, "[comm]");
	assert_int_equal(t.v[0].looks, 1);
	assert_int_equal(t.v[0].actions, 2);
	assert_int_equal(t.v[0].freed, 80);
	assert_int_equal(t.v[0].predicted, 100);
	assert_int_equal(t.v[0].stopped_us, 10);
	assert_int_equal(t.v[0].checked, 300);
	assert_int_equal(t.v[0].kept, 180);
	assert_int_equal(t.v[1].actions, 1);
	assert_int_equal(t.v[1].refused, 1);
	assert_int_equal(t.v[1].failed, 1);
	assert_int_equal(t.v[1].stopped_us, 30);
	/* Nothing of a refusal; of one that failed later what it had given back by then. */
	assert_int_equal(t.v[1].freed, 160);
	assert_int_equal(t.v[1].predicted, 200);
	assert_int_equal(t.v[2].would, 1);
	assert_int_equal(t.all.actions, 3);
	assert_int_equal(t.all.freed, 240);
	assert_int_equal(t.all.last_real_us, 77);
}

/* Paged out: not freed, whatever became of the action, and nothing that could be kept. */
static void test_swapped(void **state)
{
	_cleanup_(ledger_totals_done) struct ledger_totals t = { 0 };
	struct ledger_record rec = rec_of(LEDGER_ACTION, "/s", "reclaimed");

	(void)state;
	rec.remedies = WORKER_REMEDY_PAGEOUT;
	rec.swapped = 70;
	add(&t, rec);
	rec = rec_of(LEDGER_ACTION, "/s", "timeout");
	rec.swapped = rec.predicted = 5;
	rec.freed = 5;
	add(&t, rec);
	rec = rec_of(LEDGER_CHECK, "/s", "");
	rec.remedies = WORKER_REMEDY_PAGEOUT;
	rec.swapped = 30;
	rec.after_us = TEN_MIN / 10;
	add(&t, rec);
	rec.swapped = 40;
	rec.after_us = TEN_MIN;
	add(&t, rec);
	add(&t, rec_of(LEDGER_ACTION, "/a", "reclaimed"));

	assert_int_equal(t.v[0].actions, 1);
	assert_int_equal(t.v[0].freed, 10);
	assert_int_equal(t.v[0].predicted, 30);
	assert_int_equal(t.v[0].swapped, 75);
	assert_int_equal(t.v[0].swapped_back, 40);
	assert_int_equal(t.v[0].checked, 0);
	assert_int_equal(t.v[0].kept, 0);
	assert_int_equal(t.v[1].swapped, 0);
	assert_int_equal(t.all.freed, 90);
	assert_int_equal(t.all.swapped, 75);
}

/* Somebody starts a program under a new name each second. */
static void test_many_programs(void **state)
{
	_cleanup_(ledger_totals_done) struct ledger_totals t = { 0 };
	_cleanup_free_ char *text = NULL;

	(void)state;
	for (int i = 0; i < 3 * LEDGER_PROGRAMS_MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "/tmp/%d", i);
		add(&t, rec_of(LEDGER_ACTION, name, "reclaimed"));
	}
	assert_int_equal(t.n, LEDGER_PROGRAMS_MAX);
	assert_int_equal(t.rest.actions, 2 * LEDGER_PROGRAMS_MAX);
	assert_int_equal(t.all.actions, 3 * LEDGER_PROGRAMS_MAX);
	assert_int_equal(metrics_format(&some, &t, METRICS_PROMETHEUS, &text), 0);
	assert_non_null(strstr(text, "\nreclaim_program_actions_total{program=\"(others)\"} 512\n"));
}

static char *format(enum metrics_syntax syntax)
{
	_cleanup_(ledger_totals_done) struct ledger_totals t = { 0 };
	struct ledger_record rec = rec_of(LEDGER_ACTION, "/bin/a\"\\\n\xff", "reclaimed");
	char *text = NULL;

	add(&t, rec);
	rec.kind = LEDGER_CHECK;
	rec.remedies = WORKER_REMEDY_PAGEOUT;
	rec.swapped = 4096;
	rec.after_us = TEN_MIN;
	add(&t, rec);
	assert_int_equal(metrics_format(&some, &t, syntax, &text), 0);
	return text;
}

/* For those who read it with other people's parsers: both texts into a folder, when one is named. */
static void give_away(const char *name, const char *text)
{
	const char *to = getenv("RECLAIM_METRICS_DIR");
	char path[PATH_MAX];

	if (!to)
		return;
	snprintf(path, sizeof(path), "%s/%s", to, name);
	assert_int_equal(metrics_write(path, text), 0);
}

static void test_text(void **state)
{
	static const char *const want[] = {
		"reclaim_daemon_info{version=\"" RECLAIM_VERSION "\",mode=\"enforce\",source=\"netlink\"} 1\n",
		"\n# TYPE reclaim_start_time_seconds gauge\nreclaim_start_time_seconds 1700000000.000001\n",
		"\nreclaim_interval_seconds 60.000000\n",
		"\nreclaim_last_sweep_timestamp_seconds 1700000060.500000\n",
		"\n# TYPE reclaim_sweeps_total counter\nreclaim_sweeps_total 2\n",
		"\nreclaim_processes 300\n",
		"\nreclaim_candidates 12\n",
		"\nreclaim_memory_pressure 1\n",
		"\nreclaim_workers 7\n",
		"\nreclaim_looks_total 9\n",
		"\nreclaim_actions_total 3\n",
		"\nreclaim_refusals_total 1\n",
		"\nreclaim_failures_total 4\n",
		"\nreclaim_advices_total 5\n",
		"\nreclaim_freed_bytes_total 1099511627776\n",
		"\nreclaim_swapped_bytes_total 3145728\n",
		"\nreclaim_swapped_back_bytes_total 4096\n",
		"\nreclaim_program_swapped_bytes_total{program=\"/bin/a\\\"\\\\x5c\\\\n\\\\xff\"} 0\n",
		"\nreclaim_predicted_bytes_total 18446744073709551615\n",
		"\nreclaim_stopped_seconds_total 0.001500\n",
		"\nreclaim_settings_loaded_timestamp_seconds 1700000000.000000\n",
		"\nreclaim_reloads_total 6\n",
		"\nreclaim_reload_failures_total 8\n",
		"\nreclaim_checked_bytes_total 0\n",
		"\nreclaim_program_freed_bytes_total{program=\"/bin/a\\\"\\\\x5c\\\\n\\\\xff\"} 80\n",
		"\nreclaim_program_stopped_seconds_total{program=\"/bin/a\\\"\\\\x5c\\\\n\\\\xff\"} 0.000010\n",
	};
	_cleanup_free_ char *text = format(METRICS_PROMETHEUS), *open = format(METRICS_OPENMETRICS);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		if (!strstr(text, want[i]))
			fail_msg("no %s in:\n%s", want[i], text);
	assert_null(strstr(text, "# EOF"));
	assert_non_null(strstr(open, "\n# TYPE reclaim_sweeps counter\nreclaim_sweeps_total 2\n"));
	assert_null(strstr(open, "# TYPE reclaim_sweeps_total"));
	assert_string_equal(open + strlen(open) - 6, "# EOF\n");
	give_away("prometheus", text);
	give_away("openmetrics", open);
}

static void read_file(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, buf, size - 1);
	assert_true(n >= 0);
	buf[n] = 0;
}

static void test_write(void **state)
{
	char path[64], tmp[64], other[64], buf[64], longname[300];
	struct stat st;
	mode_t mask = umask(077);

	(void)state;
	snprintf(path, sizeof(path), "%s/reclaim.prom", ledger_fake_folder);
	snprintf(tmp, sizeof(tmp), "%s/reclaim.prom.tmp", ledger_fake_folder);
	snprintf(other, sizeof(other), "%s/other", ledger_fake_folder);
	assert_int_equal(metrics_write(path, "one\n"), 0);
	read_file(path, buf, sizeof(buf));
	assert_string_equal(buf, "one\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	/* Links in the places of both, by somebody who may write there. */
	assert_int_equal(metrics_write(other, "precious\n"), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(symlink(other, tmp), 0);
	assert_int_equal(metrics_write(path, "two\n"), 0);
	assert_int_equal(link(other, tmp), 0);
	assert_int_equal(metrics_write(path, "two\n"), 0);
	read_file(path, buf, sizeof(buf));
	assert_string_equal(buf, "two\n");
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	read_file(other, buf, sizeof(buf));
	assert_string_equal(buf, "precious\n");
	assert_int_equal(access(tmp, F_OK), -1);

	snprintf(longname, sizeof(longname), "%s/%0255d", ledger_fake_folder, 0);
	assert_int_equal(metrics_write(longname, ""), -EINVAL);
	assert_int_equal(metrics_write("/tmp/", ""), -EINVAL);
	assert_int_equal(metrics_write("", ""), -EINVAL);
	assert_int_equal(metrics_write("/nowhere/x", ""), -ENOENT);
	assert_int_equal(metrics_write("/dev/null/x", ""), -ENOTDIR);
	/* A folder in its place can't be replaced, and nothing is left behind. */
	snprintf(longname, sizeof(longname), "%s", ledger_fake_folder);
	assert_true(metrics_write(longname, "x") < 0);
	snprintf(longname, sizeof(longname), "%s.tmp", ledger_fake_folder);
	assert_int_equal(access(longname, F_OK), -1);
	umask(mask);
}

/* A full disk: the old file stays, and there is no other. */
static void test_full(void **state)
{
	char path[64], tmp[64], buf[64];
	pid_t pid;
	int status;

	(void)state;
	snprintf(path, sizeof(path), "%s/reclaim.prom", ledger_fake_folder);
	snprintf(tmp, sizeof(tmp), "%s/reclaim.prom.tmp", ledger_fake_folder);
	assert_int_equal(metrics_write(path, "one\n"), 0);
	pid = fork();
	if (!pid) {
		signal(SIGXFSZ, SIG_IGN);
		_exit(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ .rlim_cur = 2, .rlim_max = 2 }) ||
		      metrics_write(path, "three\n") != -EFBIG);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	read_file(path, buf, sizeof(buf));
	assert_string_equal(buf, "one\n");
	assert_int_equal(access(tmp, F_OK), -1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, ledger_fake_setup, ledger_fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_swapped),
		cmocka_unit_test(test_many_programs),
		cmocka_unit_test(test_text),
		TEST(test_write),
		TEST(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
