// SPDX-License-Identifier: GPL-2.0-or-later
/* Processes and regions as sense shows them, on the running system. */
#include <fcntl.h>
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
#include "base/pstat.h"
#include "sense/heap.h"
#include "sense/proc.h"
#include "sense/region.h"

#define NOBODY 65534
#define MIB (1ull << 20)

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
	const struct proc_filter patient = { .kthreads = true, .patient = true };
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

	for (int way = 0; way < 2; way++) {
		bool found = false;

		assert_int_equal(proc_list_read(root, way ? &patient : NULL, PROC_BASIC, &l), 0);
		for (size_t i = 0; i < l.n; i++) {
			assert_true(i == 0 || l.v[i - 1].pid < l.v[i].pid);
			if (l.v[i].pid == pid)
				found = l.v[i].start_time == child.start_time;
		}
		assert_true(found);
		proc_list_done(&l);
	}
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
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_heap_equals_deep),
		cmocka_unit_test(test_thread_is_no_process),
		cmocka_unit_test(test_not_permitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
