/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/render.h"

static void tablep(struct libscols_table **t)
{
	scols_unref_table(*t);
}

static void get_cell(const struct column *c, const void *row, struct cell *ret)
{
	*ret = (struct cell){ .kind = CELL_NONE };
	c->get(c, row, ret);
}

static void render_number(struct json *j, const char *key, const struct cell *cell)
{
	if (cell->negative)
		json_i64(j, key, (int64_t)(0 - cell->number));
	else
		json_u64(j, key, cell->number);
}

static void render_member(struct json *j, const struct column *c, const void *row)
{
	struct cell cell;

	get_cell(c, row, &cell);
	switch (cell.kind) {
	case CELL_NONE:
		json_null(j, c->key);
		break;
	case CELL_NUMBER:
	case CELL_SIZE:
	case CELL_TIME_US:
		render_number(j, c->key, &cell);
		break;
	case CELL_TEXT:
		json_text(j, c->key, cell.text);
		break;
	case CELL_BOOL:
		json_bool(j, c->key, cell.number);
		break;
	}
}

void render_members(struct json *j, const struct column *const *columns, size_t ncolumns, const void *row)
{
	for (size_t i = 0; i < ncolumns; i++)
		if (!(columns[i]->flags & COLUMN_TABLE))
			render_member(j, columns[i], row);
}

/* What people see of a cell; malloc'ed, NULL when out of memory. */
static char *cell_shown(const struct cell *cell)
{
	char *text, buf[32] = "-";
	size_t size;

	switch (cell->kind) {
	case CELL_NONE:
		return strdup(cell->stand_in ? cell->stand_in : "-");
	case CELL_NUMBER:
		snprintf(buf + cell->negative, sizeof(buf) - 1, "%" PRIu64, cell->number);
		return strdup(buf);
	case CELL_SIZE:
		if (cell->at_least)
			buf[0] = '>';
		format_size(cell->number, buf + (cell->negative || cell->at_least), sizeof(buf) - 1);
		return strdup(buf);
	case CELL_TIME_US:
		format_time_us(cell->number, buf + cell->negative, sizeof(buf) - 1);
		return strdup(buf);
	case CELL_BOOL:
		return strdup(cell->number ? "yes" : "no");
	case CELL_TEXT:
		break;
	}
	size = strlen(cell->text) * 4 + 1; /* \xNN */
	text = malloc(size);
	return text ? escape_text(cell->text, text, size) : NULL;
}

static int add_column(const struct ctl *ctl, struct libscols_table *t, const struct column *c)
{
	struct libscols_column *col;
	int flags = 0;

	if (c->flags & COLUMN_RIGHT)
		flags |= SCOLS_FL_RIGHT;
	if (c->flags & COLUMN_TRUNC)
		flags |= SCOLS_FL_TRUNC;
	if (c->flags & COLUMN_WRAP)
		flags |= SCOLS_FL_WRAP;
	col = scols_table_new_column(t, c->name, c->width, flags);
	if (!col)
		return -ENOMEM;
	if (ctl->colors)
		return scols_cell_set_color(scols_column_get_header(col), "bold");
	return 0;
}

static int add_row(struct libscols_table *t, const struct column *const *columns, size_t ncolumns, const void *row)
{
	struct libscols_line *line;
	size_t at = 0;
	int r;

	line = scols_table_new_line(t, NULL);
	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < ncolumns; i++) {
		struct cell cell;
		char *shown;

		if (columns[i]->flags & COLUMN_JSON)
			continue;
		get_cell(columns[i], row, &cell);
		shown = cell_shown(&cell);
		if (!shown)
			return -ENOMEM;
		r = scols_line_refer_data(line, at, shown);
		if (r < 0) {
			free(shown);
			return r;
		}
		if (cell.color)
			r = scols_cell_set_color(scols_line_get_cell(line, at), cell.color);
		if (r < 0)
			return r;
		at++;
	}
	return 0;
}

static int print_table(struct libscols_table *t)
{
	int r;

	errno = 0;
	r = scols_print_table(t);
	if (r < 0)
		return r;
	if (ferror(stdout) || fflush(stdout))
		return errno > 0 ? -errno : -EIO;
	return 0;
}

int render_table(const struct ctl *ctl, const struct column *const *columns, size_t ncolumns, const void *const *rows,
		 size_t nrows)
{
	_cleanup_(tablep) struct libscols_table *t = NULL;
	int r;

	if (!nrows)
		return 0;
	t = scols_new_table();
	if (!t)
		return -ENOMEM;
	/* escape_text() has made the text safe already; encoding it twice would double the backslashes. */
	scols_table_enable_noencoding(t, 1);
	scols_table_enable_noheadings(t, ctl->no_legend);
	scols_table_enable_colors(t, ctl->colors);
	for (size_t i = 0; i < ncolumns; i++) {
		if (columns[i]->flags & COLUMN_JSON)
			continue;
		r = add_column(ctl, t, columns[i]);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < nrows; i++) {
		r = add_row(t, columns, ncolumns, rows[i]);
		if (r < 0)
			return r;
	}
	return print_table(t);
}

int render(struct ctl *ctl, const struct column *const *columns, size_t ncolumns, const void *const *rows, size_t nrows)
{
	struct json j;

	if (!ctl->json)
		return render_table(ctl, columns, ncolumns, rows, nrows);
	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < nrows; i++) {
		json_open(&j, NULL, '{');
		render_members(&j, columns, ncolumns, rows[i]);
		json_close(&j);
	}
	json_close(&j);
	return json_finish(&j);
}
