// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"

static void test_format_cuts(void **state)
{
	char buf[6];

	(void)state;
	text_format(buf, sizeof(buf), "%s", "abc");
	assert_string_equal(buf, "abc");
	text_format(buf, sizeof(buf), "%s", "abcdefgh");
	assert_string_equal(buf, "abcde");
}

static void test_append_cuts(void **state)
{
	char buf[6] = "ab";

	(void)state;
	text_append(buf, sizeof(buf), "%d", 12);
	assert_string_equal(buf, "ab12");
	text_append(buf, sizeof(buf), "%s", "xyz");
	assert_string_equal(buf, "ab12x");
	text_append(buf, sizeof(buf), "more");
	assert_string_equal(buf, "ab12x");
}

static void test_append_unterminated(void **state)
{
	char buf[4];

	(void)state;
	memset(buf, 'x', sizeof(buf));
	text_append(buf, sizeof(buf), "y"); /* must not look for a NUL beyond the buffer */
	assert_memory_equal(buf, "xxxx", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_cuts),
		cmocka_unit_test(test_append_cuts),
		cmocka_unit_test(test_append_unterminated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
