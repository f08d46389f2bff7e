/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes, times and numbers as people type them, and back. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/parse.h"
#include "base/scan.h"

/* 10^18 is the last power of ten below 2^60: times 2^40 it still fits 128 bits. */
#define FRACTION_DIGITS_MAX 18

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "K", 1ull << 10 },
	{ "KB", 1ull << 10 },
	{ "KiB", 1ull << 10 },
	{ "M", 1ull << 20 },
	{ "MB", 1ull << 20 },
	{ "MiB", 1ull << 20 },
	{ "G", 1ull << 30 },
	{ "GB", 1ull << 30 },
	{ "GiB", 1ull << 30 },
	{ "T", 1ull << 40 },
	{ "TB", 1ull << 40 },
	{ "TiB", 1ull << 40 },
	{ "k", 1ull << 10 },
	{ "m", 1ull << 20 },
	{ "g", 1ull << 30 },
	{ "t", 1ull << 40 },
};

static const struct unit time_units[] = {
	{ "", 1000000 },
	{ "us", 1 },
	{ "ms", 1000 },
	{ "s", 1000000 },
	{ "m", 60 * 1000000ull },
	{ "min", 60 * 1000000ull },
	{ "h", 3600 * 1000000ull },
	{ "d", 86400 * 1000000ull },
};

struct decimal {
	uint64_t whole, fraction, scale; /* whole + fraction / scale */
};

static int scan_decimal(const char **s, struct decimal *ret)
{
	struct decimal d = { .scale = 1 };
	const char *p = *s;
	int digits = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	if (!scan_u64(&p, &d.whole))
		return -ERANGE;

	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++) {
			if (++digits > FRACTION_DIGITS_MAX)
				return -ERANGE;
			d.fraction = d.fraction * 10 + (uint64_t)(*p - '0');
			d.scale *= 10;
		}
		if (digits == 0)
			return -EINVAL;
	}

	*s = p;
	*ret = d;
	return 0;
}

static int parse_with_units(const char *s, const struct unit *units, size_t n, uint64_t *ret)
{
	const struct unit *unit = NULL;
	unsigned __int128 v;
	struct decimal d;
	int r;

	r = scan_decimal(&s, &d);
	if (r < 0)
		return r;

	for (size_t i = 0; i < n && !unit; i++)
		if (!strcmp(s, units[i].name))
			unit = &units[i];
	if (!unit)
		return -EINVAL;
	/* There is no half byte and no half microsecond. */
	if (d.scale > 1 && unit->factor == 1)
		return -EINVAL;

	v = (unsigned __int128)d.whole * unit->factor;
	v += (unsigned __int128)d.fraction * unit->factor / d.scale;
	if (v > UINT64_MAX)
		return -ERANGE;
	/* Zero often means "no limit": what was meant as very little must not become it. */
	if (v == 0 && d.fraction)
		return -ERANGE;

	*ret = (uint64_t)v;
	return 0;
}

int parse_size(const char *s, uint64_t *ret)
{
	return parse_with_units(s, size_units, ARRAY_SIZE(size_units), ret);
}

int parse_time_us(const char *s, uint64_t *ret)
{
	return parse_with_units(s, time_units, ARRAY_SIZE(time_units), ret);
}

int parse_u64(const char *s, unsigned int base, uint64_t *ret)
{
	uint64_t v = 0;

	if (base < 2 || base > 16 || !*s)
		return -EINVAL;

	/* The form is judged before the size: "99...9x" is not a number at all. */
	for (const char *p = s; *p; p++)
		if (scan_digit(*p) < 0 || (unsigned int)scan_digit(*p) >= base)
			return -EINVAL;

	for (; *s; s++) {
		unsigned int digit = (unsigned int)scan_digit(*s);

		if (v > (UINT64_MAX - digit) / base)
			return -ERANGE;
		v = v * base + digit;
	}

	*ret = v;
	return 0;
}

int parse_pid(const char *s, pid_t *ret)
{
	uint64_t v;
	int r;

	r = parse_u64(s, 10, &v);
	if (r < 0)
		return r;
	if (v < 1 || v > INT_MAX)
		return -ERANGE;

	*ret = (pid_t)v;
	return 0;
}

static uint64_t divide_rounded(uint64_t v, uint64_t by)
{
	return v / by + (v % by >= by - by / 2);
}

