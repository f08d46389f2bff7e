/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one look at pymalloc has seen, kept small: so that what else is to be
 * worked out from it (a purge's prediction) needn't read all of it again.
 * Bounded: arenas that don't fit are read from the target as ever.
 */
#ifndef RECLAIM_INSPECT_PYMALLOC_IMAGE_H
#define RECLAIM_INSPECT_PYMALLOC_IMAGE_H

#include "inspect/pymalloc.h"

struct pymalloc_image;

int pymalloc_image_new(const struct cpython *py, struct pymalloc_image **ret) __must_check;
void pymalloc_image_free(struct pymalloc_image *img); /* accepts NULL */

/* For the visitor of a look with PYMALLOC_BLOCKS: keep this one. Running out of room is no error. */
void pymalloc_image_arena(struct pymalloc_image *img, const struct pymalloc_arena *a);
void pymalloc_image_pool(struct pymalloc_image *img, const struct pymalloc_arena *a, const struct pymalloc_pool *p);

/*
 * Between these two, @mem answers from the image: for an arena whose pages are
 * asked for as a whole, and only the first time: whoever asks again didn't like
 * what he got, and gets what is there now. In the pools it shows, free blocks
 * are linked in ascending order, whatever their order in the target, and live
 * ones are zero. Everything else is the target's.
 */
void pymalloc_image_enter(struct pymalloc_image *img, struct remote *mem);
void pymalloc_image_leave(struct pymalloc_image *img, struct remote *mem);

#endif
