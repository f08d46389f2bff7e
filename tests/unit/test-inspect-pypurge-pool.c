// SPDX-License-Identifier: GPL-2.0-or-later
/* The carve window moved inside of a pool: what is chosen, each state on the way, and every refusal. */
#include "pypurge-fake.h"
#include "under-valgrind.h"

static void test_one_live(void **state)
{
	(void)state;
	for (uint32_t szidx = 0; szidx < PYMALLOC_CLASSES; szidx++) {
		for (uint32_t live = 0; live < 1021; live += 1 + szidx % 3) {
			struct fake *f = fake_new(szidx);
			uint32_t there = 0;

			if (live >= f->n) {
				free(f);
				break;
			}
			for (uint32_t i = f->n; i > 0; i--)
				if (i - 1 != live)
					fake_free(f, i - 1);
			assert_int_equal(plan_anew(f), 1);
			check_states(f);
			for (int g = 0; g < 4; g++)
				there += f->flags[g] & REMOTE_PRESENT;
			/* The header's page, those of the live block, and the shorter side. */
			assert_true(there <= 3);
			if (block(f, live) + f->bs <= AT + 4096)
				assert_int_equal(there, 1);
			/* Nothing more to gain. */
			assert_int_equal(plan_anew(f), 0);
			assert_int_equal(f->lists.n_writes + f->lists.n_ranges, 0);
			free(f);
		}
	}
}

/* Any pools, again and again, in any order of freeing. */
static void test_random(void **state)
{
	const uint32_t rounds = under_valgrind() ? 400 : 4000;
	uint32_t gained = 0;

	(void)state;
	srandom(7);
	for (uint32_t round = 0; round < rounds; round++) {
		struct fake *f = fake_new((uint32_t)random() % PYMALLOC_CLASSES);
		uint32_t lo = (uint32_t)random() % f->n, hi = lo + (uint32_t)random() % (f->n - lo) + 1;
		const uint32_t rarity = 1u << (random() % 9);
		int r;

		if (random() % 2 && hi - lo < f->n - 1)
			fake_window(f, lo, hi);
		for (uint32_t k = 0; k < f->n * 3; k++) {
			const uint32_t i = random() % 2 ? k % f->n : (uint32_t)random() % f->n;

			if (f->live[i] && f->count > 1 && (uint32_t)random() % rarity)
				fake_free(f, i);
		}
		for (int g = 0; g < 4; g++)
			if (random() % 4 == 0)
				f->flags[g] |= 0x80; /* of no meaning */
		if (!header(f)->freeblock) {
			free(f);
			continue;
		}
		r = plan_anew(f);
		assert_true(r == 0 || r == 1);
		if (r == 1) {
			check_states(f);
			gained++;
			r = plan_anew(f);
			assert_int_equal(r, 0);
		}
		free(f);
	}
	assert_true(gained > rounds / 4);
}

/* Blocks of 512: 31 of them, 8 to a page. */
static void test_choice(void **state)
{
	struct fake *f = fake_new(31);

	(void)state;
	assert_int_equal(f->n, 31);
	/* Page 2 has the live block; 1 and 3 are equal: the later one, as it is where a fresh pool's window is. */
	for (uint32_t i = 0; i < 31; i++)
		if (i != 20)
			fake_free(f, i);
	assert_int_equal(plan_anew(f), 1);
	assert_int_equal(f->lists.n_ranges, 1);
	assert_int_equal(f->lists.ranges[0].addr, AT + 3 * 4096);
	assert_int_equal(f->lists.resident, 4096);
	free(f);

	/* Page 1 holds the window: it stays, without a write. */
	f = fake_new(31);
	fake_window(f, 8, 16);
	for (uint32_t i = 0; i < 31; i++)
		if (f->live[i] && i != 20)
			fake_free(f, i);
	assert_int_equal(plan_anew(f), 1);
	assert_int_equal(f->lists.n_writes, 0);
	assert_int_equal(f->lists.ranges[0].addr, AT + 4096);
	free(f);

	/* A window that was never used has no pages: nothing to gain, and none to be made resident. */
	f = fake_new(31);
	fake_window(f, 8, 31);
	fake_free(f, 0);
	f->flags[1] = f->flags[2] = f->flags[3] = 0;
	assert_int_equal(plan_anew(f), 0);
	free(f);

	/* To give page 3 back, the window on page 1 would have to get links: no gain. */
	f = fake_new(31);
	fake_window(f, 8, 16);
	for (uint32_t i = 0; i < 31; i++)
		if (f->live[i] && i != 20)
			fake_free(f, i);
	f->flags[1] = 0;
	assert_int_equal(plan_anew(f), 0);
	free(f);
}

/*
 * One block has to remain on the list: pymalloc takes it without a look. Of
 * 16 bytes, so that page 1 begins with block 253, page 2 with 509.
 */
