// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "ctl/json.h"

static void check_text(const char *text, const char *want)
{
	_cleanup_free_ char *got = NULL;
	struct json j;
	size_t size;
	FILE *f = open_memstream(&got, &size);

	assert_non_null(f);
	json_init(&j, f);
	json_text(&j, NULL, text);
	assert_int_equal(json_finish(&j), 0);
	fclose(f);
	if (strlen(want) + 1 != size || strncmp(got, want, strlen(want)))
		fail_msg("got %s want %s", got, want);
}

static void test_text(void **state)
{
	(void)state;
	check_text("plain", "\"plain\"");
	check_text("", "\"\"");
	check_text("a\"b\\c/", "\"a\\\"b\\\\c/\"");
	check_text("\n\t\r\b\x01\x1b[31m\x7f", "\"\\n\\t\\u000d\\u0008\\u0001\\u001b[31m\\u007f\"");
	check_text("\xc2\x9b", "\"\\u009b\""); /* C1: the other way to start an escape sequence */
	check_text("\xc2\xa0\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc2\xa0\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
	/* alone, cut short, overlong, surrogate, above the end: one U+FFFD for each byte */
	check_text("\xff", "\"\xef\xbf\xbd\"");
	check_text("\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text("\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text("\xe0\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text("\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text("\xe2\"", "\"\xef\xbf\xbd\\\"\"");
	check_text(NULL, "null");
}

/* Every sequence of up to three bytes: what is taken as a character must encode to the same bytes again. */
static void test_utf8_all(void **state)
{
	size_t valid = 0;

	(void)state;
	for (uint32_t v = 1; v < 1u << 24; v++) {
		const char s[3] = { (char)(v >> 16), (char)(v >> 8), (char)v };
		uint32_t code = 0;
		size_t n = utf8_next(s, 3, &code);

		if (n != 3)
			continue;
		valid++;
		assert_in_range(code, 0x800, 0xffff);
		assert_true(code < 0xd800 || code > 0xdfff);
		assert_int_equal((unsigned char)s[0], 0xe0 | code >> 12);
		assert_int_equal((unsigned char)s[1], 0x80 | (code >> 6 & 0x3f));
		assert_int_equal((unsigned char)s[2], 0x80 | (code & 0x3f));
	}
	assert_int_equal(valid, 0x10000 - 0x800 - 0x800);
}

static void test_document(void **state)
{
	_cleanup_free_ char *got = NULL;
	struct json j;
	size_t size;
	FILE *f = open_memstream(&got, &size);

	(void)state;
	assert_non_null(f);
	json_init(&j, f);
	json_open(&j, NULL, '[');
	json_open(&j, NULL, '{');
	json_u64(&j, "max", UINT64_MAX);
	json_i64(&j, "min", INT64_MIN);
	json_null(&j, "none");
	json_open(&j, "empty", '[');
	json_close(&j);
	json_open(&j, "list", '[');
	json_u64(&j, NULL, 1);
	json_u64(&j, NULL, 2);
	json_close(&j);
	json_close(&j);
	json_open(&j, NULL, '{');
	json_close(&j);
	json_close(&j);
	assert_int_equal(json_finish(&j), 0);
	fclose(f);
	assert_string_equal(got, "[\n{\"max\":18446744073709551615,\"min\":-9223372036854775808,\"none\":null,"
				 "\"empty\":[],\"list\":[1,2]},\n{}\n]\n");
}

static void test_misuse(void **state)
{
	_cleanup_fclose_ FILE *f = fopen("/dev/null", "we");
	struct json j;

	(void)state;
	assert_non_null(f);
	json_init(&j, f);
	json_open(&j, NULL, '[');
	assert_int_equal(json_finish(&j), -EBADMSG);
	json_init(&j, f);
	json_close(&j);
	assert_int_equal(json_finish(&j), -EBADMSG);
	json_init(&j, f);
	for (int i = 0; i < 1000; i++)
		json_open(&j, NULL, '[');
	assert_int_equal(json_finish(&j), -EOVERFLOW);
}

static void test_full(void **state)
{
	_cleanup_fclose_ FILE *f = fopen("/dev/full", "we");
	struct json j;

	(void)state;
	assert_non_null(f);
	json_init(&j, f);
	json_open(&j, NULL, '[');
	/* More than the buffer: the error comes in the middle and must not be forgotten. */
	for (int i = 0; i < 10000; i++)
		json_text(&j, NULL, "0123456789");
	json_close(&j);
	assert_int_equal(json_finish(&j), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),   cmocka_unit_test(test_utf8_all), cmocka_unit_test(test_document),
		cmocka_unit_test(test_misuse), cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
