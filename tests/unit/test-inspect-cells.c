// SPDX-License-Identifier: GPL-2.0-or-later
/* The map: what is told of memory adds up, in whatever order, and however much of it there is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "inspect/pymalloc-cells.h"

#define PAGE 4096ull
#define BASE 0x7f0000000000ull

static uint64_t sum(const struct cells *c, enum cells_kind kind)
{
	uint64_t s = 0;

	for (size_t i = 0; i < c->n; i++)
		s += c->v[i].bytes[kind];
	return s;
}

static void check_order(const struct cells *c)
{
	for (size_t i = 0; i < c->n; i++) {
		uint64_t all = 0;

		for (size_t k = 0; k < CELLS_KINDS; k++)
			all += c->v[i].bytes[k];
		assert_true(all > 0 && all <= c->size);
		assert_int_equal(c->v[i].at % c->size, 0);
		if (i)
			assert_true(c->v[i].at > c->v[i - 1].at ||
				    (c->v[i].at == c->v[i - 1].at && c->v[i].owner > c->v[i - 1].owner));
	}
}

static void test_add_and_move(void **state)
{
	_cleanup_(cells_done) struct cells c = { 0 };

	(void)state;
	assert_int_equal(cells_new(&c), 0);
	cells_add(&c, CELLS_GLIBC, 7, BASE + 16, BASE + 3 * PAGE, CELLS_IN_USE);
	cells_move(&c, CELLS_GLIBC, BASE + 32, BASE + PAGE + 100, CELLS_CACHED);
	cells_live(&c, CELLS_GLIBC, BASE + 2 * PAGE, 3);
	/* Nothing of it is there. */
	cells_move(&c, CELLS_GLIBC, BASE + 5 * PAGE, BASE + 6 * PAGE, CELLS_CACHED);
	cells_live(&c, CELLS_PYMALLOC, BASE, 3);
	assert_int_equal(cells_finish(&c), 0);
	assert_int_equal(c.n, 3);
	assert_int_equal(c.size, PAGE);
	check_order(&c);
	assert_int_equal(sum(&c, CELLS_CACHED), PAGE + 100 - 32);
	assert_int_equal(sum(&c, CELLS_IN_USE), 3 * PAGE - 16 - (PAGE + 100 - 32));
	assert_int_equal(c.v[0].arena, 7);
	assert_int_equal(c.v[2].live_blocks, 3);
}

/* The same in both directions, with a second owner between: the size follows from the whole. */
static void draw(struct cells *c, bool backwards)
{
	const uint64_t piece = 64 * PAGE, n = 3000;

	assert_int_equal(cells_new(c), 0);
	for (uint64_t k = 0; k < n; k++) {
		const uint64_t i = backwards ? n - 1 - k : k;

		cells_add(c, i % 3 ? CELLS_GLIBC : CELLS_PYMALLOC, (uint32_t)i, BASE + i * piece,
			  BASE + (i + 1) * piece, i % 2 ? CELLS_IN_USE : CELLS_FREE_RESIDENT);
		cells_live(c, i % 3 ? CELLS_GLIBC : CELLS_PYMALLOC, BASE + i * piece, 1);
	}
	assert_int_equal(cells_finish(c), 0);
}

static void test_grows_coarser(void **state)
{
	_cleanup_(cells_done) struct cells a = { 0 }, b = { 0 };
	uint64_t live = 0;

	(void)state;
	draw(&a, false);
	draw(&b, true);
	assert_true(a.n <= CELLS_MAX && a.n > CELLS_MAX / 4);
	assert_int_equal(a.size, b.size);
	assert_int_equal(a.size, 4 * PAGE);
	assert_int_equal(a.n, b.n);
	assert_memory_equal(a.v, b.v, a.n * sizeof(*a.v));
	check_order(&a);
	assert_int_equal(sum(&a, CELLS_IN_USE) + sum(&a, CELLS_FREE_RESIDENT), 3000 * 64 * PAGE);
	for (size_t i = 0; i < a.n; i++)
		live += a.v[i].live_blocks;
	assert_int_equal(live, 3000);
}

