// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading a heap through pagemap and a window: on memory of our own. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/clock.h"
#include "inspect/window.h"

#define PAGES 200

struct fixture {
	struct remote_fds fds;
	struct remote mem;
	struct window window;
	unsigned char *area; /* pages 0, 3, 6, ... are written to, the others untouched */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds.mem_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	f->fds.pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	assert_true(f->fds.mem_fd >= 0 && f->fds.pagemap_fd >= 0);
	f->area = mmap(NULL, PAGES * REMOTE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->area != MAP_FAILED);
	assert_int_equal(madvise(f->area, PAGES * REMOTE_PAGE, MADV_NOHUGEPAGE), 0);
	for (size_t i = 0; i < PAGES; i += 3)
		memset(f->area + i * REMOTE_PAGE, (int)(i % 251 + 1), REMOTE_PAGE);
	remote_from_fds(&f->fds, 1000, 1ull << 30, &f->mem);
	window_init(&f->window, &f->mem);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fds.mem_fd);
	close(f->fds.pagemap_fd);
	munmap(f->area, PAGES * REMOTE_PAGE);
	free(f);
	return 0;
}

static uint64_t at(const struct fixture *f, size_t page)
{
	return (uint64_t)(uintptr_t)f->area + page * REMOTE_PAGE;
}

static size_t present(struct fixture *f)
{
	uint8_t flags[PAGES];
	size_t n = 0;

	assert_int_equal(remote_pages(&f->mem, at(f, 0), PAGES, flags), 0);
	for (size_t i = 0; i < PAGES; i++)
		n += flags[i] & REMOTE_PRESENT ? 1 : 0;
	return n;
}

/* Each written page is alone, but for those that are filled up here. */
static void runs_of_pages(void **state)
{
	struct fixture *f = *state;
	struct page_runs runs = { .open = 0 };
	uint64_t resident, again;

	memset(f->area + 10 * REMOTE_PAGE, 7, 4 * REMOTE_PAGE); /* 9, 12 and 15 are there: 9 to 13 */
	memset(f->area + 100 * REMOTE_PAGE, 7, 100 * REMOTE_PAGE); /* up to the end, and 99 */
	/* In two calls: a run goes on over their border. */
	assert_int_equal(window_resident_runs(&f->window, at(f, 0), at(f, 12), &runs, &resident), 0);
	assert_int_equal(window_resident_runs(&f->window, at(f, 12), at(f, PAGES), &runs, &again), 0);
	assert_int_equal(resident, 6 * REMOTE_PAGE);
	page_runs_end(&runs);
	page_runs_end(&runs);
	assert_int_equal(runs.count[0], 3 + 28);
	assert_int_equal(runs.count[2], 1);
	assert_int_equal(runs.bytes[2], 5 * REMOTE_PAGE);
	assert_int_equal(runs.count[6], 1);
	assert_int_equal(runs.bytes[6], 101 * REMOTE_PAGE);
	assert_int_equal(window_resident(&f->window, at(f, 0), at(f, PAGES), &again), 0);
	assert_int_equal(runs.bytes[0] + runs.bytes[2] + runs.bytes[6], again);
}

/* What is longer than the table counts in its last row. */
static void endless_runs(void **state)
{
	struct page_runs runs = { .open = 0 };

	(void)state;
	for (uint64_t i = 0; i < 3ull << PAGE_RUNS_LOGS; i++)
		page_runs_add(&runs, i * REMOTE_PAGE);
	page_runs_end(&runs);
	assert_int_equal(runs.count[PAGE_RUNS_LOGS - 1], 1);
	assert_int_equal(runs.bytes[PAGE_RUNS_LOGS - 1], (3ull << PAGE_RUNS_LOGS) * REMOTE_PAGE);
}

static void reads_what_is_there(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < PAGES; i++) {
		const void *p;
		unsigned char want = i % 3 ? 0 : (unsigned char)(i % 251 + 1);

		assert_int_equal(window_at(&f->window, at(f, i) + 100, 50, &p), 0);
		for (size_t k = 0; k < 50; k++)
			assert_int_equal(((const unsigned char *)p)[k], want);
	}
}

static void touches_nothing(void **state)
{
	struct fixture *f = *state;
	size_t before = present(f);
	uint64_t v;

	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(window_u64(&f->window, at(f, i), &v), 0);
	assert_int_equal(present(f), before);
	assert_int_equal(before, (PAGES + 2) / 3);
}

static void crosses_pages_and_windows(void **state)
{
	struct fixture *f = *state;
	const size_t last = WINDOW_PAGES - 1; /* 63: written to */
	const unsigned char *p;
	const void *q;

	assert_int_equal(window_at(&f->window, at(f, 0), 1, &q), 0);
	assert_int_equal(window_at(&f->window, at(f, last) + REMOTE_PAGE - 8, 16, &q), 0);
	p = q;
	assert_int_equal(p[7], last % 251 + 1);
	assert_int_equal(p[8], 0);
	/* backwards again */
	assert_int_equal(window_at(&f->window, at(f, 0), 1, &q), 0);
	assert_int_equal(*(const unsigned char *)q, 1);
}

static void sees_change_after_forget(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	assert_int_equal(window_u64(&f->window, at(f, 3), &v), 0);
	memset(f->area + 3 * REMOTE_PAGE, 0x77, 8);
	assert_int_equal(window_u64(&f->window, at(f, 3), &v), 0);
	assert_int_not_equal(v, 0x7777777777777777ull);
	window_forget(&f->window);
	assert_int_equal(window_u64(&f->window, at(f, 3), &v), 0);
	assert_int_equal(v, 0x7777777777777777ull);
}

