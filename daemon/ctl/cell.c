/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "ctl/render.h"

static const void *field(const struct column *c, const void *row)
{
	return (const char *)row + c->offset;
}

static void set_number(struct cell *ret, enum cell_kind kind, uint64_t v)
{
	if (v == UINT64_MAX)
		return;
	ret->kind = kind;
	ret->number = v;
}

void cell_u64(const struct column *c, const void *row, struct cell *ret)
{
	set_number(ret, CELL_NUMBER, *(const uint64_t *)field(c, row));
}

void cell_u32(const struct column *c, const void *row, struct cell *ret)
{
	set_number(ret, CELL_NUMBER, *(const uint32_t *)field(c, row));
}

void cell_int(const struct column *c, const void *row, struct cell *ret)
{
	int v = *(const int *)field(c, row);

	if (v >= 0)
		set_number(ret, CELL_NUMBER, (uint64_t)v);
}

void cell_size(const struct column *c, const void *row, struct cell *ret)
{
	set_number(ret, CELL_SIZE, *(const uint64_t *)field(c, row));
}

void cell_size_signed(const struct column *c, const void *row, struct cell *ret)
{
	int64_t v = *(const int64_t *)field(c, row);

	ret->kind = CELL_SIZE;
	ret->negative = v < 0;
	ret->number = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

void cell_time_us(const struct column *c, const void *row, struct cell *ret)
{
	set_number(ret, CELL_TIME_US, *(const uint64_t *)field(c, row));
}

static void set_text(struct cell *ret, const char *text)
{
	if (!text || !*text)
		return;
	ret->kind = CELL_TEXT;
	ret->text = text;
}

void cell_text(const struct column *c, const void *row, struct cell *ret)
{
	set_text(ret, *(const char *const *)field(c, row));
}

void cell_chars(const struct column *c, const void *row, struct cell *ret)
{
	set_text(ret, field(c, row));
}

void cell_none(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	(void)row;
	ret->kind = CELL_NONE;
}
