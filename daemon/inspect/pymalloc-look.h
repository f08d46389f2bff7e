/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of one look at pymalloc share. */
#ifndef RECLAIM_INSPECT_PYMALLOC_LOOK_H
#define RECLAIM_INSPECT_PYMALLOC_LOOK_H

#include "inspect/pymalloc.h"

#define PYMALLOC_PAGES_MAX ((2u << 20) / REMOTE_PAGE) /* of an arena */

/* One arena as it was seen last. */
struct seen {
	struct pymalloc_arena a;
	struct pymalloc_pool pools[PYMALLOC_POOLS_MAX];
	uint8_t flags[PYMALLOC_PAGES_MAX + 1]; /* of the pages from the first pool on */
	uint64_t swapped; /* bytes of pools whose header is swapped out */
};

struct look {
	struct target *t;
	const struct cpython *py;
	const struct pymalloc_visitor *v;
	struct pymalloc_facts *facts;
	unsigned int flags;
	struct window window; /* over the vector */
	struct seen seen;
	unsigned char *body; /* the arena from its first pool on: headers, then what else was needed of it */
	unsigned char pool[16384];
};

/* The pages from @addr on that are there, runs of them in one piece; the others are zero. 0 or the read's error. */
int pymalloc_look_read(struct look *l, uint64_t addr, const uint8_t *flags, size_t pages, unsigned char *buf)
	__must_check;

/* Maps the free blocks of the used pools of the arena that was seen last. 0 or a read's error. */
int pymalloc_look_blocks(struct look *l) __must_check;

#endif
