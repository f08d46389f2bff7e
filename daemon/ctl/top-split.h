/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What resident memory is made of, as "top" draws it. */
#ifndef RECLAIM_CTL_TOP_SPLIT_H
#define RECLAIM_CTL_TOP_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "reclaim/explain.h"
#include "sense/proc.h"

#define TOP_HIDDEN_MIN (4ull << 20) /* less that is unseen, or has changed, isn't worth the cost of a look */

enum top_part {
	TOP_IN_USE, /* the allocators have given it out */
	TOP_CACHED, /* freed by the program, but counted as given out: thread caches */
	TOP_FREE, /* free in whole resident pages: what could be given back */
	TOP_IDLE, /* in use, but not touched for long: of the kernel module only */
	TOP_OTHER, /* files, shared memory, stacks, what no allocator known here owns */
	TOP_UNSEEN, /* anonymous memory that nobody has looked into, or of which a cheap look has left out a part */
	TOP_PARTS,
};

extern const char *const top_part_names[TOP_PARTS];

/* What a look inside has told; all 0 and false when nobody looked. */
struct top_inside {
	bool known;
	uint64_t in_use, cached, free;
	uint64_t unseen; /* not counted, and as much more may be free: then free is a lower bound */
	bool whole; /* of a look that left nothing out for being quick: what is in swap is unseen, too */
};

/* What the head of an answer says; @ret->known is false when no allocator in it could be read. */
void top_inside_fill(const struct explain_head *h, struct top_inside *ret);

/* The parts add up to @p's RSS, whatever the figures, which are of different moments, say. */
void top_split(const struct proc *p, const struct top_inside *in, uint64_t parts[TOP_PARTS]);

/*
 * Which part each of @width characters of a bar shows, TOP_PARTS: blank. The bar is as long as the parts are of
 * @whole, at least one character for more than nothing; ends are rounded, so that parts add up.
 */
void top_bar(const uint64_t parts[TOP_PARTS], uint64_t whole, size_t width, uint8_t *ret);

#endif
