// SPDX-License-Identifier: GPL-2.0-or-later
/* Recorded heaps of which each single read, or look at where pages are, fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/trouble.h"

#include "glibc-image.h"

static const char *const images[] = { FIXTURES "/glibc/tiny-2.31.img", FIXTURES "/glibc/tiny-2.36.img",
				      FIXTURES "/glibc/tiny-2.43.img" };

#define IMAGE_MAX (1u << 20)

/* In front of a recorded target's memory. */
struct flaky {
	struct remote real;
	unsigned long count, at; /* the step that fails, 1 the first; 0: none */
	int error;
};

static bool fails(struct flaky *f)
{
	return ++f->count == f->at;
}

static int flaky_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct flaky *f = ctx;

	return fails(f) ? f->error : f->real.read(f->real.ctx, addr, buf, len);
}

static int flaky_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	struct flaky *f = ctx;

	return fails(f) ? f->error : f->real.pages(f->real.ctx, addr, n, ret);
}

struct world {
	unsigned char *bytes;
	size_t len;
	struct glibc_image gi;
	struct flaky flaky;
};

static void load(const char *path, struct world *w)
{
	FILE *in = fopen(path, "r");

	w->bytes = malloc(IMAGE_MAX);
	assert_non_null(in);
	assert_non_null(w->bytes);
	w->len = fread(w->bytes, 1, IMAGE_MAX, in);
	(void)fclose(in);
}

static void begin(struct world *w, unsigned long at, int error)
{
	assert_int_equal(glibc_image_open(w->bytes, w->len, &w->gi), 0);
	w->flaky = (struct flaky){ .real = w->gi.t.mem, .at = at, .error = error };
	w->gi.t.mem.read = flaky_read;
	w->gi.t.mem.pages = flaky_pages;
	w->gi.t.mem.ctx = &w->flaky;
}

/* Without a failure. */
static void prove(struct world *w)
{
	const unsigned long at = w->flaky.at;
	char why[200];

	w->flaky.at = 0;
	assert_int_equal(glibc_prove(&w->gi.t, &w->gi.g, why, sizeof(why)), 0);
	w->flaky.at = at;
	w->flaky.count = 0;
}

/* One that is said to be whole is as it was when nothing failed; the sums of others are right. */
static void check(const struct glibc_facts *f, const struct glibc_facts *whole)
{
	assert_int_equal(f->in_use + f->cached + f->free + f->unknown, f->system);
	if (f->torn || f->partial || f->threads_read < f->threads)
		return;
	assert_int_equal(f->system, whole->system);
	assert_int_equal(f->in_use, whole->in_use);
	assert_int_equal(f->fastbins, whole->fastbins);
	assert_int_equal(f->tcaches, whole->tcaches);
	assert_int_equal(f->free, whole->free);
	assert_int_equal(f->free_resident, whole->free_resident);
	assert_int_equal(f->live_blocks, whole->live_blocks);
	assert_int_equal(f->free_blocks, whole->free_blocks);
	assert_int_equal(f->trim, whole->trim);
}

/* False when there is no such step. */
static bool look(struct world *w, unsigned long at, int error, const struct glibc_facts *whole)
{
	struct glibc_facts f = { .system = 0 };
	bool reached;
	int r;

	begin(w, at, error);
	prove(w);
	r = glibc_look(&w->gi.t, &w->gi.g, 0, NULL, &f);
	if (r == 0)
		check(&f, whole);
	else
		assert_true(r == error || r == -EAGAIN || r == -EBADMSG);
	reached = w->flaky.count >= at;
	glibc_facts_done(&f);
	glibc_image_close(&w->gi);
	return reached;
}

static void test_each_read_fails(void **state)
{
	const int errors[] = { -EFAULT, -ENOMEM };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		struct glibc_facts whole = { .system = 0 };
		struct world w;

		load(images[i], &w);
		begin(&w, 0, 0);
		prove(&w);
		assert_int_equal(glibc_look(&w.gi.t, &w.gi.g, 0, NULL, &whole), 0);
		assert_true(w.flaky.count > 50);
		glibc_image_close(&w.gi);
		for (size_t e = 0; e < ARRAY_SIZE(errors); e++) {
			unsigned long at = 1;

			while (look(&w, at, errors[e], &whole))
				at++;
			assert_true(at > 50);
		}
		glibc_facts_done(&whole);
		free(w.bytes);
	}
}

/* Proof, cheap look, candidates and their check: no crash, and what holds holds. */
static void test_everything_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		struct world w;
		bool reached = true;

		load(images[i], &w);
		for (unsigned long at = 1; reached; at++) {
			begin(&w, at, -EFAULT);
			glibc_image_exercise(&w.gi);
			reached = w.flaky.count >= at;
			glibc_image_close(&w.gi);
		}
		free(w.bytes);
	}
}

static void test_trouble(void **state)
{
	(void)state;
	assert_int_equal(trouble(), 0);
	assert_int_equal(trouble_note(ENOENT, -7), -7);
	assert_int_equal(trouble_note(0, 3), 3);
	assert_int_equal(trouble(), 0);
	assert_int_equal(trouble_note(ENOMEM, -ENOENT), -ENOENT);
	assert_int_equal(trouble_note(EIO, -EFAULT), -EFAULT);
	assert_int_equal(trouble(), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_read_fails),
		cmocka_unit_test(test_everything_fails),
		cmocka_unit_test(test_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
