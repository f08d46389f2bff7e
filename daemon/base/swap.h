/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Room for memory that is paged out: of the machine, and of a process's control groups. */
#ifndef RECLAIM_BASE_SWAP_H
#define RECLAIM_BASE_SWAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

#define SWAP_UNLIMITED UINT64_MAX
#define SWAP_KEEP_PERMILLE 200 /* stays free where nobody says otherwise */

struct swap {
	uint64_t total, free; /* bytes */
	bool disk, ram; /* ram: some of it is zram, which compresses what it is given and keeps it in memory */
	char name[64]; /* of the one that is used first, raw; "" when there is none */
};

/* Below @proc, a folder of procfs. 0, -EBADMSG, -errno. */
int swap_read(int proc, struct swap *ret) __must_check;

/*
 * What its control groups (version 2, mounted at @groups; -1: none) still let the process of @piddir move to swap:
 * the least of its own group and of those above. SWAP_UNLIMITED when none has a limit, or when that can't be told,
 * in which case the kernel keeps the limit by itself. 0 or -errno.
 */
int swap_room_of_groups(int groups, int piddir, uint64_t *ret) __must_check;

/* Bytes that may be moved there while @keep bytes of it stay free. */
uint64_t swap_room(const struct swap *s, uint64_t keep);

#endif
