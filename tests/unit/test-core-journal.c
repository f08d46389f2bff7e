// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/journal.h"

static struct ledger_record action(void)
{
	return (struct ledger_record){
		.seq = 7,
		.kind = LEDGER_ACTION,
		.pid = 4711,
		.start_time = 99,
		.uid = 1000,
		.comm = "ev\nil\x1b[2J",
		.exe = "/usr/bin/evil\nPRIORITY=0",
		.unit = "web.service",
		.reason = "reclaimed",
		.words = "heap trimmed",
		.remedies = 1 << 0 | 1 << 1,
		.predicted = 64ull << 20,
		.freed = 60ll << 20,
		.rss_before = 100ull << 20,
		.rss_after = 40ull << 20,
		.stopped_us = 2100,
		.duration_us = LEDGER_UNKNOWN,
	};
}

static void want_sentence(const struct ledger_record *rec, const char *want)
{
	char buf[LEDGER_SENTENCE];

	assert_string_equal(ledger_sentence(rec, buf, sizeof(buf)), want);
}

static void test_sentences(void **state)
{
	struct ledger_record rec = action();
	char small[12];

	(void)state;
	want_sentence(&rec, "reclaimed 60.0MiB from ev\\nil\\x1b[2J (pid 4711, web.service) by collect,trim, "
			    "predicted 64.0MiB, stopped for 2.1ms: heap trimmed");
	rec.freed = -4096;
	rec.predicted = LEDGER_UNKNOWN;
	rec.stopped_us = LEDGER_UNKNOWN;
	want_sentence(&rec, "reclaimed -4.0KiB from ev\\nil\\x1b[2J (pid 4711, web.service) by collect,trim: heap "
			    "trimmed");
	strcpy(rec.reason, "refused");
	strcpy(rec.comm, "cat");
	rec.unit[0] = rec.words[0] = 0;
	want_sentence(&rec, "cat (pid 4711): refused by collect,trim");
	rec.kind = LEDGER_CHECK;
	rec.after_us = 600000000;
	rec.predicted = 60ull << 20;
	rec.freed = 1 << 20;
	want_sentence(&rec, "10min 0s later, cat (pid 4711) has 40.0MiB: still gone 1.0MiB of 60.0MiB");
	rec.kind = LEDGER_LEAVE;
	strcpy(rec.words, "used its memory 3 s ago");
	want_sentence(&rec, "left alone: cat (pid 4711): used its memory 3 s ago");
	rec.kind = LEDGER_WOULD;
	want_sentence(&rec, "would reclaim 60.0MiB from cat (pid 4711) by collect,trim: used its memory 3 s ago");
	rec = (struct ledger_record){ .kind = LEDGER_START, .words = "0.1.0, enforce" };
	want_sentence(&rec, "started: 0.1.0, enforce");
	assert_string_equal(ledger_sentence(&rec, small, sizeof(small)), "started: 0.");
}

/* Each kind has a sentence and an identity of its own, whatever is in the record. */
static void test_every_kind(void **state)
{
	char all[LEDGER_KINDS][LEDGER_SENTENCE];
	struct ledger_record rec = action();

	(void)state;
	memset(rec.unit, 0x1b, sizeof(rec.unit) - 1);
	memset(rec.words, 0xff, sizeof(rec.words) - 1);
	for (int k = LEDGER_START; k < LEDGER_KINDS; k++) {
		rec.kind = (enum ledger_kind)k;
		ledger_sentence(&rec, all[k], sizeof(all[k]));
		assert_true(strlen(all[k]) > 10);
		for (const char *p = all[k]; *p; p++)
			assert_true(*p >= ' ' && *p < 0x7f);
		assert_int_equal(strspn(journal_message_id(rec.kind), "0123456789abcdef"), 32);
		for (int other = LEDGER_START; other < k; other++) {
			assert_string_not_equal(all[k], all[other]);
			assert_string_not_equal(journal_message_id(rec.kind), journal_message_id(other));
		}
	}
}

/* What a child of ours writes to stderr where there is no journal. */
static void test_stderr(void **state)
{
	const struct ledger_record rec = action();
	char got[1024] = "";
	int fds[2], status;
	pid_t pid;

	(void)state;
	if (!access("/run/systemd/journal/socket", F_OK))
		skip();
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		_exit(journal_record(&rec) ||
		      journal_record(&(struct ledger_record){ .kind = LEDGER_KINDS }) != -EINVAL);
	}
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(read(fds[0], got, sizeof(got) - 1) > 0);
	close(fds[0]);
	assert_string_equal(got, "<5>reclaimed 60.0MiB from ev\\nil\\x1b[2J (pid 4711, web.service) by "
				 "collect,trim, predicted 64.0MiB, stopped for 2.1ms: heap trimmed\n");
}

