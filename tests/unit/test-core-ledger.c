// SPDX-License-Identifier: GPL-2.0-or-later
/* The ledger when all goes well: what is written is read, filtered and bounded. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ledger-fake.h"

#define ROOM (1u << 20)

static void test_round(void **state)
{
	struct ledger *l;

	(void)state;
	for (uint64_t round = 0; round < 3; round++) {
		l = ledger_fake_open(ROOM);
		ledger_fake_append(l, 1 + round * 10, 10);
		ledger_close(&l);
		assert_null(l);
		ledger_fake_want(ledger_fake_read(NULL), 10 + round * 10, 1, 10 + round * 10, 0);
	}
}

static int keep(void *arg, const struct ledger_record *rec)
{
	*(struct ledger_record *)arg = *rec;
	return 0;
}

/* Texts that fill their members, and what isn't a record. */
static void test_full_texts(void **state)
{
	const struct ledger_filter f = { .uid = (uid_t)-1, .last = 1 };
	struct ledger_record rec = ledger_fake_record(1), got = { 0 };
	struct ledger *l = ledger_fake_open(ROOM);

	(void)state;
	memset(rec.exe, 'e', sizeof(rec.exe)); /* no NUL: the last one is cut */
	memset(rec.comm, 'c', sizeof(rec.comm) - 1);
	memset(rec.words, '\xff', sizeof(rec.words) - 1);
	rec.words[sizeof(rec.words) - 1] = 0;
	assert_int_equal(ledger_append(l, &rec, true), 0);
	assert_int_equal(ledger_read(ledger_fake_folder, &f, keep, &got, NULL), 0);
	assert_int_equal(strlen(got.exe), sizeof(rec.exe) - 1);
	assert_int_equal(strlen(got.comm), sizeof(rec.comm) - 1);
	assert_string_equal(got.words, rec.words);
	rec.kind = 0;
	assert_int_equal(ledger_append(l, &rec, true), -EINVAL);
	rec.kind = LEDGER_KINDS;
	assert_int_equal(ledger_append(l, &rec, true), -EINVAL);
	rec.kind = LEDGER_LOOK;
	rec.pid = -1;
	assert_int_equal(ledger_append(l, &rec, true), -EINVAL);
	ledger_close(&l);
}

/* All at once they don't fit: what records are found by stays whole, the longest of the others are cut. */
static void test_too_much_text(void **state)
{
	const struct ledger_filter f = { .uid = (uid_t)-1, .last = 1 };
	struct ledger_record rec = ledger_fake_record(1), got = { 0 };
	struct ledger *l = ledger_fake_open(ROOM);

	(void)state;
	memset(rec.exe, 'e', sizeof(rec.exe) - 1);
	memset(rec.unit, 'u', sizeof(rec.unit) - 1);
	memset(rec.cgroup, 'g', sizeof(rec.cgroup) - 1);
	memset(rec.words, 'w', sizeof(rec.words) - 1);
	rec.exe[sizeof(rec.exe) - 1] = rec.unit[sizeof(rec.unit) - 1] = 0;
	rec.cgroup[sizeof(rec.cgroup) - 1] = rec.words[sizeof(rec.words) - 1] = 0;
	assert_int_equal(ledger_append(l, &rec, true), 0);
	assert_int_equal(ledger_read(ledger_fake_folder, &f, keep, &got, NULL), 0);
	assert_string_equal(got.exe, rec.exe);
	assert_string_equal(got.unit, rec.unit);
	assert_string_equal(got.slice, rec.slice);
	assert_int_equal(strlen(got.cgroup), strlen(got.words));
	assert_true(strlen(got.words) > 100 && !strncmp(got.cgroup, rec.cgroup, strlen(got.cgroup)));
	/* With little else a path of that length fits. */
	strcpy(rec.exe, "/bin/e");
	strcpy(rec.unit, "u.service");
	assert_int_equal(ledger_append(l, &rec, true), 0);
	assert_int_equal(ledger_read(ledger_fake_folder, &f, keep, &got, NULL), 0);
	assert_string_equal(got.cgroup, rec.cgroup);
	assert_string_equal(got.words, rec.words);
	ledger_close(&l);
}

