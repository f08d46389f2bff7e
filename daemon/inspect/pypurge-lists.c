// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pypurge-lists.h"

#include <string.h>

static uint32_t within(uint32_t asked, uint32_t most)
{
	return asked && asked < most ? asked : most;
}

void pypurge_lists_init(struct pypurge_lists *l, uint32_t max_writes, uint32_t max_ranges, uint32_t max_values,
			uint64_t max_bytes)
{
	memset(l, 0, offsetof(struct pypurge_lists, writes));
	l->max_writes = within(max_writes, PYPURGE_WRITES_MAX);
	l->max_ranges = within(max_ranges, PYPURGE_RANGES_MAX);
	l->max_values = within(max_values, PYPURGE_VALUES_MAX);
	l->max_bytes = max_bytes ? max_bytes : UINT64_MAX;
}

struct pypurge_mark pypurge_lists_mark(const struct pypurge_lists *l)
{
	return (struct pypurge_mark){
		.n_writes = l->n_writes,
		.n_ranges = l->n_ranges,
		.n_values = l->n_values,
		.resident = l->resident,
		.touched = l->touched,
		.glue = l->glue,
		.last_len = l->n_ranges ? l->ranges[l->n_ranges - 1].len : 0,
	};
}

void pypurge_lists_rollback(struct pypurge_lists *l, const struct pypurge_mark *mark)
{
	l->n_writes = mark->n_writes;
	l->n_ranges = mark->n_ranges;
	l->n_values = mark->n_values;
	l->resident = mark->resident;
	l->touched = mark->touched;
	l->glue = mark->glue;
	if (l->n_ranges)
		l->ranges[l->n_ranges - 1].len = mark->last_len;
}

unsigned char *pypurge_lists_room(struct pypurge_lists *l, uint64_t addr, size_t len)
{
	unsigned char *room;

	if ((uint64_t)l->n_writes + l->held_writes >= l->max_writes ||
	    (uint64_t)l->n_values + l->held_values + len > l->max_values)
		return NULL;
	room = l->values + l->n_values;
	memset(room, 0, len);
	l->writes[l->n_writes++] = (struct pypurge_write){ .addr = addr, .offset = l->n_values, .len = (uint32_t)len };
	l->n_values += (uint32_t)len;
	return room;
}

bool pypurge_lists_write(struct pypurge_lists *l, uint64_t addr, const void *bytes, size_t len)
{
	unsigned char *room = pypurge_lists_room(l, addr, len);

	if (!room)
		return false;
	memcpy(room, bytes, len);
	return true;
}

bool pypurge_lists_drop(struct pypurge_lists *l, uint64_t addr, uint64_t len, uint64_t resident)
{
	struct pypurge_range *last = l->n_ranges ? &l->ranges[l->n_ranges - 1] : NULL;

	if (!len)
		return true;
	if (!resident) {
		if (last && addr == l->glue)
			l->glue = addr + len;
		return true;
	}
	if (l->resident && (l->resident >= l->max_bytes || resident > l->max_bytes - l->resident))
		return false;
	if (last && addr == l->glue) {
		last->len = addr + len - last->addr;
	} else {
		if (l->n_ranges >= l->max_ranges)
			return false;
		l->ranges[l->n_ranges++] = (struct pypurge_range){ .addr = addr, .len = len };
	}
	l->glue = addr + len;
	l->resident += resident;
	return true;
}
