// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "ctl/history.h"

#define SECOND 1000000ull
#define NOW (1700000000 * SECOND) /* 2023-11-14 22:13:20 UTC */

static int use_zone(const char *zone)
{
	int r = setenv("TZ", zone, 1);

	tzset();
	return r;
}

static void want_since(const char *text, uint64_t want)
{
	uint64_t got = 5;

	if (history_since(text, NOW, &got) || got != want)
		fail_msg("%s: got %ju want %ju", text, (uintmax_t)got, (uintmax_t)want);
}

static void test_since(void **state)
{
	const uint64_t midnight = 1699920000 * SECOND;

	(void)state;
	assert_int_equal(use_zone("UTC"), 0);
	want_since("10s", NOW - 10 * SECOND);
	want_since("2h", NOW - 7200 * SECOND);
	want_since("5", NOW - 5 * SECOND);
	want_since("1000000h", 0); /* before there was a clock: all */
	want_since("today", midnight);
	want_since("yesterday", midnight - 86400 * SECOND);
	want_since("2023-11-14", midnight);
	want_since("2023-11-14 22:13", NOW - 20 * SECOND);
	want_since("2023-11-14 22:13:20", NOW);
	want_since("@0", 0);
	want_since("@1700000000", NOW);
	want_since("1970-01-01", 0);
	/* The day on which a clock went back: midnight was in summer time. */
	assert_int_equal(use_zone("CET-1CEST,M3.5.0,M10.5.0/3"), 0);
	want_since("2023-10-29", 1698530400 * SECOND);
	want_since("2023-10-30", (1698530400 + 25 * 3600) * SECOND);
	assert_int_equal(use_zone("UTC"), 0);
}

static void test_since_wrong(void **state)
{
	static const char *const wrong[] = { "",      "soon",	     "-5s",	   "@",		 "@-1",
					     "@1x",   "2023-11-14x", "2023-11-32", "2023-13-01", "2023-11-14 25:00",
					     "22:13", "todays",	     "1.5x" };
	uint64_t got = 5;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (history_since(wrong[i], NOW, &got) != -EINVAL || got != 5)
			fail_msg("'%s' is taken", wrong[i]);
	assert_int_equal(history_since("@99999999999999", NOW, &got), -ERANGE);
	assert_int_equal(history_since("99999999999999999999h", NOW, &got), -ERANGE);
	assert_int_equal(history_since("1900-01-01", NOW, &got), -ERANGE);
	assert_int_equal(got, 5);
}

static void test_kinds(void **state)
{
	static const char *const wrong[] = { "", ",", "action,", ",action", "act", "actions", "Action", "unknown" };
	uint32_t got = 5;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(history_kinds(wrong[i], &got), -EINVAL);
	assert_int_equal(got, 5);
	assert_int_equal(history_kinds("action", &got), 0);
	assert_int_equal(got, 1u << LEDGER_ACTION);
	assert_int_equal(history_kinds("stop,check,check", &got), 0);
	assert_int_equal(got, 1u << LEDGER_STOP | 1u << LEDGER_CHECK);
}

static void test_subject(void **state)
{
	static const struct {
		const char *word, *unit;
		pid_t pid;
	} want[] = {
		{ "12", "", 12 },
		{ "web", "web.service", 0 },
		{ "web.service", "web.service", 0 },
		{ "session-1.scope", "session-1.scope", 0 },
		{ "user.slice", "user.slice", 0 },
		{ "python3.11", "python3.11.service", 0 },
		{ "getty@tty1", "getty@tty1.service", 0 },
		{ ".service", ".service.service", 0 },
		{ "7up", "7up.service", 0 },
	};
	char word[LEDGER_NAME + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		char unit[LEDGER_NAME] = "";
		pid_t pid = 0;

		assert_int_equal(history_subject(want[i].word, &pid, unit), 0);
		assert_int_equal(pid, want[i].pid);
		assert_string_equal(unit, want[i].unit);
	}
	memset(word, 'x', sizeof(word));
	/* The longest, with its suffix, and one more. */
	for (size_t len = LEDGER_NAME - strlen(".service") - 1; len < LEDGER_NAME; len++) {
		char unit[LEDGER_NAME] = "";
		pid_t pid = 0;

		word[len] = 0;
		assert_int_equal(history_subject(word, &pid, unit),
				 len + strlen(".service") < LEDGER_NAME ? 0 : -EINVAL);
		word[len] = 'x';
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_since_wrong),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_subject),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
