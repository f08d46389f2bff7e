/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cursors over text that a hostile process may have had a hand in. Each
 * function moves *p past what it took and returns false, moving nothing, when
 * the text is not of the form or the number does not fit. They stop at NUL.
 *
 * By hand instead of sscanf: reading 500 processes spends a third of its time
 * in number scanning otherwise.
 */
#ifndef RECLAIM_BASE_SCAN_H
#define RECLAIM_BASE_SCAN_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

static inline bool scan_u64(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		unsigned int digit = (unsigned int)(*s - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}

	*p = s;
	*ret = v;
	return true;
}

static inline bool scan_i64(const char **p, int64_t *ret)
{
	const char *s = *p;
	bool negative = *s == '-';
	uint64_t v;

	if (negative)
		s++;
	if (!scan_u64(&s, &v) || v > (uint64_t)INT64_MAX)
		return false;

	*p = s;
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

/* -1 when @c is no digit of base 16 */
static inline int scan_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static inline bool scan_hex(const char **p, uint64_t *ret)
{
	const char *s = *p;
	uint64_t v = 0;
	int digit;

	if (scan_digit(*s) < 0)
		return false;
	for (; (digit = scan_digit(*s)) >= 0; s++) {
		if (v >> 60)
			return false;
		v = v << 4 | (unsigned int)digit;
	}

	*p = s;
	*ret = v;
	return true;
}

static inline bool scan_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static inline void scan_blanks(const char **p)
{
	while (**p == ' ' || **p == '\t')
		(*p)++;
}

/* A number of at most INT_MAX: pids, counts. */
static inline bool scan_int(const char **p, int *ret)
{
	const char *s = *p;
	uint64_t v;

	if (!scan_u64(&s, &v) || v > INT_MAX)
		return false;

	*p = s;
	*ret = (int)v;
	return true;
}

#endif
