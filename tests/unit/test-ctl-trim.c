// SPDX-License-Identifier: GPL-2.0-or-later
/* Which processes a trim is about, and what exit status comes of what happened. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "ctl/trim.h"

static char tree[64];

static void put(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

struct made {
	pid_t pid, ppid;
	unsigned int anon_mib;
	const char *comm, *cgroup;
	unsigned int flags;
};

#define KTHREAD 0x00200000u

/* Beyond what a kernel gives out, so that they never meet our own. */
#define P(n) (5000000 + (n))

static void make(const struct made *m)
{
	char path[128], text[1024];
	int dir;

	snprintf(path, sizeof(path), "%s/%d", tree, m->pid);
	assert_int_equal(mkdir(path, 0755), 0);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	snprintf(text, sizeof(text),
		 "%d (%s) S %d 1 1 0 -1 %u 0 0 0 0 0 0 0 0 20 0 1 0 %d 1000000 100 18446744073709551615 1 1 0 0 0 0 0 "
		 "0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		 m->pid, m->comm, m->ppid, m->flags, 1000 + m->pid);
	put(dir, "stat", text);
	snprintf(text, sizeof(text),
		 "Name:\t%s\nState:\tS (sleeping)\nTgid:\t%d\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\nUid:\t0\t0\t0\t0\n"
		 "Gid:\t0\t0\t0\t0\nVmSize:\t%8u kB\nVmRSS:\t%8u kB\nRssAnon:\t%8u kB\nRssFile:\t%8u kB\n"
		 "RssShmem:\t       0 kB\nThreads:\t1\n",
		 m->comm, m->pid, m->pid, m->ppid, m->anon_mib << 10, (m->anon_mib << 10) + 1024, m->anon_mib << 10,
		 1024u);
	put(dir, "status", text);
	snprintf(text, sizeof(text), "0::%s\n", m->cgroup);
	put(dir, "cgroup", text);
	close(dir);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(tree, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
	/*
	 * P(900) is the parent of our parent, without a link to pid 1, as after entering a pid namespace;
	 * we ourselves are in the unit of P(30).
	 */
	const struct made all[] = {
		{ 1, 0, 100, "init", "/init.scope", 0 },
		{ P(2), 0, 0, "kthreadd", "/", KTHREAD },
		{ P(10), 1, 9, "small", "/system.slice/web.service", 0 },
		{ P(20), 1, 10, "ten", "/system.slice/web.service", 0 },
		{ P(30), 1, 50, "big", "/system.slice/db.service", 0 },
		{ P(31), P(30), 70, "worker", "/system.slice/db.service/workers", 0 },
		{ P(40), 1, 80, "other", "/system.slice/db.services", 0 },
		{ P(900), 0, 200, "shell", "/user.slice/session-1.scope", 0 },
		{ getppid(), P(900), 200, "parent", "/user.slice/session-1.scope", 0 },
		{ getpid(), getppid(), 200, "self", "/system.slice/db.service", 0 },
	};

	(void)state;
	strcpy(tree, "/tmp/reclaim-test-XXXXXX");
	if (!mkdtemp(tree))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		make(&all[i]);
	return 0;
}

static void expect(const struct trim_opts *o, const pid_t *want, size_t n)
{
	_cleanup_close_ int proc = procfs_open_root(tree);
	struct trim_targets t;

	assert_true(proc >= 0);
	assert_int_equal(trim_targets_select(proc, o, &t), 0);
	if (t.n != n)
		fail_msg("%zu targets, not %zu", t.n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(t.v[i].pid, want[i]);
		assert_int_equal(t.v[i].start_time, 1000 + want[i]);
	}
	trim_targets_done(&t);
}

#define EXPECT(opts, ...)                                   \
	do {                                                \
		const struct trim_opts o = { opts };        \
		const pid_t want[] = { __VA_ARGS__ };       \
                                                            \
		expect(&o, want + 1, ARRAY_SIZE(want) - 1); \
	} while (0)

/* The largest first; 0 stands for the beginning of the list, so that it may be empty. */
static void test_all(void **state)
{
	const struct trim_opts all = { .all = true }, more = { .all = true, .min = { true, 60ull << 20 } };
	const struct trim_opts none = { .all = true, .min = { true, 60ull << 30 } };
	const struct trim_opts any = { .all = true, .min = { true, 0 } };
	const pid_t by_size[] = { P(40), P(31), P(30), P(20), P(10) };

	(void)state;
	expect(&all, by_size, 4);
	expect(&more, by_size, 2);
	expect(&none, by_size, 0);
	expect(&any, by_size, 5);
}

static void test_unit(void **state)
{
	(void)state;
	EXPECT(.unit = "web.service", 0, P(20), P(10));
	EXPECT(.unit = "web", 0, P(20), P(10));
	EXPECT(.unit = "db", 0, P(31), P(30));
	EXPECT(.unit = "init.scope", 0, 1);
	EXPECT(.unit = "we", 0);
	EXPECT(.unit = "system.slice", 0);
}

static void test_cgroup(void **state)
{
	(void)state;
	EXPECT(.cgroup = "/system.slice/db.service", 0, P(31), P(30));
	EXPECT(.cgroup = "/sys/fs/cgroup/system.slice/db.service/", 0, P(31), P(30));
	EXPECT(.cgroup = "system.slice/db.service/workers", 0, P(31));
	EXPECT(.cgroup = "/system.slice/db", 0);
	EXPECT(.cgroup = "/sys/fs/cgrouper", 0);
	EXPECT(.cgroup = "/system.slice", 0, P(40), P(31), P(30), P(20), P(10));
}

/* Of equal sizes the lower pid comes first. */
static void test_cgroup_root(void **state)
{
	const pid_t want[] = { getppid(), P(900), 1, P(40), P(31), P(30), P(20), P(10) };
	const struct trim_opts o = { .cgroup = "/sys/fs/cgroup" };

	(void)state;
	expect(&o, want, ARRAY_SIZE(want));
}

static void check_name(const struct trim_opts *o, const char *want)
{
	_cleanup_free_ char *name = trim_group_name(o);

	assert_non_null(name);
	assert_string_equal(name, want);
}

/* What a message about an empty group names is what was looked for. */
static void test_group_name(void **state)
{
	static const struct {
		struct trim_opts o;
		const char *want;
	} rows[] = {
		{ { .unit = "web" }, "web.service" },
		{ { .unit = "init.scope" }, "init.scope" },
		{ { .cgroup = "/sys/fs/cgroup/system.slice//" }, "/system.slice" },
		{ { .cgroup = "a/b" }, "/a/b" },
		{ { .cgroup = "/sys/fs/cgroup" }, "/" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_name(&rows[i].o, rows[i].want);
}

static void test_status(void **state)
{
	static const struct {
		int status, group;
		size_t n;
		uint32_t outcomes[5];
	} rows[] = {
		{ 0, 0, 0, { 0 } },
		{ 0, 0, 3, { WORKER_RECLAIMED, WORKER_NOTHING, WORKER_WOULD } },
		{ 5, 5, 1, { WORKER_GONE } },
		{ 3, 3, 3, { WORKER_RECLAIMED, WORKER_GONE, WORKER_REFUSED } },
		{ 4, 4, 3, { WORKER_DENIED, WORKER_REFUSED, WORKER_GONE } },
		{ 1, 1, 4, { WORKER_DENIED, WORKER_REFUSED, WORKER_GONE, WORKER_FAILED } },
		{ 1, 1, 3, { WORKER_TIMEOUT, WORKER_DENIED, WORKER_RECLAIMED } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		static struct trim_row res[5];

		for (size_t k = 0; k < rows[i].n; k++)
			res[k].res.outcome = rows[i].outcomes[k];
		assert_int_equal(trim_status(res, rows[i].n, false), rows[i].status);
		/* One of a group that has gone before its turn is no error. */
		assert_int_equal(trim_status(res, rows[i].n, true),
				 rows[i].group == CTL_GONE ? CTL_DONE : rows[i].group);
	}
}

static void test_remedies(void **state)
{
	static const char *const wrong[] = { "",	   ",",	   "trim,",	"tri",	"trims",
					     "trim,,cold", "TRIM", "auto,trim", "\033c" };
	uint32_t bits = 77;
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (trim_remedies_parse(wrong[i], &bits, why, sizeof(why)) != -EINVAL || strchr(why, '\033') ||
		    bits != 77)
			fail_msg("'%s': '%s'", wrong[i], why);
	assert_int_equal(trim_remedies_parse("trim", &bits, why, sizeof(why)), 0);
	assert_int_equal(bits, WORKER_REMEDY_TRIM);
	assert_int_equal(trim_remedies_parse("pageout,trim,collect", &bits, why, sizeof(why)), 0);
	assert_int_equal(bits, WORKER_REMEDY_PAGEOUT | WORKER_REMEDY_TRIM | WORKER_REMEDY_COLLECT);
	assert_int_equal(trim_remedies_parse("auto", &bits, why, sizeof(why)), 0);
	assert_int_equal(bits, 0);
	assert_string_equal(trim_remedy_name(WORKER_REMEDY_PURGE), "purge");
	assert_int_equal(trim_remedies_parse("tirm", &bits, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "unknown remedy 'tirm': did you mean 'trim'?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cgroup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cgroup_root, setup, teardown),
		cmocka_unit_test(test_group_name),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_remedies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
