/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one renderer: rows and columns as an aligned table for people or as
 * JSON objects. A column knows its heading, its JSON key and how to get its
 * value out of a row; text is hostile and escaped here.
 */
#ifndef RECLAIM_CTL_RENDER_H
#define RECLAIM_CTL_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "ctl/ctl.h"
#include "ctl/json.h"

enum cell_kind {
	CELL_NONE, /* "-", null */
	CELL_NUMBER,
	CELL_SIZE, /* bytes */
	CELL_TIME_US,
	CELL_TEXT,
	CELL_BOOL, /* of JSON; yes and no for people */
};

struct cell {
	enum cell_kind kind;
	bool negative; /* the number is -@number */
	bool at_least; /* the size is a lower bound: people see it with a > */
	uint64_t number;
	const char *text; /* raw bytes; lives as long as the row, or points to @buf */
	const char *color; /* name of a colour, or NULL */
	const char *stand_in; /* what people see instead of "-" when there is no value, or NULL */
	char buf[24];
};

enum column_flag {
	COLUMN_RIGHT = 1 << 0,
	COLUMN_TRUNC = 1 << 1, /* may be cut to fit a terminal */
	COLUMN_WRAP = 1 << 2, /* may go over several lines */
	COLUMN_JSON = 1 << 3, /* JSON only */
	COLUMN_TABLE = 1 << 4, /* tables only */
};

struct column {
	const char *name, *key;
	double width; /* hint: a fraction of the terminal, or a number of characters */
	unsigned int flags; /* enum column_flag */
	const char *help;
	void (*get)(const struct column *c, const void *row, struct cell *ret);
	size_t offset; /* for the getters below */
};

/* Getters by offset. PROC_UNKNOWN-like UINT64_MAX and "" or NULL text give CELL_NONE. */
void cell_u64(const struct column *c, const void *row, struct cell *ret);
void cell_u32(const struct column *c, const void *row, struct cell *ret);
void cell_int(const struct column *c, const void *row, struct cell *ret);
void cell_size(const struct column *c, const void *row, struct cell *ret);
void cell_size_signed(const struct column *c, const void *row, struct cell *ret);
void cell_time_us(const struct column *c, const void *row, struct cell *ret);
void cell_text(const struct column *c, const void *row, struct cell *ret); /* const char * */
void cell_chars(const struct column *c, const void *row, struct cell *ret); /* char[] */
void cell_none(const struct column *c, const void *row, struct cell *ret);

/* The members of one object, without its brackets. */
void render_members(struct json *j, const struct column *const *columns, size_t ncolumns, const void *row);

/* A table on stdout. 0 or -errno. */
int render_table(const struct ctl *ctl, const struct column *const *columns, size_t ncolumns, const void *const *rows,
		 size_t nrows) __must_check;

/* A table, or with --json an array of objects. 0 or -errno. */
int render(struct ctl *ctl, const struct column *const *columns, size_t ncolumns, const void *const *rows, size_t nrows)
	__must_check;

#endif
