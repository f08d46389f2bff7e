/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One step of strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef RECLAIM_BASE_UTF8_H
#define RECLAIM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Length of the character at @s (at most @n bytes) and its code; 0 when @s does not begin with a valid one. */
static inline size_t utf8_next(const char *s, size_t n, uint32_t *ret)
{
	static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	uint32_t code;
	size_t len;

	if (!n)
		return 0;
	if (p[0] < 0x80) {
		*ret = p[0];
		return 1;
	}
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (len > n)
		return 0;
	code = p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < lowest[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret = code;
	return len;
}

static inline bool utf8_valid(const char *s)
{
	size_t left = strlen(s), len;
	uint32_t code;

	for (; left; s += len, left -= len) {
		len = utf8_next(s, left, &code);
		if (!len)
			return false;
	}
	return true;
}

#endif
