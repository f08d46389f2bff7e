// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A collection through a queue of pending calls: of a program that is late, full, in the
 * hands of somebody else, or not what the reader took it for. What isn't sure isn't touched, and what
 * became of it is told as it is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "inject/trace.h"
#include "queue-victim.h"
#include "remedy/collect.h"
#include "remedy/python.h"

#define ENOUGH_MS 20000
#define SHORT_MS 120
/* Of the room, by Include/object.h and Include/cpython/object.h. */
#define WORD_TYPE_AT 8
#define WORD_FLAGS (WORD_TYPE_AT + 0xa8 / 8)
#define WORD_FINALIZE (WORD_TYPE_AT + 0x188 / 8)
#define WORD_BYTES (WORD_TYPE_AT + 53)
#define FLAG_FINALIZE 1ull
#define FLAG_VECTORCALL (1ull << 11)
#define FLAG_GC (1ull << 14)

static void expect(const struct remedy_result *res, enum remedy_outcome outcome, const char *words)
{
	if (res->outcome != outcome || !strstr(res->reason, words))
		fail_msg("%d: %s; %s, instead of %d: %s", res->outcome, res->reason, res->detail, outcome, words);
}

static void read_room(const struct victim *v, uint64_t ret[VICTIM_ROOM])
{
	for (size_t i = 0; i < VICTIM_ROOM; i++)
		ret[i] = v->page->room[i];
}

static void write_room(struct victim *v, const uint64_t words[VICTIM_ROOM])
{
	for (size_t i = 0; i < VICTIM_ROOM; i++)
		v->page->room[i] = words[i];
}

static bool room_is(const struct victim *v, const uint64_t words[VICTIM_ROOM])
{
	uint64_t now[VICTIM_ROOM];

	read_room(v, now);
	return !memcmp(now, words, sizeof(now));
}

static void collects(struct victim *v, uint32_t added, const char *how)
{
	const uint64_t turns = v->page->turns;
	struct remedy_result res;

	victim_run(v, ENOUGH_MS, &res);
	expect(&res, REMEDY_DONE, "");
	if (!strstr(res.detail, how))
		fail_msg("%s", res.detail);
	assert_int_equal(v->page->added, added);
	assert_true(v->page->turns > turns);
	assert_int_equal(v->page->room[VICTIM_REFCNT], 0);
	assert_int_equal(v->page->room[VICTIM_GC_PREV], 1);
}

/* What Python finds in the room is an object with the finalizer that was planned; what lies behind it isn't touched. */
static void test_collects(void **state)
{
	struct victim v;
	volatile uint64_t *room;

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_COLLECT);
	room = v.page->room;
	room[WORD_BYTES] = 0x5a5a;
	collects(&v, 1, "queued by thread");
	assert_int_equal(room[VICTIM_TYPE], (uintptr_t)&room[WORD_TYPE_AT]);
	assert_int_equal(room[WORD_FINALIZE], v.plan.queue.finalizer.fn);
	assert_int_equal(room[WORD_FLAGS], FLAG_FINALIZE | FLAG_GC);
	assert_int_equal(room[VICTIM_VECTORCALL], 0);
	assert_int_equal(room[WORD_BYTES], 0x5a5a);
	/* And again: it is marked as done already. */
	collects(&v, 2, "queued by thread");
	victim_finish(&v);
}

/* With the collector disabled the object is something that can be called, and what it calls is gc.collect(). */
static void test_collects_by_call(void **state)
{
	struct remedy_result res;
	struct victim v;

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_COLLECT);
	v.plan.queue.vector = v.plan.queue.call;
	collects(&v, 1, "queued by thread");
	assert_int_equal(v.page->room[VICTIM_VECTORCALL], v.plan.queue.vector.fn);
	assert_int_equal(v.page->room[WORD_FLAGS], FLAG_FINALIZE | FLAG_GC | FLAG_VECTORCALL);
	/* The room is in use for the other way then. */
	v.plan.queue.vector.fn = 0;
	victim_run(&v, ENOUGH_MS, &res);
	expect(&res, REMEDY_REFUSED, "the spare room behind its variables is in use");
	assert_int_equal(v.page->added, 1);
	victim_finish(&v);
}

/* Somebody has died while he wrote it: each word is either right or still 0. */
static void test_half_written(void **state)
{
	struct victim v;
	uint64_t whole[VICTIM_ROOM];

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_COLLECT);
	collects(&v, 1, "queued by thread");
	read_room(&v, whole);
	v.page->room[VICTIM_GC_PREV] = 0;
	for (size_t i = WORD_TYPE_AT; i < WORD_BYTES; i++)
		v.page->room[i] = 0;
	collects(&v, 2, "queued by thread");
	assert_true(room_is(&v, whole));
	victim_finish(&v);
}

