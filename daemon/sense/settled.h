/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which memory has been left alone for long, by the ages that the kernel module keeps. */
#ifndef RECLAIM_SENSE_SETTLED_H
#define RECLAIM_SENSE_SETTLED_H

#include "sense/region.h"

#define SETTLED_INTERVALS 3 /* of the sampler: others clear accessed bits too, and one look in between is none */

struct settled {
	uint64_t start, end; /* whole mappings */
	uint64_t bytes; /* of anonymous memory, resident */
};

/*
 * Private anonymous mappings of @l of whose memory nothing was accessed for @idle_us: the largest @max ones, in the
 * order of their addresses. Returns how many; *ret_bytes: in all of these.
 */
size_t settled_regions(const struct region_list *l, uint64_t idle_us, struct settled *ret, size_t max,
		       uint64_t *ret_bytes);

/*
 * The shortest time for which the sampler can tell that memory was left alone, below the module's folder @sysfs.
 * UINT64_MAX when it can't be told.
 */
uint64_t settled_least_us(int sysfs);

#endif
