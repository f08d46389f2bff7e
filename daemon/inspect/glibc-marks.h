/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sparse set of chunk addresses: a bit for each 16 bytes, in blocks for each 1 MiB that has any. */
#ifndef RECLAIM_INSPECT_GLIBC_MARKS_H
#define RECLAIM_INSPECT_GLIBC_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define GLIBC_MARKS_BLOCK (1ull << 20)
#define GLIBC_MARKS_MAX 8192 /* blocks of 8 KiB: 64 MiB of our memory for 8 GiB of the target's */

struct glibc_marks {
	struct glibc_marks_block {
		uint64_t number; /* address / 1 MiB; 0: empty */
		uint64_t *bits;
	} * v; /* open addressing, a power of two */
	size_t room, n;
	size_t last; /* found last */
};

void glibc_marks_done(struct glibc_marks *m); /* accepts zeroed and finished ones */

/* 0; -ENOSPC when there are too many blocks; -ENOMEM. */
int glibc_marks_set(struct glibc_marks *m, uint64_t addr) __must_check;
bool glibc_marks_has(struct glibc_marks *m, uint64_t addr);

#endif
