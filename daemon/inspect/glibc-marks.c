// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/glibc-marks.h"

#include <errno.h>

#define BLOCK_WORDS (GLIBC_MARKS_BLOCK / 16 / 64)
#define ROOM_MIN 64

void glibc_marks_done(struct glibc_marks *m)
{
	for (size_t i = 0; i < m->room; i++)
		free(m->v[i].bits);
	free(m->v);
	*m = (struct glibc_marks){ 0 };
}

/* Where block @number is, or would go. There is always an empty place. */
static size_t marks_slot(const struct glibc_marks_block *v, size_t room, uint64_t number)
{
	size_t i = (size_t)(number * 0x9e3779b97f4a7c15ull >> 32) & (room - 1);

	while (v[i].number && v[i].number != number)
		i = (i + 1) & (room - 1);
	return i;
}

static int marks_grow(struct glibc_marks *m)
{
	size_t room = m->room ? m->room * 2 : ROOM_MIN;
	struct glibc_marks_block *v = calloc(room, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < m->room; i++)
		if (m->v[i].number)
			v[marks_slot(v, room, m->v[i].number)] = m->v[i];
	free(m->v);
	m->v = v;
	m->room = room;
	m->last = 0;
	return 0;
}

static struct glibc_marks_block *marks_find(struct glibc_marks *m, uint64_t addr)
{
	uint64_t number = addr / GLIBC_MARKS_BLOCK;

	if (!m->n || !number)
		return NULL;
	/* Walks ask for neighbours. */
	if (m->v[m->last].number != number)
		m->last = marks_slot(m->v, m->room, number);
	return m->v[m->last].number ? &m->v[m->last] : NULL;
}

int glibc_marks_set(struct glibc_marks *m, uint64_t addr)
{
	struct glibc_marks_block *b = marks_find(m, addr);
	uint64_t bit = addr % GLIBC_MARKS_BLOCK / 16;

	if (!b) {
		uint64_t *bits;
		int r = m->n * 2 >= m->room ? marks_grow(m) : 0;

		if (r < 0)
			return r;
		if (m->n >= GLIBC_MARKS_MAX || addr < GLIBC_MARKS_BLOCK)
			return -ENOSPC;
		bits = calloc(BLOCK_WORDS, sizeof(*bits));
		if (!bits)
			return -ENOMEM;
		b = &m->v[marks_slot(m->v, m->room, addr / GLIBC_MARKS_BLOCK)];
		*b = (struct glibc_marks_block){ .number = addr / GLIBC_MARKS_BLOCK, .bits = bits };
		m->n++;
	}
	b->bits[bit / 64] |= 1ull << (bit % 64);
	return 0;
}

bool glibc_marks_has(struct glibc_marks *m, uint64_t addr)
{
	const struct glibc_marks_block *b = marks_find(m, addr);
	uint64_t bit = addr % GLIBC_MARKS_BLOCK / 16;

	return b && (b->bits[bit / 64] >> (bit % 64) & 1);
}
