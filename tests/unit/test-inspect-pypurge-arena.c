// SPDX-License-Identifier: GPL-2.0-or-later
/* One arena: every contradiction is refused, and the shape it is given keeps to pymalloc's rules. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inspect/pypurge-plan.h"

#include "pypurge-world.h"

#define MIB (1024ull * 1024)

/* Two arenas of pools of all kinds: live, full, listed, virgin. */
static struct world *mixed(void)
{
	struct world *w = world_new(MIB, 16384, 11);

	for (uint32_t i = 0; i < 20000; i++)
		world_alloc(w, 3 + i / 2000);
	for (uint32_t k = w->n; k > 0; k--)
		if (k % 700 && k > 2000)
			world_drop(w, k - 1);
	return w;
}

static struct pymalloc_arena_object *first(struct world *w, uint32_t *ret_index)
{
	for (uint32_t i = 0; i < OB_ARENAS; i++) {
		struct pymalloc_arena_object *ao = &w->ob.arenas[i];

		if (ao->address && ao->freepools && ob_pool(ao->freepools)->nextpool) {
			*ret_index = i;
			return ao;
		}
	}
	fail_msg("no arena with a list");
	return NULL;
}

static struct pypurge_arena arena;

static int look(struct world *w, const struct pymalloc_arena_object *ao, uint32_t index)
{
	return pypurge_arena_read(&w->py, &w->mem, ao, index, &arena);
}

static void test_good(void **state)
{
	struct world *w = mixed();
	uint32_t index;
	struct pymalloc_arena_object *ao = first(w, &index);
	uint32_t n[PYMALLOC_RETIRED + 1] = { 0 };

	(void)state;
	assert_int_equal(look(w, ao, index), 0);
	for (uint32_t s = 0; s < arena.slots; s++)
		n[arena.state[s]]++;
	assert_int_equal(n[PYMALLOC_FREE], arena.n_listed);
	assert_int_equal(n[PYMALLOC_USED] + n[PYMALLOC_FULL], arena.live);
	assert_int_equal(n[PYMALLOC_FREE] + n[PYMALLOC_VIRGIN], ao->nfreepools);
	assert_int_equal(n[PYMALLOC_RETIRED], 0);
	world_free(w);
}

static void test_bad_fields(void **state)
{
	struct world *w = mixed();
	uint32_t index;
	const struct pymalloc_arena_object good = *first(w, &index);
	struct pymalloc_arena_object bad[16];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[n++].address = 0;
	bad[n++].address += 8;
	bad[n++].address = UINT64_MAX - 4095;
	bad[n++].address = (1ull << 47) - 4096;
	bad[n++].pool_address += 4096;
	bad[n++].pool_address = good.address - 16384;
	bad[n++].pool_address = good.address + 2 * MIB;
	bad[n++].pool_address = 0;
	bad[n++].ntotalpools = 0;
	bad[n++].ntotalpools = 65;
	bad[n++].ntotalpools = UINT32_MAX;
	bad[n++].ntotalpools--;
	bad[n++].nfreepools = good.ntotalpools + 1;
	bad[n++].nfreepools++;
	bad[n++].nfreepools--;
	bad[n++].freepools = 0;
	assert_int_equal(n, ARRAY_SIZE(bad));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(look(w, &bad[i], index), -EBADMSG);
	assert_int_equal(look(w, &good, index + 1), -EBADMSG);
	assert_int_equal(look(w, &good, index), 0);

	/* No arena that we know is so: the sizes are the locator's, but checked. */
	w->py.pool_size = 12288;
	assert_int_equal(look(w, &good, index), -EBADMSG);
	w->py.pool_size = 0;
	assert_int_equal(look(w, &good, index), -EBADMSG);
	w->py.pool_size = 16384;
	w->py.arena_size = 4 * MIB;
	assert_int_equal(look(w, &good, index), -EBADMSG);
	w->py.arena_size = MIB;
	world_free(w);
}

