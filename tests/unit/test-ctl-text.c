// SPDX-License-Identifier: GPL-2.0-or-later
/* What people and JSON readers get to see of characters that nobody can see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"
#include "ctl/json.h"

static const struct {
	uint32_t first, last;
} invisible[] = {
	{ 0x00ad, 0x00ad }, { 0x180e, 0x180e }, { 0x200b, 0x200f }, { 0x2028, 0x202e },	  { 0x2060, 0x2064 },
	{ 0x2066, 0x2069 }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f }, { 0xe0100, 0xe01ef },
};

static void encode(uint32_t c, char *buf)
{
	if (c < 0x800) {
		*buf++ = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		*buf++ = (char)(0xe0 | c >> 12);
		*buf++ = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		*buf++ = (char)(0xf0 | c >> 18);
		*buf++ = (char)(0x80 | (c >> 12 & 0x3f));
		*buf++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*buf++ = (char)(0x80 | (c & 0x3f));
	*buf = 0;
}

static void in_json(const char *text, char *buf, size_t size)
{
	FILE *f = fmemopen(buf, size, "w");
	struct json j;

	assert_non_null(f);
	json_init(&j, f);
	json_text(&j, NULL, text);
	assert_int_equal(json_finish(&j), 0);
	fclose(f);
}

static void check_escaped(uint32_t c)
{
	char text[8], want[64] = "", got[64];

	encode(c, text);
	for (const char *p = text; *p; p++)
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "\\x%02x", (unsigned char)*p);
	if (strcmp(escape_text(text, got, sizeof(got)), want))
		fail_msg("U+%04X: %s", c, got);
	in_json(text, got, sizeof(got));
	if (c < 0x10000)
		snprintf(want, sizeof(want), "\"\\u%04x\"\n", c);
	else
		snprintf(want, sizeof(want), "\"\\u%04x\\u%04x\"\n", 0xd800 + ((c - 0x10000) >> 10),
			 0xdc00 + ((c - 0x10000) & 0x3ff));
	if (strcmp(got, want))
		fail_msg("U+%04X: %s not %s", c, got, want);
}

static void check_as_it_is(uint32_t c)
{
	char text[8], want[16], got[64];

	encode(c, text);
	assert_string_equal(escape_text(text, got, sizeof(got)), text);
	in_json(text, got, sizeof(got));
	snprintf(want, sizeof(want), "\"%s\"\n", text);
	assert_string_equal(got, want);
}

static void test_invisible(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(invisible); i++)
		for (uint32_t c = invisible[i].first; c <= invisible[i].last; c++)
			check_escaped(c);
}

/* The neighbours, and what has ink. */
static void test_visible(void **state)
{
	static const uint32_t codes[] = {
		0xa0,	0xac,	0xae,	0x200a, 0x2010,	 0x2027,  0x202f,  0x205f,   0xfefe,
		0xff00, 0xfff8, 0xfffc, 0xfffd, 0x1f600, 0xdffff, 0xe1000, 0x10ffff,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		check_as_it_is(codes[i]);
}

/* U+E0072 and so on are "rm" in tags: a reader of "ls" would get two commands. */
static void test_hidden_words(void **state)
{
	char got[64];

	(void)state;
	assert_string_equal(escape_text("ls\xf3\xa0\x81\xb2\xf3\xa0\x81\xad", got, sizeof(got)),
			    "ls\\xf3\\xa0\\x81\\xb2\\xf3\\xa0\\x81\\xad");
	in_json("ls\xf3\xa0\x81\xb2\xf3\xa0\x81\xad", got, sizeof(got));
	assert_string_equal(got, "\"ls\\udb40\\udc72\\udb40\\udc6d\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invisible),
		cmocka_unit_test(test_visible),
		cmocka_unit_test(test_hidden_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
