/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sentences for people in buffers of fixed size: cut off rather than refused. */
#ifndef RECLAIM_BASE_TEXT_H
#define RECLAIM_BASE_TEXT_H

#include <stddef.h>

#include "base/cleanup.h"

/* Formats into @buf, always NUL-terminated; what doesn't fit is cut off. */
void text_format(char *buf, size_t size, const char *fmt, ...) __printf_like(3, 4);

/* Appends to what is there, under the same rule. */
void text_append(char *buf, size_t size, const char *fmt, ...) __printf_like(3, 4);

#endif
