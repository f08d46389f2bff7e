/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mappings of one process with their residency; source.h has the choice of who tells them. */
#ifndef RECLAIM_SENSE_REGION_H
#define RECLAIM_SENSE_REGION_H

#include "base/maps.h"
#include "sense/age.h"

struct region {
	struct map map; /* name lives in the list */
	/* bytes, UINT64_MAX when not known */
	uint64_t rss, anon, swap, huge, lazyfree, referenced, locked;
	/* Of the kernel module only: accessed since its last visit but one; for how long the anonymous part was idle */
	uint64_t accessed;
	struct age age;
};

struct region_list {
	struct region *v;
	size_t n;
	char *text;
};

/* Reads smaps below /proc/PID, at most @max_regions (-E2BIG beyond). 0, -ESRCH, -EACCES, -EBADMSG, -errno. */
int region_list_read(int piddir, size_t max_regions, struct region_list *ret) __must_check;
void region_list_done(struct region_list *l);

#endif