static void counts_residency_of_whole_pages(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0;

	assert_int_equal(window_resident(&f->window, at(f, 0), at(f, PAGES), &n), 0);
	assert_int_equal(n, (PAGES + 2) / 3 * REMOTE_PAGE);
	/* a byte short at both ends: pages 0 and 6 don't count */
	assert_int_equal(window_resident(&f->window, at(f, 0) + 1, at(f, 7) - 1, &n), 0);
	assert_int_equal(n, REMOTE_PAGE);
	assert_int_equal(window_resident(&f->window, at(f, 5), at(f, 5), &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(window_resident(&f->window, UINT64_MAX - 5, UINT64_MAX, &n), -EFAULT);
}

/* A range that goes on behind the window: its begin is known already, the rest is asked for. */
static void asks_once_for_pages(void **state)
{
	struct fixture *f = *state;
	const void *p;
	uint64_t resident, bytes;

	assert_int_equal(window_at(&f->window, at(f, 60), 1, &p), 0);
	bytes = f->mem.bytes_left;
	assert_int_equal(window_resident(&f->window, at(f, 60), at(f, PAGES), &resident), 0);
	assert_int_equal(resident, (PAGES - 60 + 2) / 3 * REMOTE_PAGE);
	assert_int_equal(bytes - f->mem.bytes_left, (PAGES - 60 - WINDOW_PAGES) * sizeof(uint64_t));
	/* Not what lies before it. */
	bytes = f->mem.bytes_left;
	assert_int_equal(window_resident(&f->window, at(f, 59), at(f, 60), &resident), 0);
	assert_int_equal(resident, 0);
	assert_int_equal(bytes - f->mem.bytes_left, sizeof(uint64_t));
}

static void refuses_bad_ranges(void **state)
{
	struct fixture *f = *state;
	const void *p;
	uint8_t flag;

	assert_int_equal(window_at(&f->window, at(f, 0), 0, &p), -EFAULT);
	assert_int_equal(window_at(&f->window, at(f, 0), WINDOW_PAGES * REMOTE_PAGE, &p), -EFAULT);
	assert_int_equal(window_at(&f->window, UINT64_MAX - 8, 8, &p), -EFAULT);
	assert_int_equal(remote_pages(&f->mem, at(f, 0) + 1, 1, &flag), -EFAULT);
	assert_int_equal(remote_pages(&f->mem, at(f, 0), SIZE_MAX, &flag), -EFAULT);
	assert_int_equal(remote_pages(&f->mem, UINT64_MAX & ~(REMOTE_PAGE - 1), 2, &flag), -EFAULT);
}

static int shared_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	(void)ctx;
	(void)addr;
	memset(ret, REMOTE_PRESENT, n);
	ret[2] = REMOTE_SWAPPED;
	ret[5] = REMOTE_PRESENT | REMOTE_SHARED;
	return 0;
}

static int no_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	uint64_t *reads = ctx;

	(void)addr;
	memset(buf, 0, len);
	++*reads;
	return 0;
}

/* What is swapped out stays swapped out. */
static void leaves_swap_alone(void **state)
{
	uint64_t reads = 0;
	struct remote mem = {
		.read = no_read,
		.pages = shared_pages,
		.ctx = &reads,
		.reads_left = 100,
		.bytes_left = 1 << 30,
	};
	struct fixture *f = *state;
	const void *p;

	window_init(&f->window, &mem);
	assert_int_equal(window_at(&f->window, 0x10000, 2 * REMOTE_PAGE, &p), 0);
	assert_int_equal(reads, 1);
	assert_int_equal(window_at(&f->window, 0x10000 + 2 * REMOTE_PAGE, 8, &p), -ENXIO);
	assert_int_equal(f->window.swapped_at, 0x10000 + 2 * REMOTE_PAGE);
	assert_int_equal(window_at(&f->window, 0x10000 + 3 * REMOTE_PAGE, 3 * REMOTE_PAGE, &p), -ENXIO);
	assert_int_equal(f->window.swapped_at, 0x10000 + 5 * REMOTE_PAGE);
	assert_int_equal(window_at(&f->window, 0x10000 + 6 * REMOTE_PAGE, 8, &p), 0);
}

static void keeps_budgets(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	f->mem.bytes_left = WINDOW_PAGES * sizeof(uint64_t) + REMOTE_PAGE;
	assert_int_equal(window_u64(&f->window, at(f, 0), &v), 0);
	assert_int_equal(window_u64(&f->window, at(f, 3), &v), -EDQUOT);
	f->mem.bytes_left = UINT64_MAX;
	f->mem.deadline_ns = clock_ns() - 1;
	assert_int_equal(window_u64(&f->window, at(f, 6), &v), -ETIME);
	f->mem.deadline_ns = 0;
	f->mem.reads_left = 0;
	assert_int_equal(window_u64(&f->window, at(f, 6), &v), -EDQUOT);
	f->mem.pages = NULL;
	f->mem.reads_left = 10;
	window_forget(&f->window);
	assert_int_equal(window_u64(&f->window, at(f, 6), &v), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(touches_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(crosses_pages_and_windows, setup, teardown),
		cmocka_unit_test_setup_teardown(sees_change_after_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(counts_residency_of_whole_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(asks_once_for_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(runs_of_pages, setup, teardown),
		cmocka_unit_test(endless_runs),
		cmocka_unit_test_setup_teardown(refuses_bad_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_swap_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_budgets, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
