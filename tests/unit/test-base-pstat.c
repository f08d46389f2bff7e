// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/stat, recorded, hostile and broken. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/pstat.h"
#include "recorded.h"

static void test_stat_real(void **state)
{
	static const struct {
		pid_t pid;
		const char *comm;
		char state;
		bool kthread;
		long threads;
		uint64_t start_time, vsize, minor, major;
	} rows[] = {
		{ 2, "kthreadd", 'S', true, 1, 25, 0, 0, 0 },
		{ 101, "python3", 'S', false, 2, 182893, 0, 2168, 0 },
		{ 102, "true", 'Z', false, 1, 182894, 0, 49, 1 },
		{ 103, "m32", 'S', false, 1, 182894, 184320, 3, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_close_ int dir = recorded_process("real", rows[i].pid);
		struct pstat s;

		assert_int_equal(pstat_read(dir, &s), 0);
		assert_int_equal(s.pid, rows[i].pid);
		assert_string_equal(s.comm, rows[i].comm);
		assert_int_equal(s.state, rows[i].state);
		assert_int_equal(s.threads, rows[i].threads);
		assert_int_equal(s.start_time, rows[i].start_time);
		assert_int_equal(pstat_is_kthread(&s), rows[i].kthread);
		assert_int_equal(s.minor_faults, rows[i].minor);
		assert_int_equal(s.major_faults, rows[i].major);
		if (rows[i].vsize)
			assert_int_equal(s.vsize, rows[i].vsize);
	}
}

static void test_stat_hostile(void **state)
{
	_cleanup_close_ int forged = recorded_process("hostile", 200), escapes = recorded_process("hostile", 201);
	_cleanup_close_ int large = recorded_process("hostile", 202);
	struct pstat s;

	(void)state;
	assert_int_equal(pstat_read(forged, &s), 0);
	assert_string_equal(s.comm, ") R 1 (\n\\x)");
	assert_int_equal(s.state, 'S');
	assert_int_equal(s.ppid, 1);
	assert_int_equal(pstat_read(escapes, &s), 0);
	assert_string_equal(s.comm, "\x1b[2J\xff\xc2\x9b");
	assert_int_equal(pstat_read(large, &s), 0);
	assert_true(s.start_time == UINT64_MAX && s.vsize == UINT64_MAX && s.utime == UINT64_MAX &&
		    s.stime == UINT64_MAX);
	assert_int_equal(s.threads, INT_MAX);
}

static void test_stat_refused(void **state)
{
#define TAIL " 1 1 1 0 -1 4194304 0 0 0 0 1 2 -3 -4 20 -5 7 0 99 4096 5\n"
	static const char *const refused[] = {
		"",
		"1",
		"1 ",
		"1 (",
		"1 (a",
		"1 (a)",
		"1 (a) ",
		"1 (a) S",
		"1 (a) S 1",
		"x (a) S" TAIL,
		"0 (a) S" TAIL,
		"-1 (a) S" TAIL,
		"2147483648 (a) S" TAIL,
		"1(a) S" TAIL,
		"1 a S" TAIL,
		"1 (a)S" TAIL,
		"1 (a) 1" TAIL,
		"1 (a) SS" TAIL,
		"1 (a) S -1 1 1 0 -1 1 0 0 0 0 1 2 3 4 20 0 7 0 99 4096 5\n",
		"1 (a) S 1 1 1 0 -1 4194304 0 0 0 0 1 2 -3 -4 20 -5 7 0 99 4096", /* may have been cut */
		"1 (a) S 1 1 1 0 -1 4294967296 0 0 0 0 1 2 3 4 20 0 7 0 99 4096 5\n", /* flags */
		"1 (a) S 1 1 1 0 -1 1 0 0 0 0 1 2 3 4 20 0 7 0 18446744073709551616 4096 5\n",
		"1 (a) S 1 1 1 0 -1 1 0 0 0 0 1 2 3 4 20 0 -7 0 99 4096 5\n",
		"1 (a) S 1 1 1 0 -1 1 0 0 0 0 1 2 3 4 20 0 7  0 99 4096 5\n",
		"1 (a) S 1 1 1 0 -1 1 0 0 0 0 1 2 3 4 20 0 7 0 9x9 4096 5\n",
		"1 (01234567890123456789012345678901234567890123456789012345678901234) S" TAIL, /* 65 bytes */
	};
	struct pstat s, before;

	(void)state;
	memset(&s, 0x5a, sizeof(s));
	before = s;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (pstat_parse(refused[i], &s) != -EBADMSG)
			fail_msg("accepted: '%s'", refused[i]);
		assert_memory_equal(&s, &before, sizeof(s));
	}

	for (pid_t pid = 300; pid <= 301; pid++) {
		_cleanup_close_ int dir = recorded_process("broken", pid);

		assert_int_equal(pstat_read(dir, &s), -EBADMSG);
		assert_memory_equal(&s, &before, sizeof(s));
	}

	assert_int_equal(pstat_parse("1 (0123456789012345678901234567890123456789012345678901234567890123) S" TAIL, &s),
			 0);
	assert_int_equal(strlen(s.comm), 64);
	assert_int_equal(pstat_parse("1 () S" TAIL, &s), 0);
	assert_string_equal(s.comm, "");
	assert_int_equal(s.stime, 2);
	assert_int_equal(s.threads, 7);
	assert_int_equal(s.start_time, 99);
	assert_int_equal(s.vsize, 4096);
#undef TAIL
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat_real),
		cmocka_unit_test(test_stat_hostile),
		cmocka_unit_test(test_stat_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