static void test_last_listed(void **state)
{
	struct fake *f = fake_new(0);

	(void)state;
	/* The free blocks are those of pages 1 to 3: one page less. */
	for (uint32_t i = 253; i < 1021; i++)
		fake_free(f, i);
	assert_int_equal(plan_anew(f), 1);
	assert_int_equal(f->lists.resident, 2 * 4096);
	check_states(f);
	free(f);

	/* Those before them are in the window already, and it would be all: one leaves it. */
	f = fake_new(0);
	fake_window(f, 200, 300);
	for (uint32_t i = 300; i < 1021; i++)
		fake_free(f, i);
	assert_int_equal(plan_anew(f), 1);
	assert_int_equal(f->lists.resident, 3 * 4096);
	check_states(f);
	assert_int_equal(header(f)->freeblock, block(f, 200));
	assert_int_equal(header(f)->nextoffset, PYMALLOC_POOL_HEADER + 201 * 16);
	free(f);

	/* The same behind them. */
	f = fake_new(0);
	fake_window(f, 500, 520);
	for (uint32_t i = 253; i < 500; i++)
		fake_free(f, i);
	assert_int_equal(plan_anew(f), 1);
	assert_int_equal(f->lists.resident, 4096);
	check_states(f);
	assert_int_equal(header(f)->freeblock, block(f, 519));
	free(f);

	/* A single page, and no block besides it: given up. */
	f = fake_new(0);
	for (uint32_t i = 253; i < 509; i++)
		fake_free(f, i);
	assert_int_equal(plan_anew(f), 0);
	fake_free(f, 1020);
	assert_int_equal(plan_anew(f), 1);
	check_states(f);
	free(f);
}

static struct fake *ordinary(void)
{
	struct fake *f = fake_new(2);

	for (uint32_t i = f->n; i > 0; i--)
		if (i % 150)
			fake_free(f, i - 1);
	return f;
}

static void test_refusals(void **state)
{
	struct fake *f = ordinary();
	const struct pymalloc_pool_header was = *header(f);

	(void)state;
	assert_int_equal(plan_anew(f), 1);

	/* The list: out of the pool, into the header, off the grid, behind the last block, in a circle, too short. */
	const uint64_t bad[] = { AT - 48,	   AT,	       AT + 40, AT + SIZE,   block(f, f->n), block(f, 3) + 8,
				 block(f, 3) + 16, UINT64_MAX, 1,	block(f, 0), block(f, 1) };

	for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
		uint64_t link;

		memcpy(&link, f->bytes + (block(f, 1) - AT), 8);
		link_set(f, 1, bad[k]);
		assert_int_equal(plan_anew(f), -EBADMSG);
		assert_int_equal(f->lists.n_writes + f->lists.n_ranges, 0);
		link_set(f, 1, 0);
		assert_int_equal(plan_anew(f), -EBADMSG);
		link_set(f, 1, link);
		header(f)->freeblock = bad[k];
		if (bad[k] != block(f, 0))
			assert_int_equal(plan_anew(f), -EBADMSG);
		*header(f) = was;
	}
	/* The counts. */
	f->count++;
	assert_int_equal(plan_anew(f), -EBADMSG);
	f->count -= 2;
	assert_int_equal(plan_anew(f), -EBADMSG);
	f->count = 0;
	assert_int_equal(plan_anew(f), -EBADMSG);
	f->count = f->n;
	assert_int_equal(plan_anew(f), -EBADMSG);
	f->count = UINT32_MAX;
	assert_int_equal(plan_anew(f), -EBADMSG);
	f->count = was.count;
	free(f);

	f = ordinary();
	header(f)->szidx = 32;
	assert_int_equal(plan_anew(f), -EBADMSG);
	header(f)->szidx = PYMALLOC_NO_CLASS;
	assert_int_equal(plan_anew(f), -EBADMSG);
	header(f)->szidx = 3;
	assert_int_equal(plan_anew(f), -EBADMSG);
	free(f);
}

static void test_bad_windows(void **state)
{
	static const uint32_t bad[][2] = {
		{ 0, 16336 },	 { 40, 16336 },	       { 8193, 16336 },	    { 8064, 16352 },
		{ 8064, 16384 }, { 8064, UINT32_MAX }, { 8112, 8111 + 48 }, { 16320 + 48 - 32, 16380 },
	};
	struct fake *f = ordinary();
	const struct pymalloc_pool_header was = *header(f);

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
		header(f)->nextoffset = bad[k][0];
		header(f)->maxnextoffset = bad[k][1];
		assert_int_equal(plan_anew(f), -EBADMSG);
		*header(f) = was;
	}
	/* A window over blocks that are on the list too. */
	header(f)->nextoffset = PYMALLOC_POOL_HEADER + 200 * 48;
	header(f)->maxnextoffset = PYMALLOC_POOL_HEADER + 210 * 48;
	f->count -= 11;
	assert_int_equal(plan_anew(f), -EBADMSG);
	f->count += 11;
	/* What a scatter that ended early leaves: an empty window, and fewer blocks than there should be. */
	*header(f) = was;
	header(f)->nextoffset = SIZE;
	assert_int_equal(plan_anew(f), 1);
	f->count--;
	assert_int_equal(plan_anew(f), -EBADMSG);
	free(f);
}

