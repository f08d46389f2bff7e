/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the room only: one sentence of explain, and when it is said. */
#ifndef RECLAIM_CTL_NOTES_H
#define RECLAIM_CTL_NOTES_H

#include "ctl/explain.h"

struct note_rule {
	const char *name; /* for tests */
	/* Does it apply? Then @buf holds the sentence. */
	bool (*say)(const struct explanation *e, char *buf, size_t size);
};

extern const struct note_rule note_findings[], note_advice[];
extern const size_t note_nfindings, note_nadvice;

#define NOTE_MIB (1ull << 20)

/* Worth a sentence: at least @least bytes and at least 1/@part of its anonymous memory. */
bool note_matters(const struct explanation *e, uint64_t bytes, uint64_t least, uint64_t part);

/* Sizes as people read them; a few per sentence. */
struct note_size {
	char text[24];
};
struct note_size note_size(uint64_t bytes);

/* a + b, as much as fits */
uint64_t note_sum(uint64_t a, uint64_t b);

/* All that the two allocators hold free and resident. */
uint64_t note_free_resident(const struct explanation *e);

/* In huge pages, of the allocators' own memory. */
uint64_t note_huge(const struct explanation *e);

#endif
