/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Results of a test in a machine: TAP, and a plan at the end. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_bad;

__attribute__((format(printf, 2, 3))) static inline bool tap(bool good, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	tap_bad += !good;
	return good;
}

static inline int tap_end(void)
{
	printf("1..%d\n", tap_count);
	fflush(stdout);
	return tap_bad ? 1 : 0;
}
