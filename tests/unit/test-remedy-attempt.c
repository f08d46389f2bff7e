// SPDX-License-Identifier: GPL-2.0-or-later
/* What people are told when no thread could be found, or a call could not be made; and calls that may take too long. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "remedy/attempt.h"
#include "remedy/collect.h"
#include "remedy/trim.h"

struct row {
	int error;
	enum remedy_outcome outcome;
	const char *words;
};

static void expect(const struct remedy_result *res, const struct row *row)
{
	if (res->outcome != row->outcome || !strstr(res->reason, row->words))
		fail_msg("%d: %d: %s", row->error, res->outcome, res->reason);
}

static void test_no_thread(void **state)
{
	static const struct row rows[] = {
		{ -EBUSY, REMEDY_REFUSED, "it is stopped by a signal" },
		{ -EALREADY, REMEDY_REFUSED, "being traced by somebody else" },
		{ -ETIMEDOUT, REMEDY_REFUSED, "would not stop" },
		{ -ETIME, REMEDY_REFUSED, "the machine is too busy" },
		{ -EPIPE, REMEDY_FAILED, "the reader failed on its stack" },
		{ -EPERM, REMEDY_DENIED, "needs root, or the same user" },
		{ -EACCES, REMEDY_DENIED, "needs root, or the same user" },
		{ -ESRCH, REMEDY_GONE, "it has exited" },
		{ -ESTALE, REMEDY_GONE, "it ran another program" },
		{ -ENOMEM, REMEDY_FAILED, "the injection failed: Cannot allocate memory" },
	};
	const struct remedy_site site = { .unsafe_why = "" };
	const struct inject_found found = { .looks = 3 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct remedy_result res = { .outcome = REMEDY_DONE };

		attempt_pick_failed(&site, rows[i].error, &found, &res);
		expect(&res, &rows[i]);
	}
}

/* Of several reasons the last thread's own comes first, then the prover's. */
static void test_no_safe_point(void **state)
{
	const struct row own = { -EAGAIN, REMEDY_REFUSED, "in time (3 looks): not enough room" };
	const struct row proof = { -EAGAIN, REMEDY_REFUSED, "in time (3 looks): it is inside malloc" };
	const struct row none = { -EAGAIN, REMEDY_REFUSED, "no thread sleeps in a call that is known to be safe" };
	struct remedy_site site = { .unsafe_why = "it is inside malloc" };
	struct inject_found found = { .looks = 3, .why = "not enough room on its stack" };
	struct remedy_result res = { .outcome = REMEDY_DONE };

	(void)state;
	attempt_pick_failed(&site, -EAGAIN, &found, &res);
	expect(&res, &own);
	found.why = NULL;
	attempt_pick_failed(&site, -EAGAIN, &found, &res);
	expect(&res, &proof);
	site.unsafe_why = "";
	attempt_pick_failed(&site, -EAGAIN, &found, &res);
	expect(&res, &none);
}

static void test_no_call(void **state)
{
	static const struct row rows[] = {
		{ -EINPROGRESS, REMEDY_TIMEOUT, "f() had not returned in time; it finishes by itself" },
		{ -EBUSY, REMEDY_TIMEOUT, "stopped by a signal meanwhile; f() ends when it is continued" },
		{ -EFAULT, REMEDY_FAILED, "f() faulted" },
		{ -ESRCH, REMEDY_GONE, "it exited or ran another program meanwhile" },
		{ -EAGAIN, REMEDY_REFUSED, "restartable sequence" },
		{ -EDEADLK, REMEDY_REFUSED, "holds a lock that f() needs" },
		{ -ENOSPC, REMEDY_REFUSED, "not enough room" },
		{ -ESTALE, REMEDY_REFUSED, "its code changed" },
		{ -EIO, REMEDY_FAILED, "the injection failed: Input/output error" },
	};
	const struct row own = { -EFAULT, REMEDY_REFUSED, "its seccomp filter does not allow brk" };
	struct remedy_result res;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		res = (struct remedy_result){ .outcome = REMEDY_DONE };
		attempt_call_failed(rows[i].error, NULL, "f()", &res);
		expect(&res, &rows[i]);
	}
	/* Who knows why says so. */
	attempt_call_failed(own.error, own.words, "f()", &res);
	expect(&res, &own);
}

/* Nobody is looked for where the call may take longer than it may: there is no target here at all. */
static void test_may_take_too_long(void **state)
{
	static const struct row row = { 0, REMEDY_REFUSED, "the limit is 1.0ms" };
	const struct remedy *const both[] = { &remedy_trim, &remedy_collect };
	const struct remedy_site site = { .max_stop_ns = 1000000, .anon = 4ull << 30, .swap = 1ull << 30 };
	const struct remedy_plan plan = { .possible = 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct remedy_result res = { .outcome = REMEDY_FAILED };

		both[i]->run(&site, &plan, &res);
		expect(&res, &row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_thread),
		cmocka_unit_test(test_no_safe_point),
		cmocka_unit_test(test_no_call),
		cmocka_unit_test(test_may_take_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
