// SPDX-License-Identifier: GPL-2.0-or-later
/* Values as they stand in a file, and back. What is formatted is parsed to the very same. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "base/scan.h"
#include "base/text.h"
#include "policy/settings-keys.h"

#define BLANKS " \t"

/* "'12x' is no size: expected ..." */
static int value_wrong(const char *value, const char *expected, char *why, size_t size)
{
	char shown[80];

	text_format(why, size, "'%s' is not understood; expected %s", escape_text(value, shown, sizeof(shown)),
		    expected);
	return -EINVAL;
}

static int put(char *buf, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		return -ENOSPC;
	memcpy(buf, text, len + 1);
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* By the largest unit that leaves no rest. */
static char *format_exact(uint64_t v, const struct unit *units, size_t n, char *buf, size_t size)
{
	size_t i = 0;

	while (i + 1 < n && (v < units[i].factor || v % units[i].factor))
		i++;
	text_format(buf, size, "%" PRIu64 "%s", v / units[i].factor, v ? units[i].name : "");
	return buf;
}

static char *size_text(uint64_t v, char *buf, size_t size)
{
	static const struct unit units[] = {
		{ "T", 1ull << 40 }, { "G", 1ull << 30 }, { "M", 1ull << 20 }, { "K", 1ull << 10 }, { "", 1 },
	};

	return format_exact(v, units, ARRAY_SIZE(units), buf, size);
}

static char *time_text(uint64_t v, char *buf, size_t size)
{
	static const struct unit units[] = {
		{ "d", 86400000000 }, { "h", 3600000000 }, { "min", 60000000 },
		{ "s", 1000000 },     { "ms", 1000 },	   { "us", 1 },
	};

	return format_exact(v, units, ARRAY_SIZE(units), buf, size);
}

static char *count_text(uint64_t v, char *buf, size_t size)
{
	text_format(buf, size, "%" PRIu64, v);
	return buf;
}

static char *percent_text(uint64_t v, char *buf, size_t size)
{
	text_format(buf, size, v % 10 ? "%" PRIu64 ".%" PRIu64 "%%" : "%" PRIu64 "%%", v / 10, v % 10);
	return buf;
}

typedef char *(*text_fn)(uint64_t v, char *buf, size_t size);

static int in_bounds(const struct key *k, uint64_t v, text_fn text, char *why, size_t size)
{
	char lo[24], hi[24];

	if ((v >= k->min && v <= k->max) || (k->zero && !v))
		return 0;
	text_format(why, size, "out of range: from %s to %s%s", text(k->min, lo, sizeof(lo)),
		    text(k->max, hi, sizeof(hi)), k->zero ? ", or 0" : "");
	return -ERANGE;
}

static int size_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	uint64_t v;
	int r = parse_size(value, &v);

	if (r == -EINVAL)
		return value_wrong(value, "a size such as 64M", why, size);
	r = in_bounds(k, r < 0 ? UINT64_MAX : v, size_text, why, size);
	if (r == 0)
		*(uint64_t *)field = v;
	return r;
}

static int size_format(const struct key *k, const void *field, char *buf, size_t size)
{
	char text[24];

	(void)k;
	return put(buf, size, size_text(*(const uint64_t *)field, text, sizeof(text)));
}

/* A sum, as systemd has it: "1min 30s". */
static int parse_times(const char *value, uint64_t *ret)
{
	_cleanup_free_ char *copy = strdup(value);
	char *save = NULL;
	uint64_t sum = 0, v;
	int r;

	if (!copy)
		return -ENOMEM;
	for (char *w = strtok_r(copy, BLANKS, &save); w; w = strtok_r(NULL, BLANKS, &save)) {
		r = parse_time_us(w, &v);
		if (r < 0)
			return r;
		if (sum > UINT64_MAX - v)
			return -ERANGE;
		sum += v;
	}
	*ret = sum;
	return 0;
}

static int time_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	uint64_t v = 0;
	int r = parse_times(value, &v);

	if (r == -ENOMEM)
		return r;
	if (r == -EINVAL)
		return value_wrong(value, "a time such as 30s, 150ms or 1min 30s", why, size);
	r = in_bounds(k, r < 0 ? UINT64_MAX : v, time_text, why, size);
	if (r == 0)
		*(uint64_t *)field = v;
	return r;
}

static int time_format(const struct key *k, const void *field, char *buf, size_t size)
{
	char text[24];

	(void)k;
	return put(buf, size, time_text(*(const uint64_t *)field, text, sizeof(text)));
}

static int count_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	uint64_t v;
	int r = parse_u64(value, 10, &v);

	if (r == -EINVAL)
		return value_wrong(value, "a whole number", why, size);
	r = in_bounds(k, r < 0 ? UINT64_MAX : v, count_text, why, size);
	if (r == 0)
		*(uint32_t *)field = (uint32_t)v;
	return r;
}

static int count_format(const struct key *k, const void *field, char *buf, size_t size)
{
	char text[24];

	(void)k;
	return put(buf, size, count_text(*(const uint32_t *)field, text, sizeof(text)));
}

