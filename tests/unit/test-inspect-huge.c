// SPDX-License-Identifier: GPL-2.0-or-later
/* Which huge pages have lost a part: on memory of our own, as kernels of today and of before 6.7 tell it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/pagemap.h"
#include "base/procfs.h"
#include "base/rollup.h"
#include "inspect/huge.h"

#define BLOCKS 6
#define SMALL 2 /* more blocks, of small pages */

static unsigned char *area; /* BLOCKS huge ones, SMALL of small pages */
static struct target t;

static uint64_t block(size_t i)
{
	return (uint64_t)(uintptr_t)area + i * HUGE_PAGE;
}

static bool is_huge(size_t i)
{
	struct pagemap_region v[2] = { 0 };
	uint64_t end;

	return pagemap_scan(t.fds.pagemap_fd, block(i), block(i + 1), PAGEMAP_HUGE, 0, v, 2, &end) == 1 &&
	       v[0].start == block(i) && v[0].end == block(i + 1);
}

static int setup(void **state)
{
	_cleanup_close_ int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const size_t size = (BLOCKS + SMALL) * HUGE_PAGE;
	unsigned char *p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	if (self < 0 || p == MAP_FAILED)
		return -1;
	area = (unsigned char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	(void)madvise(area, BLOCKS * HUGE_PAGE, MADV_HUGEPAGE);
	(void)madvise(area + BLOCKS * HUGE_PAGE, SMALL * HUGE_PAGE, MADV_NOHUGEPAGE);
	memset(area, 7, size);
	t = (struct target)TARGET_CLOSED;
	t.fds.mem_fd = openat(self, "mem", O_RDONLY | O_CLOEXEC);
	t.fds.pagemap_fd = openat(self, "pagemap", O_RDONLY | O_CLOEXEC);
	remote_from_fds(&t.fds, 1000, 1 << 20, &t.mem);
	return maps_read(self, 65536, &t.maps);
}

static int teardown(void **state)
{
	(void)state;
	(void)munmap(area, (BLOCKS + SMALL) * HUGE_PAGE);
	target_close(&t);
	return 0;
}

static bool noted(const struct huge *h, size_t i)
{
	for (size_t k = 0; k < h->n; k++)
		if (h->blocks[k] == block(i))
			return true;
	return false;
}

static void drop(size_t i, size_t page, size_t n)
{
	assert_int_equal(madvise(area + i * HUGE_PAGE + page * REMOTE_PAGE, n * REMOTE_PAGE, MADV_DONTNEED), 0);
}

/* The torn ones of our blocks as bits; each page that is named must be one that is left. */
static unsigned int torn(struct huge *h)
{
	unsigned int found = 0;
	uint64_t pages[3];
	int n;

	while ((n = huge_torn(&t, h, pages, ARRAY_SIZE(pages))) > 0) {
		for (int i = 0; i < n; i++) {
			if (pages[i] < block(0) || pages[i] >= block(BLOCKS + SMALL))
				continue;
			assert_int_equal(*(unsigned char *)(uintptr_t)pages[i], 7);
			found |= 1u << (pages[i] - block(0)) / HUGE_PAGE;
		}
	}
	assert_int_equal(n, 0);
	return found;
}

static void tear(void)
{
	drop(0, 0, 511); /* the last page is left */
	drop(1, 0, 512); /* none is */
	drop(2, 1, 511);
	drop(4, 100, 1);
	drop(BLOCKS, 0, 256); /* never was a huge one */
}

static void test_seen(void **state)
{
	_cleanup_(huge_done) struct huge h = { 0 };
	unsigned int want = 0;

	(void)state;
	if (!is_huge(0) || !is_huge(2))
		skip();
	assert_int_equal(huge_note(&t, &h), 0);
	assert_false(h.guess);
	for (size_t i = 0; i < BLOCKS + SMALL; i++)
		assert_int_equal(noted(&h, i), is_huge(i));
	for (size_t i = 0; i < BLOCKS; i++)
		want |= is_huge(i) && (i == 0 || i == 2 || i == 4) ? 1u << i : 0;
	tear();
	assert_int_equal(torn(&h), want);
}

static void test_guessed(void **state)
{
	_cleanup_(huge_done) struct huge h = { 0 };

	(void)state;
	t.fds.no_scan = true;
	assert_int_equal(huge_note(&t, &h), 0);
	assert_true(h.guess);
	for (size_t i = 0; i < BLOCKS + SMALL; i++)
		assert_true(noted(&h, i));
	tear();
	assert_int_equal(torn(&h), 1u << 0 | 1u << 2 | 1u << 4 | 1u << BLOCKS);
}

/* A place with a hole is none that could be torn. */
static void test_holes(void **state)
{
	_cleanup_(huge_done) struct huge h = { 0 };

	(void)state;
	tear();
	t.fds.no_scan = true;
	assert_int_equal(huge_note(&t, &h), 0);
	for (size_t i = 0; i < BLOCKS + SMALL; i++)
		assert_int_equal(noted(&h, i), i != 0 && i != 1 && i != 2 && i != 4 && i != BLOCKS);
	assert_int_equal(torn(&h), 0);
}

/* What loses a part isn't counted as huge any more, in whichever way that is told. */
static void test_rollup(void **state)
{
	_cleanup_close_ int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t before = rollup_huge(self), n = 0;

	(void)state;
	assert_int_not_equal(before, ROLLUP_UNKNOWN);
	for (size_t i = 0; i < BLOCKS + SMALL; i++)
		n += is_huge(i) && (i < 3 || i == 4);
	assert_true(before >= n * HUGE_PAGE);
	tear();
	assert_int_equal(before - rollup_huge(self), n * HUGE_PAGE);
	assert_int_equal(rollup_huge(-1), ROLLUP_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guessed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rollup, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
