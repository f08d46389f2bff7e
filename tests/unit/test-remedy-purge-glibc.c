// SPDX-License-Identifier: GPL-2.0-or-later
/* The reader's half of a purge of malloc, over a recorded heap of which memory goes away while it is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "inspect/glibc-state.h"
#include "remedy/purge-glibc.h"

#include "glibc-image.h"

#define IMAGE FIXTURES "/glibc/tiny-2.36.img"
#define ARENAS 8

/* What begins at @at can't be read the next @times: it has just been trimmed. */
struct fading {
	struct remote whole;
	uint64_t at;
	unsigned int times;
};

static struct {
	struct glibc_image gi;
	struct purge_glibc purge;
	uint64_t arenas[ARENAS];
	struct fading fading;
} scene;

static int fading_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct fading *f = ctx;

	if (addr != f->at || !f->times)
		return remote_read(&f->whole, addr, buf, len);
	f->times--;
	return -EFAULT;
}

static int fading_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	return remote_pages(&((struct fading *)ctx)->whole, addr, n, ret);
}

/* The size of the top of arena @k fades. */
static void scene_open(size_t k, unsigned int times)
{
	static unsigned char bytes[1 << 20];
	struct glibc_facts f = { .system = 0 };
	struct glibc_state s;
	FILE *in = fopen(IMAGE, "r");
	size_t len;

	assert_non_null(in);
	len = fread(bytes, 1, sizeof(bytes), in);
	(void)fclose(in);
	assert_int_equal(glibc_image_open(bytes, len, &scene.gi), 0);
	scene.gi.g.heap_max = 64ull << 20;
	assert_int_equal(glibc_look(&scene.gi.t, &scene.gi.g, 0, NULL, &f), 0);
	assert_in_range(f.n_arenas, 2, ARENAS);
	scene.purge = (struct purge_glibc){
		.target = &scene.gi.t,
		.glibc = scene.gi.g,
		.arenas = scene.arenas,
		.n_arenas = f.n_arenas,
	};
	for (size_t i = 0; i < f.n_arenas; i++)
		scene.arenas[i] = f.arenas[i].address;
	assert_int_equal(glibc_state_read(&scene.gi.t, &scene.gi.g, scene.arenas[k], &s), 0);
	scene.fading = (struct fading){
		.whole = scene.gi.t.mem,
		.at = glibc_state_u64(&s, scene.gi.g.layout->arena.top) + 8,
		.times = times,
	};
	scene.gi.t.mem.read = fading_read;
	scene.gi.t.mem.pages = fading_pages;
	scene.gi.t.mem.ctx = &scene.fading;
	glibc_facts_done(&f);
}

/* All rounds, each carried out as if there were nothing to say against it: what is resident, of arena @k only. */
static uint64_t scene_scan(size_t k)
{
	struct purge_ask ask = { .max_ranges = PURGE_RANGES_MAX };
	uint64_t resident = 0;
	bool done = false;

	for (unsigned int i = 0; i < 100; i++) {
		struct purge_round round;

		assert_int_equal(purge_glibc_scan(&scene.purge, &ask, &round, &done), 0);
		if (done)
			break;
		if (round.lock == scene.arenas[k])
			resident += round.resident;
		scene.purge.judged = scene.purge.n;
		ask.applied = 1;
	}
	assert_true(done);
	return resident;
}

static void test_memory_goes_away(void **state)
{
	(void)state;
	for (size_t k = 0; k < 2; k++) {
		uint64_t all, other;

		scene_open(k, 0);
		all = scene_scan(k);
		assert_true(all);
		assert_int_equal(scene.purge.passed, 0);
		glibc_image_close(&scene.gi);

		/* A moment later it can be read. */
		scene_open(k, 3);
		assert_int_equal(scene_scan(k), all);
		assert_int_equal(scene.fading.times, 0);
		assert_int_equal(scene.purge.passed, 0);
		glibc_image_close(&scene.gi);

		/* It never can: told, and the others have their turn. */
		scene_open(k, UINT32_MAX);
		assert_int_equal(scene_scan(k), 0);
		assert_int_equal(scene.purge.passed, 1);
		glibc_image_close(&scene.gi);
		scene_open(k, UINT32_MAX);
		other = scene_scan(1 - k);
		assert_true(other);
		glibc_image_close(&scene.gi);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_memory_goes_away) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
