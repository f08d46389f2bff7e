// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A writer that is killed: at random moments, and before and after each of its
 * system calls in turn. Whatever it was told to be on disk must be there, whole,
 * and the next writer goes on behind it. And readers beside a writer.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "ledger-fake.h"
#include "under-valgrind.h"

#define LITTLE 0 /* 64 KiB: a segment is 16 records, so that they come and go all the time */
#define KILLS 300
#define STEP_RECORDS 70 /* enough for the first segment to go */
#define READERS_NS 1500000000ull
#define READERS_MAX_NS 30000000000ull

/* Writes for ever, or @n records, and tells @report the number of each that is on disk. */
static int write_on(int report, uint64_t n)
{
	struct ledger *l = NULL;
	struct ledger_record rec;
	uint64_t next = 1;

	/* The numbers of what is there already decide what its records must be. */
	if (ledger_open(ledger_fake_folder, LITTLE, &l) < 0)
		return 1;
	rec = ledger_fake_record(0);
	rec.kind = LEDGER_LOOK;
	if (ledger_append(l, &rec, false) < 0)
		return 2;
	for (next = rec.seq + 1; n--; next++) {
		const bool sync = next % 3 == 0;

		rec = ledger_fake_record(next);
		if (ledger_append(l, &rec, sync) < 0 || rec.seq != next)
			return 3;
		if (sync && write(report, &next, sizeof(next)) != sizeof(next))
			return 4;
	}
	ledger_close(&l);
	return 0;
}

struct found {
	uint64_t n, first, last, damaged;
};

static int find(void *arg, const struct ledger_record *rec)
{
	struct found *f = arg;

	/* The first one of each writer doesn't know its number when it is made. */
	if (rec->kind != LEDGER_LOOK)
		ledger_fake_check(rec);
	assert_true(!f->n || rec->seq > f->last);
	f->first = f->n ? f->first : rec->seq;
	f->last = rec->seq;
	f->n++;
	return 0;
}

static struct found find_all(void)
{
	const struct ledger_filter all = { .uid = (uid_t)-1 };
	struct found f = { 0 };

	assert_int_equal(ledger_read(ledger_fake_folder, &all, find, &f, &f.damaged), 0);
	return f;
}

/* Waits for so many numbers: the last one. */
static uint64_t await_reports(int fd, int n, uint64_t before)
{
	uint64_t v;

	while (n-- > 0 && read(fd, &v, sizeof(v)) == sizeof(v))
		before = v;
	return before;
}

/* The last number that came through @fd, which has no writer any more or doesn't wait. */
static uint64_t last_report(int fd, uint64_t before)
{
	uint64_t v;

	while (read(fd, &v, sizeof(v)) == sizeof(v))
		before = v;
	return before;
}

/* After a kill: all up to @synced are there but for what had to go, and it can be written on. */
static void judge(uint64_t synced)
{
	struct found f = find_all();
	struct ledger *l;
	size_t n;

	assert_true(f.last >= synced);
	assert_int_equal(f.damaged, 0);
	assert_true(f.first <= 1 || f.n >= 32);
	assert_true(!f.n || f.n == f.last - f.first + 1);
	l = ledger_fake_open(LITTLE);
	assert_true(ledger_fake_bytes(&n) <= 64u << 10);
	ledger_close(&l);
	assert_int_equal(find_all().last, f.last);
}

static void test_random(void **state)
{
	const unsigned int seed = (unsigned int)clock_ns();
	/* There the system calls are mostly valgrind's. */
	const int kills = under_valgrind() ? KILLS / 20 : KILLS;
	unsigned int random = seed;
	uint64_t synced = 0;

	(void)state;
	print_message("seed %u\n", seed);
	for (int i = 0; i < kills; i++) {
		const struct timespec t = { .tv_nsec = 1000L * (rand_r(&random) % 2000) };
		int report[2], status;
		pid_t pid;

		assert_int_equal(pipe2(report, O_CLOEXEC), 0);
		pid = fork();
		if (!pid)
			_exit(write_on(report[1], UINT64_MAX));
		close(report[1]);
		synced = await_reports(report[0], rand_r(&random) % 4, synced);
		nanosleep(&t, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		synced = last_report(report[0], synced);
		close(report[0]);
		judge(synced);
	}
	assert_true(synced > 3 * (uint64_t)kills);
}

/* In a child that is to be followed. */
static void follow_me(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP))
		_exit(9);
}

/* Follows it to its @k-th stop at a system call, or to its end: the status. */
static int follow(pid_t pid, unsigned long k)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (unsigned long i = 0; i < k && WIFSTOPPED(status); i++) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	return status;
}

