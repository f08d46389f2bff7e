// SPDX-License-Identifier: GPL-2.0-or-later
/* Processes as sense shows them, on recorded trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "recorded.h"
#include "sense/proc.h"

#define MIB (1ull << 20)

static void test_list_real(void **state)
{
	static const struct {
		pid_t pid;
		int bits;
		const char *exe, *unit;
	} rows[] = {
		{ 2, 0, "", "" },
		{ 100, 64, "/usr/bin/sleep", "cron.service" },
		{ 101, 64, "/usr/bin/python3.11", "user@1000.service" },
		{ 102, 0, "", "session-2.scope" },
		{ 103, 32, "/opt/old/m32 (deleted)", "nginx.service" },
		{ 104, 64, "/usr/bin/sleep", "getty@tty1.service" },
		{ 105, 64, "/usr/bin/python3.11", "session-2.scope" },
		{ 106, 64, "/usr/bin/sleep", "" },
	};
	_cleanup_close_ int root = recorded_tree("real");
	_cleanup_(proc_list_done) struct proc_list l = { 0 };

	(void)state;
	assert_int_equal(proc_list_read(root, NULL, PROC_NAMES, &l), 0);
	assert_int_equal(l.n, ARRAY_SIZE(rows));
	for (size_t i = 0; i < l.n; i++) {
		assert_int_equal(l.v[i].pid, rows[i].pid);
		assert_int_equal(l.v[i].bits, rows[i].bits);
		assert_string_equal(l.v[i].exe, rows[i].exe);
		assert_string_equal(l.v[i].unit, rows[i].unit);
		assert_true(l.v[i].heap == PROC_UNKNOWN && l.v[i].lazyfree == PROC_UNKNOWN);
		assert_true(l.v[i].rss == l.v[i].anon + l.v[i].file + l.v[i].shmem);
	}
	assert_true(l.v[0].kthread && !l.v[1].kthread);
	assert_string_equal(l.v[2].cgroup, "/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.scope");
	assert_true(l.v[3].state == 'Z' && l.v[3].rss == 0);
	assert_int_equal(l.v[5].tracer, 4242);
	assert_int_equal(l.v[6].seccomp, 1);
}

static void test_list_filter(void **state)
{
	static const struct proc_filter none = { 0 }, large = { .min_rss = 5 * MIB }, kthreads = { .kthreads = true };
	static const struct proc_filter huge = { .min_rss = 1ull << 40, .kthreads = true };
	_cleanup_close_ int root = recorded_tree("real");
	struct proc_list l = { 0 };

	(void)state;
	assert_int_equal(proc_list_read(root, &none, PROC_BASIC, &l), 0);
	assert_int_equal(l.n, 7);
	assert_int_equal(l.v[0].pid, 100);
	assert_string_equal(l.v[0].exe, "");
	assert_string_equal(l.v[0].cgroup, "");
	assert_string_equal(l.v[0].unit, "");
	proc_list_done(&l);
	assert_int_equal(proc_list_read(root, &kthreads, PROC_BASIC, &l), 0);
	assert_int_equal(l.n, 8);
	proc_list_done(&l);
	assert_int_equal(proc_list_read(root, &large, PROC_BASIC, &l), 0);
	assert_int_equal(l.n, 2); /* the two pythons */
	proc_list_done(&l);
	assert_int_equal(proc_list_read(root, &huge, PROC_DEEP, &l), 0);
	assert_int_equal(l.n, 0);
	proc_list_done(&l);
	proc_list_done(&l);
}

