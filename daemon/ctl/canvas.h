/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A picture of characters in memory: drawn on by whoever knows what is to be
 * seen, shown by whoever knows the terminal. So pictures can be tested without one.
 */
#ifndef RECLAIM_CTL_CANVAS_H
#define RECLAIM_CTL_CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <wchar.h>

#include "base/cleanup.h"

/* What something is, not how it looks: that is for the screen to say. */
enum style {
	STYLE_PLAIN,
	STYLE_BOLD,
	STYLE_DIM,
	STYLE_HEADING,
	STYLE_CURSOR,
	STYLE_GOOD,
	STYLE_BAD,
	STYLE_WARN,
	/* parts of memory, in the order of enum top_part */
	STYLE_PART,
	STYLE_PARTS_END = STYLE_PART + 6,
	STYLES = STYLE_PARTS_END,
};

struct canvas_cell {
	wchar_t c; /* 0: the right half of what is to its left */
	uint8_t style; /* enum style */
};

struct canvas {
	int width, height;
	struct canvas_cell *v; /* malloc'ed, width * height */
};

/* Sides are at least 1 and at most so many characters. */
#define CANVAS_MAX 1000

/* Blank, of that size; may be done again and again. 0 or -ENOMEM, then it is as before. */
int canvas_resize(struct canvas *c, int width, int height) __must_check;
void canvas_clear(struct canvas *c);
void canvas_clear_line(struct canvas *c, int y);
void canvas_done(struct canvas *c); /* accepts zeroed */

/*
 * @text, which is valid UTF-8 without controls (escape_text() makes it so), in @width columns from (@y, @x): the rest
 * is blank, what doesn't fit is cut off visibly. What the locale can't show becomes "?". What lies outside is ignored.
 * Returns the column behind the text.
 */
int canvas_put(struct canvas *c, int y, int x, int width, const char *text, enum style style);

/* The same, at the right side of its columns. */
void canvas_put_right(struct canvas *c, int y, int x, int width, const char *text, enum style style);

/* The same with a format, up to the right edge. */
int canvas_printf(struct canvas *c, int y, int x, enum style style, const char *fmt, ...) __printf_like(5, 6);

/*
 * Of a sentence that goes over several lines: how many of its bytes belong in a line of @width columns. Cut at a blank,
 * which is left for the caller to skip, and a word as long as the line between characters. At least 1 of any text,
 * and less than CANVAS_MAX.
 */
size_t canvas_fit(const char *text, int width);

void canvas_set(struct canvas *c, int y, int x, wchar_t ch, enum style style);
void canvas_style(struct canvas *c, int y, int x, int width, enum style style);

/* One line as text, without blanks at its end. 0 or -errno. */
int canvas_print(const struct canvas *c, int y, FILE *f) __must_check;

#endif
