// SPDX-License-Identifier: GPL-2.0-or-later
/* What one user, and all together, may have; and how fast. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bus/access.h"
#include "bus/quota.h"

#define S 1000000ull

static void test_users(void **state)
{
	_cleanup_(quota_done) struct quota q = { 0 };

	(void)state;
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(quota_take(&q, 1000, QUOTA_CONNECTION), 0);
	assert_int_equal(quota_take(&q, 1000, QUOTA_CONNECTION), -EDQUOT);
	assert_int_equal(quota_take(&q, 1001, QUOTA_CONNECTION), 0);
	quota_give(&q, 1000, QUOTA_CONNECTION);
	assert_int_equal(quota_take(&q, 1000, QUOTA_CONNECTION), 0);
	assert_int_equal(quota_take(&q, 1000, QUOTA_WORKER), 0);
	assert_int_equal(quota_take(&q, 1000, QUOTA_WORKER), -EDQUOT);
	/* Giving what one hasn't is nothing. */
	quota_give(&q, 4711, QUOTA_WORKER);
	quota_give(&q, 1001, QUOTA_WORKER);
	assert_int_equal(q.all[QUOTA_WORKER], 1);
}

static void test_all_together(void **state)
{
	_cleanup_(quota_done) struct quota q = { 0 };

	(void)state;
	for (uid_t uid = 1; uid <= 8; uid++)
		assert_int_equal(quota_take(&q, uid, QUOTA_WORKER), 0);
	assert_int_equal(quota_take(&q, 9, QUOTA_WORKER), -EUSERS);
	/* Root has what root needs. */
	assert_int_equal(quota_take(&q, 0, QUOTA_WORKER), 0);
	assert_int_equal(q.all[QUOTA_WORKER], 8);
	quota_give(&q, 0, QUOTA_WORKER);
	quota_give(&q, 3, QUOTA_WORKER);
	assert_int_equal(quota_take(&q, 9, QUOTA_WORKER), 0);
}

static void test_pace(void **state)
{
	_cleanup_(quota_done) struct quota q = { 0 };
	const uint64_t now = 100 * S;

	(void)state;
	assert_int_equal(quota_pace(&q, 5, now), -EDQUOT); /* who has taken nothing asks for nothing */
	assert_int_equal(quota_take(&q, 5, QUOTA_REQUEST), 0);
	for (size_t i = 0; i < QUOTA_BURST; i++)
		assert_int_equal(quota_pace(&q, 5, now), 0);
	assert_int_equal(quota_pace(&q, 5, now), -EDQUOT);
	for (size_t i = 0; i < QUOTA_RATE; i++)
		assert_int_equal(quota_pace(&q, 5, now + S), 0);
	assert_int_equal(quota_pace(&q, 5, now + S), -EDQUOT);
	/* What took us long is paid for, a burst of credit less. */
	quota_charge(&q, 5, 20 * S);
	assert_int_equal(quota_pace(&q, 5, now + 20 * S), -EDQUOT);
	assert_int_equal(quota_pace(&q, 5, now + 22 * S), 0);
	/* Long silence is a burst, not more. */
	for (size_t i = 0; i < QUOTA_BURST; i++)
		assert_int_equal(quota_pace(&q, 5, now + 9999 * S), 0);
	assert_int_equal(quota_pace(&q, 5, now + 9999 * S), -EDQUOT);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(quota_pace(&q, 0, now), 0);
}

/* Thousands of users come and go. */
static void test_many(void **state)
{
	_cleanup_(quota_done) struct quota q = { 0 };

	(void)state;
	assert_int_equal(quota_take(&q, 1, QUOTA_REQUEST), 0);
	for (uid_t uid = 2; uid < 20000; uid++) {
		assert_int_equal(quota_take(&q, uid, QUOTA_REQUEST), 0);
		quota_give(&q, uid, QUOTA_REQUEST);
	}
	assert_true(q.n <= 256);
	assert_int_equal(q.all[QUOTA_REQUEST], 1);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(quota_take(&q, 1, QUOTA_REQUEST), 0);
	assert_int_equal(quota_take(&q, 1, QUOTA_REQUEST), -EDQUOT);
}

/* The table, as it is meant: only root reloads, nobody but polkit lets others in, and signals never ask. */
static void test_access(void **state)
{
	(void)state;
	for (enum access_deed d = 0; d < ACCESS_N; d++) {
		assert_int_equal(access_decide(d, 0, false), ACCESS_YES);
		assert_int_equal(access_decide(d, 0, true), ACCESS_YES);
		assert_int_not_equal(access_decide(d, 1000, false), ACCESS_YES);
		assert_int_equal(access_decide(d, 1000, true), d == ACCESS_RELOAD ? ACCESS_NO : ACCESS_YES);
	}
	assert_int_equal(access_decide(ACCESS_RELOAD, 1000, false), ACCESS_NO);
	assert_int_equal(access_decide(ACCESS_HEAR, 1000, false), ACCESS_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users), cmocka_unit_test(test_all_together), cmocka_unit_test(test_pace),
		cmocka_unit_test(test_many),  cmocka_unit_test(test_access),
	};

	return cmocka_run_group_tests_name("bus-quota", tests, NULL, NULL);
}