static void test_deep_real(void **state)
{
	_cleanup_close_ int root = recorded_tree("real");
	struct proc p = { 0 };

	(void)state;
	assert_int_equal(proc_read(root, 101, PROC_DEEP, &p), 0);
	assert_string_equal(p.comm, "python3");
	assert_true(p.heap > 0 && p.heap <= p.heap_size && p.stack > 0 && p.lazyfree == 0 && p.huge == 0);
	assert_true(p.mmap_anon > 3 * MIB);
	assert_int_equal(p.heap + p.mmap_anon + p.stack, p.anon);
	proc_done(&p);

	/* No address space: known to be nothing, not unknown. */
	assert_int_equal(proc_read(root, 2, PROC_DEEP, &p), 0);
	assert_true(p.heap == 0 && p.mmap_anon == 0 && p.kthread);
	proc_done(&p);
	assert_int_equal(proc_read(root, 102, PROC_DEEP, &p), 0);
	assert_true(p.heap == 0 && p.heap_size == 0);
	proc_done(&p);
	proc_done(&p);

	/* A recorded tree answers no questions: smaps instead. */
	assert_int_equal(proc_read(root, 101, PROC_HEAP, &p), 0);
	assert_true(p.heap > 0 && p.heap + p.mmap_anon + p.stack == p.anon);
	proc_done(&p);
}

static void test_hostile(void **state)
{
	static const pid_t pids[] = { 200, 201, 202, 203, 204, 205, 207 }; /* 206 has gone */
	_cleanup_close_ int root = recorded_tree("hostile");
	_cleanup_(proc_list_done) struct proc_list l = { 0 };

	(void)state;
	assert_int_equal(proc_list_read(root, NULL, PROC_DEEP, &l), 0);
	assert_int_equal(l.n, ARRAY_SIZE(pids));
	for (size_t i = 0; i < l.n; i++)
		assert_int_equal(l.v[i].pid, pids[i]);
	assert_string_equal(l.v[0].comm, ") R 1 (\n\\x)");
	assert_string_equal(l.v[1].comm, "\x1b[2J\xff\xc2\x9b");
	assert_true(l.v[2].start_time == UINT64_MAX && l.v[2].uid == UINT32_MAX);
	/* smaps cut, backwards, missing: that process's figures are unknown, the rest stands. */
	for (size_t i = 3; i <= 5; i++) {
		assert_true(l.v[i].heap == PROC_UNKNOWN && l.v[i].mmap_anon == PROC_UNKNOWN);
		assert_true(l.v[i].anon != PROC_UNKNOWN);
	}
	assert_string_equal(l.v[5].exe, "");
	assert_string_equal(l.v[5].cgroup, "");
	assert_int_equal(l.v[5].bits, 0);
	assert_true(l.v[6].heap == 4096 && l.v[6].heap_size == 4096 && l.v[6].stack == 4096);
	assert_int_equal(l.v[6].mmap_anon, 20 * 4096);
	assert_int_equal(l.v[6].lazyfree, 22 * 4096);
}

static void test_failures_touch_nothing(void **state)
{
	_cleanup_close_ int real = recorded_tree("real"), hostile = recorded_tree("hostile"),
			    broken = recorded_tree("broken");
	struct proc_list l, list_before;
	struct proc p, before;

	(void)state;
	memset(&p, 0x5a, sizeof(p));
	memset(&l, 0x5a, sizeof(l));
	before = p;
	list_before = l;
	assert_int_equal(proc_read(real, 99, PROC_BASIC, &p), -ESRCH);
	assert_int_equal(proc_read(hostile, 206, PROC_BASIC, &p), -ESRCH);
	assert_int_equal(proc_read(broken, 300, PROC_BASIC, &p), -EBADMSG);
	assert_int_equal(proc_read(broken, 303, PROC_DEEP, &p), -EBADMSG);
	assert_memory_equal(&p, &before, sizeof(p));
	/* A file that no kernel writes means that we misread this kernel: no list is better than a wrong one. */
	assert_int_equal(proc_list_read(broken, NULL, PROC_BASIC, &l), -EBADMSG);
	assert_int_equal(proc_list_read(-1, NULL, PROC_BASIC, &l), -EBADF);
	assert_memory_equal(&l, &list_before, sizeof(l));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_real),
		cmocka_unit_test(test_list_filter),
		cmocka_unit_test(test_deep_real),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_failures_touch_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
