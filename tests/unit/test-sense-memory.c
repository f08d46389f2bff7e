// SPDX-License-Identifier: GPL-2.0-or-later
/* What is really in use, and what has come back since: on trees made for it, and on ourselves. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "sense/footprint.h"
#include "sense/meter.h"
#include "sense/thp.h"

#define PID 4711
#define MIB (1ull << 20)
#define THP "sys/kernel/mm/transparent_hugepage/"
#define GROUP "sys/fs/cgroup/system.slice/web.service/"
#define GROUP_V1 "sys/fs/cgroup/memory/web/"

static char tree[64];
static int root = -1;

static void put(const char *path, const char *text)
{
	char part[256];
	int fd;

	for (const char *p = path; (p = strchr(p, '/')); p++) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		(void)mkdirat(root, part, 0755);
	}
	fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	strcpy(tree, "/tmp/reclaim-test-XXXXXX");
	if (!mkdtemp(tree))
		return -1;
	root = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put("proc/meminfo", "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\n");
	put("proc/4711/cgroup", "0::/system.slice/web.service\n");
	return root < 0;
}

static int teardown(void **state)
{
	(void)state;
	close(root);
	return nftw(tree, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---------------------------------------------------------------- meter */

static void expect(uint64_t anon, enum meter_scope scope, uint64_t used)
{
	_cleanup_close_ int dir = openat(root, "proc/4711", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct meter m;

	assert_true(dir >= 0);
	meter_open(root, dir, PID, anon, &m);
	assert_int_equal(m.scope, scope);
	assert_int_equal(meter_used(&m), used);
	meter_close(&m);
	assert_int_equal(m.scope, METER_NONE);
	assert_int_equal(meter_used(&m), METER_UNKNOWN);
	meter_close(&m);
}

#define EXPECT_MACHINE(anon) expect(anon, METER_MACHINE, 4000000ull * 1024)

static void test_machine(void **state)
{
	static const char *const broken[] = {
		"",
		"MemTotal: 5 kB\n",
		"MemTotal: 5 kB\nMemAvailable: 6 kB\n", /* more than there is */
		"MemTotal: 5 kB\nMemAvailable: x kB\n",
		"MemTotal: 5 MB\nMemAvailable: 3 kB\n",
		"MemTotal: 18446744073709551615 kB\nMemAvailable: 3 kB\n",
		"NoMemTotal: 5 kB\nMemAvailable: 3 kB\n",
	};

	(void)state;
	EXPECT_MACHINE(0);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		put("proc/meminfo", broken[i]);
		expect(0, METER_MACHINE, METER_UNKNOWN);
	}
	assert_int_equal(unlinkat(root, "proc/meminfo", 0), 0);
	expect(0, METER_NONE, METER_UNKNOWN);
}

static void test_own_group(void **state)
{
	(void)state;
	put(GROUP "memory.current", "104857600\n");
	EXPECT_MACHINE(0); /* nobody is in it */
	put(GROUP "cgroup.procs", "4711\n");
	expect(0, METER_CGROUP, 100 * MIB);
	expect(101 * MIB, METER_CGROUP, 100 * MIB);
	/* It came with its memory from elsewhere, where that is still paid for. */
	EXPECT_MACHINE(200 * MIB);
	put(GROUP "memory.current", "max\n");
	EXPECT_MACHINE(0);
	put(GROUP "memory.current", "104857600\n");
	put(GROUP "cgroup.procs", "4711\n4712\n");
	EXPECT_MACHINE(0);
	put(GROUP "cgroup.procs", "47110\n");
	EXPECT_MACHINE(0);
	put(GROUP "cgroup.procs", "4711\n");
	expect(0, METER_CGROUP, 100 * MIB);
	/* Others may be in a group below. */
	put(GROUP "below/cgroup.procs", "");
	EXPECT_MACHINE(0);
}

static void test_old_groups(void **state)
{
	(void)state;
	put(GROUP_V1 "memory.usage_in_bytes", "52428800\n");
	put(GROUP_V1 "cgroup.procs", "4711\n");
	put("proc/4711/cgroup", "4:cpu,cpuacct:/x\n3:kmemory,memory:/web\n1:name=systemd:/web\n0::/\n");
	expect(0, METER_CGROUP, 50 * MIB);
	put("proc/4711/cgroup", "4:kmemory,cpu:/web\n1:name=systemd:/web\n0::/\n");
	EXPECT_MACHINE(0);
	/* Version 2 beside version 1 */
	put("sys/fs/cgroup/unified/web/memory.current", "1048576\n");
	put("sys/fs/cgroup/unified/web/cgroup.procs", "4711\n");
	put("proc/4711/cgroup", "3:memory:/other\n0::/web\n");
	expect(0, METER_CGROUP, MIB);
}

/* Nothing outside of the mount, whatever its file says. */
static void test_hostile_groups(void **state)
{
	static const char *const lines[] = { "0::/../../outside\n",
					     "0::/x/../../outside\n",
					     "0::..\n",
					     "0:/outside\n",
					     "0::\n",
					     "garbage",
					     "",
					     "::::\n",
					     "0::/no/such\n" };

	(void)state;
	put("sys/fs/outside/memory.current", "1\n");
	put("sys/fs/outside/cgroup.procs", "4711\n");
	put("sys/fs/cgroup/x/cgroup.procs", "");
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		put("proc/4711/cgroup", lines[i]);
		EXPECT_MACHINE(0);
	}
}

/* ---------------------------------------------------------------- huge page settings */