/* Tenths of @unit, rounded; 128 bits since ten times a large figure overflows. */
static uint64_t tenths_of(uint64_t v, uint64_t unit)
{
	return (uint64_t)(((unsigned __int128)v * 10 + unit / 2) / unit);
}

char *format_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const names[] = { "KiB", "MiB", "GiB", "TiB" };

	if (bytes < 1024) {
		snprintf(buf, size, "%" PRIu64 "B", bytes);
		return buf;
	}

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		uint64_t tenths = tenths_of(bytes, 1ull << (10 * (i + 1)));

		/* Tested after rounding, so that 1023.97KiB shows as 1.0MiB, not 1024.0KiB. */
		if (tenths >= 10240 && i + 1 < ARRAY_SIZE(names))
			continue;
		snprintf(buf, size, "%" PRIu64 ".%" PRIu64 "%s", tenths / 10, tenths % 10, names[i]);
		break;
	}

	return buf;
}

char *format_time_us(uint64_t us, char *buf, size_t size)
{
	uint64_t s = divide_rounded(us, 1000000), min = divide_rounded(us, 60000000);
	uint64_t ms_tenths = tenths_of(us, 1000), s_tenths = tenths_of(us, 1000000);

	if (us < 1000)
		snprintf(buf, size, "%" PRIu64 "us", us);
	else if (ms_tenths < 10000)
		snprintf(buf, size, "%" PRIu64 ".%" PRIu64 "ms", ms_tenths / 10, ms_tenths % 10);
	else if (s_tenths < 600)
		snprintf(buf, size, "%" PRIu64 ".%" PRIu64 "s", s_tenths / 10, s_tenths % 10);
	else if (s < 3600)
		snprintf(buf, size, "%" PRIu64 "min %" PRIu64 "s", s / 60, s % 60);
	else
		snprintf(buf, size, "%" PRIu64 "h %" PRIu64 "min", min / 60, min % 60);

	return buf;
}

/* Length of the valid UTF-8 sequence at @s and its code point, or 0. Reads no further than a NUL. */
static size_t utf8_decode(const unsigned char *s, uint32_t *ret)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = s[0] < 0x80 ? 1 : s[0] >> 5 == 0x6 ? 2 : s[0] >> 4 == 0xe ? 3 : s[0] >> 3 == 0x1e ? 4 : 0;
	uint32_t c;

	if (len == 0)
		return 0;
	c = len == 1 ? s[0] : s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (s[i] >> 6 != 0x2)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}

	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;

	*ret = c;
	return len;
}

bool text_is_plain(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} refused[] = {
		{ 0x00, 0x1f }, /* controls */
		{ 0x7f, 0x9f }, /* DEL and C1 controls: U+009B is CSI to some terminals */
		{ 0x00ad, 0x00ad }, /* soft hyphen */
		{ 0x061c, 0x061c }, /* mark that turns the writing direction */
		{ 0x180e, 0x180e }, /* vowel separator without width */
		{ 0x200b, 0x200f }, /* spaces and joiners without width, marks that turn the writing direction */
		{ 0x2028, 0x202e }, /* line and paragraph separators, bidirectional embeddings and overrides */
		{ 0x2060, 0x2064 }, /* word joiner, invisible operators */
		{ 0x2066, 0x2069 }, /* bidirectional isolates */
		{ 0xfeff, 0xfeff }, /* byte order mark */
		{ 0xfff9, 0xfffb }, /* interlinear annotations */
		{ 0xe0000, 0xe0fff }, /* tags: a second, invisible ASCII; and invisible variants */
	};

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (code >= refused[i].first && code <= refused[i].last)
			return false;

	return true;
}

char *escape_text(const char *text, char *buf, size_t size)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;

	if (size == 0)
		return buf;

	while (*s) {
		char piece[sizeof("\\xff")];
		uint32_t c = 0;
		size_t taken = utf8_decode(s, &c), len = taken;

		/* A backslash as it is would let an escape be forged. */
		if (taken && c != '\\' && text_is_plain(c)) {
			memcpy(piece, s, taken);
		} else if (*s == '\n' || *s == '\t') {
			len = (size_t)snprintf(piece, sizeof(piece), "\\%c", *s == '\n' ? 'n' : 't');
		} else {
			taken = 1;
			len = (size_t)snprintf(piece, sizeof(piece), "\\x%02x", *s);
		}

		if (len >= size - used)
			break;
		memcpy(buf + used, piece, len);
		used += len;
		s += taken;
	}

	buf[used] = '\0';
	return buf;
}
