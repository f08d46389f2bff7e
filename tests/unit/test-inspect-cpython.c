// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The CPython reader against this machine's own Python, and: with arguments
 * "read PID" (and "cheap" or "glance"), what it sees in a process, as JSON for the
 * tests that compare it with what that process says of itself.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpython-print.h"
#include "fake-pymalloc.h"
#include "inspect/pymalloc-image.h"
#include "inspect/pypurge.h"

/* ---- on made-up processes ---- */

static int look(struct fake *f, struct pymalloc_facts *ret)
{
	return pymalloc_look(&f->t, &f->py, PYMALLOC_BLOCKS, NULL, ret);
}

static const uint64_t pool_sizes[] = { 4096, 16384 };

static void test_look(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pool_sizes); i++) {
		struct pymalloc_facts facts;
		struct fake f;
		uint32_t n;

		fake_init(&f, pool_sizes[i]);
		n = pymalloc_blocks(&f.py, 3);
		fake_arena(&f, 0);
		fake_arena(&f, 1);
		(void)fake_carve(&f, 0, 3, 10, 5);
		(void)fake_carve(&f, 0, 3, n, 0);
		fake_free(&f, 0, fake_carve(&f, 0, 7, 1, 0));
		fake_free(&f, 0, fake_carve(&f, 0, 31, 2, 0));
		(void)fake_carve(&f, 1, 31, 1, 1);
		assert_int_equal(look(&f, &facts), 0);
		assert_int_equal(facts.arenas, 2);
		assert_int_equal(facts.pools_used, 2);
		assert_int_equal(facts.pools_full, 1);
		assert_int_equal(facts.pools_listed, 2);
		assert_int_equal(facts.pools_virgin, 60 + 63);
		assert_int_equal(facts.pools_free, 2 + 60 + 63);
		assert_int_equal(facts.classes[3].used_blocks, 10 + n);
		assert_int_equal(facts.classes[3].free_blocks, n - 10);
		assert_int_equal(facts.in_use, (10 + n) * 64 + 512);
		assert_int_equal(facts.resident, 2 * f.py.arena_size);
		/* Above the ten blocks of 64 bytes, and above the one of 512, all but the first page. */
		assert_int_equal(facts.free_resident_blocks, 2 * (f.py.pool_size - 4096));
		assert_int_equal(facts.free_resident_pools, 125 * f.py.pool_size);
		assert_int_equal(facts.pins[1].arenas, 1); /* 512 bytes */
		assert_int_equal(facts.torn_arenas + facts.unknown + facts.pools_retired, 0);
		fake_done(&f);
	}
}

/* What a deep purge has taken out is recognised by itself, with its pages gone. */
static void test_retired(void **state)
{
	struct pymalloc_facts facts;
	struct fake f;

	(void)state;
	fake_init(&f, 16384);
	fake_arena(&f, 0);
	(void)fake_carve(&f, 0, 0, 1, 0);
	(void)fake_carve(&f, 0, 0, 1, 0);
	fake_free(&f, 0, fake_carve(&f, 0, 1, 1, 0));
	fake_free(&f, 0, fake_carve(&f, 0, 1, 1, 0));
	fake_retire(&f, 0, 3);
	fake_retire(&f, 0, 2);
	assert_int_equal(look(&f, &facts), 0);
	assert_int_equal(facts.pools_retired, 2);
	assert_int_equal(facts.pools_listed, 0);
	assert_int_equal(facts.torn_arenas, 0);
	/* One that is in no list although nobody retired it: the counts don't allow that. */
	fake_object(&f, 0)->ntotalpools++;
	assert_int_equal(look(&f, &facts), -EBADMSG);
	fake_done(&f);
}

