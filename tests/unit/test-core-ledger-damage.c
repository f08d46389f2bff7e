// SPDX-License-Identifier: GPL-2.0-or-later
/* The ledger when something is wrong: torn ends, damaged middles, full disks, other writers, other files. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "ledger-fake.h"

#define ROOM (1u << 20)

static void make(uint64_t n)
{
	struct ledger *l = ledger_fake_open(ROOM);

	ledger_fake_append(l, 1, n);
	ledger_close(&l);
}

static uint64_t size_of(uint64_t first)
{
	_cleanup_close_ int fd = ledger_fake_segment(first);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

static void cut(uint64_t first, uint64_t size)
{
	_cleanup_close_ int fd = ledger_fake_segment(first);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
}

static void overwrite(uint64_t first, uint64_t offset, const void *data, size_t n)
{
	_cleanup_close_ int fd = ledger_fake_segment(first);

	assert_int_equal(pwrite(fd, data, n, (off_t)offset), n);
}

/* Each bit of a record changed in turn is noticed, and so is a record at another one's place. */
static void test_every_bit(void **state)
{
	const struct ledger_record rec = ledger_fake_record(3);
	struct ledger_slot s;
	char *bytes = (char *)&s;

	(void)state;
	ledger_slot_fill(&s, &rec, 3);
	assert_true(ledger_slot_valid(&s, 3));
	assert_false(ledger_slot_valid(&s, 4));
	for (size_t i = 0; i < sizeof(s) * 8; i++) {
		bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
		assert_false(ledger_slot_valid(&s, 3));
		bytes[i / 8] = (char)(bytes[i / 8] ^ 1 << i % 8);
	}
	assert_true(ledger_slot_valid(&s, 3));
}

/* Cut at each byte of the last record: for readers as if it had never been, and for the file at the next open. */
static void test_torn(void **state)
{
	struct ledger *l;

	(void)state;
	make(4);
	for (uint64_t left = 0; left < LEDGER_SLOT; left++) {
		cut(1, 3 * LEDGER_SLOT + left);
		ledger_fake_want(ledger_fake_read(NULL), 3, 1, 3, 0);
		l = ledger_fake_open(ROOM);
		assert_int_equal(size_of(1), 3 * LEDGER_SLOT);
		ledger_fake_append(l, 4, 1);
		ledger_close(&l);
		ledger_fake_want(ledger_fake_read(NULL), 4, 1, 4, 0);
	}
}

/* The size was on disk before the bytes were: zeros at the end, several records long. */
static void test_zeros(void **state)
{
	struct ledger *l;

	(void)state;
	make(4);
	cut(1, 2 * LEDGER_SLOT);
	cut(1, 6 * LEDGER_SLOT + 77);
	l = ledger_fake_open(ROOM);
	assert_int_equal(size_of(1), 2 * LEDGER_SLOT);
	ledger_fake_append(l, 3, 2);
	ledger_close(&l);
	ledger_fake_want(ledger_fake_read(NULL), 4, 1, 4, 0);
}

static void test_damaged_middle(void **state)
{
	struct ledger *l;

	(void)state;
	make(300); /* 128 of them in a segment */
	overwrite(1, 5 * LEDGER_SLOT + 200, "x", 1);
	overwrite(129, 0, "y", 1);
	cut(1, 127 * LEDGER_SLOT + 1); /* and the last one of the first segment is torn */
	ledger_fake_want(ledger_fake_read(NULL), 297, 1, 300, 3);
	l = ledger_fake_open(ROOM);
	ledger_fake_append(l, 301, 1);
	ledger_close(&l);
	ledger_fake_want(ledger_fake_read(NULL), 298, 1, 301, 3);
}

/* A record that was copied to another place is no record there. */
static void test_misplaced(void **state)
{
	char slots[2 * LEDGER_SLOT];
	_cleanup_close_ int fd = -1;

	(void)state;
	make(10);
	fd = ledger_fake_segment(1);
	assert_int_equal(pread(fd, slots, sizeof(slots), 0), sizeof(slots));
	overwrite(1, 4 * LEDGER_SLOT, slots, sizeof(slots));
	ledger_fake_want(ledger_fake_read(NULL), 8, 1, 10, 2);
}

