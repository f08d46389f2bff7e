/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole screen: a page, and the line below it. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "ctl/top-columns.h"
#include "ctl/top-keys.h"

size_t top_rows(const struct top *t)
{
	return t->canvas.height > TOP_HEADER + 1 ? (size_t)(t->canvas.height - TOP_HEADER - 1) : 0;
}

int top_draw_help(const struct top *t, struct canvas *c)
{
	int y = 0;

	(void)canvas_printf(c, y++, 0, STYLE_BOLD, "Keys");
	for (size_t i = 0; i < top_nkey_rows; i++) {
		(void)canvas_put(c, y, 2, 9, top_key_rows[i].name, STYLE_BOLD);
		(void)canvas_printf(c, y++, 12, STYLE_PLAIN, "%s", top_key_rows[i].help);
	}
	y++;
	(void)canvas_printf(c, y++, 0, STYLE_BOLD, "Bars");
	for (size_t p = 0; p < TOP_PARTS; p++) {
		static const char *const words[TOP_PARTS] = {
			[TOP_IN_USE] = "given out by its allocators, and the scraps between",
			[TOP_CACHED] = "freed by the program, kept for it in thread caches and fast bins",
			[TOP_FREE] = "free in whole resident pages: what a trim can give back",
			[TOP_IDLE] = "in use, but not touched for long; only the kernel module knows",
			[TOP_OTHER] = "files, shared memory, stacks, what no known allocator owns",
			[TOP_UNSEEN] = "anonymous memory that nobody has looked into, or may; left out by a quick look",
		};

		for (int i = 0; i < 4; i++)
			canvas_set(c, y, 2 + i, top_part_char(p, t->blocks), STYLE_PART + p);
		(void)canvas_printf(c, y++, 8, STYLE_PLAIN, "%s: %s", top_part_names[p], words[p]);
	}
	y++;
	(void)canvas_printf(c, y++, 0, STYLE_BOLD, "Columns");
	for (size_t i = 0; i < top_ncolumns; i++) {
		if (!*top_columns[i].heading)
			continue;
		(void)canvas_put(c, y, 2, 9, top_columns[i].heading, STYLE_BOLD);
		(void)canvas_printf(c, y++, 12, STYLE_PLAIN, "%s", top_columns[i].help);
	}
	return y;
}

static int draw_sheet(struct top *t)
{
	const size_t rows = (size_t)MAX(t->canvas.height - 1, 0);
	size_t used;
	int r = canvas_resize(&t->sheet, t->canvas.width, TOP_SHEET);

	if (r < 0)
		return r;
	used = (size_t)(t->page == TOP_PAGE_HELP ? top_draw_help(t, &t->sheet) : top_draw_detail(t, &t->sheet));
	used = MIN(used, (size_t)TOP_SHEET);
	t->scroll = MIN(t->scroll, used > rows ? used - rows : 0);
	for (size_t y = 0; y < rows && t->scroll + y < used; y++)
		memcpy(&t->canvas.v[y * (size_t)t->canvas.width],
		       &t->sheet.v[(t->scroll + y) * (size_t)t->canvas.width],
		       (size_t)t->canvas.width * sizeof(*t->canvas.v));
	/* There is more of it. */
	if (t->scroll + rows < used)
		(void)canvas_put(&t->canvas, (int)rows, t->canvas.width - 6, 6, "(more)", STYLE_DIM);
	return 0;
}

/* ---------------------------------------------------------------- the last line */

#define MESSAGE_LINES 4
#define MORE "(more)"

/* Beside a page of which there is more. */
static int last_line_width(const struct top *t, const struct canvas *c)
{
	return c->width - (t->page == TOP_PAGE_LIST ? 0 : (int)sizeof(MORE));
}

static void ask_trim(const struct top *t, char *buf, size_t size)
{
	const struct top_proc *p = top_model_find(&t->model, t->trim_pid, t->trim_start);
	char comm[80], bytes[24];
	uint64_t sum = 0;

	for (size_t i = 0; !t->trim_pid && i < t->model.n; i++)
		sum += t->model.v[i]->tagged ? t->model.v[i]->parts[TOP_FREE] : 0;
	if (p)
		sum = p->parts[TOP_FREE];
	format_size(sum, bytes, sizeof(bytes));
	if (!t->trim_pid)
		text_format(buf, size, "Trim %zu tagged (%s or more)?", t->ntagged, bytes);
	else if (!p)
		text_format(buf, size, "%d has exited.", t->trim_pid);
	else
		text_format(buf, size, "Trim %d (%.20s)%s%s%s?", t->trim_pid,
			    escape_text(p->p.comm, comm, sizeof(comm)), sum ? " (" : "", sum ? bytes : "",
			    sum ? " or more)" : "");
	text_append(buf, size, " y: yes  d: dry run  n: no");
}

/* What somebody waits for is worth a few lines of the list. The last one says more only where there is no more room. */
static void draw_message(const struct top *t, struct canvas *c)
{
	const int width = last_line_width(t, c), most = MIN(MAX(c->height / 4, 1), MESSAGE_LINES);
	const char *at = t->message, *lines[MESSAGE_LINES];
	char text[TOP_MESSAGE_MAX];
	int n = 0;

	for (; *at && n < most; at += strspn(at, " ")) {
		lines[n++] = at;
		at += canvas_fit(at, width);
	}
	for (int i = 0; i < n; i++) {
		text_format(text, sizeof(text), "%.*s", i + 1 < n ? (int)canvas_fit(lines[i], width) : TOP_MESSAGE_MAX,
			    lines[i]);
		(void)canvas_put(c, c->height - n + i, 0, width, text, t->message_style);
	}
}

static void draw_last_line(const struct top *t, struct canvas *c)
{
	char text[CANVAS_MAX], shown[TOP_FILTER_MAX * 4];
	const int y = c->height - 1;
	int x;

	if (t->prompt == TOP_PROMPT_TRIM) {
		ask_trim(t, text, sizeof(text));
		canvas_style(c, y, 0, c->width, STYLE_CURSOR);
		(void)canvas_put(c, y, 0, c->width, text, STYLE_CURSOR);
	} else if (t->prompt == TOP_PROMPT_FILTER) {
		x = canvas_printf(c, y, 0, STYLE_BOLD, "Filter: ");
		x = canvas_printf(c, y, x, STYLE_PLAIN, "%s", escape_text(t->view.filter, shown, sizeof(shown)));
		canvas_set(c, y, x, L' ', STYLE_CURSOR);
		(void)canvas_printf(c, y, x + 3, STYLE_DIM, "Enter: keep  Esc: as before");
	} else if (t->message_until_us > clock_us(CLOCK_BOOTTIME)) {
		draw_message(t, c);
	} else {
		top_hints(t, text, sizeof(text));
		(void)canvas_put(c, y, 0, last_line_width(t, c), text, STYLE_DIM);
	}
}

int top_draw(struct top *t)
{
	int r = 0;

	canvas_clear(&t->canvas);
	if (t->page == TOP_PAGE_LIST) {
		top_view_scroll(&t->view, top_rows(t));
		top_draw_list(t, &t->canvas, (int)top_rows(t));
		/* The list's header may be longer than the screen. */
		canvas_clear_line(&t->canvas, t->canvas.height - 1);
	} else {
		r = draw_sheet(t);
	}
	draw_last_line(t, &t->canvas);
	return r;
}
