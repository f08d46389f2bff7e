// SPDX-License-Identifier: GPL-2.0-or-later
/* Who is too small for a filter: told by statm alone where it can be, and else by what is in the other files. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "proc-tree.h"
#include "sense/list.h"

#define MIB (1ull << 20)
#define PID PROC_TREE_PID

static int passes(int root, pid_t pid, uint64_t min_rss, uint64_t min_anon)
{
	const struct proc_filter f = { .min_rss = min_rss, .min_anon = min_anon, .kthreads = true };
	struct proc p = { 0 };
	int r = proc_read_filtered(root, pid, &f, PROC_BASIC, &p);

	proc_done(&p);
	return r;
}

/* A child that holds 8 MiB of its own and 4 MiB shared, and stands still. */
static pid_t start_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *anon = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *shared = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		memset(anon, 1, 8 * MIB);
		memset(shared, 1, 4 * MIB);
		raise(SIGSTOP);
		_exit(0);
	}

	return pid;
}

/* To the byte what the other files say */
static void test_live(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	struct proc p = { 0 };
	pid_t pid = start_child();
	int status;

	(void)state;
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(proc_read(root, pid, PROC_BASIC, &p), 0);
	assert_true(p.anon >= 8 * MIB && p.rss >= p.anon + 4 * MIB);
	assert_int_equal(passes(root, pid, 0, 1), 1);
	assert_int_equal(passes(root, pid, 0, p.anon), 1);
	assert_int_equal(passes(root, pid, 0, p.anon - 1), 1);
	assert_int_equal(passes(root, pid, 0, p.anon + 1), 0);
	assert_int_equal(passes(root, pid, p.rss, 0), 1);
	assert_int_equal(passes(root, pid, p.rss + 1, 0), 0);
	assert_int_equal(passes(root, pid, p.rss, p.anon), 1);
	assert_int_equal(passes(root, pid, 0, UINT64_MAX), 0);
	proc_done(&p);

	kill(pid, SIGKILL);
	/* As a zombie it has nothing; then it has gone. */
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	assert_int_equal(passes(root, pid, 0, 1), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(passes(root, pid, 0, 1), -ESRCH);
	assert_int_equal(passes(root, 0, 0, 1), -ESRCH);
}

/* statm decides alone when it is as kernels write it, and never when it isn't. */
static void test_statm(void **state)
{
	static const struct {
		const char *text;
		int want; /* with 8 MiB in status */
	} rows[] = {
		{ NULL, 1 },
		{ "9000 2048 1 10 0 3000 0\n", 1 },
		{ "9000 1024 0 10 0 3000 0\n", 1 },
		{ "9000 1024 1 10 0 3000 0\n", 0 },
		{ "9000 1023 0 10 0 3000 0\n", 0 },
		{ "0 0 0 0 0 0 0\n", 0 },
		{ "18446744073709551615 18446744073709551615 0 10 0 3000 0\n", 1 },
		{ "9000 18446744073709551616 0 10 0 3000 0\n", 1 },
		{ "9000 10 20 10 0 3000 0\n", 1 },
		{ "9000 10 0", 1 },
		{ "9000 10\n", 1 },
		{ "9000  10 0 0\n", 1 },
		{ "9000 -10 0 0\n", 1 },
		{ "", 1 },
		{ "rubbish\n", 1 },
		{ "9000 10 0 0                                                                                         "
		  "                                                                 \n",
		  1 },
	};
	struct proc_tree_process p = {
		.pid = PID, .start_time = 1, .comm = "small", .exe = "/bin/small", .cgroup = "/", .anon = 8 * MIB
	};
	_cleanup_close_ int root = -1;
	_cleanup_free_ char *path = NULL;
	struct conf_tree t;

	(void)state;
	conf_tree_init(&t);
	proc_tree_init(&t, "00000000-0000-0000-0000-000000000000");
	proc_tree_put(&t, &p);
	path = conf_tree_path(&t, "proc");
	root = procfs_open_root(path);
	assert_true(root >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].text)
			conf_tree_put(&t, "proc/5000000/statm", rows[i].text);
		if (passes(root, PID, 0, 4 * MIB) != rows[i].want)
			fail_msg("statm \"%s\"", rows[i].text);
		/* Without a filter it isn't asked. */
		assert_int_equal(passes(root, PID, 0, 0), 1);
	}
	conf_tree_done(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_statm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