/* What is wrong with one header: value @with at @offset of the header of the first pool in that state. */
static const struct {
	enum pymalloc_pool_state state;
	uint32_t offset, with;
} bad_headers[] = {
	{ PYMALLOC_FREE, offsetof(struct pymalloc_pool_header, count), 1 },
	{ PYMALLOC_FREE, offsetof(struct pymalloc_pool_header, arenaindex), 77 },
	{ PYMALLOC_FREE, offsetof(struct pymalloc_pool_header, nextpool), 16 },
	{ PYMALLOC_USED, offsetof(struct pymalloc_pool_header, count), 0 },
	{ PYMALLOC_USED, offsetof(struct pymalloc_pool_header, count), 2000 },
	{ PYMALLOC_USED, offsetof(struct pymalloc_pool_header, arenaindex), 77 },
	{ PYMALLOC_USED, offsetof(struct pymalloc_pool_header, szidx), 32 },
	{ PYMALLOC_USED, offsetof(struct pymalloc_pool_header, szidx), PYMALLOC_NO_CLASS },
	{ PYMALLOC_FULL, offsetof(struct pymalloc_pool_header, freeblock), 64 },
	{ PYMALLOC_FULL, offsetof(struct pymalloc_pool_header, count), 1 },
};

static void test_bad_headers(void **state)
{
	struct world *w = mixed();
	uint32_t index, tried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_headers); i++) {
		for (index = 0; index < OB_ARENAS; index++) {
			uint32_t s = 0, was;
			void *at;

			if (!w->ob.arenas[index].address)
				continue;
			assert_int_equal(look(w, &w->ob.arenas[index], index), 0);
			while (s < arena.carved && arena.state[s] != bad_headers[i].state)
				s++;
			if (s >= arena.carved)
				continue;
			at = (void *)(uintptr_t)(pypurge_arena_slot(&arena, s) + bad_headers[i].offset);
			memcpy(&was, at, 4);
			memcpy(at, &bad_headers[i].with, 4);
			assert_int_equal(look(w, &w->ob.arenas[index], index), -EBADMSG);
			memcpy(at, &was, 4);
			assert_int_equal(look(w, &w->ob.arenas[index], index), 0);
			tried |= 1u << i;
		}
	}
	assert_int_equal(tried, (1u << ARRAY_SIZE(bad_headers)) - 1);
	world_free(w);
}

/* The list: in a circle, into the virgin part, off the grid, out of the arena, to a live pool. */
static void test_bad_lists(void **state)
{
	struct world *w = mixed();
	uint32_t index;
	struct pymalloc_arena_object *ao = first(w, &index);
	struct pymalloc_pool_header *head = ob_pool(ao->freepools);
	const uint64_t next = head->nextpool;
	uint32_t live = 0;

	(void)state;
	assert_int_equal(look(w, ao, index), 0);
	while (arena.state[live] != PYMALLOC_USED && arena.state[live] != PYMALLOC_FULL)
		live++;
	const uint64_t bad[] = { ao->freepools,
				 ao->pool_address,
				 next + 4096,
				 ao->address - 16384,
				 8,
				 UINT64_MAX,
				 pypurge_arena_slot(&arena, live),
				 ob_pool(next)->nextpool };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		head->nextpool = bad[i];
		assert_int_equal(look(w, ao, index), -EBADMSG);
	}
	head->nextpool = next;
	assert_int_equal(look(w, ao, index), 0);
	world_free(w);
}

static uint64_t odd_page;
static uint8_t odd_flags;

static int odd_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	int r = world_pages(ctx, addr, n, ret);

	if (odd_page >= addr && odd_page < addr + n * REMOTE_PAGE)
		ret[(odd_page - addr) / REMOTE_PAGE] = odd_flags;
	return r;
}

