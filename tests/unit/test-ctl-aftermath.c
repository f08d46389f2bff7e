// SPDX-License-Identifier: GPL-2.0-or-later
/* When a person is told that memory isn't free, or doesn't stay so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/aftermath.h"

#define MIB (1ull << 20)

static const struct thp always = { .mode = THP_ALWAYS, .max_ptes_none = 511 };
static const struct thp asked = { .mode = THP_MADVISE, .max_ptes_none = 511 };
static const struct thp holes = { .mode = THP_ALWAYS, .max_ptes_none = 0 };
static const struct thp never = { .mode = THP_NEVER, .max_ptes_none = 511 };

static bool differs(enum meter_scope scope, uint64_t before, uint64_t after, int64_t freed)
{
	const struct aftermath a = { .scope = scope, .real_before = before, .real_after = after };

	return aftermath_differs(&a, freed);
}

static void test_differs(void **state)
{
	(void)state;
	assert_false(differs(METER_CGROUP, 500 * MIB, 100 * MIB, 400 * MIB));
	assert_false(differs(METER_CGROUP, 500 * MIB, 120 * MIB, 400 * MIB));
	assert_true(differs(METER_CGROUP, 500 * MIB, 150 * MIB, 400 * MIB));
	assert_true(differs(METER_CGROUP, 500 * MIB, 0, 400 * MIB));
	assert_true(differs(METER_CGROUP, 500 * MIB, 600 * MIB, 400 * MIB));
	assert_false(differs(METER_CGROUP, MIB, 0, MIB / 2));
	/* Others live on the machine too. */
	assert_false(differs(METER_MACHINE, 500 * MIB, 150 * MIB, 400 * MIB));
	assert_false(differs(METER_MACHINE, 500 * MIB, 490 * MIB, MIB));
	assert_true(differs(METER_MACHINE, 500 * MIB, 490 * MIB, 400 * MIB));
	/* Never guessed. */
	assert_false(differs(METER_NONE, 500 * MIB, 0, 400 * MIB));
	assert_false(differs(METER_CGROUP, METER_UNKNOWN, 0, 400 * MIB));
	assert_false(differs(METER_CGROUP, 0, METER_UNKNOWN, 400 * MIB));
	assert_true(differs(METER_CGROUP, 1, 2, INT64_MIN));
	assert_true(differs(METER_CGROUP, 0, UINT64_MAX - 1, INT64_MAX));
}

static const char *warning(struct aftermath *a, uint32_t outcome, uint32_t torn, const struct thp *thp)
{
	const struct worker_result res = { .outcome = outcome, .huge_torn = torn };

	aftermath_judge(a, &res, thp);
	return a->warning;
}

static void expect(struct aftermath *a, uint32_t torn, const struct thp *thp, const char *part)
{
	const char *got = warning(a, WORKER_RECLAIMED, torn, thp);

	if (part ? !strstr(got, part) : *got)
		fail_msg("'%s', not '%s'", got, part ? part : "");
}

/* Not looked at again: from the settings alone. */
static void test_may_come_back(void **state)
{
	struct aftermath a = { .looked = false };

	(void)state;
	expect(&a, 0, &always, NULL);
	expect(&a, 243, &never, NULL);
	expect(&a, 243, &holes, NULL);
	expect(&a, 243, &always, "243 huge pages were split, and khugepaged may fill them up again (every program");
	expect(&a, 243, &asked, "this program asks for them");
	expect(&a, 1, &always,
	       "0 in /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none stops that, --recheck=30s");
	assert_string_equal(warning(&a, WORKER_REFUSED, 1, &always), "");
}

static void test_came_back(void **state)
{
	struct aftermath a = { .marked = true, .looked = true, .waited_us = 5000000 };
	char text[AFTERMATH_TEXT];

	(void)state;
	/* It was seen that none did. */
	expect(&a, 243, &always, NULL);
	a.regrowth = (struct regrowth){ .anon = 30 * MIB, .faults = 7680 };
	expect(&a, 243, &always, NULL);
	assert_string_equal(aftermath_describe(&a, text, sizeof(text)),
			    "after 5.0s 30.0MiB has come back; the program had 7680 page faults");
	a.regrowth = (struct regrowth){ .anon = 32 * MIB, .by_khugepaged = 30 * MIB };
	expect(&a, 0, &always,
	       "30.0MiB has come back within 5.0s: khugepaged has filled huge pages up again; 0 in /sys");
	expect(&a, 0, &always, "max_ptes_none (it is 511) stops that");
	assert_string_equal(
		aftermath_describe(&a, text, sizeof(text)),
		"after 5.0s 32.0MiB has come back, 30.0MiB of it by khugepaged; the program had 0 page faults");
	/* What khugepaged does can't be told: then what it may do is said. */
	a.regrowth = (struct regrowth){ .anon = -5, .by_khugepaged = FOOTPRINT_UNKNOWN };
	expect(&a, 5, &always, "may fill them up again");
	assert_non_null(strstr(aftermath_describe(&a, text, sizeof(text)), "nothing has come back; what khugepaged"));
	a = (struct aftermath){ .marked = true };
	expect(&a, 5, &always, "could not be looked at again");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differs),
		cmocka_unit_test(test_may_come_back),
		cmocka_unit_test(test_came_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
