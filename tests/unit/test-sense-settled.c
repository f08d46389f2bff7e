// SPDX-License-Identifier: GPL-2.0-or-later
/* Which mappings have been left alone, by their ages. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sense/settled.h"

#define MIB (1ull << 20)
#define SEC 1000000ull

/* One of which @young bytes were used of late, and the rest @old_us ago. */
static struct region region(uint64_t at, uint64_t anon, uint64_t young, uint64_t old_us)
{
	struct region r = {
		.map = { .start = at, .end = at + 64 * MIB, .flags = MAP_F_READ | MAP_F_WRITE, .kind = MAP_KIND_ANON },
		.anon = anon,
		.age = { .n = 2, .v = { { 0, young }, { old_us, anon - young } } },
	};

	return r;
}

static size_t settled(struct region *v, size_t n, uint64_t idle_us, struct settled *ret, size_t max, uint64_t *bytes)
{
	const struct region_list l = { .v = v, .n = n };

	return settled_regions(&l, idle_us, ret, max, bytes);
}

static void test_choice(void **state)
{
	struct settled got[8];
	uint64_t bytes = 77;
	struct region v[] = {
		region(100 * MIB, 10 * MIB, 0, 60 * SEC),
		region(200 * MIB, 10 * MIB, 4096, 60 * SEC), /* one page of it is used */
		region(300 * MIB, 10 * MIB, 0, 59 * SEC), /* not for long enough */
		region(400 * MIB, 10 * MIB, 0, 60 * SEC), /* no age */
		region(500 * MIB, 10 * MIB, 0, 60 * SEC), /* shared */
		region(600 * MIB, 10 * MIB, 0, 60 * SEC), /* a stack */
		region(700 * MIB, 10 * MIB, 0, 60 * SEC), /* grown since */
		region(800 * MIB, 10 * MIB, 0, 60 * SEC), /* not known */
		region(900 * MIB, 0, 0, 60 * SEC), /* empty */
		region(1000 * MIB, 20 * MIB, 0, 600 * SEC),
	};

	(void)state;
	v[3].age.n = 0;
	v[4].map.flags |= MAP_F_SHARED;
	v[5].map.kind = MAP_KIND_STACK;
	v[6].anon += 4096;
	v[7].anon = UINT64_MAX;
	v[9].map.kind = MAP_KIND_HEAP;
	assert_int_equal(settled(v, ARRAY_SIZE(v), 60 * SEC, got, ARRAY_SIZE(got), &bytes), 2);
	assert_int_equal(got[0].start, 100 * MIB);
	assert_int_equal(got[0].end, 164 * MIB);
	assert_int_equal(got[1].start, 1000 * MIB);
	assert_int_equal(bytes, 30 * MIB);
	assert_int_equal(settled(v, ARRAY_SIZE(v), 61 * SEC, got, ARRAY_SIZE(got), &bytes), 1);
	assert_int_equal(bytes, 20 * MIB);
	assert_int_equal(settled(v, ARRAY_SIZE(v), 601 * SEC, got, ARRAY_SIZE(got), &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(settled(v, 0, 1, got, ARRAY_SIZE(got), &bytes), 0);
}

/* More than fit: the largest, in the order of addresses. */
static void test_largest(void **state)
{
	static const uint64_t sizes[] = { 5, 1, 9, 3, 8, 2, 9, 4 };
	struct region v[ARRAY_SIZE(sizes)];
	struct settled got[3] = { 0 };
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		v[i] = region((i + 1) * 100 * MIB, sizes[i] * MIB, 0, SEC);
	assert_int_equal(settled(v, ARRAY_SIZE(v), SEC, got, 3, &bytes), 3);
	assert_int_equal(bytes, 26 * MIB);
	assert_int_equal(got[0].start, 300 * MIB);
	assert_int_equal(got[1].start, 500 * MIB);
	assert_int_equal(got[2].start, 700 * MIB);
	assert_int_equal(settled(v, ARRAY_SIZE(v), SEC, got, 0, &bytes), 0);
	assert_int_equal(settled(v, ARRAY_SIZE(v), SEC, got, 1, &bytes), 1);
	assert_int_equal(bytes, 9 * MIB);
}

static void test_least(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} rows[] = {
		{ "5000\n", 15 * SEC }, { "100\n", 300000 },  { "0\n", UINT64_MAX },
		{ "x\n", UINT64_MAX },	{ "\n", UINT64_MAX }, { "18446744073709551615\n", UINT64_MAX },
	};
	char dir[] = "/tmp/test-sense-settled-XXXXXX";
	_cleanup_close_ int root = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(settled_least_us(root), UINT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_close_ int fd =
			openat(root, "scan_interval_ms", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		assert_true(write(fd, rows[i].text, strlen(rows[i].text)) > 0);
		assert_int_equal(settled_least_us(root), rows[i].us);
	}
	assert_int_equal(unlinkat(root, "scan_interval_ms", 0), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_least),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