/* Headers that are swapped out are not brought in; a listed pool without a header is a contradiction. */
static void test_pages(void **state)
{
	struct world *w = mixed();
	uint32_t index;
	struct pymalloc_arena_object *ao = first(w, &index);

	(void)state;
	w->mem.pages = odd_pages;
	odd_page = ao->freepools;
	odd_flags = REMOTE_SWAPPED;
	assert_int_equal(look(w, ao, index), -ENXIO);
	odd_flags = REMOTE_PRESENT | REMOTE_SHARED;
	assert_int_equal(look(w, ao, index), -ENXIO);
	odd_flags = 0;
	assert_int_equal(look(w, ao, index), -EBADMSG);
	odd_page += 4096;
	odd_flags = REMOTE_SWAPPED;
	assert_int_equal(look(w, ao, index), 0);
	w->mem.pages = NULL;
	assert_int_equal(look(w, ao, index), -EOPNOTSUPP);
	world_free(w);
}

/* ---- shapes, of arenas drawn as text: L live, f listed, v virgin, r retired ---- */

static struct pypurge_vector vector;

static void draw(const char *text)
{
	memset(&arena, 0, sizeof(arena));
	memset(&vector, 0, sizeof(vector));
	arena.pool_pages = 4;
	arena.base = 0x7f0000000000;
	for (const char *c = text; *c; c++) {
		const uint32_t s = arena.slots++;

		arena.carved += *c != 'v';
		arena.live += *c == 'L';
		arena.retired += *c == 'r';
		arena.state[s] = *c == 'L' ? PYMALLOC_USED :
				 *c == 'f' ? PYMALLOC_FREE :
				 *c == 'r' ? PYMALLOC_RETIRED :
					     PYMALLOC_VIRGIN;
		if (*c == 'f')
			arena.list[arena.n_listed++] = (uint8_t)s;
	}
	arena.o.nfreepools = arena.n_listed + arena.slots - arena.carved;
	arena.o.ntotalpools = arena.live + arena.o.nfreepools;
	vector.free_pools = arena.o.nfreepools;
	vector.retired_pools = arena.retired;
}

/* What becomes of it, drawn the same way. */
static const char *shape(const char *text, bool deep, uint64_t reserve, uint64_t retired)
{
	static char drawn[PYMALLOC_POOLS_MAX + 1];
	const struct pypurge_rules rules = { .deep = deep, .reserve = reserve, .retired = retired };
	struct pypurge_shape s;

	draw(text);
	pypurge_shape_choose(&rules, &arena, &vector, &s);
	for (uint32_t i = 0; i < arena.slots; i++)
		drawn[i] = i >= s.carved ? 'v' : arena.state[i] == PYMALLOC_USED ? 'L' : 'r';
	for (uint32_t i = 0; i < s.n_listed; i++) {
		assert_true(drawn[s.list[i]] == 'r');
		drawn[s.list[i]] = 'f';
	}
	drawn[arena.slots] = '\0';
	return drawn;
}

#define ALL UINT64_MAX

