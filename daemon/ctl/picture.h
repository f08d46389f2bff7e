/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One explanation as a picture: what its parts are, how large, and one sentence for each that somebody
 * understands who has never heard of arenas. How that is drawn is up to picture-html.c and picture-svg.c.
 */
#ifndef RECLAIM_CTL_PICTURE_H
#define RECLAIM_CTL_PICTURE_H

#include <stdio.h>

#include "ctl/explain.h"

/* What resident memory is, from what is needed to what isn't, then what nobody here can look into. */
enum picture_part {
	PART_IN_USE, /* of an allocator */
	PART_SHARED, /* free, in pages that hold something alive too */
	PART_CACHED,
	PART_FREE, /* in whole pages: could go */
	PART_OTHER, /* anonymous memory of others */
	PART_STACK,
	PART_FILE,
	PART_SHMEM,
	PART_N,
};

/* As the parts are drawn: a class in CSS, and words for the legend. */
struct picture_style {
	const char *key, *name, *meaning;
};
extern const struct picture_style picture_styles[PART_N];
extern const char picture_svg_style[]; /* the same colours, as a <style> in SVG */

/* One kind of memory. Figures are EXPLAIN_UNKNOWN where there are none. */
struct picture_layer {
	const char *key, *name;
	const char *what; /* it is, in one sentence */
	char cure[320]; /* what would free it, in one sentence */
	uint64_t resident, swap, in_use, cached, free_resident, free;
	uint32_t owner; /* enum explain_owner of its cells, 0 when it has none */
};

struct picture {
	const struct explanation *e; /* borrowed */
	const char *label; /* "before", "after"; NULL when it is alone */
	uint64_t parts[PART_N]; /* together resident memory */
	struct picture_layer layers[ACCOUNT_N];
	size_t nlayers; /* the largest first */
	char headline[160], story[480], offer[320];
};

/* @e has its notes already, and outlives @ret. */
void picture_fill(const struct explanation *e, const char *label, struct picture *ret);

uint64_t picture_whole(const struct picture *p); /* sum of the parts */
uint64_t picture_offer(const struct explanation *e); /* what can be had, by the remedy that promises most; 0: nothing */

/*
 * Joins neighbours, two and two, until at most @max of the @n cells are left at @v: as the reader does
 * when there are too many. Returns how many; *size follows.
 */
size_t picture_coarsen(struct explain_cell *v, size_t n, size_t max, uint64_t *size);

/* What most of a cell is: index into picture_styles, PART_N when most of it isn't there. */
unsigned int picture_cell_part(const struct explain_cell *c);

/* 0 or -errno. @n: 1, or 2 for before and after. */
int picture_html(FILE *f, const struct picture *const *v, size_t n) __must_check;
int picture_svg(FILE *f, const struct picture *p) __must_check;

/* The same into a file, see outfile.h; one line in @why on failure. */
int picture_write_html(const char *path, const struct picture *const *v, size_t n, char *why, size_t size) __must_check;
int picture_write_svg(const char *path, const struct picture *p, char *why, size_t size) __must_check;

#endif