enum damage {
	DAMAGE_CYCLE,
	DAMAGE_LIST_OUTSIDE,
	DAMAGE_LIST_UNALIGNED,
	DAMAGE_LIST_LIVE,
	DAMAGE_COUNT,
	DAMAGE_CLASS,
	DAMAGE_INDEX,
	DAMAGE_NFREE,
	DAMAGE_POOL_ADDRESS,
	DAMAGE_ADDRESS,
	DAMAGES,
};

static void damage(struct fake *f, enum damage d)
{
	struct pymalloc_arena_object *o = fake_object(f, 0);

	switch (d) {
	case DAMAGE_CYCLE:
		fake_pool(f, 0, 2)->nextpool = fake_pool_at(f, 0, 3);
		break;
	case DAMAGE_LIST_OUTSIDE:
		fake_pool(f, 0, 2)->nextpool = fake_pool_at(f, 1, 0);
		break;
	case DAMAGE_LIST_UNALIGNED:
		o->freepools += 16;
		break;
	case DAMAGE_LIST_LIVE:
		fake_pool(f, 0, 2)->nextpool = fake_pool_at(f, 0, 0);
		break;
	case DAMAGE_COUNT:
		fake_pool(f, 0, 0)->count = 5000;
		break;
	case DAMAGE_CLASS:
		fake_pool(f, 0, 0)->szidx = 32;
		break;
	case DAMAGE_INDEX:
		fake_pool(f, 0, 0)->arenaindex = 1;
		break;
	case DAMAGE_NFREE:
		o->nfreepools++;
		break;
	case DAMAGE_POOL_ADDRESS:
		o->pool_address += f->py.arena_size;
		break;
	case DAMAGE_ADDRESS:
		o->address += 8;
		break;
	case DAMAGES:
		break;
	}
}

static void fill_two(struct fake *f)
{
	fake_init(f, 16384);
	fake_arena(f, 0);
	fake_arena(f, 1);
	(void)fake_carve(f, 0, 3, 10, 5);
	(void)fake_carve(f, 0, 3, 10, 0);
	fake_free(f, 0, fake_carve(f, 0, 7, 1, 0));
	fake_free(f, 0, fake_carve(f, 0, 7, 1, 0));
	(void)fake_carve(f, 1, 3, 10, 5);
}

/* An arena that contradicts itself is left out and counted; a visitor never sees it. */
static void test_damage(void **state)
{
	(void)state;
	for (unsigned int d = 0; d < DAMAGES; d++) {
		struct visits visits = { 0 };
		const struct pymalloc_visitor v = { visit_arena, visit_pool, &visits };
		struct pymalloc_facts facts;
		struct fake f;

		fill_two(&f);
		damage(&f, (enum damage)d);
		assert_int_equal(pymalloc_look(&f.t, &f.py, 0, &v, &facts), 0);
		assert_int_equal(facts.torn_arenas, 1);
		assert_int_equal(facts.arenas, 1);
		assert_int_equal(visits.arenas, 1);
		assert_int_equal(visits.pools[PYMALLOC_USED], 1);
		assert_int_equal(visits.out_of_order, 0);
		fake_done(&f);
	}
}

static void test_swapped(void **state)
{
	struct pymalloc_facts facts;
	struct fake f;

	(void)state;
	fill_two(&f);
	/* The header of a pool: nothing of this arena adds up, and nobody is shown it. */
	f.flags[(fake_pool_at(&f, 0, 1) - FAKE_BASE) / REMOTE_PAGE] = REMOTE_SWAPPED;
	/* The second page of the other one: its blocks aren't known, the rest is. */
	f.flags[(fake_pool_at(&f, 1, 0) - FAKE_BASE) / REMOTE_PAGE + 1] = REMOTE_SWAPPED;
	memset(fake_at(&f, fake_pool_at(&f, 0, 1), 4096), 0xa5, 4096);
	assert_int_equal(look(&f, &facts), 0);
	assert_int_equal(facts.unknown, 16384);
	assert_int_equal(facts.arenas, 2);
	assert_int_equal(facts.pools_used, 2);
	assert_int_equal(facts.torn_arenas, 0);
	/* The vector itself. */
	f.flags[(FAKE_VECTOR - FAKE_BASE) / REMOTE_PAGE] = REMOTE_SWAPPED;
	assert_int_equal(look(&f, &facts), -ENXIO);
	fake_done(&f);
}