static void test_pages(void **state)
{
	struct fake *f = ordinary();

	(void)state;
	for (int g = 0; g < 4; g++) {
		f->flags[g] = REMOTE_SWAPPED;
		assert_int_equal(plan_anew(f), -ENXIO);
		f->flags[g] = REMOTE_PRESENT | REMOTE_SHARED;
		assert_int_equal(plan_anew(f), -ENXIO);
		/* Not there: reads as zero, the list ends early. */
		f->flags[g] = 0;
		assert_int_equal(plan_anew(f), -EBADMSG);
		f->flags[g] = REMOTE_PRESENT;
	}
	assert_int_equal(plan_anew(f), 1);
	pypurge_lists_init(&f->lists, 0, 0, 0, 0);
	f->mem.read = NULL;
	f->pool.h = *header(f);
	f->mem.reads_left = 0;
	assert_int_equal(pypurge_pool_plan(&f->pool, &f->mem, &f->lists), -EDQUOT);
	free(f);
}

/* All of a pool or nothing of it. */
static void test_full_lists(void **state)
{
	struct fake *f = ordinary();
	uint32_t need;

	(void)state;
	assert_int_equal(plan_anew(f), 1);
	need = f->lists.n_writes;
	assert_true(need > 1);
	for (uint32_t room = 1; room <= need; room++) {
		pypurge_lists_init(&f->lists, room, 0, 0, 0);
		assert_int_equal(plan(f), room < need ? -ENOBUFS : 1);
		assert_int_equal(f->lists.n_writes, room < need ? 0 : need);
		assert_int_equal(f->lists.n_ranges, room < need ? 0 : 1);
	}
	pypurge_lists_init(&f->lists, 0, 1, 0, 0);
	assert_true(pypurge_lists_drop(&f->lists, AT - 8192, 4096, 4096));
	assert_int_equal(plan(f), -ENOBUFS);
	assert_int_equal(f->lists.n_writes, 0);
	pypurge_lists_init(&f->lists, 0, 0, 12, 0);
	assert_int_equal(plan(f), -ENOBUFS);
	assert_int_equal(f->lists.n_values, 0);
	free(f);
}

static void test_lists(void **state)
{
	static struct pypurge_lists l;
	struct pypurge_mark mark;

	(void)state;
	pypurge_lists_init(&l, 3, 3, 100, 40960);
	assert_true(pypurge_lists_drop(&l, 0x10000, 0x1000, 0)); /* nothing there */
	assert_int_equal(l.n_ranges, 0);
	assert_true(pypurge_lists_drop(&l, 0x11000, 0x1000, 4096));
	assert_true(pypurge_lists_drop(&l, 0x12000, 0x1000, 4096)); /* joined */
	assert_true(pypurge_lists_drop(&l, 0x13000, 0x1000, 0));
	mark = pypurge_lists_mark(&l);
	assert_true(pypurge_lists_drop(&l, 0x14000, 0x1000, 4096)); /* joined over what is not there */
	assert_int_equal(l.n_ranges, 1);
	assert_int_equal(l.ranges[0].len, 0x4000);
	pypurge_lists_rollback(&l, &mark);
	assert_int_equal(l.ranges[0].len, 0x2000);
	assert_true(pypurge_lists_drop(&l, 0x15000, 0x1000, 4096)); /* 0x14000 must stay */
	assert_int_equal(l.n_ranges, 2);
	assert_int_equal(l.resident, 3 * 4096);
	assert_false(pypurge_lists_drop(&l, 0x20000, 0x8000, 0x8000)); /* more bytes than allowed */
	assert_true(pypurge_lists_drop(&l, 0x20000, 0x1000, 0x1000));
	assert_false(pypurge_lists_drop(&l, 0x30000, 0x1000, 0x1000)); /* more ranges */
	assert_true(pypurge_lists_write(&l, 8, "12345678", 8));
	l.held_writes = 1;
	assert_true(pypurge_lists_write(&l, 8, "12345678", 8));
	assert_false(pypurge_lists_write(&l, 8, "12345678", 8));
	l.held_writes = 0;
	assert_null(pypurge_lists_room(&l, 8, 85));
	assert_non_null(pypurge_lists_room(&l, 8, 84));
	assert_int_equal(l.n_values, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_live), cmocka_unit_test(test_random),
		cmocka_unit_test(test_choice),	 cmocka_unit_test(test_last_listed),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_bad_windows),
		cmocka_unit_test(test_pages),	 cmocka_unit_test(test_full_lists),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
