/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interpreter's own static data (.data and .bss) as it was at one moment: where its roots are searched. */
#ifndef RECLAIM_INSPECT_CPYTHON_DATA_H
#define RECLAIM_INSPECT_CPYTHON_DATA_H

#include "inspect/cpython.h"

struct cpython_data {
	uint64_t lo; /* address of the first byte; page-aligned */
	size_t len;
	unsigned char *bytes;
	uint64_t swapped; /* bytes that are swapped out: taken as zero */
};

/* Never-touched pages are zero, swapped ones are left where they are. 0, -E2BIG, -ENOMEM, or a read's error. */
int cpython_data_read(struct target *t, const struct module *mod, struct cpython_data *ret) __must_check;
void cpython_data_done(struct cpython_data *d); /* accepts zeroed ones */

static inline uint64_t cpython_data_u64(const struct cpython_data *d, size_t offset)
{
	uint64_t v;

	__builtin_memcpy(&v, d->bytes + offset, sizeof(v));
	return v;
}

static inline uint32_t cpython_data_u32(const struct cpython_data *d, size_t offset)
{
	uint32_t v;

	__builtin_memcpy(&v, d->bytes + offset, sizeof(v));
	return v;
}

/*
 * A word or structure anywhere in the target, never from a swapped page
 * (-ENXIO). Pointers found in data lead anywhere: whoever follows them uses this.
 */
int cpython_peek(struct target *t, uint64_t addr, void *buf, size_t len) __must_check;

/* Is this private anonymous memory of the target that it can write to? */
bool cpython_is_heap(const struct target *t, uint64_t addr);

#endif