/* A made-up journald in a /run of our own; 77: not possible here. */
static int receive(int result)
{
	const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
	const struct ledger_record rec = action();
	struct ledger_record bad = action();
	char buf[8192];
	int fd;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0)
		return 77;
	if (mkdir("/run/systemd", 0755) < 0 || mkdir("/run/systemd/journal", 0755) < 0)
		return 1;
	/* Nothing may go there. */
	if (close(STDERR_FILENO) < 0)
		return 2;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		return 3;
	strcpy(bad.reason, "timeout");
	bad.swapped = 4096;
	if (journal_record(&rec) < 0 || journal_record(&bad) < 0)
		return 4;
	for (int i = 0; i < 2; i++) {
		const ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n <= 0 || write(result, &n, sizeof(n)) != sizeof(n) || write(result, buf, (size_t)n) != n)
			return 5;
	}
	return 0;
}

static const char *field(const char *entry, size_t size, const char *text)
{
	return memmem(entry, size, text, strlen(text));
}

static void want_fields(const char *entry, size_t size)
{
	static const char *const want[] = {
		"\nMESSAGE_ID=610db53e438c4072a6d5a01be3b0f222\n",
		"\nPRIORITY=5\n",
		"\nSYSLOG_IDENTIFIER=reclaimd\n",
		"\nRECLAIM_KIND=action\n",
		"\nRECLAIM_SEQ=7\n",
		"\nRECLAIM_REASON=reclaimed\n",
		"\nRECLAIM_WORDS=heap trimmed\n",
		"\nRECLAIM_REMEDIES=collect,trim\n",
		"\nRECLAIM_PID=4711\n",
		"\nOBJECT_PID=4711\n",
		"\nRECLAIM_START_TIME=99\n",
		"\nRECLAIM_UID=1000\n",
		"\nRECLAIM_UNIT=web.service\n",
		"\nRECLAIM_PREDICTED=67108864\n",
		"\nRECLAIM_FREED=62914560\n",
		"\nRECLAIM_RSS_BEFORE=104857600\n",
		"\nRECLAIM_RSS_AFTER=41943040\n",
		"\nRECLAIM_STOPPED_US=2100\n",
		/* with a newline in it: by length */
		"\nRECLAIM_COMM\n\x09",
		"\nRECLAIM_EXE\n\x18",
	};

	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		if (!field(entry, size, want[i]))
			fail_msg("no %s", want[i]);
	assert_memory_equal(entry, "MESSAGE=reclaimed 60.0MiB", 25);
	assert_null(field(entry, size, "RECLAIM_DURATION_US"));
	assert_null(field(entry, size, "RECLAIM_AFTER_US"));
	assert_null(field(entry, size, "RECLAIM_SWAPPED"));
	assert_null(field(entry, size, "CODE_FILE"));
}

static void test_journal(void **state)
{
	char buf[8192];
	ssize_t sizes[2] = { 0 };
	int fds[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (!pid)
		_exit(receive(fds[1]));
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(read(fds[0], &sizes[i], sizeof(sizes[i])), sizeof(sizes[i]));
		assert_in_range(sizes[i], 1, sizeof(buf));
		assert_int_equal(read(fds[0], buf, (size_t)sizes[i]), sizes[i]);
		if (i == 0) {
			want_fields(buf, (size_t)sizes[i]);
			continue;
		}
		assert_non_null(field(buf, (size_t)sizes[i], "\nPRIORITY=4\n"));
		assert_non_null(field(buf, (size_t)sizes[i], "\nRECLAIM_SWAPPED=4096\n"));
	}
	close(fds[0]);
}

/* Each kind is explained in the catalog, and by fields that exist. */
static void test_catalog(void **state)
{
	_cleanup_fclose_ FILE *f = fopen(FIXTURES "/../../daemon/units/reclaim.catalog", "re");
	static char text[32768];
	size_t n, entries = 0;

	(void)state;
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	assert_in_range(n, 1, sizeof(text) - 2);
	for (const char *p = text; (p = strstr(p, "\n-- ")); p++)
		entries++;
	assert_int_equal(entries, LEDGER_KINDS - 1);
	for (int k = LEDGER_START; k < LEDGER_KINDS; k++) {
		char head[64];

		snprintf(head, sizeof(head), "\n-- %s\nSubject: ", journal_message_id((enum ledger_kind)k));
		assert_non_null(strstr(text, head));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences), cmocka_unit_test(test_every_kind), cmocka_unit_test(test_stderr),
		cmocka_unit_test(test_journal),	  cmocka_unit_test(test_catalog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
