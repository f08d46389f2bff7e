// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/status, recorded, hostile and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/pstatus.h"
#include "recorded.h"

#define LONG_NAME "01234567890123456789012345678901234567890123456789012345678901234" /* 65 bytes */
#define HEAD "Name:\ta\nState:\tR (running)\nTgid:\t1\nPid:\t1\n"

static void test_status_real(void **state)
{
	_cleanup_close_ int sleeper = recorded_process("real", 100), python = recorded_process("real", 101);
	_cleanup_close_ int kthread = recorded_process("real", 2), zombie = recorded_process("real", 102);
	_cleanup_close_ int traced = recorded_process("real", 104), strict = recorded_process("real", 105);
	_cleanup_close_ int nested = recorded_process("real", 106);
	struct pstatus s;

	(void)state;
	assert_int_equal(pstatus_read(sleeper, &s), 0);
	assert_string_equal(s.name, "sleep");
	assert_true(s.state == 'S' && s.tgid == 100 && s.pid == 100 && s.ppid == 1 && s.tracer == 0);
	assert_true(s.vm_size == 2500 << 10 && s.rss_anon > 0 && s.rss_shmem == 0);
	assert_int_equal(s.vm_rss, s.rss_anon + s.rss_file + s.rss_shmem);
	assert_true(s.thp_enabled && s.nspid == 100 && s.seccomp == 0 && s.seccomp_filters == 0 && !s.shstk);

	assert_int_equal(pstatus_read(python, &s), 0);
	assert_int_equal(s.threads, 2);
	assert_true(s.rss_anon > 3 << 20);
	assert_true(s.sig_cgt & 1 << (2 - 1)); /* SIGINT */

	assert_int_equal(pstatus_read(kthread, &s), 0);
	assert_true(s.vm_size == 0 && s.rss_anon == 0 && s.sig_ign == UINT64_MAX && s.thp_enabled);
	assert_int_equal(pstatus_read(zombie, &s), 0);
	assert_true(s.state == 'Z' && s.vm_size == 0);
	assert_int_equal(pstatus_read(traced, &s), 0);
	assert_int_equal(s.tracer, 4242);
	assert_int_equal(pstatus_read(strict, &s), 0);
	assert_int_equal(s.seccomp, 1);
	assert_int_equal(pstatus_read(nested, &s), 0);
	assert_int_equal(s.nspid, 1);
}

static void test_status_hostile(void **state)
{
	_cleanup_close_ int forged = recorded_process("hostile", 200), large = recorded_process("hostile", 202);
	struct pstatus s;

	(void)state;
	assert_int_equal(pstatus_read(forged, &s), 0);
	assert_string_equal(s.name, ") R 1 (\n\\x)");
	assert_int_equal(pstatus_read(large, &s), 0);
	assert_true(s.rss_anon == UINT64_MAX - 1023 && s.uid == UINT32_MAX && s.euid == UINT32_MAX - 1 &&
		    s.suid == UINT32_MAX);
	assert_true(s.sig_cgt == UINT64_MAX);
}

static void test_status_refused(void **state)
{
	static const char *const refused[] = {
		"",
		"\n",
		"Name:\ta\n",
		"State:\tR (running)\nTgid:\t1\nPid:\t1\n",
		HEAD "no colon\n",
		HEAD "PPid:\t\n",
		HEAD "PPid:1\n",
		HEAD "PPid:\tx\n",
		HEAD "PPid:\t-1\n",
		HEAD "PPid:\t1 2\n",
		HEAD "PPid:\t2147483648\n",
		HEAD "Pid:\t1\n",
		HEAD "Uid:\t1\t2\t3\n",
		HEAD "Uid:\t1\t2\t3\t4294967296\n",
		HEAD "Uid:\t1\t2\t3\t4\t5\n",
		HEAD "Gid:\t\n",
		HEAD "VmRSS:\t 1 MB\n",
		HEAD "VmRSS:\t 1\n",
		HEAD "VmRSS:\t 1 kBs\n",
		HEAD "VmSwap:\t 18014398509481984 kB\n",
		HEAD "SigBlk:\t10000000000000000\n",
		HEAD "SigBlk:\tzz\n",
		HEAD "THP_enabled:\t2\n",
		HEAD "NoNewPrivs:\tyes\n",
		HEAD "NSpid:\t1\tx\n",
		"Name:\ta\nState:\t\nTgid:\t1\nPid:\t1\n",
		"Name:\ta\nState:\tRR\nTgid:\t1\nPid:\t1\n",
		"Name:\t" LONG_NAME "\nState:\tR\nTgid:\t1\nPid:\t1\n",
	};
	struct pstatus s, before;

	(void)state;
	memset(&s, 0x5a, sizeof(s));
	before = s;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (pstatus_parse(refused[i], &s) != -EBADMSG)
			fail_msg("accepted: '%s'", refused[i]);
		assert_memory_equal(&s, &before, sizeof(s));
	}
	for (pid_t pid = 302; pid <= 304; pid++) {
		_cleanup_close_ int dir = recorded_process("broken", pid);

		assert_int_equal(pstatus_read(dir, &s), -EBADMSG);
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

static void test_status_accepted(void **state)
{
	struct pstatus s;

	(void)state;
	assert_int_equal(pstatus_parse(HEAD, &s), 0);
	assert_true(s.thp_enabled && s.seccomp_filters == -1 && s.vm_rss == 0 && s.nspid == 0);
	assert_int_equal(
		pstatus_parse(HEAD "Unknown:\tx\nTHP_enabled:\t0\nSeccomp:\t2\nSeccomp_filters:\t3\nNoNewPrivs:\t1\n"
				   "x86_Thread_features:\tshstk wrss \nx86_Thread_features_locked:\t\n",
			      &s),
		0);
	assert_true(!s.thp_enabled && s.seccomp == 2 && s.seccomp_filters == 3 && s.no_new_privs && s.shstk);
	assert_int_equal(
		pstatus_parse(HEAD "x86_Thread_features:\twrss noshstk\nx86_Thread_features_locked:\tshstk\n", &s), 0);
	assert_false(s.shstk);
	assert_int_equal(pstatus_parse("Name:\t  b\nState:\tt (tracing stop)\nTgid:\t1\nPid:\t2", &s), 0);
	assert_string_equal(s.name, "  b");
	assert_true(s.state == 't' && s.pid == 2);
	assert_int_equal(pstatus_parse("Name:\t\nState:\tR\nTgid:\t1\nPid:\t2\n", &s), 0);
	assert_string_equal(s.name, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_real),
		cmocka_unit_test(test_status_hostile),
		cmocka_unit_test(test_status_refused),
		cmocka_unit_test(test_status_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