/* Two owners may lie at one address; of the one that isn't believed nothing is left, and all of the other. */
static void test_dropped(void **state)
{
	(void)state;
	for (int dropped = 0; dropped < 2; dropped++) {
		_cleanup_(cells_done) struct cells c = { 0 };

		assert_int_equal(cells_new(&c), 0);
		for (uint64_t i = 0; i < 20; i++) {
			cells_add(&c, CELLS_PYMALLOC, 0, BASE + i * PAGE, BASE + i * PAGE + 96, CELLS_IN_USE);
			cells_add(&c, CELLS_GLIBC, 0, BASE + i * PAGE, BASE + i * PAGE + 32, CELLS_CACHED);
		}
		if (dropped)
			cells_drop(&c, CELLS_PYMALLOC);
		assert_int_equal(cells_finish(&c), 0);
		check_order(&c);
		assert_int_equal(c.n, dropped ? 20 : 40);
		assert_int_equal(sum(&c, CELLS_CACHED), 20 * 32);
		assert_int_equal(sum(&c, CELLS_IN_USE), dropped ? 0 : 20 * 96);
	}
}

/* A forged table may say anything, and all of it twice. */
static void test_nonsense_is_bounded(void **state)
{
	_cleanup_(cells_done) struct cells c = { 0 };

	(void)state;
	assert_int_equal(cells_new(&c), 0);
	for (int i = 0; i < 3; i++)
		cells_add(&c, CELLS_GLIBC, 0, 0, 1ull << 47, CELLS_IN_USE);
	cells_add(&c, CELLS_GLIBC, 0, UINT64_MAX - 10, UINT64_MAX, CELLS_UNKNOWN);
	cells_add(&c, CELLS_GLIBC, 0, 100, 10, CELLS_UNKNOWN);
	cells_move(&c, CELLS_GLIBC, 0, UINT64_MAX, CELLS_CACHED);
	for (int i = 0; i < 3; i++)
		cells_live(&c, CELLS_GLIBC, 0, UINT32_MAX);
	assert_int_equal(cells_finish(&c), 0);
	assert_true(c.n <= CELLS_MAX);
	check_order(&c);
	assert_true(sum(&c, CELLS_CACHED) <= 1ull << 47);
	assert_int_equal(c.v[0].live_blocks, UINT32_MAX);
}

static uint8_t present[8];

static int fake_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++) {
		const uint64_t page = (addr - BASE) / PAGE + i;

		ret[i] = page < ARRAY_SIZE(present) ? present[page] : 0;
	}
	return 0;
}

static struct remote fake_remote(void)
{
	return (struct remote){ .pages = fake_pages, .reads_left = 1000, .bytes_left = 1 << 20 };
}

/* A free chunk over five pages: its ends share pages with others, and of the whole ones one has gone. */
static void test_free_chunk(void **state)
{
	_cleanup_(cells_done) struct cells c = { 0 };
	struct remote mem = fake_remote();
	struct window *w = malloc(sizeof(*w));
	const uint8_t there[] = { 1, 1, 0, 1, 1, 1, 2, 0 };

	(void)state;
	memcpy(present, there, sizeof(present));
	assert_non_null(w);
	window_init(w, &mem);
	assert_int_equal(cells_new(&c), 0);
	cells_add(&c, CELLS_GLIBC, 0, BASE, BASE + 8 * PAGE, CELLS_IN_USE);
	assert_int_equal(cells_free(&c, CELLS_GLIBC, w, BASE + 16, 5 * PAGE, BASE + PAGE, BASE + 5 * PAGE), 0);
	/* Too small for a page. */
	assert_int_equal(cells_free(&c, CELLS_GLIBC, w, BASE + 7 * PAGE, 64, BASE + 8 * PAGE, BASE + 7 * PAGE), 0);
	assert_int_equal(cells_resident(&c, CELLS_GLIBC, &mem, BASE, BASE + 8 * PAGE), 0);
	assert_int_equal(cells_finish(&c), 0);
	check_order(&c);
	assert_int_equal(sum(&c, CELLS_FREE_RESIDENT), 3 * PAGE);
	assert_int_equal(sum(&c, CELLS_FREE_GONE), PAGE);
	assert_int_equal(sum(&c, CELLS_FREE_SHARED), PAGE + 64);
	assert_int_equal(sum(&c, CELLS_IN_USE), 3 * PAGE - 64);
	assert_int_equal(c.v[0].resident, PAGE);
	assert_int_equal(c.v[2].bytes[CELLS_FREE_GONE], PAGE);
	assert_int_equal(c.v[6].swapped, PAGE);
	free(w);
}

/* ---- Python's pools ---- */

static const struct cpython py = { .arena_size = 1 << 20, .pool_size = 16384 };