/* What somebody has put in who has died since serves as well, be it that it waits or that it has begun. */
static void test_found(void **state)
{
	static const enum victim_script before[] = { VICTIM_LEAVE, VICTIM_BEGIN };
	static const char *const late[] = { "is queued and has not begun", "it ends by itself" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		struct remedy_result res;
		struct victim v;

		victim_start(&v, VICTIM_RUNS, before[i]);
		for (int again = 0; again < 2; again++) {
			victim_run(&v, SHORT_MS, &res);
			expect(&res, REMEDY_TIMEOUT, late[i]);
			assert_non_null(strstr(res.detail, again ? "an earlier one, found by thread" : "queued by"));
		}
		assert_int_equal(v.page->added, 1);
		v.page->script = VICTIM_COLLECT;
		if (before[i] == VICTIM_LEAVE)
			collects(&v, 1, "");
		victim_finish(&v);
	}
}

/* Whatever else stands in the room is somebody's: not a byte of it is changed, and nothing is called. */
static void test_foreign(void **state)
{
	static const struct {
		size_t at;
		uint64_t is;
	} rows[] = {
		{ 0, 1 },
		{ VICTIM_REFCNT, 2 },
		{ VICTIM_REFCNT, UINT64_MAX },
		{ VICTIM_GC_PREV, 2 },
		{ VICTIM_GC_PREV, 3 },
		{ VICTIM_TYPE, 0x10 },
		{ VICTIM_VECTORCALL, 1 },
		{ WORD_FLAGS, 0x4000 },
		{ WORD_FINALIZE, 0x1234 },
		{ WORD_BYTES - 1, 1 },
		{ WORD_TYPE_AT + 1, 7 },
	};
	struct remedy_result res;
	struct victim v;
	uint64_t whole[VICTIM_ROOM], odd[VICTIM_ROOM];

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_COLLECT);
	collects(&v, 1, "queued by thread");
	read_room(&v, whole);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		memcpy(odd, whole, sizeof(odd));
		odd[VICTIM_GC_PREV] = i % 2;
		odd[rows[i / 2].at] = rows[i / 2].is;
		write_room(&v, odd);
		victim_run(&v, ENOUGH_MS, &res);
		expect(&res, REMEDY_REFUSED, "the spare room behind its variables is in use");
		assert_true(room_is(&v, odd));
	}
	/* Not whole, and yet somebody works with it: no half-written one of ours. */
	for (size_t i = 0; i < 2; i++) {
		memcpy(odd, whole, sizeof(odd));
		odd[VICTIM_GC_PREV] = i;
		odd[VICTIM_REFCNT] = !i;
		odd[WORD_FINALIZE] = 0;
		write_room(&v, odd);
		victim_run(&v, ENOUGH_MS, &res);
		expect(&res, REMEDY_REFUSED, "the spare room behind its variables is in use");
		assert_true(room_is(&v, odd));
	}
	assert_int_equal(v.page->added, 1);
	victim_finish(&v);
}

/* It was put in, so it seems, and then is neither there nor begun. */
static void test_full(void **state)
{
	struct remedy_result res;
	struct victim v;

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_FULL);
	/* Nor is an end believed that lies outside of the queue. */
	v.page->ends[1] = UINT32_MAX;
	victim_run(&v, ENOUGH_MS, &res);
	expect(&res, REMEDY_REFUSED, "its queue of pending calls is full");
	v.page->ends[0] = VICTIM_NCALLS;
	v.page->ends[1] = 0;
	victim_run(&v, SHORT_MS, &res);
	expect(&res, REMEDY_TIMEOUT, "whether the collection is queued could not be told in time");
	assert_int_equal(v.page->added, 0);
	/* The object stays ready for the next one. */
	v.page->ends[0] = v.page->ends[1] = VICTIM_NCALLS - 1;
	v.page->script = VICTIM_COLLECT;
	collects(&v, 1, "queued by thread");
	assert_int_equal(v.page->ends[1], 0);
	victim_finish(&v);
}

static void test_lost(void **state)
{
	struct remedy_result res;
	struct victim v;

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_LOSE);
	victim_run(&v, SHORT_MS, &res);
	expect(&res, REMEDY_TIMEOUT, "whether the collection is queued could not be told in time");
	assert_int_equal(v.page->added, 1);
	victim_finish(&v);
}

/* It goes away, or becomes another program, while it is waited for. */
static void test_gone(void **state)
{
	static const enum victim_script scripts[] = { VICTIM_EXIT, VICTIM_SPOIL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct remedy_result res;
		struct victim v;

		victim_start(&v, VICTIM_RUNS, scripts[i]);
		victim_run(&v, ENOUGH_MS, &res);
		expect(&res, REMEDY_GONE, "it exited or ran another program meanwhile");
		victim_finish(&v);
	}
}

/* What the plan says and the program isn't: told before anything is called or written. */
static void test_not_as_planned(void **state)
{
	const uint64_t none[VICTIM_ROOM] = { 0 };
	struct remedy_queue is;
	struct remedy_result res;
	struct victim v;

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_COLLECT);
	is = v.plan.queue;
