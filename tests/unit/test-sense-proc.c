// SPDX-License-Identifier: GPL-2.0-or-later
/* Processes and regions as sense shows them, on recorded trees and on the running system. */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "sense/heap.h"
#include "sense/names.h"
#include "sense/proc.h"
#include "sense/region.h"

#define NOBODY 65534
#define MIB (1ull << 20)

static int open_tree(const char *tree)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/proc/%s", FIXTURES, tree);
	fd = procfs_open_root(path);
	assert_true(fd >= 0);
	return fd;
}

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
	_cleanup_close_ int root = open_tree("real");
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
	_cleanup_close_ int root = open_tree("real");
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
	_cleanup_close_ int root = open_tree("real");
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
	_cleanup_close_ int root = open_tree("hostile");
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
	_cleanup_close_ int real = open_tree("real"), hostile = open_tree("hostile"), broken = open_tree("broken");
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

static void test_regions(void **state)
{
	_cleanup_close_ int root = open_tree("hostile"), dir = procfs_open_pid(root, 207);
	_cleanup_close_ int real = open_tree("real"), python = procfs_open_pid(real, 101),
			    none = procfs_open_pid(real, 2);
	_cleanup_close_ int cut = procfs_open_pid(root, 203), back = procfs_open_pid(root, 204);
	_cleanup_close_ int gone = procfs_open_pid(root, 206), broken = open_tree("broken");
	_cleanup_close_ int figure = procfs_open_pid(broken, 307);
	struct region_list l, before;
	uint64_t rss = 0;
	struct proc p;

	(void)state;
	memset(&l, 0x5a, sizeof(l));
	before = l;
	assert_int_equal(region_list_read(cut, 1000, &l), -EBADMSG);
	assert_int_equal(region_list_read(back, 1000, &l), -EBADMSG);
	assert_int_equal(region_list_read(figure, 1000, &l), -EBADMSG);
	assert_int_equal(region_list_read(gone, 1000, &l), -ESRCH);
	assert_int_equal(region_list_read(dir, 21, &l), -E2BIG);
	assert_memory_equal(&l, &before, sizeof(l));

	assert_int_equal(region_list_read(dir, 22, &l), 0);
	assert_int_equal(l.n, 22);
	assert_string_equal(l.v[0].map.name, "/srv/a file  with blanks");
	assert_string_equal(l.v[21].map.name, "[vsyscall]");
	for (size_t i = 0; i < l.n; i++) {
		assert_true(l.v[i].rss == 4096 && l.v[i].anon == 4096 && l.v[i].swap == 8192 &&
			    l.v[i].lazyfree == 4096);
		assert_true(l.v[i].referenced == 4096 && l.v[i].locked == 4096 && l.v[i].huge == 0);
	}
	region_list_done(&l);
	region_list_done(&l);

	assert_int_equal(region_list_read(none, 10, &l), 0);
	assert_int_equal(l.n, 0);
	region_list_done(&l);

	assert_int_equal(region_list_read(python, 1000, &l), 0);
	for (size_t i = 0; i < l.n; i++)
		rss += l.v[i].rss;
	assert_int_equal(proc_read(real, 101, PROC_BASIC, &p), 0);
	assert_int_equal(rss, p.rss);
	proc_done(&p);
	region_list_done(&l);
}

static void test_unit(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "/", "" },
		{ "/init.scope", "init.scope" },
		{ "/system.slice", "" },
		{ "/system.slice/cron.service", "cron.service" },
		{ "/system.slice/cron.service/sub/group", "cron.service" },
		{ "/system.slice/cron.service (deleted)", "cron.service" },
		{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service" },
		{ "/user.slice/user-1000.slice/session-2.scope", "session-2.scope" },
		{ "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "user@1000.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service" },
		{ "/system.slice/_cpu.service", "cpu.service" },
		{ "/_system.slice/_a.service", "a.service" },
		{ "/system.slice/__x.service", "_x.service" },
		{ "/system.slice/a@.service", "" },
		{ "/system.slice/@a.service", "" },
		{ "/system.slice/.service", "" },
		{ "/system.slice/a.unknown", "" },
		{ "/system.slice/a b.service", "" },
		{ "/system.slice/a\x1b.service", "" },
		{ "/docker/0a1b", "" },
		{ "/docker/x/cron.service", "" },
		{ "/a@b.slice/c.service", "" },
		{ "//system.slice//dbus-org.x\\x2dy.service/", "dbus-org.x\\x2dy.service" },
		{ "/machine.slice/machine-a.scope/system.slice/b.service", "machine-a.scope" },
		{ "/a.slice/b.slice/", "" },
		{ "/..", "" },
		{ "/_", "" },
		{ "/proc-sys-fs-binfmt_misc.mount", "proc-sys-fs-binfmt_misc.mount" },
	};
	char long_name[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *unit = NULL;

		assert_int_equal(proc_unit_of_cgroup(rows[i][0], &unit), 0);
		if (strcmp(unit, rows[i][1]))
			fail_msg("'%s' gives '%s'", rows[i][0], unit);
	}

	/* systemd's limit is 255 bytes. */
	for (size_t len = 255; len <= 256; len++) {
		_cleanup_free_ char *unit = NULL;

		memset(long_name, 'a', len);
		memcpy(long_name + len - strlen(".service"), ".service", sizeof(".service"));
		assert_int_equal(proc_unit_of_cgroup(long_name, &unit), 0);
		assert_int_equal(strlen(unit), len == 255 ? 255 : 0);
	}
}

