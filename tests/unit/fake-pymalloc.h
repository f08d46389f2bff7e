/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process made of bytes: an interpreter's roots, GIL and thread states, and arenas that a test fills. */
#ifndef FAKE_PYMALLOC_H
#define FAKE_PYMALLOC_H

#include "inspect/pymalloc.h"

#define FAKE_BASE 0x10000000ull
#define FAKE_ROOTS FAKE_BASE /* usedpools, vector's address, its length */
#define FAKE_GIL (FAKE_BASE + 0x400)
#define FAKE_INTERP (FAKE_BASE + 0x800)
#define FAKE_TSTATES (FAKE_BASE + 0x1000) /* 0x100 bytes each */
#define FAKE_TCBS (FAKE_BASE + 0x2000) /* 0x100 bytes each */
#define FAKE_VECTOR (FAKE_BASE + 0x4000)
#define FAKE_ARENAS (FAKE_BASE + 0x10000)
#define FAKE_MAX 16 /* arena objects */
#define FAKE_NARENAS 2 /* that have memory */

struct fake {
	unsigned char *bytes;
	uint8_t *flags; /* enum remote_page_flags of each page */
	size_t len;
	struct target t;
	struct cpython py;
};

void fake_init(struct fake *f, uint64_t pool_size);
void fake_done(struct fake *f);

void *fake_at(struct fake *f, uint64_t addr, size_t len); /* NULL outside */
struct pymalloc_arena_object *fake_object(struct fake *f, uint32_t arena);
uint64_t fake_pool_at(const struct fake *f, uint32_t arena, uint32_t slot);
struct pymalloc_pool_header *fake_pool(struct fake *f, uint32_t arena, uint32_t slot);

/* An allocated arena whose pools are all virgin. */
void fake_arena(struct fake *f, uint32_t arena);
/*
 * Carves the next pool: @live blocks of class @szidx, @listed free ones behind
 * them on the free list, the rest in the window. Returns its slot.
 */
uint32_t fake_carve(struct fake *f, uint32_t arena, uint32_t szidx, uint32_t live, uint32_t listed);
/* Makes a carved pool free and puts it in the arena's list. */
void fake_free(struct fake *f, uint32_t arena, uint32_t slot);
/* Takes a free pool out of everything, as a deep purge does; it must be the first of the list. */
void fake_retire(struct fake *f, uint32_t arena, uint32_t slot);

/* Thread states 0 .. n-1 with thread pointers FAKE_TCBS + 0x100 * i, the GIL held by @holder (-1: nobody). */
void fake_threads(struct fake *f, unsigned int n, int holder);

#endif