#define refused(change, outcome, words)             \
	do {                                        \
		v.plan.queue = is;                  \
		change;                             \
		victim_run(&v, ENOUGH_MS, &res);    \
		expect(&res, outcome, words);       \
		assert_true(room_is(&v, none));     \
		assert_int_equal(v.page->added, 0); \
	} while (0)
	refused(v.plan.queue.call.bytes[31] ^= 1, REMEDY_REFUSED, "its code changed");
	refused(v.plan.queue.finalizer.bytes[0] ^= 1, REMEDY_REFUSED, "its code changed");
	refused(v.plan.queue.finalizer.fn = 4096, REMEDY_REFUSED, "its code changed");
	refused(v.plan.queue.vector.fn = 4096, REMEDY_REFUSED, "its code changed");
	refused(v.plan.queue.room = 4096, REMEDY_REFUSED, "its code changed");
	refused(v.plan.queue.calls = 4096, REMEDY_REFUSED, "its code changed");
	refused(v.plan.queue.stride = 8, REMEDY_FAILED, "Invalid argument");
	refused(v.plan.queue.ncalls = 0, REMEDY_FAILED, "Invalid argument");
	refused(v.plan.queue.ncalls = 513, REMEDY_FAILED, "Invalid argument");
	refused((v.plan.queue.ncalls = 1u << 31, v.plan.queue.stride = 1u << 31), REMEDY_FAILED, "Invalid argument");
#undef refused
	victim_finish(&v);
}

/* The function that puts it in has changed: the room is ready by then, which does no harm. */
static void test_not_that_function(void **state)
{
	struct remedy_result res;
	struct victim v;

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_COLLECT);
	v.plan.queue.add.bytes[3] ^= 1;
	victim_run(&v, ENOUGH_MS, &res);
	expect(&res, REMEDY_REFUSED, "its code changed");
	assert_int_equal(v.page->added, 0);
	v.plan.queue.add.bytes[3] ^= 1;
	collects(&v, 1, "queued by thread");
	victim_finish(&v);
}

/* Only the main thread collects: while it sleeps nothing is put in. */
static void test_sleeps(void **state)
{
	static const enum victim_threads threads[] = { VICTIM_SLEEPS, VICTIM_MAIN_SLEEPS, VICTIM_MAIN_SLEEPS };
	static const bool mutex[] = { false, false, true };
	static const char *const why[] = { "no safe point in time", "no safe point in time",
					   "its main thread, which would have to collect, sleeps" };
	const uint64_t none[VICTIM_ROOM] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		struct remedy_result res;
		struct victim v;

		victim_start(&v, threads[i], VICTIM_COLLECT);
		v.plan.queue.mutex = mutex[i];
		victim_run(&v, SHORT_MS, &res);
		expect(&res, REMEDY_REFUSED, why[i]);
		assert_int_equal(v.page->added, 0);
		assert_true(room_is(&v, none));
		victim_finish(&v);
	}
}

/* From 3.13 on it is a thread that sleeps who puts it in, unless there is only one. */
static void test_mutex(void **state)
{
	static const enum victim_threads threads[] = { VICTIM_RUNS, VICTIM_MAIN_RUNS };
	static const char *const who[] = { "in user code", "in pause" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		struct victim v;

		victim_start(&v, threads[i], VICTIM_COLLECT);
		v.plan.queue.mutex = true;
		collects(&v, 1, who[i]);
		victim_finish(&v);
	}
}

static void test_no_place_is_safe(void **state)
{
	struct remedy_result res;
	struct victim v;

	(void)state;
	victim_start(&v, VICTIM_RUNS, VICTIM_COLLECT);
	v.prover_error = -EAGAIN;
	victim_run(&v, SHORT_MS, &res);
	expect(&res, REMEDY_REFUSED, "the prover says no");
	v.prover_error = -EPIPE;
	victim_run(&v, ENOUGH_MS, &res);
	expect(&res, REMEDY_FAILED, "the reader failed on its stack");
	assert_int_equal(v.page->added, 0);
	victim_finish(&v);
}

/* Where there is none, no thread may take its lock, whatever else is known of it. */
static void test_no_python(void **state)
{
	struct target other = TARGET_CLOSED;
	struct remedy_facts facts = { .target = &other };
	struct cpu_regs regs = { .valid = 0 };
	struct safepoint_verdict v = { .safe = true };
	struct remedy_plan p = { .possible = 0 };

	(void)state;
	remedy_prove_python(&facts, &regs, &v);
	assert_false(v.safe);
	assert_non_null(strstr(v.why, "no Python is in it"));
	v = (struct safepoint_verdict){ .safe = true, .unknown = true };
	remedy_prove_queue(&facts, &regs, true, &v);
	assert_false(v.safe || v.unknown);
	assert_non_null(strstr(v.why, "no Python is in it"));
	remedy_collect.plan(&facts, &p);
	assert_false(p.possible);
	assert_non_null(strstr(p.reason, "no Python is in it"));
	free(facts.interpreter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_collects),
		cmocka_unit_test(test_collects_by_call),
		cmocka_unit_test(test_half_written),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_not_as_planned),
		cmocka_unit_test(test_not_that_function),
		cmocka_unit_test(test_sleeps),
		cmocka_unit_test(test_mutex),
		cmocka_unit_test(test_no_place_is_safe),
		cmocka_unit_test(test_no_python),
	};

	return trace_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
