// SPDX-License-Identifier: GPL-2.0-or-later
/* base's readers of /proc, on recorded and on crafted trees. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/maps.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "base/pstatus.h"

static int open_fixture(const char *tree, pid_t pid)
{
	_cleanup_close_ int root = -1;
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/proc/%s", FIXTURES, tree);
	root = procfs_open_root(path);
	assert_true(root >= 0);
	fd = procfs_open_pid(root, pid);
	assert_true(fd >= 0);
	return fd;
}

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
	_cleanup_close_ int dir = open_fixture("real", 101), gone = open_fixture("hostile", 206);
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
	_cleanup_close_ int dir = open_fixture("real", 103), kthread = open_fixture("real", 2);
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

static void test_stat_real(void **state)
{
	static const struct {
		pid_t pid;
		const char *comm;
		char state;
		bool kthread;
		long threads;
		uint64_t start_time, vsize;
	} rows[] = {
		{ 2, "kthreadd", 'S', true, 1, 25, 0 },
		{ 101, "python3", 'S', false, 2, 182893, 0 },
		{ 102, "true", 'Z', false, 1, 182894, 0 },
		{ 103, "m32", 'S', false, 1, 182894, 184320 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_close_ int dir = open_fixture("real", rows[i].pid);
		struct pstat s;

		assert_int_equal(pstat_read(dir, &s), 0);
		assert_int_equal(s.pid, rows[i].pid);
		assert_string_equal(s.comm, rows[i].comm);
		assert_int_equal(s.state, rows[i].state);
		assert_int_equal(s.threads, rows[i].threads);
		assert_int_equal(s.start_time, rows[i].start_time);
		assert_int_equal(pstat_is_kthread(&s), rows[i].kthread);
		if (rows[i].vsize)
			assert_int_equal(s.vsize, rows[i].vsize);
	}
}

static void test_stat_hostile(void **state)
{
	_cleanup_close_ int forged = open_fixture("hostile", 200), escapes = open_fixture("hostile", 201);
	_cleanup_close_ int large = open_fixture("hostile", 202);
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
		_cleanup_close_ int dir = open_fixture("broken", pid);

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

static void test_status_real(void **state)
{
	_cleanup_close_ int sleeper = open_fixture("real", 100), python = open_fixture("real", 101);
	_cleanup_close_ int kthread = open_fixture("real", 2), zombie = open_fixture("real", 102);
	_cleanup_close_ int traced = open_fixture("real", 104), strict = open_fixture("real", 105);
	_cleanup_close_ int nested = open_fixture("real", 106);
	struct pstatus s;

	(void)state;
	assert_int_equal(pstatus_read(sleeper, &s), 0);
	assert_string_equal(s.name, "sleep");
	assert_true(s.state == 'S' && s.tgid == 100 && s.pid == 100 && s.ppid == 1 && s.tracer == 0);
	assert_true(s.vm_size == 2500 << 10 && s.rss_anon > 0 && s.rss_shmem == 0);
	assert_int_equal(s.vm_rss, s.rss_anon + s.rss_file + s.rss_shmem);
	assert_true(s.thp_enabled && s.nspid_levels == 1 && s.seccomp == 0 && s.seccomp_filters == 0 && !s.shstk);

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
	assert_int_equal(s.nspid_levels, 4);
}

static void test_status_hostile(void **state)
{
	_cleanup_close_ int forged = open_fixture("hostile", 200), large = open_fixture("hostile", 202);
	struct pstatus s;

	(void)state;
	assert_int_equal(pstatus_read(forged, &s), 0);
	assert_string_equal(s.name, ") R 1 (\n\\x)");
	assert_int_equal(pstatus_read(large, &s), 0);
	assert_true(s.rss_anon == UINT64_MAX - 1023 && s.uid == UINT32_MAX && s.euid == UINT32_MAX - 1);
	assert_true(s.sig_cgt == UINT64_MAX);
}

static void test_status_lines(void **state)
{
#define HEAD "Name:\ta\nState:\tR (running)\nTgid:\t1\nPid:\t1\n"
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
		"Name:\t01234567890123456789012345678901234567890123456789012345678901234\nState:\tR\nTgid:\t1\nPid:\t1\n",
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
		_cleanup_close_ int dir = open_fixture("broken", pid);

		assert_int_equal(pstatus_read(dir, &s), -EBADMSG);
		assert_memory_equal(&s, &before, sizeof(s));
	}

	assert_int_equal(pstatus_parse(HEAD, &s), 0);
	assert_true(s.thp_enabled && s.seccomp_filters == -1 && s.vm_rss == 0 && s.nspid_levels == 0);
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
#undef HEAD
}

static void test_maps_kinds(void **state)
{
	static const struct {
		enum map_kind kind;
		bool deleted;
		const char *name;
	} rows[] = {
		{ MAP_KIND_FILE, false, "/srv/a file  with blanks" },
		{ MAP_KIND_FILE, false, "/tmp/two\\012lines" },
		{ MAP_KIND_FILE, false, "/tmp/[heap]" },
		{ MAP_KIND_HEAP, false, "[heap]" },
		{ MAP_KIND_ANON, false, "[anon:glibc: malloc]" },
		{ MAP_KIND_SHMEM, false, "[anon_shmem:pool]" },
		{ MAP_KIND_SHMEM, true, "/memfd:x (deleted)" },
		{ MAP_KIND_FILE, false, "/memfd:not-one" },
		{ MAP_KIND_SHMEM, true, "/SYSV0000002a" },
		{ MAP_KIND_SHMEM, true, "/dev/zero" },
		{ MAP_KIND_ANON, false, "/dev/zero" },
		{ MAP_KIND_ANON, true, "/anon_hugepage" },
		{ MAP_KIND_ANON, false, "" },
		{ MAP_KIND_SHMEM, false, "" },
		{ MAP_KIND_FILE, false, "anon_inode:[perf_event]" },
		{ MAP_KIND_SPECIAL, false, "[uprobes]" },
		{ MAP_KIND_FILE, true, "/usr/bin/\x1b[31mred\xff" },
		{ MAP_KIND_STACK, false, "[stack]" },
		{ MAP_KIND_SPECIAL, false, "[vvar]" },
		{ MAP_KIND_SPECIAL, false, "[vvar_vclock]" },
		{ MAP_KIND_SPECIAL, false, "[vdso]" },
		{ MAP_KIND_SPECIAL, false, "[vsyscall]" },
	};
	_cleanup_close_ int dir = open_fixture("hostile", 207);
	_cleanup_(maps_done) struct maps m = { 0 };

	(void)state;
	assert_int_equal(maps_read(dir, ARRAY_SIZE(rows), &m), 0);
	assert_int_equal(m.n, ARRAY_SIZE(rows));
	for (size_t i = 0; i < m.n; i++) {
		assert_string_equal(m.v[i].name, rows[i].name);
		assert_int_equal(m.v[i].kind, rows[i].kind);
		assert_int_equal(!!(m.v[i].flags & MAP_F_DELETED), rows[i].deleted);
	}
}

static void test_maps_line(void **state)
{
	static const char *const refused[] = {
		"",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 rw-p",
		"2000-1000 rw-p 0 00:00 0",
		"1000-1000 rw-p 0 00:00 0",
		"1000-2000 rw-p 0 00:00",
		"1000-2000 rw-p 0 0000 0",
		"1000-2000 xw-p 0 00:00 0",
		"1000-2000 rw- 0 00:00 0",
		"1000-2000 rw-x 0 00:00 0",
		"1000-2000 rw-p z 00:00 0",
		"1000-2000 rw-p 0 00:00 x",
		"1000-2000 rw-p 0 00:00 0x",
		"1000-10000000000000000 rw-p 0 00:00 0",
		"1000-2000 rw-p 0 100000000:00 0",
		"1000-2000 rw-p 0 00:00 18446744073709551616",
		"-1000 rw-p 0 00:00 0",
		" 1000-2000 rw-p 0 00:00 0",
	};
	char line[] = "7f00a000-7f00b000 r-xs 00123000 fe:1f 4711                       /lib/a b.so (deleted)\n";
	struct map m, before;

	(void)state;
	memset(&m, 0x5a, sizeof(m));
	before = m;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		char copy[128];

		snprintf(copy, sizeof(copy), "%s", refused[i]);
		if (maps_parse_line(copy, &m) != -EBADMSG)
			fail_msg("accepted: '%s'", refused[i]);
		assert_memory_equal(&m, &before, sizeof(m));
	}

	assert_int_equal(maps_parse_line(line, &m), 0);
	assert_true(m.start == 0x7f00a000 && m.end == 0x7f00b000 && m.offset == 0x123000 && m.inode == 4711);
	assert_true(m.dev_major == 0xfe && m.dev_minor == 0x1f);
	assert_int_equal(m.flags, MAP_F_READ | MAP_F_EXEC | MAP_F_SHARED | MAP_F_DELETED);
	assert_string_equal(m.name, "/lib/a b.so");
}

static void test_maps_read(void **state)
{
	_cleanup_close_ int python = open_fixture("real", 101), kthread = open_fixture("real", 2);
	_cleanup_close_ int cut = open_fixture("broken", 305), overlap = open_fixture("broken", 306);
	_cleanup_close_ int compat = open_fixture("real", 103), gone = open_fixture("hostile", 206);
	struct maps m = { 0 };

	(void)state;
	assert_int_equal(maps_read(cut, 1000, &m), -EBADMSG);
	assert_int_equal(maps_read(overlap, 1000, &m), -EBADMSG);
	assert_int_equal(maps_read(python, 3, &m), -E2BIG);
	assert_int_equal(maps_read(python, SIZE_MAX, &m), -EINVAL);
	assert_int_equal(maps_read(gone, 1000, &m), -ESRCH);
	assert_true(!m.v && !m.text && m.n == 0);

	assert_int_equal(maps_read(kthread, 1000, &m), 0);
	assert_int_equal(m.n, 0);
	assert_null(maps_find(&m, 0));
	maps_done(&m);
	assert_int_equal(maps_read(compat, 1000, &m), 0);
	assert_int_equal(m.v[0].start, 0x08048000);
	maps_done(&m);

	assert_int_equal(maps_read(python, 1000, &m), 0);
	assert_true(m.n > 10);
	for (size_t i = 0; i < m.n; i++) {
		assert_ptr_equal(maps_find(&m, m.v[i].start), &m.v[i]);
		assert_ptr_equal(maps_find(&m, m.v[i].end - 1), &m.v[i]);
		assert_ptr_not_equal(maps_find(&m, m.v[i].end), &m.v[i]);
	}
	assert_null(maps_find(&m, 0));
	assert_null(maps_find(&m, UINT64_MAX));
	maps_done(&m);
	maps_done(&m);
}

/* What we map ourselves must show, with the right kinds. */
static void test_maps_live(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc"), dir = procfs_open_pid(root, getpid());
	_cleanup_close_ int memfd = memfd_create("a (deleted)", MFD_CLOEXEC);
	void *anon = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *shared = mmap(NULL, 8192, PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *file = mmap(NULL, 4096, PROT_NONE, MAP_SHARED, memfd, 0);
	_cleanup_(maps_done) struct maps m = { 0 };
	const struct map *found;

	(void)state;
	assert_int_equal(maps_read(dir, 1 << 16, &m), 0);
	found = maps_find(&m, (uintptr_t)anon);
	assert_true(found && found->kind == MAP_KIND_ANON && !(found->flags & MAP_F_WRITE));
	found = maps_find(&m, (uintptr_t)shared);
	assert_true(found && found->kind == MAP_KIND_SHMEM && found->flags & MAP_F_SHARED);
	found = maps_find(&m, (uintptr_t)file);
	assert_true(found && found->kind == MAP_KIND_SHMEM);
	assert_string_equal(found->name, "/memfd:a (deleted)");
	found = maps_find(&m, (uintptr_t)test_maps_live);
	assert_true(found && found->kind == MAP_KIND_FILE);
	assert_true(found->flags & MAP_F_EXEC);
	found = maps_find(&m, (uintptr_t)&m);
	assert_true(found && (found->kind == MAP_KIND_STACK || found->kind == MAP_KIND_ANON));
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
		cmocka_unit_test(test_dead_process), cmocka_unit_test(test_stat_real),
		cmocka_unit_test(test_stat_hostile), cmocka_unit_test(test_stat_refused),
		cmocka_unit_test(test_status_real),  cmocka_unit_test(test_status_hostile),
		cmocka_unit_test(test_status_lines), cmocka_unit_test(test_maps_kinds),
		cmocka_unit_test(test_maps_line),    cmocka_unit_test(test_maps_read),
		cmocka_unit_test(test_maps_live),    cmocka_unit_test(test_exec_while_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
