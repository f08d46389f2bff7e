// SPDX-License-Identifier: GPL-2.0-or-later
/* The glibc reader over recorded heaps, whole and spoiled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/glibc-state.h"

#include "glibc-image.h"

/*
 * Recorded from tests/victims/heaps with the pattern "tiny" by
 * test-inspect-glibc PID record FILE, when what the reader saw equalled the
 * target's own malloc_info(): Debian's 2.31, 2.36 and 2.43.
 */
static const char *const images[] = { FIXTURES "/glibc/tiny-2.31.img", FIXTURES "/glibc/tiny-2.36.img",
				      FIXTURES "/glibc/tiny-2.43.img" };

struct file {
	unsigned char *bytes;
	size_t len;
};

static struct file file_load(const char *path)
{
	struct file f = { .bytes = malloc(1 << 20) };
	FILE *in = fopen(path, "r");

	assert_non_null(in);
	assert_non_null(f.bytes);
	f.len = fread(f.bytes, 1, 1 << 20, in);
	assert_in_range(f.len, 4096, (1 << 20) - 1);
	(void)fclose(in);
	return f;
}

static uint64_t want(const struct glibc_image *gi, const char *name)
{
	uint64_t v = 0;

	assert_int_equal(image_note(&gi->img, name, 0, &v), 0);
	return v;
}

static void test_figures(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		struct file file = file_load(images[i]);
		struct glibc_facts f = { .system = 0 };
		struct glibc_image gi;
		char why[200];

		assert_int_equal(glibc_image_open(file.bytes, file.len, &gi), 0);
		assert_int_equal(glibc_prove(&gi.t, &gi.g, why, sizeof(why)), 0);
		assert_int_equal(glibc_look(&gi.t, &gi.g, 0, NULL, &f), 0);
		assert_false(f.torn);
		assert_false(f.partial);
		assert_int_equal(f.n_arenas, want(&gi, "want.arenas"));
		assert_int_equal(f.system, want(&gi, "want.system"));
		assert_int_equal(f.in_use, want(&gi, "want.in_use"));
		assert_int_equal(f.fastbins, want(&gi, "want.fastbins"));
		assert_int_equal(f.tcaches, want(&gi, "want.tcaches"));
		assert_int_equal(f.free, want(&gi, "want.free"));
		assert_int_equal(f.free_resident, want(&gi, "want.free_resident"));
		assert_int_equal(f.live_blocks, want(&gi, "want.live_blocks"));
		assert_int_equal(f.free_blocks, want(&gi, "want.free_blocks"));
		assert_int_equal(f.trim, want(&gi, "want.trim"));
		assert_int_equal(f.threads_read, 2);
		assert_true(f.tcaches && f.free_blocks && f.live_blocks);
		glibc_facts_done(&f);
		glibc_image_exercise(&gi);
		glibc_image_close(&gi);
		free(file.bytes);
	}
}

/* All that is free and resident is a candidate, holds under the lock, and isn't judged without it. */
static void test_candidates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		struct file file = file_load(images[i]);
		struct glibc_facts f = { .system = 0 };
		struct glibc_check limits = { .max_ranges = 100 };
		struct glibc_range v[100];
		struct glibc_image gi;
		uint64_t resident = 0;

		assert_int_equal(glibc_image_open(file.bytes, file.len, &gi), 0);
		gi.g.heap_max = 64ull << 20;
		assert_int_equal(glibc_look(&gi.t, &gi.g, 0, NULL, &f), 0);
		for (size_t k = 0; k < f.n_arenas; k++) {
			struct glibc_cursor cursor = { .heap = 0 };
			size_t n = 0, good = 77, used = 77;

			assert_int_equal(glibc_prescan(&gi.t, &gi.g, f.arenas[k].address, &cursor, v, 100, 0, &n), 0);
			assert_true(cursor.end && n > 0);
			assert_int_equal(glibc_check_ranges(&gi.t, &gi.g, f.arenas[k].address, v, n, &limits, v, &good,
							    &used),
					 -EAGAIN);
			assert_int_equal(good, 77);
			gi.locked = f.arenas[k].address;
			assert_int_equal(glibc_check_ranges(&gi.t, &gi.g, gi.locked, v, n, &limits, v, &good, &used),
					 0);
			assert_int_equal(good, n);
			assert_int_equal(used, n);
			for (size_t c = 0; c < good; c++)
				resident += v[c].resident;
			/* One that begins elsewhere, and one of another arena. */
			v[0].chunk += 16;
			v[0].arena = f.arenas[k].address;
			assert_int_equal(glibc_check_ranges(&gi.t, &gi.g, gi.locked, v, 1, &limits, v, &good, &used),
					 0);
			assert_int_equal(good, 0);
			assert_int_equal(used, 1);
			gi.locked = 0;
		}
		assert_int_equal(resident, f.free_resident);
		glibc_facts_done(&f);
		glibc_image_close(&gi);
		free(file.bytes);
	}
}