/* A look without any pool knows the same free pools, and never says more of them than the whole look. */
static void test_glance(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pool_sizes); i++) {
		struct pymalloc_facts facts, glance;
		struct fake f;
		size_t page;

		fake_init(&f, pool_sizes[i]);
		fake_arena(&f, 0);
		fake_arena(&f, 1);
		(void)fake_carve(&f, 0, 3, 10, 5);
		fake_free(&f, 0, fake_carve(&f, 0, 7, 1, 0));
		fake_free(&f, 0, fake_carve(&f, 0, 7, 1, 0));
		fake_retire(&f, 0, 2);
		(void)fake_carve(&f, 1, 31, 1, 1);
		assert_int_equal(look(&f, &facts), 0);
		assert_int_equal(pymalloc_glance(&f.t, &f.py, &glance), 0);
		assert_int_equal(glance.arenas, facts.arenas);
		assert_int_equal(glance.pools_free, facts.pools_free);
		assert_int_equal(glance.pools_retired, facts.pools_retired);
		assert_int_equal(glance.free_resident, facts.free_resident_pools);
		assert_true(facts.free_resident <= glance.free_resident + glance.unknown);
		/* A pool of one page has its header there. */
		assert_true((glance.unknown > 0) == (pool_sizes[i] > 4096));
		assert_false(glance.sampled);
		f.py.usedpools = 0;
		assert_int_equal(pymalloc_glance(&f.t, &f.py, &glance), -ENOENT);
		f.py.usedpools = FAKE_ROOTS;
		if (pool_sizes[i] == 4096) {
			fake_done(&f);
			continue;
		}
		/* Where a pool in use isn't all there, it can't be told from a free one: less, never more. */
		page = (fake_pool_at(&f, 1, 1) - FAKE_BASE) / REMOTE_PAGE;
		f.flags[page - 1] = f.flags[page] = 0;
		assert_int_equal(look(&f, &facts), 0);
		assert_int_equal(pymalloc_glance(&f.t, &f.py, &glance), 0);
		assert_int_equal(glance.free_resident, facts.free_resident_pools - 4096);
		fake_done(&f);
	}
}

static int keep_arena(void *ctx, const struct pymalloc_arena *a)
{
	pymalloc_image_arena(ctx, a);
	return 0;
}

static int keep_pool(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p)
{
	pymalloc_image_pool(ctx, a, p);
	return 0;
}

static void predict(struct fake *f, struct pypurge_prediction *ret)
{
	const struct pypurge_limits limits = { .deep = true, .max_retired = UINT64_MAX };
	struct pypurge *p;

	assert_int_equal(pypurge_new(&f->py, &p), 0);
	assert_int_equal(pypurge_predict(p, &f->t.mem, &limits, ret), 0);
	pypurge_free(p);
}

