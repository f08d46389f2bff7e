/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list: header, headings, one line for each process or group. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "ctl/top-columns.h"
#include "ctl/top.h"

/* Told apart by their shape too, where there are no colours or no eyes for them. */
static const struct {
	wchar_t block, ascii;
} looks[TOP_PARTS] = {
	[TOP_IN_USE] = { 0x2588, '#' }, [TOP_CACHED] = { 0x2593, '+' }, [TOP_FREE] = { 0x2591, '.' },
	[TOP_IDLE] = { 0x2592, '~' },	[TOP_OTHER] = { 0x2501, '-' },	[TOP_UNSEEN] = { 0x254d, '?' },
};
_Static_assert((int)STYLE_PARTS_END - (int)STYLE_PART == (int)TOP_PARTS, "a style for each part");

#define RESULT_US 60000000ull /* for so long the result of a trim stands in its line */

wchar_t top_part_char(size_t part, bool blocks)
{
	return blocks ? looks[part].block : looks[part].ascii;
}

void top_draw_bar(struct canvas *c, int y, int x, int width, const uint64_t parts[TOP_PARTS], uint64_t whole,
		  bool blocks)
{
	uint8_t cells[CANVAS_MAX];

	width = MIN(MAX(width, 0), CANVAS_MAX);
	top_bar(parts, whole, (size_t)width, cells);
	for (int i = 0; i < width; i++) {
		if (cells[i] < TOP_PARTS)
			canvas_set(c, y, x + i, top_part_char(cells[i], blocks), STYLE_PART + cells[i]);
		else
			canvas_set(c, y, x + i, L' ', STYLE_PLAIN);
	}
}

static const char *size_text(uint64_t v, char *buf, size_t size)
{
	if (v == MACHINE_UNKNOWN)
		text_format(buf, size, "-");
	else
		format_size(v, buf, size);
	return buf;
}

/* ---------------------------------------------------------------- header */

static void draw_machine(const struct top *t, struct canvas *c)
{
	const struct machine *m = &t->model.machine;
	const uint64_t used = m->total - MIN(m->total, m->available);
	const bool known = m->total != MACHINE_UNKNOWN && m->available != MACHINE_UNKNOWN && m->total;
	const time_t now = time(NULL);
	char a[24], b[24], clock[16] = "";
	struct tm tm;
	int x;

	x = canvas_printf(c, 0, 0, STYLE_BOLD, "Memory");
	x = canvas_printf(c, 0, x + 1, STYLE_PLAIN, "%s of %s used", known ? size_text(used, a, sizeof(a)) : "-",
			  size_text(m->total, b, sizeof(b)));
	if (known) {
		const int full = (int)(((__uint128_t)used * 16 + m->total / 2) / m->total);

		canvas_set(c, 0, ++x, L'[', STYLE_DIM);
		for (int i = 0; i < 16; i++)
			canvas_set(c, 0, ++x, i < full ? L'|' : L' ', STYLE_PLAIN);
		canvas_set(c, 0, ++x, L']', STYLE_DIM);
		x++;
	}
	if (m->swap_total != MACHINE_UNKNOWN && m->swap_free != MACHINE_UNKNOWN) {
		x = canvas_printf(c, 0, x + 2, STYLE_BOLD, "Swap");
		x = canvas_printf(c, 0, x + 1, STYLE_PLAIN, "%s of %s",
				  size_text(m->swap_total - MIN(m->swap_total, m->swap_free), a, sizeof(a)),
				  size_text(m->swap_total, b, sizeof(b)));
	}
	if (localtime_r(&now, &tm))
		(void)strftime(clock, sizeof(clock), "%T", &tm);
	if (x + 10 < c->width)
		canvas_put_right(c, 0, c->width - 8, 8, clock, STYLE_DIM);
}

static int draw_stall(struct canvas *c, int x, const char *who, const struct machine_stall *s)
{
	/* More than nothing is worth a look, a tenth of the time is trouble. */
	const enum style style = s->avg10 >= 1000 ? STYLE_BAD : s->avg10 ? STYLE_WARN : STYLE_PLAIN;

	if (!s->known)
		return canvas_printf(c, 1, x, STYLE_DIM, "%s -", who);
	x = canvas_printf(c, 1, x, STYLE_PLAIN, "%s ", who);
	x = canvas_printf(c, 1, x, style, "%u.%02u%%", s->avg10 / 100, s->avg10 % 100);
	return canvas_printf(c, 1, x, STYLE_PLAIN, " %u.%02u%% %u.%02u%%", s->avg60 / 100, s->avg60 % 100,
			     s->avg300 / 100, s->avg300 % 100);
}