static void test_shapes(void **state)
{
	(void)state;
	/* Normal: only what borders on the virgin part, and never over a retired one. */
	assert_string_equal(shape("LfLffvv", false, 0, 0), "LfLvvvv");
	assert_string_equal(shape("LfLfrfv", false, 0, 0), "LfLfrvv");
	assert_string_equal(shape("ffff", false, 0, 0), "vvvv");
	assert_string_equal(shape("LfL", false, 0, 0), "LfL");
	assert_string_equal(shape("vvvv", false, 0, 0), "vvvv");
	/* Deep: all but live and trailing ones. */
	assert_string_equal(shape("LfLffvv", true, 0, ALL), "LrLvvvv");
	assert_string_equal(shape("ffLfL", true, 0, ALL), "rrLrL");
	assert_string_equal(shape("LfLfrfv", true, 0, ALL), "LrLvvvv");
	assert_string_equal(shape("LrrLrr", true, 0, ALL), "LrrLvv");
	/* An arena must not come to count a single pool. */
	assert_string_equal(shape("fffL", true, 0, ALL), "frrL");
	assert_string_equal(shape("fffLv", true, 0, ALL), "rrrLv");
	assert_string_equal(shape("frfLL", true, 0, ALL), "rrrLL");
	assert_string_equal(shape("rfrL", true, 0, ALL), "rfrL");
	/* Without a live pool it is as new. */
	assert_string_equal(shape("ffrf", true, 0, ALL), "vvvv");
	assert_string_equal(shape("rrfr", true, 5, 0), "vvvv");
	/* The reserve stays, the lower ones of it, or comes back. */
	assert_string_equal(shape("LfffLffL", true, 3, ALL), "LfffLrrL");
	assert_string_equal(shape("LfrrLrrL", true, 3, ALL), "LfffLrrL");
	assert_string_equal(shape("LrrrLffL", true, 4, ALL), "LffrLffL");
	assert_string_equal(shape("LfLfvv", true, 2, ALL), "LrLvvv");
	assert_string_equal(shape("LrrL", true, ALL, ALL), "LffL");
	/* No more than the cap. */
	assert_string_equal(shape("LffffL", true, 0, 3), "LfrrrL");
	assert_string_equal(shape("LrrrrL", true, 0, 3), "LfrrrL");
	assert_string_equal(shape("LrfrL", true, 0, 0), "LfffL");
}

/* What other arenas have counts too. */
static void test_shapes_of_others(void **state)
{
	const struct pypurge_rules rules = { .deep = true, .reserve = 10, .retired = 8 };
	struct pypurge_shape s;

	(void)state;
	draw("LffffffL");
	vector.free_pools += 8;
	pypurge_shape_choose(&rules, &arena, &vector, &s);
	assert_int_equal(s.n_listed, 2);
	vector.free_pools += 8;
	pypurge_shape_choose(&rules, &arena, &vector, &s);
	assert_int_equal(s.n_listed, 0);
	vector.retired_pools += 3;
	pypurge_shape_choose(&rules, &arena, &vector, &s);
	assert_int_equal(s.n_listed, 1);
	vector.retired_pools += 6;
	pypurge_shape_choose(&rules, &arena, &vector, &s);
	assert_int_equal(s.n_listed, 6);
}

/* The trap that random work does not hit: an arena with one live pool, and the free that empties it. */
static void test_single_live(void **state)
{
	const struct pypurge_limits deep = { .deep = true, .max_retired = UINT64_MAX };

	(void)state;
	for (uint64_t pool_size = 4096; pool_size <= 16384; pool_size *= 4) {
		struct world *w = world_new(pool_size * 64, pool_size, 3);
		uint32_t index, k;

		/* Fill two arenas, then leave one block in the last pool of the first, and some in the second. */
		for (k = 0; w->ob.mapped < 3; k++)
			world_alloc(w, 31);
		for (index = 0; index < w->n; index++)
			if (w->blocks[index].addr >= w->ob.arenas[0].address + (w->ob.arena_size - 2 * pool_size) &&
			    w->blocks[index].addr < w->ob.arenas[0].address + w->ob.arena_size)
				break;
		assert_true(index < w->n);
		for (k = w->n; k > 0; k--) {
			const bool in_first = w->blocks[k - 1].addr - w->ob.arenas[0].address < w->ob.arena_size;

			if (k - 1 != index && (in_first || k % 50))
				world_drop(w, k - 1);
			if (index == w->n)
				index = k - 1; /* it has moved */
		}
		world_sweep(w, &deep, 0, false);
		assert_int_equal(w->ob.arenas[0].ntotalpools - w->ob.arenas[0].nfreepools, 1);
		assert_true(w->ob.arenas[0].ntotalpools >= 2);
		while (w->n)
			world_drop(w, w->n - 1);
		ob_check(&w->ob);
		assert_int_equal(w->ob.mapped - w->ob.unmapped, 1);
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad_fields),
		cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_shapes_of_others),
		cmocka_unit_test(test_single_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
