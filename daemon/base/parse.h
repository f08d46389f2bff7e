/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sizes, times and numbers as people type them, and back.
 *
 * Parsers return 0, -EINVAL (not of the form) or -ERANGE (does not fit); the
 * output is written on success only. The whole string must be consumed: no
 * leading blanks, no sign, no trailing text.
 */
#ifndef RECLAIM_BASE_PARSE_H
#define RECLAIM_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

/*
 * "123", "512B", "64M", "1.5G", "10KiB": K, KB and KiB all mean 1024, and so on
 * for M, G and T; also k, m, g, t. A fraction needs a unit above the byte and
 * is cut to whole bytes ("0.1K" is 102). At most 18 digits behind the point;
 * what is more than nothing never becomes 0 (-ERANGE). @ret in bytes.
 */
int parse_size(const char *s, uint64_t *ret) __must_check;

/*
 * "250us", "2ms", "1.5s", "3min", "1h", "1d"; "m" is minutes too, as in systemd; a
 * bare number is seconds. Fractions as above. @ret in microseconds.
 */
int parse_time_us(const char *s, uint64_t *ret) __must_check;

/* A decimal process id, 1..INT_MAX. */
int parse_pid(const char *s, pid_t *ret) __must_check;

int parse_u64(const char *s, unsigned int base, uint64_t *ret) __must_check;

/* "512B", "3.4KiB", "64.0MiB", "1.5GiB" into @buf (16 bytes are enough); returns @buf. */
char *format_size(uint64_t bytes, char *buf, size_t size);

/* "85us", "1.2ms", "3.4s", "2min 5s" into @buf (24 bytes are enough); returns @buf. */
char *format_time_us(uint64_t us, char *buf, size_t size);

/* May people be shown this character as it is? Not controls, not what is invisible or turns the writing direction. */
bool text_is_plain(uint32_t code);

/*
 * Copies hostile text for a terminal or a log line: invalid UTF-8 (overlong forms
 * and surrogates too) and what text_is_plain() is false for become \xNN per
 * byte (newline \n, tab \t), and so does backslash.
 * Always NUL-terminates; truncates at a whole character or escape. Returns @buf.
 */
char *escape_text(const char *s, char *buf, size_t size);

#endif
