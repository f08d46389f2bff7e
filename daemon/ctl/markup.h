/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text in HTML and SVG, between tags and in quoted attributes. Any bytes may be given: what isn't valid
 * UTF-8, and what must not be shown as it is (text_is_plain()), becomes U+FFFD.
 */
#ifndef RECLAIM_CTL_MARKUP_H
#define RECLAIM_CTL_MARKUP_H

#include <stdio.h>

#include "base/cleanup.h"

void markup_text(FILE *f, const char *text);
/* For sentences of our own with text from outside in them. */
void markup_format(FILE *f, const char *format, ...) __printf_like(2, 3);

#endif