static void draw_pressure(const struct top *t, struct canvas *c)
{
	const struct machine *m = &t->model.machine;
	int x = canvas_printf(c, 1, 0, STYLE_BOLD, "Waiting");

	x = draw_stall(c, x + 1, "some", &m->some);
	x = draw_stall(c, x + 3, "all", &m->full);
	(void)canvas_printf(c, 1, x + 2, STYLE_DIM, "%s",
			    m->some.known ? "(10 s, 1 and 5 min)" : "(no PSI in this kernel)");
}

void top_draw_totals(const struct top *t, struct canvas *c)
{
	const struct top_total *s = &t->model.total;
	char size[24];
	int x = canvas_printf(c, 2, 0, STYLE_BOLD, "Processes");

	x = canvas_printf(c, 2, x + 1, STYLE_PLAIN, "%zu, %zu shown, %zu seen: ", s->processes, t->view.nprocs,
			  s->looked);
	x = canvas_printf(c, 2, x, STYLE_BOLD, "%s%s free", s->at_least ? ">" : "",
			  size_text(s->parts[TOP_FREE], size, sizeof(size)));
	if (s->given)
		x = canvas_printf(c, 2, x, STYLE_GOOD, ", %s given back", size_text(s->given, size, sizeof(size)));
	if (s->denied)
		(void)canvas_printf(c, 2, x, STYLE_WARN, ", %zu denied", s->denied);
}

static void draw_legend(const struct top *t, struct canvas *c)
{
	int x = 0;

	for (size_t p = 0; p < TOP_PARTS; p++) {
		canvas_set(c, 3, x, top_part_char(p, t->blocks), STYLE_PART + p);
		x = canvas_printf(c, 3, x + 2, STYLE_PLAIN, "%s", top_part_names[p]) + 2;
	}
	if (*t->view.filter) {
		char shown[TOP_FILTER_MAX * 4];

		(void)canvas_printf(c, 3, x, STYLE_WARN, "filter: %s",
				    escape_text(t->view.filter, shown, sizeof(shown)));
	} else if (t->paused) {
		(void)canvas_printf(c, 3, x, STYLE_WARN, "paused");
	}
}

static void draw_headings(const struct top *t, struct canvas *c, const struct top_place *places, size_t n)
{
	char text[32];

	canvas_style(c, 4, 0, c->width, STYLE_HEADING);
	for (size_t i = 0; i < n; i++) {
		const struct top_column *col = places[i].column;
		const bool sorted = col->sort >= 0 && (enum top_sort)col->sort == t->view.sort;

		text_format(text, sizeof(text), "%s%s", sorted && col->width > 5 ? t->view.reversed ? "^" : "v" : "",
			    col->kind == TOP_COLUMN_BAR ? t->view.share ? "of its own RSS" : "of the largest RSS" :
							  col->heading);
		if (col->kind == TOP_COLUMN_NUMBER)
			canvas_put_right(c, 4, places[i].x, places[i].width, text, STYLE_HEADING);
		else
			(void)canvas_put(c, 4, places[i].x, places[i].width, text, STYLE_HEADING);
	}
}

/* ---------------------------------------------------------------- lines */

/* What came of a trim, in the place of the name. "": nothing to tell, or not any more. */
static enum style result_text(const struct top_proc *p, uint64_t now_us, char *buf, size_t size)
{
	const struct top_given *g = &p->given;
	char a[24], b[24], reason[WORKER_TEXT_MAX * 4];

	buf[0] = '\0';
	if (g->state == TOP_TRIM_QUEUED)
		text_format(buf, size, "waiting to be trimmed");
	else if (g->state == TOP_TRIM_RUNNING)
		text_format(buf, size, g->dry ? "asking what would come back..." : "giving back...");
	if (g->state != TOP_TRIM_DONE)
		return STYLE_WARN;
	if (now_us - g->at_us > RESULT_US)
		return STYLE_PLAIN;
	if (g->dry && (g->outcome == WORKER_WOULD || g->outcome == WORKER_NOTHING)) {
		text_format(buf, size, "would free %s", format_size(g->predicted, a, sizeof(a)));
		return STYLE_PLAIN;
	}
	if (g->outcome == WORKER_RECLAIMED) {
		text_format(buf, size, "freed %s (%s)",
			    format_size(g->freed > 0 ? (uint64_t)g->freed : 0, a, sizeof(a)),
			    format_time_us(g->stopped_us, b, sizeof(b)));
		return STYLE_GOOD;
	}
	if (g->outcome == WORKER_NOTHING) {
		text_format(buf, size, "nothing to give back");
		return STYLE_PLAIN;
	}
	text_format(buf, size, "%s: %s", g->outcome == WORKER_REFUSED ? "refused" : "failed",
		    escape_text(g->reason, reason, sizeof(reason)));
	return g->outcome == WORKER_REFUSED ? STYLE_WARN : STYLE_BAD;
}

