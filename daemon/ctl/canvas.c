/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/canvas.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

int canvas_resize(struct canvas *c, int width, int height)
{
	struct canvas_cell *v;

	width = MIN(MAX(width, 1), CANVAS_MAX);
	height = MIN(MAX(height, 1), CANVAS_MAX);
	v = reallocarray(c->v, (size_t)width * (size_t)height, sizeof(*v));
	if (!v)
		return -ENOMEM;
	*c = (struct canvas){ .width = width, .height = height, .v = v };
	canvas_clear(c);
	return 0;
}

void canvas_clear(struct canvas *c)
{
	for (size_t i = 0; i < (size_t)c->width * (size_t)c->height; i++)
		c->v[i] = (struct canvas_cell){ .c = L' ', .style = STYLE_PLAIN };
}

void canvas_done(struct canvas *c)
{
	free(c->v);
	*c = (struct canvas){ 0 };
}

static struct canvas_cell *cell_at(const struct canvas *c, int y, int x)
{
	if (y < 0 || y >= c->height || x < 0 || x >= c->width)
		return NULL;
	return &c->v[(size_t)y * (size_t)c->width + (size_t)x];
}

void canvas_set(struct canvas *c, int y, int x, wchar_t ch, enum style style)
{
	struct canvas_cell *cell = cell_at(c, y, x);

	if (cell)
		*cell = (struct canvas_cell){ .c = ch, .style = (uint8_t)style };
}

void canvas_clear_line(struct canvas *c, int y)
{
	for (int x = 0; x < c->width; x++)
		canvas_set(c, y, x, L' ', STYLE_PLAIN);
}

void canvas_style(struct canvas *c, int y, int x, int width, enum style style)
{
	for (int i = 0; i < width; i++) {
		struct canvas_cell *cell = cell_at(c, y, x + i);

		if (cell)
			cell->style = (uint8_t)style;
	}
}

/* The next character and its columns; what can't be shown is one "?". */
static wchar_t next_char(const char **text, mbstate_t *state, int *ret_columns)
{
	wchar_t ch;
	size_t n = mbrtowc(&ch, *text, strlen(*text), state);

	*ret_columns = 1;
	if (n == 0 || n > MB_LEN_MAX) {
		memset(state, 0, sizeof(*state));
		(*text)++;
		return L'?';
	}
	*text += n;
	*ret_columns = wcwidth(ch);
	if (*ret_columns == 1 || *ret_columns == 2)
		return ch;
	*ret_columns = 1;
	return L'?';
}

static int columns_of(const char *text)
{
	mbstate_t state = { 0 };
	int sum = 0, n;

	while (*text && sum < CANVAS_MAX) {
		(void)next_char(&text, &state, &n);
		sum += n;
	}
	return sum;
}

size_t canvas_fit(const char *text, int width)
{
	const char *at = text, *blank = NULL;
	mbstate_t state = { 0 };
	int columns = 0, n;

	while (*at) {
		const char *next = at;

		(void)next_char(&next, &state, &n);
		if ((columns + n > width || next - text >= CANVAS_MAX) && at != text) {
			if (*at == ' ' || !blank)
				return (size_t)(at - text);
			return (size_t)(blank - text);
		}
		if (*at == ' ' && at != text)
			blank = at;
		columns += n;
		at = next;
	}
	return (size_t)(at - text);
}

int canvas_put(struct canvas *c, int y, int x, int width, const char *text, enum style style)
{
	const int end = MIN(x + width, c->width);
	const bool cut = columns_of(text) > end - x;
	const int last = cut ? end - 1 : end;
	mbstate_t state = { 0 };
	int at = x, n;

	while (*text) {
		const wchar_t ch = next_char(&text, &state, &n);

		if (at + n > last)
			break;
		canvas_set(c, y, at, ch, style);
		if (n == 2)
			canvas_set(c, y, at + 1, 0, style);
		at += n;
	}
	if (cut && at < end)
		canvas_set(c, y, at++, L'>', style);
	for (int i = at; i < end; i++)
		canvas_set(c, y, i, L' ', style);
	return at;
}

void canvas_put_right(struct canvas *c, int y, int x, int width, const char *text, enum style style)
{
	const int blank = MAX(width - columns_of(text), 0);

	for (int i = 0; i < blank; i++)
		canvas_set(c, y, x + i, L' ', style);
	(void)canvas_put(c, y, x + blank, width - blank, text, style);
}

int canvas_printf(struct canvas *c, int y, int x, enum style style, const char *fmt, ...)
{
	char text[CANVAS_MAX];
	va_list ap;
	int at, n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = n < 0 ? 0 : columns_of(text);
	at = canvas_put(c, y, x, MIN(n, c->width - x), text, style);
	return MIN(at, c->width);
}

int canvas_print(const struct canvas *c, int y, FILE *f)
{
	const struct canvas_cell *row = &c->v[(size_t)y * (size_t)c->width];
	char bytes[MB_LEN_MAX];
	mbstate_t state = { 0 };
	int n = c->width;

	while (n > 0 && row[n - 1].c == L' ')
		n--;
	for (int x = 0; x < n; x++) {
		size_t len;

		if (!row[x].c)
			continue;
		len = wcrtomb(bytes, row[x].c, &state);
		if (len > sizeof(bytes)) {
			bytes[0] = '?';
			len = 1;
			memset(&state, 0, sizeof(state));
		}
		if (fwrite(bytes, 1, len, f) != len)
			return -EIO;
	}
	errno = 0;
	return fputc('\n', f) == EOF ? (errno > 0 ? -errno : -EIO) : 0;
}