/* What a purge would do follows from the image as from the memory; asked twice, it is the memory that answers. */
static void test_image(void **state)
{
	struct pypurge_prediction live, image, again;
	struct pymalloc_visitor v = { keep_arena, keep_pool, NULL };
	struct pymalloc_image *img;
	struct pymalloc_facts facts;
	struct fake f;

	(void)state;
	fake_init(&f, 16384);
	fake_arena(&f, 0);
	fake_arena(&f, 1);
	(void)fake_carve(&f, 0, 3, 10, 5);
	fake_free(&f, 0, fake_carve(&f, 0, 7, 1, 0));
	(void)fake_carve(&f, 0, 7, 1, 3);
	(void)fake_carve(&f, 1, 3, 10, 5);
	(void)fake_carve(&f, 1, 0, 100, 700);
	(void)fake_carve(&f, 1, 20, 1, 40);
	f.flags[(fake_pool_at(&f, 1, 5) - FAKE_BASE) / REMOTE_PAGE + 2] = 0;
	assert_int_equal(pymalloc_image_new(&f.py, &img), 0);
	v.ctx = img;
	assert_int_equal(pymalloc_look(&f.t, &f.py, PYMALLOC_BLOCKS, &v, &facts), 0);
	predict(&f, &live);
	assert_true(live.normal > 0 && live.deep > 0);
	assert_int_equal(live.unknown, 0);
	/* Nobody may look at any of this again. */
	for (uint32_t slot = 0; slot < 3; slot++)
		memset(fake_at(&f, fake_pool_at(&f, 1, slot), 16384), 0xa5, 16384);
	pymalloc_image_enter(img, &f.t.mem);
	predict(&f, &image);
	predict(&f, &again);
	pymalloc_image_leave(img, &f.t.mem);
	assert_memory_equal(&image, &live, offsetof(struct pypurge_prediction, can_deep));
	assert_true(again.unknown > 0);
	predict(&f, &again);
	assert_true(again.unknown > 0);
	pymalloc_image_free(img);
	fake_done(&f);
}

static int visit_stop(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p)
{
	(void)ctx;
	(void)a;
	return p->slot == 1 ? -ECANCELED : 0;
}

static void test_bounds(void **state)
{
	const struct pymalloc_visitor v = { .pool = visit_stop };
	const uint64_t bad[] = { 0, 8, 1ull << 63 };
	struct pymalloc_facts facts = { .arenas = 77 };
	uint32_t *max;
	struct fake f;

	(void)state;
	fill_two(&f);
	assert_int_equal(pymalloc_look(&f.t, &f.py, 0, &v, &facts), -ECANCELED);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(fake_at(&f, f.py.arenas_at, 8), &bad[i], 8);
		assert_int_equal(look(&f, &facts), -EBADMSG);
	}
	memcpy(fake_at(&f, f.py.arenas_at, 8), &(uint64_t){ FAKE_VECTOR }, 8);
	max = fake_at(&f, f.py.maxarenas_at, 4);
	*max = UINT32_MAX;
	assert_int_equal(look(&f, &facts), -EBADMSG);
	*max = 0;
	assert_int_equal(look(&f, &facts), -EBADMSG);
	*max = FAKE_MAX;
	f.t.mem.reads_left = 10;
	assert_int_equal(look(&f, &facts), -EDQUOT);
	f.py.usedpools = 0;
	assert_int_equal(look(&f, &facts), -ENOENT);
	assert_int_equal(facts.arenas, 77); /* untouched on failure */
	fake_done(&f);
}

static void test_free_map(void **state)
{
	uint64_t map[16], *words;
	struct pymalloc_pool_header *h, saved;
	uint32_t listed = 77, blocks;
	uint64_t pool, first;
	struct fake f;

	(void)state;
	fake_init(&f, 16384);
	fake_arena(&f, 0);
	(void)fake_carve(&f, 0, 3, 10, 5);
	pool = fake_pool_at(&f, 0, 0);
	h = fake_pool(&f, 0, 0);
	saved = *h;
	blocks = pymalloc_blocks(&f.py, 3);
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), 0);
	assert_int_equal(listed, 5);
	assert_int_equal(map[0], ~0ull << 10);
	/* The window moved to blocks 100-199, as a purge does: the blocks above it are on nobody's list. */
	h->nextoffset = 48 + 100 * 64;
	h->maxnextoffset = 48 + 199 * 64;
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), -EBADMSG);
	h->count = blocks - 5 - 100;
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), 0);
	assert_int_equal(map[1], ~0ull << 36);
	*h = saved;
	first = h->freeblock;
	words = fake_at(&f, first, 8);
	*words = first; /* a cycle */
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), -EBADMSG);
	*words = first + 8; /* off the grid */
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), -EBADMSG);
	*words = pool + 16384 + 48; /* in another pool */
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), -EBADMSG);
	*words = pool; /* the header */
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), -EBADMSG);
	*words = pool + h->nextoffset; /* in the window */
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), -EBADMSG);
	*words = 0; /* cut short */
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), -EBADMSG);
	assert_int_equal(listed, 5);
	h->nextoffset = UINT32_MAX;
	assert_int_equal(pymalloc_free_map(&f.py, pool, h, map, &listed), -EBADMSG);
	fake_done(&f);
}

