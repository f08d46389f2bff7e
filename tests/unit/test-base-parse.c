// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull

struct row {
	const char *text;
	int r;
	uint64_t value;
};

static void check_rows(int (*parse)(const char *, uint64_t *), const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v = UNTOUCHED;
		int r = parse(rows[i].text, &v);

		if (r != rows[i].r || v != (r < 0 ? UNTOUCHED : rows[i].value))
			fail_msg("'%s': returned %d, value %llu", rows[i].text, r, (unsigned long long)v);
	}
}

static void test_size(void **state)
{
	static const struct row rows[] = {
		{ "0", 0, 0 },
		{ "123", 0, 123 },
		{ "512B", 0, 512 },
		{ "007", 0, 7 },
		{ "1K", 0, 1024 },
		{ "1KB", 0, 1024 },
		{ "1KiB", 0, 1024 },
		{ "1k", 0, 1024 },
		{ "64M", 0, 64ull << 20 },
		{ "64MB", 0, 64ull << 20 },
		{ "64MiB", 0, 64ull << 20 },
		{ "64m", 0, 64ull << 20 },
		{ "1.5K", 0, 1536 },
		{ "1.5G", 0, 3ull << 29 },
		{ "2T", 0, 2ull << 40 },
		{ "0.1K", 0, 102 },
		{ "0.0K", 0, 0 },
		{ "1.50000K", 0, 1536 },
		{ "0.000000000001T", 0, 1 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "16777215.999999999999T", 0, UINT64_MAX - 1 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "16777216T", -ERANGE, 0 },
		{ "99999999999999999999G", -ERANGE, 0 },
		{ "18014398509481984K", -ERANGE, 0 },
		{ "1.0000000000000000001K", -ERANGE, 0 },
		{ "0.0001K", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1 K", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "1.5", -EINVAL, 0 },
		{ "1.5B", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "1.", -EINVAL, 0 },
		{ "1.K", -EINVAL, 0 },
		{ ".5K", -EINVAL, 0 },
		{ "1.5.5K", -EINVAL, 0 },
		{ "1,5K", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "1Kb", -EINVAL, 0 },
		{ "1KiBB", -EINVAL, 0 },
		{ "1P", -EINVAL, 0 },
		{ "nan", -EINVAL, 0 },
		{ "1K\n", -EINVAL, 0 },
	};

	(void)state;
	check_rows(parse_size, rows, ARRAY_SIZE(rows));
}

static void test_time(void **state)
{
	static const struct row rows[] = {
		{ "250us", 0, 250 },
		{ "2ms", 0, 2000 },
		{ "1.5s", 0, 1500000 },
		{ "10", 0, 10000000 },
		{ "0.25", 0, 250000 },
		{ "3min", 0, 180000000 },
		{ "3m", 0, 180000000 },
		{ "1h", 0, 3600000000ull },
		{ "1d", 0, 86400000000ull },
		{ "0.5ms", 0, 500 },
		{ "0", 0, 0 },
		{ "0.0s", 0, 0 },
		{ "5124095576h", 0, 5124095576ull * 3600000000ull },
		{ "5124095577h", -ERANGE, 0 },
		{ "18446744073709551615", -ERANGE, 0 },
		{ "0.0001ms", -ERANGE, 0 },
		{ "1.5us", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "ms", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "1S", -EINVAL, 0 },
		{ "1ns", -EINVAL, 0 },
		{ "1min 5s", -EINVAL, 0 },
		{ "infinity", -EINVAL, 0 },
	};

	(void)state;
	check_rows(parse_time_us, rows, ARRAY_SIZE(rows));
}

static void test_pid(void **state)
{
	static const struct {
		const char *text;
		int r;
		pid_t pid;
	} rows[] = {
		{ "1", 0, 1 },
		{ "4194304", 0, 4194304 },
		{ "2147483647", 0, INT_MAX },
		{ "0", -ERANGE, 0 },
		{ "2147483648", -ERANGE, 0 },
		{ "4294967297", -ERANGE, 0 },
		{ "18446744073709551617", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "0x1", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pid_t pid = -7;

		assert_int_equal(parse_pid(rows[i].text, &pid), rows[i].r);
		assert_int_equal(pid, rows[i].r < 0 ? -7 : rows[i].pid);
	}
}

static void test_u64(void **state)
{
	static const struct {
		const char *text;
		unsigned int base;
		int r;
		uint64_t value;
	} rows[] = {
		{ "ff", 16, 0, 255 },
		{ "FF", 16, 0, 255 },
		{ "777", 8, 0, 511 },
		{ "101", 2, 0, 5 },
		{ "ffffffffffffffff", 16, 0, UINT64_MAX },
		{ "10000000000000000", 16, -ERANGE, 0 },
		{ "18446744073709551615", 10, 0, UINT64_MAX },
		{ "18446744073709551616", 10, -ERANGE, 0 },
		{ "8", 8, -EINVAL, 0 },
		{ "a", 10, -EINVAL, 0 },
		{ "g", 16, -EINVAL, 0 },
		{ "0x1", 16, -EINVAL, 0 },
		{ "", 10, -EINVAL, 0 },
		{ "1", 0, -EINVAL, 0 },
		{ "1", 1, -EINVAL, 0 },
		{ "1", 17, -EINVAL, 0 },
		{ "99999999999999999999x", 10, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t v = UNTOUCHED;
		int r = parse_u64(rows[i].text, rows[i].base, &v);

		if (r != rows[i].r || v != (r < 0 ? UNTOUCHED : rows[i].value))
			fail_msg("'%s' base %u: returned %d", rows[i].text, rows[i].base, r);
	}
}

static void test_format_size(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0B" },
		{ 512, "512B" },
		{ 1023, "1023B" },
		{ 1024, "1.0KiB" },
		{ 3482, "3.4KiB" },
		{ 1075, "1.0KiB" },
		{ 1076, "1.1KiB" },
		{ 1048524, "1023.9KiB" },
		{ 1048525, "1.0MiB" },
		{ 64ull << 20, "64.0MiB" },
		{ 3ull << 29, "1.5GiB" },
		{ 1ull << 40, "1.0TiB" },
		{ UINT64_MAX, "16777216.0TiB" },
	};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(format_size(rows[i].bytes, buf, sizeof(buf)), rows[i].text);
	assert_string_equal(format_size(UINT64_MAX, buf, 4), "167");
}

static void test_format_time(void **state)
{
	static const struct {
		uint64_t us;
		const char *text;
	} rows[] = {
		{ 0, "0us" },
		{ 85, "85us" },
		{ 999, "999us" },
		{ 1200, "1.2ms" },
		{ 999949, "999.9ms" },
		{ 999950, "1.0s" },
		{ 3400000, "3.4s" },
		{ 59949999, "59.9s" },
		{ 59950000, "1min 0s" },
		{ 125000000, "2min 5s" },
		{ 3599499999ull, "59min 59s" },
		{ 3599500000ull, "1h 0min" },
		{ 3900000000ull, "1h 5min" },
		{ UINT64_MAX, "5124095576h 2min" },
	};
	char buf[24];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(format_time_us(rows[i].us, buf, sizeof(buf)), rows[i].text);
}

static void test_escape(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "plain text", "plain text" },
		{ "a\nb\tc\rd", "a\\nb\\tc\\x0dd" },
		{ "\x1b[2J", "\\x1b[2J" },
		{ "back\\slash", "back\\x5cslash" },
		{ "\x7f", "\\x7f" },
		{ "\x01", "\\x01" },
		{ "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xc2\x9b"
		  "31m",
		  "\\xc2\\x9b31m" },
		{ "\xc2\xa0", "\xc2\xa0" }, /* C1 CSI; first beyond C1 */
		{ "\xc0\xaf", "\\xc0\\xaf" },
		{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf" },
		{ "\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "\xed\x9f\xbf", "\xed\x9f\xbf" }, /* first surrogate; last before */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" }, /* U+110000; U+10FFFF */
		{ "\x80", "\\x80" },
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "\xe2\x82", "\\xe2\\x82" },
		{ "\xe2\x82z", "\\xe2\\x82z" },
		{ "\xe2\x80\xaa", "\\xe2\\x80\\xaa" },
		{ "\xe2\x80\xae", "\\xe2\\x80\\xae" },
		{ "\xe2\x80\xaf", "\xe2\x80\xaf" },
		{ "\xe2\x81\xa6", "\\xe2\\x81\\xa6" },
		{ "\xe2\x81\xa9", "\\xe2\\x81\\xa9" },
		{ "\xe2\x81\xaa", "\xe2\x81\xaa" },
		{ "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(escape_text(rows[i].in, buf, sizeof(buf)), rows[i].out);
}

static void test_escape_truncates_whole_pieces(void **state)
{
	char buf[8] = "??????";

	(void)state;
	assert_string_equal(escape_text("ab\xe2\x82\xac", buf, 6), "ab\xe2\x82\xac");
	assert_string_equal(escape_text("ab\xe2\x82\xac", buf, 5), "ab");
	assert_string_equal(escape_text("ab\x1b", buf, 7), "ab\\x1b");
	assert_string_equal(escape_text("ab\x1b", buf, 6), "ab");
	assert_string_equal(escape_text("ab\n", buf, 4), "ab");
	assert_string_equal(escape_text("ab", buf, 1), "");
	memset(buf, '?', sizeof(buf));
	assert_ptr_equal(escape_text("ab", buf, 0), buf);
	assert_int_equal(buf[0], '?');
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),	    cmocka_unit_test(test_time),
		cmocka_unit_test(test_pid),	    cmocka_unit_test(test_u64),
		cmocka_unit_test(test_format_size), cmocka_unit_test(test_format_time),
		cmocka_unit_test(test_escape),	    cmocka_unit_test(test_escape_truncates_whole_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