static struct pymalloc_pool pool_of(enum pymalloc_pool_state state, uint32_t count, uint32_t szidx)
{
	return (struct pymalloc_pool){
		.address = BASE,
		.state = state,
		.h = { .count = count, .szidx = szidx },
		.blocks_valid = true,
		.present = 0xf,
	};
}

/* One live block, in the last page but one; the third page has been dropped already. */
static void test_pool_with_one_block(void **state)
{
	_cleanup_(cells_done) struct cells c = { 0 };
	const struct pymalloc_arena a = { .index = 3 };
	struct pymalloc_pool p = pool_of(PYMALLOC_USED, 1, 3);
	const uint32_t blocks = pymalloc_blocks(&py, 3), live = 200;

	(void)state;
	p.present = 0xb;
	for (uint32_t i = 0; i < blocks; i++)
		if (i != live)
			p.free_map[i / 64] |= 1ull << (i % 64);
	assert_int_equal(cells_new(&c), 0);
	pymalloc_cells_pool(&c, &py, &a, &p);
	assert_int_equal(cells_finish(&c), 0);
	check_order(&c);
	assert_int_equal(c.n, 4);
	assert_int_equal(sum(&c, CELLS_IN_USE), 64);
	assert_int_equal(c.v[3].bytes[CELLS_IN_USE], 64);
	assert_int_equal(c.v[3].live_blocks, 1);
	assert_int_equal(c.v[0].bytes[CELLS_OVERHEAD], PYMALLOC_POOL_HEADER);
	assert_int_equal(c.v[0].bytes[CELLS_FREE_SHARED], PAGE - PYMALLOC_POOL_HEADER);
	assert_int_equal(c.v[1].bytes[CELLS_FREE_RESIDENT], PAGE);
	assert_int_equal(c.v[2].bytes[CELLS_FREE_GONE], PAGE);
	assert_int_equal(c.v[3].arena, 3);
}

/* What no pool can be says nothing. */
static void test_impossible_pools(void **state)
{
	const struct cpython large = { .arena_size = 1 << 24, .pool_size = 1 << 20 };
	_cleanup_(cells_done) struct cells c = { 0 };
	const struct pymalloc_arena a = { .index = 3 };
	struct pymalloc_pool p = pool_of(PYMALLOC_USED, 1, PYMALLOC_CLASSES);

	(void)state;
	assert_int_equal(cells_new(&c), 0);
	pymalloc_cells_pool(&c, &py, &a, &p);
	p = pool_of(PYMALLOC_FULL, 1, 3);
	pymalloc_cells_pool(&c, &large, &a, &p);
	assert_int_equal(cells_finish(&c), 0);
	assert_int_equal(c.n, 0);
}

/* All of a pool is accounted for, whatever its class and state, and all of an arena with what is around its pools. */
static void test_pools_add_up(void **state)
{
	const struct pymalloc_arena a = {
		.o = { .address = BASE - PAGE },
		.base = BASE,
		.slots = 63,
	};

	(void)state;
	for (uint32_t szidx = 0; szidx < PYMALLOC_CLASSES; szidx++) {
		const uint32_t blocks = pymalloc_blocks(&py, szidx);

		for (int s = PYMALLOC_USED; s <= PYMALLOC_RETIRED; s++) {
			_cleanup_(cells_done) struct cells c = { 0 };
			struct pymalloc_pool p = pool_of((enum pymalloc_pool_state)s, 0, szidx);
			uint64_t all = 0, used;

			p.h.count = s == PYMALLOC_FULL ? blocks : s == PYMALLOC_USED ? blocks / 2 : 0;
			p.blocks_valid = false;
			assert_int_equal(cells_new(&c), 0);
			pymalloc_cells_arena(&c, &py, &a);
			pymalloc_cells_pool(&c, &py, &a, &p);
			assert_int_equal(cells_finish(&c), 0);
			check_order(&c);
			for (int k = 0; k < CELLS_KINDS; k++)
				all += sum(&c, (enum cells_kind)k);
			used = sum(&c, CELLS_IN_USE);
			assert_int_equal(used, (uint64_t)p.h.count * PYMALLOC_BLOCK_SIZE(szidx));
			assert_int_equal(all, py.pool_size + py.arena_size - 63 * py.pool_size);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_move),
		cmocka_unit_test(test_grows_coarser),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_impossible_pools),
		cmocka_unit_test(test_nonsense_is_bounded),
		cmocka_unit_test(test_free_chunk),
		cmocka_unit_test(test_pool_with_one_block),
		cmocka_unit_test(test_pools_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