/* Records of the first layout, and new ones behind them in the same file. */
static void test_first_version(void **state)
{
	const struct ledger_filter f = { .uid = (uid_t)-1, .last = 1 };
	struct ledger_record rec = ledger_fake_record(1), got = { 0 };
	struct ledger *l = ledger_fake_open(ROOM);
	struct ledger_slot old;
	size_t n;
	int fd;

	(void)state;
	ledger_slot_fill(&old, &rec, 1);
	memset(&old.v1, 0, sizeof(old.v1));
	old.magic = LEDGER_MAGIC_1;
	strcpy(old.v1.exe, "/usr/bin/old");
	strcpy(old.v1.unit, "old.service");
	strcpy(old.v1.words, "as before");
	ledger_slot_seal(&old);
	ledger_fake_append(l, 1, 1);
	ledger_close(&l);
	fd = ledger_fake_segment(1);
	assert_int_equal(pwrite(fd, &old, sizeof(old), 0), sizeof(old));
	close(fd);
	assert_int_equal(ledger_read(ledger_fake_folder, &f, keep, &got, NULL), 0);
	assert_string_equal(got.exe, "/usr/bin/old");
	assert_string_equal(got.unit, "old.service");
	assert_string_equal(got.words, "as before");
	assert_string_equal(got.slice, "");
	assert_string_equal(got.cgroup, "");
	assert_int_equal(got.real_uid, got.uid);
	l = ledger_fake_open(ROOM);
	ledger_fake_append(l, 2, 1);
	ledger_close(&l);
	assert_int_equal(ledger_read(ledger_fake_folder, &f, keep, &got, NULL), 0);
	ledger_fake_check(&got);
	(void)ledger_fake_bytes(&n);
	assert_int_equal(n, 1);
}

static void test_names(void **state)
{
	(void)state;
	for (int k = LEDGER_START; k < LEDGER_KINDS; k++)
		for (int other = LEDGER_START; other < k; other++)
			assert_string_not_equal(ledger_kind_name(k), ledger_kind_name(other));
	assert_string_equal(ledger_kind_name(LEDGER_ACTION), "action");
	assert_string_equal(ledger_kind_name(0), "unknown");
	assert_string_equal(ledger_kind_name(LEDGER_KINDS), "unknown");
}

