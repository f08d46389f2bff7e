// SPDX-License-Identifier: GPL-2.0-or-later
/* How base reads files of /proc, and what it says of a process that goes away. */
#include <fcntl.h>
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
#include "base/pstatus.h"
#include "recorded.h"

static void test_open(void **state)
{
	_cleanup_close_ int root = procfs_open_root(FIXTURES "/proc/real");

	(void)state;
	assert_true(root >= 0);
	assert_int_equal(fcntl(root, F_GETFD), FD_CLOEXEC);
	assert_int_equal(procfs_open_root(FIXTURES "/proc/none"), -ENOENT);
	assert_int_equal(procfs_open_root(FIXTURES "/proc/README"), -ENOTDIR);
	assert_int_equal(procfs_open_pid(root, 99), -ESRCH);
	assert_int_equal(procfs_open_pid(root, -1), -ESRCH);
}

static void test_read_sizes(void **state)
{
	_cleanup_close_ int dir = recorded_process("real", 101), gone = recorded_process("hostile", 206);
	char buf[16384], *text = NULL;
	ssize_t n = procfs_read(dir, "maps", buf, sizeof(buf));

	(void)state;
	assert_true(n > 4096);
	assert_int_equal(buf[n], '\0');
	assert_int_equal(procfs_read(dir, "maps", buf, (size_t)n + 1), n);
	assert_int_equal(procfs_read(dir, "maps", buf, (size_t)n), -ENOBUFS);
	assert_int_equal(procfs_read_once(dir, "maps", buf, (size_t)n + 1), n);
	assert_int_equal(procfs_read_once(dir, "maps", buf, (size_t)n), -ENOBUFS);

	assert_int_equal(procfs_read_alloc(dir, "maps", (size_t)n - 1, &text), -EFBIG);
	assert_null(text);
	assert_int_equal(procfs_read_alloc(dir, "maps", (size_t)n, &text), n);
	assert_int_equal(strlen(text), n);
	free(text);

	/* A living process without the file, and one that has gone. */
	text = buf;
	assert_int_equal(procfs_read(dir, "environ", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(procfs_read(dir, "no-such-file", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(procfs_read(gone, "maps", buf, sizeof(buf)), -ESRCH);
	assert_int_equal(procfs_read(gone, "stat", buf, sizeof(buf)), -ESRCH);
	assert_int_equal(procfs_read(gone, "no-such-file", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(procfs_read_alloc(gone, "smaps", 4096, &text), -ESRCH);
	assert_ptr_equal(text, buf);
	assert_int_equal(procfs_read(dir, ".", buf, sizeof(buf)), -EISDIR);
}

static void test_read_grows(void **state)
{
	_cleanup_close_ int fd = memfd_create("large", MFD_CLOEXEC);
	static char chunk[4096];
	char *text = NULL;

	(void)state;
	memset(chunk, 'x', sizeof(chunk));
	for (int i = 0; i < 100; i++)
		assert_int_equal(write(fd, chunk, sizeof(chunk)), sizeof(chunk));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(procfs_read_fd_alloc(fd, 100 * sizeof(chunk), &text), 100 * sizeof(chunk));
	assert_int_equal(strspn(text, "x"), 100 * sizeof(chunk));
	free(text);
}

static void test_readlink(void **state)
{
	_cleanup_close_ int dir = recorded_process("real", 103), kthread = recorded_process("real", 2);
	char buf[64] = "";

	(void)state;
	assert_int_equal(procfs_readlink(dir, "exe", buf, 23), 22);
	assert_string_equal(buf, "/opt/old/m32 (deleted)");
	assert_int_equal(procfs_readlink(dir, "exe", buf, 22), -ENOBUFS);
	assert_int_equal(procfs_readlink(kthread, "exe", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(procfs_readlink(dir, "stat", buf, sizeof(buf)), -EINVAL);
}

/* The fd of a directory must not follow its number to another process. */
static void test_dead_process(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc"), dir = -1, stat = -1;
	struct pstat s, before;
	struct pstatus status;
	char buf[256];
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	dir = procfs_open_pid(root, pid);
	assert_true(dir >= 0);
	stat = procfs_open(dir, "stat");
	assert_true(stat >= 0);
	assert_int_equal(pstat_read(dir, &s), 0);
	assert_int_equal(s.pid, pid);
	assert_int_equal(s.ppid, getpid());
	before = s;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(pstat_read(dir, &s), -ESRCH);
	assert_memory_equal(&s, &before, sizeof(s));
	assert_int_equal(pstatus_read(dir, &status), -ESRCH);
	assert_int_equal(procfs_readlink(dir, "exe", buf, sizeof(buf)), -ESRCH);
	assert_true(read(stat, buf, sizeof(buf)) < 0 && errno == ESRCH);
	assert_int_equal(procfs_open_pid(root, pid), -ESRCH);
}

/* The kernel shows the end of the address space as the end of the file. */
static void test_exec_while_reading(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc"), dir = -1, fd = -1;
	pid_t pid = fork();
	char c;

	(void)state;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	dir = procfs_open_pid(root, pid);
	fd = procfs_open(dir, "maps");
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(procfs_still_mapped(fd), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(procfs_still_mapped(fd), -ESRCH);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),	     cmocka_unit_test(test_read_sizes),
		cmocka_unit_test(test_read_grows),   cmocka_unit_test(test_readlink),
		cmocka_unit_test(test_dead_process), cmocka_unit_test(test_exec_while_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
