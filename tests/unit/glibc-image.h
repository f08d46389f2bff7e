/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A recorded glibc heap as a target, for tests and fuzzers. */
#ifndef TESTS_GLIBC_IMAGE_H
#define TESTS_GLIBC_IMAGE_H

#include "inspect/glibc.h"
#include "inspect/image.h"

struct glibc_image {
	struct image img;
	struct target t;
	struct glibc g; /* as recorded, not proven yet */
	uint64_t locked; /* an arena whose lock is to look taken; 0: none */
	struct remote plain; /* of the image, without that */
};

/* Writes what the reader needs of a sleeping target, and the figures that it has of it now. 0 or -errno. */
int glibc_image_record(struct target *t, const struct glibc *g, const char *maps_text, FILE *out) __must_check;

/* 0, -EBADMSG, -ENOMEM. @bytes outlive it. */
int glibc_image_open(const void *bytes, size_t len, struct glibc_image *ret) __must_check;
void glibc_image_close(struct glibc_image *gi);

/* Everything that the reader can do with a target: proves, looks, collects candidates, checks them. */
void glibc_image_exercise(struct glibc_image *gi);

#endif
