/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/region-columns.h"

#include <inttypes.h>

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
	ret->kind = CELL_SIZE;
	ret->number = *(const uint64_t *)((const char *)region_of(row) + c->offset);
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
	/* Only the kernel module can tell. */
	{ "IDLE", "idle_us", 0, NUM, "", cell_none, 0 },
	{ "NAME", "name", 0.3, COLUMN_TRUNC, "", cell_name, 0 },
	{ "OWNER", "owner", 0, COLUMN_JSON, "", cell_text, offsetof(struct region_row, owner) },
};

const struct column *const region_columns[] = {
	&columns[0], &columns[1], &columns[2],	&columns[3],  &columns[4],  &columns[5],  &columns[6],	&columns[7],
	&columns[8], &columns[9], &columns[10], &columns[11], &columns[12], &columns[13], &columns[14],
};
const size_t region_ncolumns = ARRAY_SIZE(region_columns);
_Static_assert(ARRAY_SIZE(region_columns) == ARRAY_SIZE(columns), "each column is listed");