static void test_filter(void **state)
{
	static const struct {
		struct ledger_filter f;
		uint64_t n, first, last;
	} want[] = {
		{ { .uid = (uid_t)-1, .pid = 103 }, 14, 3, 94 },
		{ { .uid = (uid_t)-1, .unit = "unit-2.service" }, 33, 2, 98 },
		{ { .uid = (uid_t)-1, .unit = "back.slice" }, 100, 1, 100 },
		{ { .uid = (uid_t)-1, .unit = "data.slice" }, 0, 0, 0 },
		{ { .uid = 1000 }, 50, 1, 99 },
		{ { .uid = (uid_t)-1, .since_real_us = 1000 + 91 }, 10, 91, 100 },
		{ { .uid = (uid_t)-1, .kinds = 1u << LEDGER_LOOK }, 0, 0, 0 },
		{ { .uid = (uid_t)-1, .kinds = 1u << LEDGER_LOOK | 1u << LEDGER_ACTION, .last = 3 }, 3, 98, 100 },
		{ { .uid = (uid_t)-1, .unit = "unit-0.service", .last = 2 }, 2, 96, 99 },
		{ { .uid = (uid_t)-1, .exe = "/usr/bin/other", .last = 2 }, 0, 0, 0 },
		{ { .uid = (uid_t)-1, .exe = "/usr/bin/program", .last = 1000 }, 100, 1, 100 },
		{ { .uid = (uid_t)-1, .exe = "/usr/bin/program", .last = 70 }, 70, 31, 100 },
		{ { .uid = (uid_t)-1, .among = 10 }, 10, 91, 100 },
		{ { .uid = (uid_t)-1, .among = 1000 }, 100, 1, 100 },
		{ { .uid = (uid_t)-1, .among = 60, .last = 55 }, 55, 46, 100 },
		{ { .uid = (uid_t)-1, .among = 60, .pid = 103, .last = 99 }, 8, 45, 94 },
		{ { .uid = (uid_t)-1, .among = 6, .pid = 103 }, 0, 0, 0 },
	};
	struct ledger_told t = { .stop_after = 5 };
	struct ledger *l = ledger_fake_open(0);

	(void)state;
	ledger_fake_append(l, 1, 50); /* over several segments: 64 KiB is the least, 16 KiB each */
	ledger_close(&l);
	l = ledger_fake_open(ROOM);
	ledger_fake_append(l, 51, 50);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		ledger_fake_want(ledger_fake_read(&want[i].f), want[i].n, want[i].first, want[i].last, 0);
	assert_int_equal(ledger_read(ledger_fake_folder, &want[2].f, ledger_fake_tell, &t, NULL), 17);
	assert_int_equal(t.n, 5);
	ledger_close(&l);
}

/* Never more than allowed, never less than six eighths of it, whatever the limit becomes. */
static void test_bounded(void **state)
{
	static const uint64_t limits[] = { 256u << 10, 1u << 20, 100u << 10, 0, 16u << 20, 300u << 10 };
	struct ledger *l = ledger_fake_open(limits[0]);
	uint64_t next = 1;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const uint64_t max = MAX(limits[i], 64u << 10);
		uint64_t bytes;

		ledger_limit(l, limits[i]);
		assert_true(ledger_fake_bytes(&n) <= max);
		for (size_t k = 0; k < 600; k++) {
			ledger_fake_append(l, next++, 1);
			if (k % 50 == 0)
				assert_true(ledger_fake_bytes(&n) <= max);
		}
		bytes = ledger_fake_bytes(&n);
		assert_true(bytes <= max);
		assert_true(bytes >= MIN(max, 600 * LEDGER_SLOT) / 8 * 6);
		ledger_fake_want(ledger_fake_read(NULL), bytes / LEDGER_SLOT, next - bytes / LEDGER_SLOT, next - 1, 0);
	}
	ledger_close(&l);
}

/* Opened with less room than there is. */
static void test_bounded_at_open(void **state)
{
	struct ledger *l = ledger_fake_open(4 * ROOM);
	struct ledger_told t;
	size_t n;

	(void)state;
	ledger_fake_append(l, 1, 3000);
	ledger_close(&l);
	l = ledger_fake_open(0);
	assert_true(ledger_fake_bytes(&n) <= 64u << 10);
	/* What is more than a segment's worth of the room had to go as well; the numbers go on. */
	ledger_fake_append(l, 3001, 40);
	t = ledger_fake_read(NULL);
	assert_int_equal(t.last, 3040);
	assert_int_equal(t.damaged, 0);
	ledger_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, ledger_fake_setup, ledger_fake_teardown),
		cmocka_unit_test_setup_teardown(test_full_texts, ledger_fake_setup, ledger_fake_teardown),
		cmocka_unit_test_setup_teardown(test_too_much_text, ledger_fake_setup, ledger_fake_teardown),
		cmocka_unit_test_setup_teardown(test_first_version, ledger_fake_setup, ledger_fake_teardown),
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_filter, ledger_fake_setup, ledger_fake_teardown),
		cmocka_unit_test_setup_teardown(test_bounded, ledger_fake_setup, ledger_fake_teardown),
		cmocka_unit_test_setup_teardown(test_bounded_at_open, ledger_fake_setup, ledger_fake_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