static void draw_group(const struct top_line *l, struct canvas *c, int y, const struct top_place *at, enum style style)
{
	char name[512];
	const int x = at->x + l->depth * 2;
	const int end = canvas_put(c, y, x, at->x + at->width - x - 6, escape_text(l->group->name, name, sizeof(name)),
				   style == STYLE_PLAIN ? STYLE_BOLD : style);

	canvas_set(c, y, end + 1, l->group->folded ? L'+' : L' ', style);
	(void)canvas_printf(c, y, end + 2, style == STYLE_PLAIN ? STYLE_DIM : style, "%zu", l->group->processes);
}

static void draw_name(const struct top_line *l, struct canvas *c, int y, const struct top_place *at, enum style style,
		      uint64_t now_us)
{
	const int x = at->x + l->depth * 2, width = at->x + at->width - x;
	char text[512], name[300];
	enum style told;
	int end;

	if (l->group) {
		draw_group(l, c, y, at, style);
		return;
	}
	told = result_text(l->proc, now_us, text, sizeof(text));
	/* The news is what is to be seen: a long name gives way. */
	end = *text ? MIN(width, MAX(width - (int)strlen(text) - 1, 8)) : width;
	end = canvas_put(c, y, x, end, escape_text(l->proc->p.comm, name, sizeof(name)), style);
	if (*text)
		(void)canvas_put(c, y, end + 1, at->x + at->width - end - 1, text, style == STYLE_PLAIN ? told : style);
}

static uint64_t parts_sum(const uint64_t parts[TOP_PARTS])
{
	uint64_t all = 0;

	for (size_t p = 0; p < TOP_PARTS; p++)
		all += parts[p];
	return all;
}

static void draw_line(const struct top *t, struct canvas *c, int y, size_t i, const struct top_place *places, size_t n,
		      uint64_t whole)
{
	const struct top_line *l = &t->view.lines[i];
	const bool here = i == t->view.cursor && t->canvas.v;
	const enum style style = here ? STYLE_CURSOR : STYLE_PLAIN;
	const uint64_t now_us = clock_us(CLOCK_BOOTTIME);
	char text[512];

	canvas_style(c, y, 0, c->width, style);
	for (size_t k = 0; k < n; k++) {
		const struct top_place *at = &places[k];

		if (at->column->kind == TOP_COLUMN_REST) {
			draw_name(l, c, y, at, style, now_us);
		} else if (at->column->kind == TOP_COLUMN_BAR) {
			top_draw_bar(c, y, at->x, at->width, l->figures.parts,
				     t->view.share ? parts_sum(l->figures.parts) : whole, t->blocks);
		} else {
			at->column->get(l, text, sizeof(text));
			if (at->column->kind == TOP_COLUMN_NUMBER)
				canvas_put_right(c, y, at->x, at->width, text, l->group && !here ? STYLE_BOLD : style);
			else
				(void)canvas_put(c, y, at->x, at->width, text, style);
		}
	}
	if (l->proc && l->proc->tagged)
		canvas_set(c, y, 0, L'*', here ? style : STYLE_WARN);
}

/* Why the list is empty, and the keys that change it: where there are keys, and they aren't letters of a filter. */
static void draw_empty(const struct top *t, struct canvas *c)
{
	const bool keys = t->canvas.v && t->prompt != TOP_PROMPT_FILTER;
	char min[24];

	if (*t->view.filter)
		(void)canvas_printf(c, TOP_HEADER + 1, 2, STYLE_PLAIN, "No process matches the filter.%s%s",
				    keys ? " Esc: no filter" : "",
				    keys && !t->view.all ? "  a: among small ones too" : "");
	else
		(void)canvas_printf(c, TOP_HEADER + 1, 2, STYLE_PLAIN,
				    "No process has as much anonymous memory as %s.%s",
				    format_size(t->model.min, min, sizeof(min)),
				    keys && !t->view.all ? " a: all processes" : "");
}

void top_draw_list(struct top *t, struct canvas *c, int height)
{
	struct top_place places[TOP_COLUMNS_MAX];
	uint64_t whole = 0;
	size_t n;

	for (size_t i = 0; i < t->model.n; i++)
		t->model.v[i]->visible = false;
	/* Of all that can be scrolled to, or bars would change while it is done. */
	for (size_t i = 0; i < t->view.nlines; i++)
		whole = MAX(whole, parts_sum(t->view.lines[i].figures.parts));
	n = top_layout(&t->view, c->width, top_knows_idle(&t->model), places);
	draw_machine(t, c);
	draw_pressure(t, c);
	top_draw_totals(t, c);
	draw_legend(t, c);
	draw_headings(t, c, places, n);
	for (size_t i = t->view.first; i < t->view.nlines && (int)(i - t->view.first) < height; i++) {
		draw_line(t, c, TOP_HEADER + (int)(i - t->view.first), i, places, n, whole);
		if (t->view.lines[i].proc)
			t->view.lines[i].proc->visible = true;
	}
	if (!t->view.nlines && height > 1)
		draw_empty(t, c);
}
