// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reader's half of cold and pageout, on a live program with threads: what it offers, what
 * its threads may keep by what they have registered (or made up), and what is told where it can't be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lease-driver.h"
#include "remedy/advise.h"
#include "remedy/cold.h"
#include "remedy/looks.h"
#include "remedy/pageout.h"

#define PAGE 4096ull
#define ROUNDS_MAX 100000

static struct driver driver;

struct fixture {
	struct target target;
	struct remedy_facts facts;
	uint64_t memory; /* some of its own, with something in it */
};

/* The sleepers, who are waited for, and two more; one that has just begun hasn't told where its list is. */
static bool all_have_begun(const struct target *t)
{
	for (size_t i = 0; i < t->n_threads; i++)
		if (!t->threads[i].robust)
			return false;
	return t->n_threads >= LEASE_SLEEPERS + 2;
}

static struct fixture *look(void)
{
	const uint64_t until_ns = clock_ns() + 10000000000ull;
	static const char *const args[] = { "--quiet", "--threads=1", "--throttle-us=2000", NULL };
	static struct fixture f;

	driver_start(&driver, args);
	f = (struct fixture){ .target = TARGET_CLOSED, .memory = driver.info->pages_at };
	f.facts.target = &f.target;
	for (;;) {
		assert_int_equal(target_open(driver.target.piddir, &f.target), 0);
		if (all_have_begun(&f.target) || clock_ns() > until_ns)
			return &f;
		target_close(&f.target);
	}
}

static void forget(struct fixture *f)
{
	if (f->facts.pageable)
		pageable_done(f->facts.pageable);
	free(f->facts.pageable);
	target_close(&f->target);
	driver_judge(&driver, "advise");
	driver_finish(&driver);
}

static struct remedy_plan plan(struct fixture *f, const struct remedy *remedy)
{
	struct remedy_plan ret = { .possible = 0 };

	remedy->plan(&f->facts, &ret);
	assert_true(ret.possible || *ret.reason);
	return ret;
}

/* Takes all that is offered. @addr: is it among that? */
static bool offers(struct fixture *f, uint64_t addr, uint64_t *ret_bytes)
{
	struct advise_round round;
	bool has = false;

	*ret_bytes = 0;
	for (unsigned int i = 0;; i++) {
		assert_true(i < ROUNDS_MAX);
		advise_next(&f->facts, &round);
		if (!round.n)
			return has;
		assert_true(round.n <= ADVISE_RANGES_MAX);
		*ret_bytes += round.bytes;
		for (size_t k = 0; k < round.n; k++) {
			assert_true(round.v[k].lo < round.v[k].hi);
			has = has || (addr >= round.v[k].lo && addr < round.v[k].hi);
		}
	}
}

/* Would the page at @addr be offered by a new plan? */
static bool planned(struct fixture *f, uint64_t addr)
{
	const struct remedy_plan p = plan(f, &remedy_pageout);
	uint64_t bytes;
	bool has;

	assert_true(p.possible && p.predicted);
	has = offers(f, addr, &bytes);
	assert_int_equal(bytes, p.predicted);
	return has;
}

static void nobody_has_stacks(struct fixture *f)
{
	for (size_t i = 0; i < f->target.n_threads; i++)
		f->target.threads[i].robust = 0;
}

static void nothing_planned(struct fixture *f)
{
	uint64_t bytes;

	assert_false(offers(f, f->memory, &bytes));
	assert_int_equal(bytes, 0);
}

/* What a thread needs first when it wakes up is left to it: where it has registered its list is near the upper end. */
static void stacks_are_spared(struct fixture *f)
{
	unsigned int seen = 0;

	assert_true(f->target.n_threads >= LEASE_SLEEPERS + 2);
	for (size_t i = 0; i < f->target.n_threads; i++) {
		const uint64_t at = f->target.threads[i].robust & ~(PAGE - 1);

		if (!at)
			continue;
		seen++;
		assert_false(planned(f, at));
		assert_false(planned(f, at - PAGE));
	}
	assert_true(seen >= LEASE_SLEEPERS + 2);
	assert_true(f->facts.pageable->barred[PAGEABLE_STACK] > 0);
}