static void test_thp(void **state)
{
	struct thp t;

	(void)state;
	thp_read(root, &t);
	assert_int_equal(t.mode, THP_NEVER);
	assert_int_equal(t.max_ptes_none, THP_UNKNOWN);
	assert_int_equal(t.collapsed, THP_UNKNOWN);
	assert_false(thp_fills(&t));
	put(THP "enabled", "always [madvise] never\n");
	put(THP "khugepaged/max_ptes_none", "511\n");
	put(THP "khugepaged/pages_collapsed", "17\n");
	thp_read(root, &t);
	assert_int_equal(t.mode, THP_MADVISE);
	assert_int_equal(t.max_ptes_none, 511);
	assert_int_equal(t.collapsed, 17);
	assert_true(thp_fills(&t));
	put(THP "hugepages-2048kB/enabled", "always [inherit] madvise never\n");
	thp_read(root, &t);
	assert_int_equal(t.mode, THP_MADVISE);
	put(THP "hugepages-2048kB/enabled", "[always] inherit madvise never\n");
	thp_read(root, &t);
	assert_int_equal(t.mode, THP_ALWAYS);
	put(THP "khugepaged/max_ptes_none", "0\n");
	thp_read(root, &t);
	assert_false(thp_fills(&t));
	/* What can't be read may be anything. */
	put(THP "khugepaged/max_ptes_none", "?\n");
	thp_read(root, &t);
	assert_true(thp_fills(&t));
	put(THP "hugepages-2048kB/enabled", "always inherit madvise [never]\n");
	thp_read(root, &t);
	assert_false(thp_fills(&t));
}

/* ---------------------------------------------------------------- growth */

static struct regrowth between(struct footprint before, struct footprint after)
{
	struct regrowth g;

	regrowth_between(&before, &after, &g);
	return g;
}

#define FOOT(...) ((struct footprint){ __VA_ARGS__ })
#define BEFORE .anon = 20 * MIB, .huge = 4 * MIB, .minor_faults = 1000, .collapsed = 50, .huge_faults = 70

static void test_regrowth(void **state)
{
	const struct footprint before = FOOT(BEFORE);
	struct footprint after = before;

	(void)state;
	assert_int_equal(between(before, after).by_khugepaged, 0);
	/* Sixteen huge pages that nobody touched. */
	after = FOOT(.anon = 50 * MIB, .huge = 36 * MIB, .minor_faults = 1000, .collapsed = 66, .huge_faults = 70);
	assert_int_equal(between(before, after).anon, 30 * MIB);
	assert_int_equal(between(before, after).huge, 32 * MIB);
	assert_int_equal(between(before, after).by_khugepaged, 30 * MIB);
	/* It has made only two in the whole machine. */
	after.collapsed = 52;
	assert_int_equal(between(before, after).by_khugepaged, 4 * MIB);
	after.collapsed = 50;
	assert_int_equal(between(before, after).by_khugepaged, 0);
	/* Each of them may have come by a page fault. */
	after.collapsed = 66;
	after.minor_faults = 1016;
	after.huge_faults = 86;
	assert_int_equal(between(before, after).by_khugepaged, 0);
	assert_int_equal(between(before, after).faults, 16);
	/* Ordinary ones bring no huge pages where the machine gave none. */
	after.huge_faults = 70;
	after.minor_faults = 500000;
	assert_int_equal(between(before, after).by_khugepaged, 30 * MIB);
	after.huge_faults = FOOTPRINT_UNKNOWN;
	assert_int_equal(between(before, after).by_khugepaged, 0);
	/* No growth, whatever was put together. */
	after = FOOT(.anon = 19 * MIB, .huge = 8 * MIB, .minor_faults = 1000, .collapsed = 66, .huge_faults = 70);
	assert_int_equal(between(before, after).anon, -(int64_t)MIB);
	assert_int_equal(between(before, after).by_khugepaged, 0);
	after.huge = FOOTPRINT_UNKNOWN;
	assert_int_equal(between(before, after).by_khugepaged, FOOTPRINT_UNKNOWN);
	after = before;
	after.collapsed = FOOTPRINT_UNKNOWN;
	assert_int_equal(between(before, after).by_khugepaged, FOOTPRINT_UNKNOWN);
}

/* Counters of another process, or of none: no overflow, no surprise. */
static void test_nonsense(void **state)
{
	struct footprint least, most;

	(void)state;
	memset(&least, 0, sizeof(least));
	memset(&most, 0xfe, sizeof(most));
	(void)between(least, most);
	(void)between(most, least);
	most.minor_faults = most.major_faults = UINT64_MAX - 1;
	assert_int_equal(between(least, most).faults, UINT64_MAX);
}

/* Ourselves: what we touch is counted, as ours. */
static void test_own_footprint(void **state)
{
	_cleanup_close_ int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct footprint before, after;
	char *p = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct regrowth g;

	(void)state;
	assert_true(p != MAP_FAILED && madvise(p, 8 * MIB, MADV_NOHUGEPAGE) == 0);
	assert_int_equal(footprint_read(top, self, &before), 0);
	memset(p, 1, 8 * MIB);
	assert_int_equal(footprint_read(top, self, &after), 0);
	regrowth_between(&before, &after, &g);
	assert_in_range(g.anon, 7 * MIB, 20 * MIB); /* valgrind keeps notes on each byte */
	assert_in_range(g.faults, 2048, 8192);
	assert_int_equal(munmap(p, 8 * MIB), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thp, setup, teardown),
		cmocka_unit_test(test_regrowth),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_own_footprint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