/* All of the newest segment is of another version, or lost: it stays, and the numbers go on behind it. */
static void test_foreign_segment(void **state)
{
	char junk[LEDGER_SLOT * 3];
	struct ledger *l;

	(void)state;
	make(130);
	memset(junk, '?', sizeof(junk));
	overwrite(129, 0, junk, sizeof(junk));
	l = ledger_fake_open(ROOM);
	ledger_fake_append(l, 132, 1);
	ledger_close(&l);
	assert_int_equal(size_of(129), sizeof(junk));
	ledger_fake_want(ledger_fake_read(NULL), 129, 1, 132, 3);
}

/* The same when it is huge, which nobody reads through; and when it can't be ours by its size. */
static void test_huge_segment(void **state)
{
	static const uint64_t sizes[] = { 5ull << 30, 9ull << 30 };
	uint64_t next = 1;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct ledger *l = ledger_fake_open(64 * sizes[i]);

		ledger_fake_append(l, next, 1);
		ledger_close(&l);
		cut(next, sizes[i]);
		next += sizes[i] / LEDGER_SLOT;
		l = ledger_fake_open(64 * sizes[i]);
		ledger_fake_append(l, next, 1);
		ledger_close(&l);
		cut(next, 0);
	}
}

/* What isn't a segment, or no regular file, is neither read, written to nor removed. */
static void test_other_files(void **state)
{
	static const char *const names[] = { "ledger-",
					     "ledger-0",
					     "ledger-007",
					     "ledger-1x",
					     "ledger--1",
					     "ledger-99999999999999999999",
					     "ledger-9223372036854775808",
					     "metrics" };
	_cleanup_close_ int dir = open(ledger_fake_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ledger *l;
	struct stat st;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		close(openat(dir, names[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(mkfifoat(dir, "ledger-5", 0600), 0);
	assert_int_equal(symlinkat("metrics", dir, "ledger-6"), 0);
	l = ledger_fake_open(0);
	ledger_fake_append(l, 1, 3);
	ledger_close(&l);
	ledger_fake_want(ledger_fake_read(NULL), 3, 1, 3, 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(fstatat(dir, names[i], &st, 0), 0);
		assert_int_equal(st.st_size, 0);
	}
}

static void test_no_folder(void **state)
{
	const struct ledger_filter all = { .uid = (uid_t)-1 };
	struct ledger_told t = { 0 };
	struct ledger *l = NULL;

	(void)state;
	assert_int_equal(ledger_open("/nowhere", ROOM, &l), -ENOENT);
	assert_null(l);
	assert_int_equal(ledger_read("/nowhere", &all, ledger_fake_tell, &t, NULL), -ENOENT);
	assert_int_equal(ledger_read("/dev/null", &all, ledger_fake_tell, &t, NULL), -ENOTDIR);
	ledger_fake_want(ledger_fake_read(NULL), 0, 0, 0, 0);
}

/* @fn in a child, which may change what belongs to the process; 77: not possible here. */
static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int open_busy(void)
{
	struct ledger *l = NULL;

	return ledger_open(ledger_fake_folder, ROOM, &l) == -EBUSY && !l ? 0 : 1;
}

static int open_free(void)
{
	_cleanup_(ledger_close) struct ledger *l = NULL;

	return ledger_open(ledger_fake_folder, ROOM, &l);
}

static int hold_on(void)
{
	return kill(getpid(), SIGSTOP);
}

static void test_two_writers(void **state)
{
	struct ledger *l = ledger_fake_open(ROOM);
	pid_t child;
	int status, r;

	(void)state;
	ledger_fake_append(l, 1, 1);
	assert_int_equal(in_child(open_busy), 0);
	/* A reader isn't kept out. */
	ledger_fake_want(ledger_fake_read(NULL), 1, 1, 1, 0);
	/* A child that hasn't executed anything yet doesn't hold the lock when its parent is gone. */
	child = fork();
	if (!child)
		_exit(hold_on());
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	ledger_close(&l);
	r = in_child(open_free);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(r, 0);
}

/* The disk is full in the middle of a record: a short write, then an error. */
static int append_short(void)
{
	struct rlimit limit = { .rlim_cur = 2 * LEDGER_SLOT + 300, .rlim_max = RLIM_INFINITY };
	struct ledger_record rec = ledger_fake_record(3);
	_cleanup_(ledger_close) struct ledger *l = NULL;
	int r;

	signal(SIGXFSZ, SIG_IGN);
	if (ledger_open(ledger_fake_folder, ROOM, &l) < 0 || setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		r = ledger_append(l, &rec, i & 1);
		if (r != -EFBIG || rec.seq || size_of(1) != 2 * LEDGER_SLOT)
			return 2;
	}
	limit.rlim_cur = RLIM_INFINITY;
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 3;
	return ledger_append(l, &rec, true) || rec.seq != 3 ? 4 : 0;
}

static void test_short_write(void **state)
{
	(void)state;
	make(2);
	assert_int_equal(in_child(append_short), 0);
	ledger_fake_want(ledger_fake_read(NULL), 3, 1, 3, 0);
}

/* A real full disk, of 64 KiB, with something else on it that goes away again. */
static int fill_disk(void)
{
	uint64_t next = 1, full = 0;
	_cleanup_(ledger_close) struct ledger *l = NULL;
	struct ledger_told t;
	char path[64];
	int fd;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", ledger_fake_folder, "tmpfs", 0, "size=64k") < 0)
		return 77;
	snprintf(path, sizeof(path), "%s/other", ledger_fake_folder);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, 16 << 10) || ledger_open(ledger_fake_folder, ROOM, &l) < 0)
		return 1;
	for (int i = 0; i < 200; i++) {
		struct ledger_record rec = ledger_fake_record(next);
		int r = ledger_append(l, &rec, true);

		if (r == -ENOSPC && ++full == 5 && ftruncate(fd, 0) < 0)
			return 2;
		if (r && r != -ENOSPC)
			return 3;
		next += !r;
	}
	t = ledger_fake_read(NULL);
	if (full < 10 || next < 49 || t.n != next - 1 || t.last != next - 1 || t.damaged)
		return 4;
	ledger_close(&l);
	l = ledger_fake_open(ROOM);
	t = ledger_fake_read(NULL);
	return t.n == next - 1 ? 0 : 5;
}

static void test_full_disk(void **state)
{
	int r = in_child(fill_disk);

	(void)state;
	if (r == 77)
		skip();
	assert_int_equal(r, 0);
}

/* Somebody empties the folder under the writer: it goes on, and its numbers too. */
static void test_emptied(void **state)
{
	struct ledger *l = ledger_fake_open(ROOM);
	_cleanup_close_ int dir = -1;

	(void)state;
	ledger_fake_append(l, 1, 10);
	assert_int_equal(ledger_fake_teardown(NULL), 0);
	assert_int_equal(mkdir(ledger_fake_folder, 0700), 0);
	/* With the folder gone altogether there is nowhere to write to. */
	assert_int_equal(ledger_append(l, &(struct ledger_record){ .kind = LEDGER_STOP }, false), -ENOENT);
	ledger_close(&l);
	l = ledger_fake_open(ROOM);
	ledger_fake_append(l, 1, 10);
	dir = open(ledger_fake_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(unlinkat(dir, "ledger-1", 0), 0);
	ledger_fake_append(l, 11, 10);
	ledger_fake_want(ledger_fake_read(NULL), 10, 11, 20, 0);
	ledger_close(&l);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, ledger_fake_setup, ledger_fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bit),
		TEST(test_torn),
		TEST(test_zeros),
		TEST(test_damaged_middle),
		TEST(test_misplaced),
		TEST(test_foreign_segment),
		TEST(test_huge_segment),
		TEST(test_other_files),
		TEST(test_no_folder),
		TEST(test_two_writers),
		TEST(test_short_write),
		TEST(test_full_disk),
		TEST(test_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