/* Spoils one word of one recorded page after the other: no crash, no hang, every sum still right. */
static void test_spoiled(void **state)
{
	const uint64_t values[] = { 0, 1, 16, UINT64_MAX, 0x7fffffffffff, 1ull << 63, 0x21, 0x1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		struct file file = file_load(images[i]);
		uint64_t seed = 88172645463325252ull + i;

		for (int n = 0; n < 600; n++) {
			struct glibc_image gi;
			uint64_t at, keep, v;

			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			assert_int_equal(glibc_image_open(file.bytes, file.len, &gi), 0);
			at = (uint64_t)(gi.img.bytes - file.bytes);
			at += seed % ((file.len - at) / 8) * 8;
			memcpy(&keep, file.bytes + at, sizeof(keep));
			v = seed >> 40 & 1 ? values[seed >> 41 & 7] : keep ^ 1ull << (seed >> 44 & 63);
			memcpy(file.bytes + at, &v, sizeof(v));
			glibc_image_exercise(&gi);
			glibc_image_close(&gi);
			memcpy(file.bytes + at, &keep, sizeof(keep));
		}
		free(file.bytes);
	}
}

/* A loop in each kind of list ends. */
static void test_loops(void **state)
{
	struct file file = file_load(images[1]);
	struct glibc_facts f = { .system = 0 };
	struct glibc_image gi;
	char why[200];
	unsigned int loops = 0;

	(void)state;
	assert_int_equal(glibc_image_open(file.bytes, file.len, &gi), 0);
	assert_int_equal(glibc_prove(&gi.t, &gi.g, why, sizeof(why)), 0);
	/* Every cached block leads to itself: a link mixed with its own address (2.32+). */
	for (size_t i = 0; i < gi.img.n_pages; i++) {
		unsigned char *page = (unsigned char *)gi.img.bytes + gi.img.slots[i] * REMOTE_PAGE;
		uint64_t addr = gi.img.pages[i] & ~(REMOTE_PAGE - 1);

		for (uint64_t at = 16; (gi.img.pages[i] & IMAGE_BYTES) && at < REMOTE_PAGE - 8; at += 16) {
			uint64_t size, link, self;

			memcpy(&size, page + at - 8, sizeof(size));
			memcpy(&link, page + at, sizeof(link));
			if ((size & ~7ull) < 0x20 || (size & ~7ull) > 0x410 || (link ^ (addr + at) >> 12) % 16 || !link)
				continue;
			self = (addr + at) ^ (addr + at) >> 12;
			memcpy(page + at, &self, sizeof(self));
			loops++;
		}
	}
	assert_true(loops > 3);
	assert_int_equal(glibc_look(&gi.t, &gi.g, 0, NULL, &f), 0);
	assert_true(f.partial);
	assert_true(f.tcaches + f.fastbins < want(&gi, "want.tcaches") + want(&gi, "want.fastbins"));
	glibc_facts_done(&f);
	glibc_image_close(&gi);
	free(file.bytes);
}

/* What is swapped out is left there, and counted as not known. */
static void test_swapped(void **state)
{
	struct file file = file_load(images[1]);
	struct glibc_facts f = { .system = 0 };
	struct glibc_image gi;
	uint64_t heap_page = 0, sbrk_base;
	struct glibc_par par;
	char why[200];

	(void)state;
	assert_int_equal(glibc_image_open(file.bytes, file.len, &gi), 0);
	assert_int_equal(glibc_prove(&gi.t, &gi.g, why, sizeof(why)), 0);
	assert_int_equal(glibc_par_read(&gi.t, &gi.g, &par), 0);
	sbrk_base = page_down(par.sbrk_base);
	for (size_t i = 0; i < gi.img.n_pages; i++) {
		if ((gi.img.pages[i] & ~(REMOTE_PAGE - 1)) != sbrk_base + 2 * REMOTE_PAGE)
			continue;
		/* Not recorded any more either: a read would fail the test by the visitor's error. */
		gi.img.pages[i] = (sbrk_base + 2 * REMOTE_PAGE) | REMOTE_SWAPPED;
		heap_page = sbrk_base + 2 * REMOTE_PAGE;
	}
	assert_true(heap_page);
	assert_int_equal(glibc_look(&gi.t, &gi.g, 0, NULL, &f), 0);
	assert_true(f.torn);
	assert_in_range(f.unknown, 4096, 4 * 4096);
	assert_int_equal(f.system, want(&gi, "want.system"));
	assert_int_equal(f.in_use + f.cached + f.free + f.unknown, f.system);
	assert_false(f.arenas[1].torn);
	glibc_facts_done(&f);
	glibc_image_close(&gi);
	free(file.bytes);
}

