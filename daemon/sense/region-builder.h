/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: a list of mappings while it grows. */
#ifndef RECLAIM_SENSE_REGION_BUILDER_H
#define RECLAIM_SENSE_REGION_BUILDER_H

#include "sense/region.h"

/* Begins zeroed. */
struct region_builder {
	struct region_list list; /* names are offsets into the text until the end */
	size_t size; /* of list.v */
	size_t text_used, text_size;
};

/* Copies @reg and its name. 0 or -ENOMEM. */
int region_builder_add(struct region_builder *b, const struct region *reg) __must_check;

/* The list is the caller's; the builder is empty again. */
void region_builder_end(struct region_builder *b, struct region_list *ret);
void region_builder_done(struct region_builder *b);

#endif
