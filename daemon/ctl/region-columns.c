/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/region-columns.h"

#include <inttypes.h>

#include "sense/proc.h"

/* Where the bar changes its shade */
#define SHORT_US 10000000ull
#define LONG_US 60000000ull

static const struct region *region_of(const void *row)
{
	return ((const struct region_row *)row)->r;
}

static void cell_address(struct cell *ret, uint64_t address)
{
	ret->kind = CELL_TEXT;
	snprintf(ret->buf, sizeof(ret->buf), "0x%" PRIx64, address);
	ret->text = ret->buf;
}

static void cell_start(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	cell_address(ret, region_of(row)->map.start);
}

static void cell_end(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	cell_address(ret, region_of(row)->map.end);
}

static void cell_length(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	ret->kind = CELL_SIZE;
	ret->number = region_of(row)->map.end - region_of(row)->map.start;
}

static void cell_perms(const struct column *c, const void *row, struct cell *ret)
{
	const unsigned int flags = region_of(row)->map.flags;

	(void)c;
	ret->kind = CELL_TEXT;
	snprintf(ret->buf, sizeof(ret->buf), "%c%c%c%c", flags & MAP_F_READ ? 'r' : '-',
		 flags & MAP_F_WRITE ? 'w' : '-', flags & MAP_F_EXEC ? 'x' : '-', flags & MAP_F_SHARED ? 's' : 'p');
	ret->text = ret->buf;
}

static void cell_kind(const struct column *c, const void *row, struct cell *ret)
{
	static const char *const names[] = {
		[MAP_KIND_FILE] = "file", [MAP_KIND_HEAP] = "heap",   [MAP_KIND_STACK] = "stack",
		[MAP_KIND_ANON] = "anon", [MAP_KIND_SHMEM] = "shmem", [MAP_KIND_SPECIAL] = "special",
	};

	(void)c;
	ret->kind = CELL_TEXT;
	ret->text = names[region_of(row)->map.kind];
}

static void cell_name(const struct column *c, const void *row, struct cell *ret)
{
	(void)c;
	if (!*region_of(row)->map.name)
		return;
	ret->kind = CELL_TEXT;
	ret->text = region_of(row)->map.name;
}

static void cell_figure(const struct column *c, const void *row, struct cell *ret)
{
	const uint64_t v = *(const uint64_t *)((const char *)region_of(row) + c->offset);

	if (v == PROC_UNKNOWN)
		return;
	ret->kind = CELL_SIZE;
	ret->number = v;
}

static void cell_idle(const struct column *c, const void *row, struct cell *ret)
{
	const uint64_t us = age_median_us(&region_of(row)->age);

	(void)c;
	if (us == PROC_UNKNOWN)
		return;
	ret->kind = CELL_TIME_US;
	ret->number = us;
}

static void cell_long_idle(const struct column *c, const void *row, struct cell *ret)
{
	const struct region *r = region_of(row);

	(void)c;
	if (!r->age.n)
		return;
	ret->kind = CELL_SIZE;
	ret->number = age_bytes(&r->age, LONG_US);
}

static void cell_bar(const struct column *c, const void *row, struct cell *ret)
{
	const struct region_row *r = row;

	(void)c;
	ret->stand_in = " ";
	if (!r->bar[0])
		return;
	ret->kind = CELL_TEXT;
	ret->text = r->bar;
	if (r->r->rss != PROC_UNKNOWN && age_bytes(&r->r->age, LONG_US) > r->r->rss / 2)
		ret->color = "green";
}

void region_row_draw(struct region_row *row, bool blocks)
{
	const struct region *r = row->r;
	/* The histogram is of the last visit, resident is of now: it may have shrunk since. */
	const uint64_t present = r->rss == PROC_UNKNOWN ? 0 : r->rss;
	const uint64_t idle = MIN(age_bytes(&r->age, SHORT_US), present);
	const uint64_t long_idle = MIN(age_bytes(&r->age, LONG_US), idle);
	const uint64_t parts[BAR_PARTS] = { present - idle, idle - long_idle, long_idle };

	bar_format(parts, r->map.end - r->map.start, blocks, false, row->bar);
}

#define AT(field) offsetof(struct region, field)
#define NUM COLUMN_RIGHT

static const struct column columns[] = {
	{ "START", "start", 0, NUM, "", cell_start, 0 },
	{ "END", "end", 0, NUM | COLUMN_JSON, "", cell_end, 0 },
	{ "PERM", "perms", 0, 0, "", cell_perms, 0 },
	{ "KIND", "kind", 0, 0, "", cell_kind, 0 },
	{ "SIZE", "size", 0, NUM, "", cell_length, 0 },
	{ "RESIDENT", "resident", 0, NUM, "", cell_figure, AT(rss) },
	{ "ANON", "anon", 0, NUM, "", cell_figure, AT(anon) },
	{ "SWAP", "swap", 0, NUM, "", cell_figure, AT(swap) },
	{ "THP", "thp", 0, NUM, "", cell_figure, AT(huge) },
	{ "LAZYFREE", "lazyfree", 0, NUM, "", cell_figure, AT(lazyfree) },
	{ "LOCKED", "locked", 0, NUM | COLUMN_JSON, "", cell_figure, AT(locked) },
	{ "REFERENCED", "referenced", 0, NUM | COLUMN_JSON, "", cell_figure, AT(referenced) },
	/* These three only the kernel module can tell. */
	{ "ACCESSED", "accessed", 0, NUM | COLUMN_JSON, "", cell_figure, AT(accessed) },
	{ "IDLE", "idle_us", 0, NUM, "", cell_idle, 0 },
	{ "IDLE60", "idle_60s", 0, NUM | COLUMN_JSON, "", cell_long_idle, 0 },
	{ "BAR", "bar", 0, COLUMN_TABLE, "", cell_bar, 0 },
	{ "NAME", "name", 0.3, COLUMN_TRUNC, "", cell_name, 0 },
	{ "OWNER", "owner", 0, COLUMN_JSON, "", cell_text, offsetof(struct region_row, owner) },
};

const struct column *const region_columns[] = {
	&columns[0],  &columns[1],  &columns[2],  &columns[3],	&columns[4],  &columns[5],
	&columns[6],  &columns[7],  &columns[8],  &columns[9],	&columns[10], &columns[11],
	&columns[12], &columns[13], &columns[14], &columns[15], &columns[16], &columns[17],
};
const size_t region_ncolumns = ARRAY_SIZE(region_columns);
_Static_assert(ARRAY_SIZE(region_columns) == ARRAY_SIZE(columns), "each column is listed");