/* Wrong in each of the ways that a wrong version or place would be. */
static void test_refused(void **state)
{
	struct file file = file_load(images[1]);
	struct glibc_image gi;
	struct glibc g;
	char why[200] = "";

	(void)state;
	assert_int_equal(glibc_image_open(file.bytes, file.len, &gi), 0);
	g = gi.g;
	g.main_arena += 16;
	assert_int_equal(glibc_prove(&gi.t, &g, why, sizeof(why)), -EBADMSG);
	assert_true(*why);
	g = gi.g;
	g.mp += 8;
	assert_int_equal(glibc_prove(&gi.t, &g, why, sizeof(why)), -EBADMSG);
	g = gi.g;
	g.minor = 43;
	g.layout = glibc_layout_find(43);
	assert_int_equal(glibc_prove(&gi.t, &g, why, sizeof(why)), -EBADMSG);
	g = gi.g;
	g.minor = 31;
	g.layout = glibc_layout_find(31);
	assert_int_equal(glibc_prove(&gi.t, &g, why, sizeof(why)), -EBADMSG);
	assert_null(glibc_layout_find(30));
	assert_null(glibc_layout_find(45));
	glibc_image_close(&gi);
	free(file.bytes);
}

/* What is recorded of a recording is the same again. */
static void test_recorded_again(void **state)
{
	struct file file = file_load(images[1]), copy = { .bytes = NULL };
	struct image_part parts[8];
	struct glibc_image gi;
	struct image again;
	FILE *out = tmpfile();
	char text[] = "00400000-00401000 r-xp 00000000 08:01 7 /bin/true\n";
	size_t n = 0;

	(void)state;
	assert_non_null(out);
	assert_int_equal(glibc_image_open(file.bytes, file.len, &gi), 0);
	for (size_t i = 0; i < gi.img.n_pages && n < ARRAY_SIZE(parts); i++) {
		const uint64_t at = gi.img.pages[i] & ~(REMOTE_PAGE - 1);

		if (n && at < parts[n - 1].lo + 100 * REMOTE_PAGE)
			parts[n - 1].hi = at + REMOTE_PAGE;
		else
			parts[n++] = (struct image_part){ at, at + REMOTE_PAGE };
	}
	assert_true(n);
	assert_int_equal(image_record(&gi.t.mem, parts, n, (const void *)gi.img.notes, gi.img.n_notes, text, out), 0);
	copy.len = (size_t)ftell(out);
	copy.bytes = malloc(copy.len);
	assert_non_null(copy.bytes);
	rewind(out);
	assert_int_equal(fread(copy.bytes, 1, copy.len, out), copy.len);
	assert_int_equal(image_open(copy.bytes, copy.len, &again), 0);
	assert_int_equal(again.n_notes, gi.img.n_notes);
	assert_int_equal(again.maps.n, 1);
	assert_string_equal(again.maps.v[0].name, "/bin/true");
	assert_true(again.n_pages > 10 && again.n_pages <= gi.img.n_pages);
	for (size_t i = 0, k = 0; i < again.n_pages; i++) {
		while (gi.img.pages[k] != again.pages[i])
			assert_true(++k < gi.img.n_pages);
		if (again.pages[i] & IMAGE_BYTES)
			assert_memory_equal(again.bytes + again.slots[i] * REMOTE_PAGE,
					    gi.img.bytes + gi.img.slots[k] * REMOTE_PAGE, REMOTE_PAGE);
	}
	image_close(&again);
	glibc_image_close(&gi);
	(void)fclose(out);
	free(copy.bytes);
	free(file.bytes);
}

static void test_bad_images(void **state)
{
	struct file file = file_load(images[0]);
	struct glibc_image gi;

	(void)state;
	for (size_t len = 0; len < file.len; len += len < 4096 ? 7 : 4001)
		assert_int_equal(glibc_image_open(file.bytes, len, &gi), -EBADMSG);
	file.bytes[0] ^= 1;
	assert_int_equal(glibc_image_open(file.bytes, file.len, &gi), -EBADMSG);
	free(file.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_figures),	   cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_spoiled),	   cmocka_unit_test(test_loops),
		cmocka_unit_test(test_swapped),	   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad_images), cmocka_unit_test(test_recorded_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