static struct cpython_thread thread(struct fake *f, unsigned int i)
{
	struct cpython_thread th;

	cpython_thread(&f->t, &f->py, FAKE_TCBS + 0x100ull * i, &th);
	return th;
}

static void test_gil(void **state)
{
	struct fake f;

	(void)state;
	fake_init(&f, 16384);
	fake_threads(&f, 3, -1);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(thread(&f, i).known && thread(&f, i).released);
	fake_threads(&f, 3, 1);
	assert_true(thread(&f, 0).released && thread(&f, 2).released);
	assert_true(thread(&f, 1).known && !thread(&f, 1).released);
	/* A thread that Python doesn't know; an address that is no thread. */
	memcpy(fake_at(&f, FAKE_TCBS + 0x500, 8), &(uint64_t){ FAKE_TCBS + 0x500 }, 8);
	assert_false(thread(&f, 5).known || thread(&f, 5).released);
	assert_false(thread(&f, 6).known || thread(&f, 6).released);
	/* Two thread states of one thread. */
	memcpy(fake_at(&f, FAKE_TSTATES + 0x200 + 152, 8), &(uint64_t){ FAKE_TCBS }, 8);
	assert_false(thread(&f, 0).known || thread(&f, 0).released);
	fake_threads(&f, 3, 1);
	/* A holder that is in no list. */
	memcpy(fake_at(&f, FAKE_GIL + 8, 8), &(uint64_t){ FAKE_TSTATES + 0x800 }, 8);
	assert_true(thread(&f, 0).known && !thread(&f, 0).released);
	/* The list: a cycle, a wrong neighbour, another interpreter. */
	fake_threads(&f, 3, -1);
	memcpy(fake_at(&f, FAKE_TSTATES + 0x208, 8), &(uint64_t){ FAKE_TSTATES }, 8);
	assert_false(thread(&f, 0).released);
	fake_threads(&f, 3, -1);
	memcpy(fake_at(&f, FAKE_TSTATES + 0x110, 8), &(uint64_t){ FAKE_INTERP + 8 }, 8);
	assert_false(thread(&f, 0).released);
	fake_threads(&f, 3, -1);
	memcpy(fake_at(&f, FAKE_GIL + 16, 4), &(uint32_t){ 7 }, 4);
	assert_false(thread(&f, 0).released);
	fake_done(&f);
}

static void test_version(void **state)
{
	char buf[24];

	(void)state;
	assert_string_equal(cpython_version_text(0x030b02f0, buf), "3.11.2");
	assert_string_equal(cpython_version_text(0x03090000, buf), "3.9");
	assert_string_equal(cpython_version_text(0x030f00a3, buf), "3.15.0a3");
	assert_string_equal(cpython_version_text(0x030e00c1, buf), "3.14.0rc1");
	assert_string_equal(cpython_version_text(0xffffffff, buf), "255.255.255");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look),	cmocka_unit_test(test_retired),	 cmocka_unit_test(test_damage),
		cmocka_unit_test(test_swapped), cmocka_unit_test(test_glance),	 cmocka_unit_test(test_image),
		cmocka_unit_test(test_bounds),	cmocka_unit_test(test_free_map), cmocka_unit_test(test_gil),
		cmocka_unit_test(test_version),
	};

	if (argc >= 3 && !strcmp(argv[1], "read"))
		return read_process(argv[2], argc > 3 ? argv[3] : "");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