static void test_cgroup_text(void **state)
{
	static const char *const rows[][2] = {
		{ "0::/a/b\n", "/a/b" },
		{ "0::/\n", "/" },
		{ "", "" },
		{ "0::/a", "/a" },
		{ "nonsense\n0::/a\n", "/a" },
		{ "2:cpu:/x\n1:name=systemd:/s\n0::/v2\n", "/v2" },
		{ "2:cpu:/x\n1:name=systemd:/s\n0::/\n", "/s" },
		{ "2:cpu:/x\n13:name=systemd:/s:t\n", "/s:t" },
		{ "2:cpu:/x\n1:name=other:/s\n", "" },
		{ "10::/no\n", "" },
		{ "1:name=systemd:/\n0::/\n", "/" },
		{ "0::/0::/x\n", "/0::/x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *path = NULL;

		assert_int_equal(proc_cgroup_of_text(rows[i][0], &path), 0);
		assert_string_equal(path, rows[i][1]);
	}
}

static void test_bits(void **state)
{
	static const uint64_t v64[] = { 33, 0x7ffc12345000, 16, 0xbfebfbff, 6, 4096, 0, 0 };
	static const uint32_t v32[] = { 32, 0xf7f75550, 33, 0xf7f75000, 6, 4096, 7, 0, 0, 0 };
	static const uint64_t no_page_size[] = { 33, 6, 16, 4096, 0, 0 };

	(void)state;
	assert_int_equal(proc_bits_of_auxv((const char *)v64, sizeof(v64)), 64);
	assert_int_equal(proc_bits_of_auxv((const char *)v32, sizeof(v32)), 32);
	assert_int_equal(proc_bits_of_auxv((const char *)no_page_size, sizeof(no_page_size)), 0);
	assert_int_equal(proc_bits_of_auxv((const char *)v64, 47), 0);
	assert_int_equal(proc_bits_of_auxv("", 0), 0);
}

/* A child that has what we are to find: 8 MiB private, 4 MiB shared; says so with a byte on @fd. */
static pid_t start_child(int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *anon = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *shared = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(anon, 1, 8 * MIB);
		memset(shared, 1, 4 * MIB);
		(void)!write(fd, "x", 1);
		pause();
		_exit(0);
	}

	return pid;
}

static void test_live(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	_cleanup_(proc_list_done) struct proc_list l = { 0 };
	struct proc p, child = { 0 };
	int pipefd[2];
	bool found = false;
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	assert_int_equal(proc_read(root, getpid(), PROC_DEEP, &p), 0);
	pid = start_child(pipefd[1]);
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	assert_int_equal(proc_read(root, pid, PROC_DEEP, &child), 0);
	assert_true(child.ppid == getpid() && child.uid == getuid() && child.threads == 1);
	assert_int_equal(child.bits, (int)sizeof(void *) * 8);
	assert_string_equal(child.exe, p.exe);
	/* The pages that fork shares count for both, so the difference is what the child made. */
	assert_true(child.mmap_anon >= 8 * MIB && child.mmap_anon <= p.mmap_anon + 9 * MIB);
	assert_true(child.shmem >= 4 * MIB && child.anon >= 8 * MIB);

	assert_int_equal(proc_list_read(root, NULL, PROC_BASIC, &l), 0);
	for (size_t i = 0; i < l.n; i++) {
		assert_true(i == 0 || l.v[i - 1].pid < l.v[i].pid);
		if (l.v[i].pid == pid)
			found = l.v[i].start_time == child.start_time;
	}
	assert_true(found);
	proc_done(&child);
	proc_done(&p);

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(proc_read(root, pid, PROC_DEEP, &child), -ESRCH);
	close(pipefd[0]);
	close(pipefd[1]);
}