/* Threads can register anything: that spares what is there, and no order or number of them confuses us. */
static void made_up(struct fixture *f)
{
	struct target_thread *t = f->target.threads;

	nobody_has_stacks(f);
	assert_true(planned(f, f->memory));
	t[0].robust = UINT64_MAX;
	t[1].robust = driver.info->lock_fn; /* a file's */
	t[2].robust = 8;
	t[3].robust = driver.info->words_at; /* shared */
	assert_true(planned(f, f->memory));
	t[2].robust = f->memory + 10 * PAGE + 1;
	assert_false(planned(f, f->memory));
	t[0].robust = f->memory + 12 * PAGE;
	t[4].robust = f->memory;
	assert_false(planned(f, f->memory));
}

/* By its age a stack is as idle as anything else, and nothing younger is offered. */
static void ages(struct fixture *f)
{
	const struct pageable_span all = { 0, 1ull << 47 };
	struct remedy_idle idle = { .kind = REMEDY_IDLE_AGES, .idle_us = 1000000, .spans = &all, .nspans = 1 };
	struct remedy_plan p;

	nobody_has_stacks(f);
	f->target.threads[0].robust = f->memory + 10 * PAGE;
	assert_false(planned(f, f->memory));
	f->facts.idle = &idle;
	assert_true(planned(f, f->memory));
	idle.nspans = 0;
	p = plan(f, &remedy_cold);
	assert_false(p.possible);
	assert_string_equal(p.reason, "none of its memory has been idle for long enough");
	/* How long it has slept says nothing of single pages: then it is all, but for the stacks. */
	idle.kind = REMEDY_IDLE_QUIET;
	assert_true(plan(f, &remedy_cold).possible);
	assert_false(planned(f, f->memory));
}

/* An explanation asks for both at one moment: it is looked at once. */
static void looked_at_once(struct fixture *f)
{
	const struct remedy_looks looks = { .glibc = NULL };
	const struct pageable *first;
	uint64_t bytes;

	f->facts.looks = &looks;
	assert_true(plan(f, &remedy_cold).possible);
	first = f->facts.pageable;
	bytes = first->bytes;
	/* It could not be looked at again. */
	closep(&f->target.smaps_fd);
	assert_int_equal(plan(f, &remedy_pageout).predicted, bytes);
	assert_ptr_equal(f->facts.pageable, first);
}

static void can_not_be_read(struct fixture *f)
{
	int smaps = f->target.smaps_fd, pagemap = f->target.fds.pagemap_fd, ends[2];
	uint64_t bytes;

#define unread(what, words)                                          \
	do {                                                         \
		struct remedy_plan p;                                \
                                                                     \
		assert_true(plan(f, &remedy_cold).possible);         \
		what;                                                \
		p = plan(f, &remedy_cold);                           \
		assert_false(p.possible);                            \
		if (!strstr(p.reason, words))                        \
			fail_msg("%s", p.reason);                    \
		/* Nor is anything left of what was found before. */ \
		assert_false(offers(f, f->memory, &bytes));          \
		assert_int_equal(bytes, 0);                          \
		f->target.smaps_fd = smaps;                          \
		f->target.fds.pagemap_fd = pagemap;                  \
	} while (0)
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	unread(f->target.smaps_fd = -1, "can't be read: Permission denied");
	unread(f->target.fds.pagemap_fd = -1, "can't be read: Permission denied");
	unread(f->target.smaps_fd = ends[0], "can't be read: Illegal seek");
	unread(f->target.smaps_fd = pagemap, "can't be read");
#undef unread
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void no_swap(struct fixture *f)
{
	const struct swap none = { .total = 0 }, some = { .total = 1 << 30, .free = 1 << 30 };
	struct remedy_plan p;

	f->facts.swap = &none;
	p = plan(f, &remedy_pageout);
	assert_false(p.possible);
	assert_string_equal(p.reason, "there is no swap that its memory could be moved to");
	/* Cold moves nothing there. */
	assert_true(plan(f, &remedy_cold).possible);
	f->facts.swap = &some;
	assert_true(plan(f, &remedy_pageout).possible);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		struct fixture *f = look();   \
                                              \
		(void)state;                  \
		name(f);                      \
		forget(f);                    \
	}
TEST(nothing_planned)
TEST(stacks_are_spared)
TEST(made_up)
TEST(ages)
TEST(looked_at_once)
TEST(can_not_be_read)
TEST(no_swap)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_planned), cmocka_unit_test(test_stacks_are_spared),
		cmocka_unit_test(test_made_up),		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_looked_at_once),	cmocka_unit_test(test_can_not_be_read),
		cmocka_unit_test(test_no_swap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
