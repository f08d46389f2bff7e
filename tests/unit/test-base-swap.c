// SPDX-License-Identifier: GPL-2.0-or-later
/* How much may be paged out: by the machine's figures, and by those of control groups. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/swap.h"

#define MIB (1ull << 20)
#define HEADING "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

static char dir[64];
static int root = -1;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test-base-swap-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	closep(&root);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void put(const char *name, const char *text)
{
	_cleanup_close_ int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void make(const char *name)
{
	assert_int_equal(mkdirat(root, name, 0700), 0);
}

static void test_machine(void **state)
{
	struct swap s = { 0 };

	(void)state;
	put("meminfo",
	    "MemTotal:       1 kB\nSwapCached:   7 kB\nSwapTotal:     204800 kB\nSwapFree:       102400 kB\n");
	put("swaps", HEADING "/swapfile                               file\t\t102400\t\t0\t\t-2\n"
			     "/dev/zram0                              partition\t102400\t\t102400\t\t100\n");
	assert_int_equal(swap_read(root, &s), 0);
	assert_int_equal(s.total, 200 * MIB);
	assert_int_equal(s.free, 100 * MIB);
	assert_true(s.disk && s.ram);
	assert_string_equal(s.name, "/dev/zram0");
	assert_int_equal(swap_room(&s, 0), 100 * MIB);
	assert_int_equal(swap_room(&s, 30 * MIB), 70 * MIB);
	assert_int_equal(swap_room(&s, 100 * MIB), 0);
	assert_int_equal(swap_room(&s, UINT64_MAX), 0);
}

static void test_none(void **state)
{
	struct swap s = { .total = 77 };

	(void)state;
	put("meminfo", "SwapTotal:          0 kB\nSwapFree:           0 kB\n");
	put("swaps", HEADING);
	assert_int_equal(swap_read(root, &s), 0);
	assert_int_equal(s.total, 0);
	assert_false(s.disk || s.ram);
	assert_string_equal(s.name, "");
	assert_int_equal(swap_room(&s, 0), 0);
}

static void test_wrong(void **state)
{
	static const char *const wrong[] = {
		"",
		"SwapTotal: 5 kB\n",
		"SwapTotal: 5 kB\nSwapFree: 6 kB\n",
		"SwapTotal: 5\nSwapFree: 5 kB\n",
		"SwapTotal: 99999999999999999999 kB\nSwapFree: 5 kB\n",
		"xSwapTotal: 5 kB\nSwapFree: 5 kB\n",
	};
	struct swap s = { .total = 77 };

	(void)state;
	put("swaps", HEADING);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		put("meminfo", wrong[i]);
		if (swap_read(root, &s) != -EBADMSG)
			fail_msg("'%s' is taken", wrong[i]);
	}
	assert_int_equal(s.total, 77);
	put("meminfo", "SwapTotal: 5 kB\nSwapFree: 5 kB\n");
	assert_int_equal(unlinkat(root, "swaps", 0), 0);
	assert_true(swap_read(root, &s) < 0);
}

static uint64_t room(const char *cgroup)
{
	uint64_t v = 1;

	put("cgroup", cgroup);
	assert_int_equal(swap_room_of_groups(root, root, &v), 0);
	return v;
}

static void test_groups(void **state)
{
	uint64_t v = 1;

	(void)state;
	make("a");
	make("a/b");
	make("a/b/c");
	put("a/b/c/memory.swap.max", "max\n");
	put("a/b/c/memory.swap.current", "4096\n");
	put("a/b/memory.swap.max", "10485760\n");
	put("a/b/memory.swap.current", "2097152\n");
	put("a/memory.swap.max", "20971520\n");
	put("a/memory.swap.current", "4096\n");
	assert_int_equal(room("0::/a/b/c\n"), 8 * MIB);
	assert_int_equal(room("12:memory:/x\n0::/a/b\n"), 8 * MIB);
	assert_int_equal(room("0::/a\n"), 20 * MIB - 4096);
	/* The least of all above it; and less than nothing is nothing. */
	put("a/memory.swap.max", "4096\n");
	assert_int_equal(room("0::/a/b/c\n"), 0);
	put("a/memory.swap.max", "0\n");
	assert_int_equal(room("0::/a/b/c\n"), 0);
	/* No limit, and what can't be told. */
	assert_int_equal(room("0::/\n"), SWAP_UNLIMITED);
	assert_int_equal(room("0::/gone\n"), SWAP_UNLIMITED);
	assert_int_equal(room("12:memory:/a\n"), SWAP_UNLIMITED);
	assert_int_equal(room("0::/../a\n"), SWAP_UNLIMITED);
	assert_int_equal(room("0::/a/../../a\n"), SWAP_UNLIMITED);
	put("a/memory.swap.max", "no\n");
	assert_int_equal(room("0::/a\n"), SWAP_UNLIMITED);
	assert_int_equal(swap_room_of_groups(-1, root, &v), 0);
	assert_int_equal(v, SWAP_UNLIMITED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