/* Kills it when it has come to its @k-th stop at a system call. False: it had ended before that. */
static bool kill_at(unsigned long k, int report[2])
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		close(report[0]);
		follow_me();
		_exit(write_on(report[1], STEP_RECORDS));
	}
	close(report[1]);
	status = follow(pid, k);
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 0);
		return false;
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return true;
}

static void test_each_system_call(void **state)
{
	unsigned long k = 1, kills = 0;
	bool killed = true;

	(void)state;
	if (under_valgrind())
		skip();
	/* Each stop at first, then each third one: entries and exits take turns. */
	for (; killed; k += k < 60 ? 1 : 3) {
		uint64_t synced;
		int report[2];

		assert_int_equal(ledger_fake_teardown(NULL), 0);
		assert_int_equal(ledger_fake_setup(NULL), 0);
		assert_int_equal(pipe2(report, O_CLOEXEC), 0);
		killed = kill_at(k, report);
		kills += killed;
		synced = last_report(report[0], 0);
		close(report[0]);
		judge(synced);
	}
	print_message("killed at %lu system calls of %lu\n", kills, k / 2);
	assert_true(kills > 100);
}

/* What a reader says that stands still at its @k-th stop while @l gets as many records as make all segments go. */
static bool overtaken_at(unsigned long k, struct ledger *l, uint64_t *next, uint64_t *ret_last)
{
	int report[2], status;
	struct found f;
	bool stopped;
	pid_t pid;

	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		follow_me();
		f = find_all();
		_exit(write(report[1], &f, sizeof(f)) != sizeof(f));
	}
	close(report[1]);
	status = follow(pid, k);
	stopped = WIFSTOPPED(status);
	if (stopped) {
		ledger_fake_append(l, *next, STEP_RECORDS);
		*next += STEP_RECORDS;
		assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(read(report[0], &f, sizeof(f)), sizeof(f));
	assert_int_equal(f.damaged, 0);
	*ret_last = f.last;
	close(report[0]);
	return stopped;
}

/* A reader that is overtaken anywhere on its way still sees what was there when it began, or younger ones. */
static void test_overtaken(void **state)
{
	struct ledger *l;
	uint64_t next = 1 + STEP_RECORDS, last;
	unsigned long k = 1;
	bool stopped = true;

	(void)state;
	if (under_valgrind())
		skip();
	l = ledger_fake_open(LITTLE);
	ledger_fake_append(l, 1, STEP_RECORDS);
	for (; stopped; k++) {
		const uint64_t there = next - 1;

		stopped = overtaken_at(k, l, &next, &last);
		if (last < there)
			fail_msg("stop %lu: %" PRIu64 " of %" PRIu64, k, last, there);
	}
	ledger_close(&l);
	print_message("overtaken at %lu stops\n", k - 2);
	assert_true(k > 20);
}

/* Readers, while records are written, and segments come and go under them. */
static void test_readers(void **state)
{
	const struct ledger_filter last = { .uid = (uid_t)-1, .last = 20 };
	const uint64_t begin = clock_ns(), end = begin + READERS_NS, limit = begin + READERS_MAX_NS;
	uint64_t reads = 0, before = 0;
	int report[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(report, O_CLOEXEC | O_NONBLOCK), 0);
	pid = fork();
	if (!pid) {
		close(report[0]);
		fcntl(report[1], F_SETFL, 0);
		_exit(write_on(report[1], UINT64_MAX));
	}
	close(report[1]);
	/* Enough for segments to have gone, also where a sync, or this process's turn, takes long. */
	for (; clock_ns() < end || ((reads <= 10 || before <= 80) && clock_ns() < limit); reads++) {
		uint64_t synced = last_report(report[0], before);
		struct found f = { 0 };

		/* What was on disk before we began to look must be seen, or younger ones instead. */
		if (reads % 2)
			f = find_all();
		else
			assert_int_equal(ledger_read(ledger_fake_folder, &last, find, &f, &f.damaged), 0);
		assert_true(f.last >= synced);
		assert_int_equal(f.damaged, 0);
		assert_true(reads % 2 || f.n <= 20);
		before = synced;
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	close(report[0]);
	print_message("%" PRIu64 " reads while %" PRIu64 " records were written\n", reads, before);
	assert_true(reads > 10 && before > 80);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, ledger_fake_setup, ledger_fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_random),
		TEST(test_each_system_call),
		TEST(test_overtaken),
		TEST(test_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