/* Both ways to the same figures, on a heap with untouched, read-only and zero pages and one split mapping. */
static void test_heap_equals_deep(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	_cleanup_close_ int self = procfs_open_pid(root, getpid());
	struct proc quick, deep;
	int pipefd[2], status;
	struct pstat stat;
	struct heap h;
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pstat_read(self, &stat), 0);
	if (heap_query(self, &stat, &h) == -EOPNOTSUPP) {
		print_message("this kernel has no PROCMAP_QUERY or PAGEMAP_SCAN\n");
		skip();
	}
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		char *heap = sbrk(16 << 20);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (heap == (char *)-1) {
			(void)!write(pipefd[1], "n", 1);
			_exit(1);
		}
		heap = (char *)(((uintptr_t)heap + 4095) & ~4095ul);
		memset(heap, 1, 5 << 20);
		for (size_t i = 6 << 20; i < 7 << 20; i += 4096)
			(void)*(volatile char *)&heap[i]; /* the zero page, which is nobody's memory */
		for (size_t i = 8 << 20; i < 15 << 20; i += 8192)
			heap[i] = 1; /* more ranges than fit one answer */
		if (mprotect(heap + (2 << 20), 4096, PROT_READ) < 0)
			_exit(1);
		(void)!write(pipefd[1], "x", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	if (c == 'n') {
		print_message("no heap of 16 MiB to be had (valgrind has its own)\n");
		assert_int_equal(waitpid(pid, &status, 0), pid);
		skip();
	}
	assert_int_equal(proc_read(root, pid, PROC_HEAP, &quick), 0);
	assert_int_equal(proc_read(root, pid, PROC_DEEP, &deep), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pipefd[0]);
	close(pipefd[1]);

	assert_true(deep.heap >= (5ull << 20) + (7ull << 19) && deep.heap_size >= 16ull << 20);
	assert_int_equal(quick.heap, deep.heap);
	assert_int_equal(quick.heap_size, deep.heap_size);
	assert_int_equal(quick.stack, deep.stack);
	/* RssAnon is a sum of counters per processor, which lags by some pages on kernels 6.2 to 6.15. */
	assert_true(quick.mmap_anon < deep.mmap_anon + MIB && deep.mmap_anon < quick.mmap_anon + MIB);
	proc_done(&quick);
	proc_done(&deep);
}

static void *sleep_forever(void *arg)
{
	*(pid_t *)arg = gettid();
	for (;;)
		pause();
	return NULL;
}

/* /proc/TID opens for a thread as well, though it is no process. */
static void test_thread_is_no_process(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	static volatile pid_t tid;
	pthread_t thread;
	struct proc p;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, sleep_forever, (void *)&tid), 0);
	while (!tid)
		usleep(1000);
	assert_int_equal(proc_read(root, tid, PROC_BASIC, &p), -ESRCH);
	pthread_cancel(thread);
	pthread_join(thread, NULL);
}

/* What we may not read is unknown, neither zero nor a failure. */
static int look_as_nobody(void)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	struct region_list l = { 0 };
	struct proc p = { 0 };
	_cleanup_close_ int dir = -1;

	if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		return 10;
	if (proc_read(root, 1, PROC_DEEP, &p) < 0)
		return 11;
	if (p.pid != 1 || p.rss == 0 || p.rss == PROC_UNKNOWN)
		return 12;
	if (p.heap != PROC_UNKNOWN || p.heap_size != PROC_UNKNOWN || p.lazyfree != PROC_UNKNOWN)
		return 13;
	if (strcmp(p.exe, "") || p.bits != 0)
		return 14;
	proc_done(&p);
	dir = procfs_open_pid(root, 1);
	if (region_list_read(dir, 100000, &l) != -EACCES || l.v)
		return 15;

	return 0;
}

static void test_not_permitted(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	pid = fork();
	if (pid == 0)
		_exit(look_as_nobody());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_real),
		cmocka_unit_test(test_list_filter),
		cmocka_unit_test(test_deep_real),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_failures_touch_nothing),
		cmocka_unit_test(test_regions),
		cmocka_unit_test(test_unit),
		cmocka_unit_test(test_cgroup_text),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_heap_equals_deep),
		cmocka_unit_test(test_thread_is_no_process),
		cmocka_unit_test(test_not_permitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
