/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process with every kind of mapping and page that a walk has to tell apart. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Where a kind of mapping lies: each has a GiB of its own, so that none merges with another. */
#define LAYOUT_BASE 0x100000000000UL
#define LAYOUT_SLOT (1UL << 30)

struct layout_kind {
	const char *name;
	/* 0; 1: this kernel has no such thing; or a negative errno */
	int (*make)(char *at);
};

extern const struct layout_kind layout_kinds[];
extern const size_t layout_count;

/* A compressed block device to swap to. 0 or -errno. */
int swap_on(void);
/* The machine as the kinds need it: swap, huge pages of each sort, merging, filesystems. 0 or -errno. */
int layout_prepare(void);
/* All kinds, for child_start() */
int layout_make(void *data);
/* Which slot an address is in, NULL outside of all */
const struct layout_kind *layout_at(uint64_t address);