/* "10%", "2.5%": tenths at most */
static int percent_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	const char *p = value;
	uint64_t whole, tenths = 0;
	bool form = scan_u64(&p, &whole);

	if (form && scan_char(&p, '.')) {
		form = *p >= '0' && *p <= '9' && p[1] == '%';
		tenths = form ? (uint64_t)(*p++ - '0') : 0;
	}
	if (!form || strcmp(p, "%"))
		return value_wrong(value, "a percentage such as 10% or 2.5%", why, size);
	whole = MIN(whole, 1000000) * 10 + tenths;
	int r = in_bounds(k, whole, percent_text, why, size);

	if (r == 0)
		*(uint32_t *)field = (uint32_t)whole;
	return r;
}

static int percent_format(const struct key *k, const void *field, char *buf, size_t size)
{
	char text[24];

	(void)k;
	return put(buf, size, percent_text(*(const uint32_t *)field, text, sizeof(text)));
}

static int bool_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	static const char *const words[][2] = {
		{ "yes", "no" }, { "true", "false" }, { "on", "off" }, { "1", "0" }, { "y", "n" }, { "t", "f" },
	};

	(void)k;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		for (size_t no = 0; no < 2; no++) {
			if (strcasecmp(words[i][no], value))
				continue;
			*(bool *)field = !no;
			return 0;
		}
	}
	return value_wrong(value, "yes or no", why, size);
}

static int bool_format(const struct key *k, const void *field, char *buf, size_t size)
{
	(void)k;
	return put(buf, size, *(const bool *)field ? "yes" : "no");
}

static int choice_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	char list[80] = "one of";

	for (unsigned int i = 0; k->choices[i]; i++) {
		text_append(list, sizeof(list), "%s %s", i ? "," : "", k->choices[i]);
		if (strcmp(k->choices[i], value))
			continue;
		memcpy(field, &i, sizeof(i));
		return 0;
	}
	return value_wrong(value, list, why, size);
}

static int choice_format(const struct key *k, const void *field, char *buf, size_t size)
{
	unsigned int i;

	memcpy(&i, field, sizeof(i));
	return put(buf, size, k->choices[i]);
}

/* Cheapest harm first: that is also the order in which they are written. */
static const struct {
	const char *name;
	uint32_t bit;
} remedies[] = {
	{ "trim", POLICY_TRIM }, { "purge", POLICY_PURGE },	{ "collect", POLICY_COLLECT },
	{ "cold", POLICY_COLD }, { "pageout", POLICY_PAGEOUT },
};

static int remedy_add(const char *word, uint32_t *bits, char *why, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++) {
		if (strcmp(remedies[i].name, word))
			continue;
		*bits |= remedies[i].bit;
		return 0;
	}
	if (!strcmp(word, "none"))
		return value_wrong(word, "it to stand alone", why, size);
	return value_wrong(word, "some of trim, purge, collect, cold, pageout; or none", why, size);
}

static int remedies_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	_cleanup_free_ char *copy = strdup(value);
	char *save = NULL;
	uint32_t bits = 0;
	int r = 0;

	(void)k;
	if (!copy)
		return -ENOMEM;
	if (strcmp(value, "none"))
		for (char *w = strtok_r(copy, BLANKS ",", &save); w && r == 0; w = strtok_r(NULL, BLANKS ",", &save))
			r = remedy_add(w, &bits, why, size);
	if (r == 0)
		*(uint32_t *)field = bits;
	return r;
}

static int remedies_format(const struct key *k, const void *field, char *buf, size_t size)
{
	uint32_t bits = *(const uint32_t *)field;
	char text[40] = "";

	(void)k;
	for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
		if (bits & remedies[i].bit)
			text_append(text, sizeof(text), "%s%s", *text ? " " : "", remedies[i].name);
	return put(buf, size, bits ? text : "none");
}

static bool is_file_path(const char *path)
{
	const char *last = path + strlen(path) - 1;

	/* A backslash there would go on in the next line. */
	return *path == '/' && *last != '/' && *last != '\\' && strlen(path) < PATH_MAX && !strstr(path, "/../");
}

static int path_parse(const struct key *k, const char *value, void *field, char *why, size_t size)
{
	char *copy;

	(void)k;
	if (!is_file_path(value))
		return value_wrong(value, "a file's absolute path without '..'", why, size);
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*(char **)field);
	*(char **)field = copy;
	return 0;
}

static int path_format(const struct key *k, const void *field, char *buf, size_t size)
{
	const char *path = *(char *const *)field;

	(void)k;
	return put(buf, size, path ? path : "");
}

const struct key_type key_bool = { bool_parse, bool_format };
const struct key_type key_choice = { choice_parse, choice_format };
const struct key_type key_size = { size_parse, size_format };
const struct key_type key_time = { time_parse, time_format };
const struct key_type key_count = { count_parse, count_format };
const struct key_type key_percent = { percent_parse, percent_format };
const struct key_type key_remedies = { remedies_parse, remedies_format };
const struct key_type key_path = { path_parse, path_format };
