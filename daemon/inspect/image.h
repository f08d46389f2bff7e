/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A recorded target: pages, what pagemap said about them, the text of maps,
 * and notes (numbers by name) that whoever recorded it left for its reader.
 * Serves the readers offline, in tests and fuzzers; is hostile input as well.
 *
 * The file, little-endian: struct image_header; notes; maps text; one u64 per
 * page known to pagemap, ascending: address | enum remote_page_flags, with
 * IMAGE_BYTES in it when its 4096 bytes are recorded; then those bytes.
 */
#ifndef RECLAIM_INSPECT_IMAGE_H
#define RECLAIM_INSPECT_IMAGE_H

#include "base/maps.h"
#include "inspect/remote.h"

#define IMAGE_MAGIC 0x31676d696d6c6372ull /* "rclmimg1" */
#define IMAGE_BYTES 0x800ull
#define IMAGE_NAME 24
#define IMAGE_NOTES_MAX 4096
#define IMAGE_PAGES_MAX (1u << 20)
#define IMAGE_TEXT_MAX (1u << 20)

struct image_header {
	uint64_t magic;
	uint32_t notes, text_len, pages, pad;
};

struct image_note {
	char name[IMAGE_NAME]; /* NUL-padded; the same name may come several times */
	uint64_t value;
};

struct image {
	const unsigned char *notes; /* n_notes times struct image_note, at any alignment; points into the bytes */
	size_t n_notes;
	uint64_t *pages; /* sorted; allocated */
	uint32_t *slots; /* of each page: which of the recorded ones */
	size_t n_pages;
	const unsigned char *bytes; /* of the recorded pages */
	struct maps maps;
};

/* Checks and indexes an image in memory, which stays the caller's and outlives it. 0, -EBADMSG, -ENOMEM. */
int image_open(const void *bytes, size_t len, struct image *ret) __must_check;
void image_close(struct image *img); /* accepts zeroed and closed ones */

/* The @n-th note of that name: 0 or -ENOENT. */
int image_note(const struct image *img, const char *name, size_t n, uint64_t *ret) __must_check;

/* The image as memory: a page without bytes can't be read (-EFAULT), pages it doesn't know are untouched. */
void image_remote(struct image *img, uint64_t max_reads, uint64_t max_bytes, struct remote *ret);

/* Writes one: the pages of @parts (ascending, disjoint) that are anywhere. The target must be asleep. 0 or -errno. */
struct image_part {
	uint64_t lo, hi; /* page-aligned */
};

int image_record(struct remote *mem, const struct image_part *parts, size_t n_parts, const struct image_note *notes,
		 size_t n_notes, const char *maps_text, FILE *out) __must_check;

#endif
