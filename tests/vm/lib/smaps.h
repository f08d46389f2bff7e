/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel itself says about each mapping of a process. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct smap {
	uint64_t start, end, offset;
	char perms[5];
	char name[256];
	uint64_t rss, anon, swap, lazyfree, anon_huge, shmem_huge, file_huge; /* bytes */
};

/* Their number, or a negative errno. At most @max; a process that has more is a mistake of the test's. */
int smaps_read(pid_t pid, struct smap *ret, int max);
