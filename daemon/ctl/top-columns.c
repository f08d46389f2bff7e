/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/top-columns.h"

#include <string.h>

#include "base/parse.h"
#include "base/text.h"

#define FREE_WIDTH 9

static void put_size(uint64_t v, char *buf, size_t size)
{
	if (v == PROC_UNKNOWN)
		text_format(buf, size, "-");
	else
		format_size(v, buf, size);
}

static void get_pid(const struct top_line *l, char *buf, size_t size)
{
	if (l->group)
		buf[0] = '\0';
	else
		text_format(buf, size, "%d", l->proc->p.pid);
}

static void get_user(const struct top_line *l, char *buf, size_t size)
{
	if (l->group)
		buf[0] = '\0';
	else if (*l->proc->user)
		escape_text(l->proc->user, buf, size);
	else
		text_format(buf, size, "%u", l->proc->p.uid);
}

static void get_rss(const struct top_line *l, char *buf, size_t size)
{
	put_size(l->figures.rss, buf, size);
}

static void get_anon(const struct top_line *l, char *buf, size_t size)
{
	put_size(l->figures.anon, buf, size);
}

static void get_swap(const struct top_line *l, char *buf, size_t size)
{
	put_size(l->figures.swap, buf, size);
}

static void get_idle(const struct top_line *l, char *buf, size_t size)
{
	put_size(l->figures.idle, buf, size);
}

/* In front of a lower bound. */
static const char *bound(const struct top_figures *f)
{
	return f->at_least && f->free != PROC_UNKNOWN ? ">" : "";
}

static void get_free(const struct top_line *l, char *buf, size_t size)
{
	char text[24];
	const char *mark = bound(&l->figures), *dot;

	put_size(l->figures.free, text, sizeof(text));
	dot = *mark && strlen(text) >= FREE_WIDTH ? strchr(text, '.') : NULL;
	/* 1023.9MiB: there is no room for a fraction too, and a bound does without. */
	if (dot)
		text_format(buf, size, "%s%.*s%s", mark, (int)(dot - text), text, dot + 2);
	else
		text_format(buf, size, "%s%s", mark, text);
}

static void get_share(const struct top_line *l, char *buf, size_t size)
{
	const struct top_figures *f = &l->figures;

	if (f->free == PROC_UNKNOWN || f->rss == PROC_UNKNOWN || !f->rss)
		text_format(buf, size, "-");
	else
		text_format(buf, size, "%s%u%%", bound(f), (unsigned int)((__uint128_t)f->free * 100 / f->rss));
}

static void get_allocator(const struct top_line *l, char *buf, size_t size)
{
	text_format(buf, size, "%s", l->proc && l->proc->look.allocator ? l->proc->look.allocator : "");
}

static void get_runtime(const struct top_line *l, char *buf, size_t size)
{
	text_format(buf, size, "%s", l->proc && l->proc->look.runtime ? l->proc->look.runtime : "");
}

static void get_unit(const struct top_line *l, char *buf, size_t size)
{
	escape_text(l->proc && l->proc->p.unit ? l->proc->p.unit : "", buf, size);
}

static bool hidden_unit(const struct top_view *v)
{
	return v->by != TOP_FLAT;
}

#define NUM TOP_COLUMN_NUMBER

/* Each but REST takes its width and a blank. */
const struct top_column top_columns[] = {
	{ "PID", "process id", NUM, 7, 0, TOP_SORT_PID, false, NULL, get_pid },
	{ "USER", "whose it is", TOP_COLUMN_TEXT, 8, 96, TOP_SORT_USER, false, NULL, get_user },
	{ "RSS", "resident memory", NUM, 9, 0, TOP_SORT_RSS, false, NULL, get_rss },
	{ "ANON", "its anonymous part", NUM, 9, 140, TOP_SORT_ANON, false, NULL, get_anon },
	{ "SWAP", "swapped out", NUM, 9, 150, TOP_SORT_SWAP, false, NULL, get_swap },
	{ "IDLE", "not touched for long (with the kernel module)", NUM, 9, 100, TOP_SORT_IDLE, true, NULL, get_idle },
	{ "FREE", "free in its allocators but resident: what could be given back; >: at least, more is unseen", NUM,
	  FREE_WIDTH, 0, TOP_SORT_FREE, false, NULL, get_free },
	{ "FREE%", "the same, of its RSS", NUM, 5, 88, TOP_SORT_FREE, false, NULL, get_share },
	{ "", "what its RSS is made of", TOP_COLUMN_BAR, 16, 60, -1, false, NULL, NULL },
	{ "MALLOC", "its allocator", TOP_COLUMN_TEXT, 8, 130, -1, false, NULL, get_allocator },
	{ "RUNTIME", "its language runtime", TOP_COLUMN_TEXT, 7, 130, -1, false, NULL, get_runtime },
	{ "UNIT", "systemd unit", TOP_COLUMN_TEXT, 20, 110, -1, false, hidden_unit, get_unit },
	{ "COMMAND", "its name; what came of a trim; groups in a tree", TOP_COLUMN_REST, 8, 0, TOP_SORT_COMM, false,
	  NULL, NULL },
};
const size_t top_ncolumns = ARRAY_SIZE(top_columns);
_Static_assert(ARRAY_SIZE(top_columns) <= TOP_COLUMNS_MAX, "a layout holds every column");

bool top_knows_idle(const struct top_model *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i]->p.idle != PROC_UNKNOWN)
			return true;
	return false;
}

size_t top_layout(const struct top_view *v, int width, bool module, struct top_place ret[TOP_COLUMNS_MAX])
{
	int fixed = 0, left, x = 0;
	size_t n = 0;

	for (size_t i = 0; i < top_ncolumns; i++) {
		const struct top_column *c = &top_columns[i];

		if (width < c->from || (c->module && !module) || (c->hidden && c->hidden(v)))
			continue;
		ret[n++] = (struct top_place){ .column = c, .width = c->width };
		if (c->kind == TOP_COLUMN_TEXT || c->kind == NUM)
			fixed += c->width + 1;
	}
	/* Bar and command share what is left. */
	left = MAX(width - fixed, 0);
	for (size_t i = 0; i < n; i++) {
		const struct top_column *c = ret[i].column;

		ret[i].x = x;
		if (c->kind == TOP_COLUMN_BAR)
			ret[i].width = MIN(MAX(left * 38 / 100, c->width), 80);
		else if (c->kind == TOP_COLUMN_REST)
			ret[i].width = MAX(width - x, 0);
		x += ret[i].width + 1;
	}
	return n;
}
