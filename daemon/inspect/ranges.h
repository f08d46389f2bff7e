/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address ranges of code in which no thread may be hijacked, with the reason. */
#ifndef RECLAIM_INSPECT_RANGES_H
#define RECLAIM_INSPECT_RANGES_H

#include "inspect/object.h"

#define RANGES_MAX 192

struct range {
	uint64_t lo, hi; /* without bias */
	const char *what; /* static text: "the allocator", "fork" */
};

struct ranges {
	struct range v[RANGES_MAX];
	size_t n;
};

/*
 * Bounds the allocator and the functions that must not be interrupted in a
 * glibc (@all: a static program, whose .symtab is read as well).
 *
 * A stripped libc names only its exported functions. malloc.o's internal ones
 * lie around them, since the linker keeps an object's code together: so the
 * range of each exported allocator function is widened on both sides up to
 * the nearest exported function that is not the allocator's. That takes in a
 * few innocent neighbours, never too little.
 *
 * -ENOENT no allocator functions · -EBADMSG implausibly large or unbounded
 */
int ranges_of_glibc(const struct object *o, bool all, struct ranges *ret) __must_check;

/* What @vaddr lies in, or NULL. */
const char *ranges_find(const struct ranges *r, uint64_t vaddr);

#endif
