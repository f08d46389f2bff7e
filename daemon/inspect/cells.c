// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/cells.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM (2 * (size_t)CELLS_MAX) /* a power of two, never more than half full */
#define PAGES_BATCH 1024

int cells_new(struct cells *ret)
{
	struct cells_one *v = calloc(ROOM, sizeof(*v));

	if (!v)
		return -ENOMEM;
	*ret = (struct cells){ .v = v, .room = ROOM, .size = (uint32_t)REMOTE_PAGE };
	return 0;
}

void cells_done(struct cells *c)
{
	free(c->v);
	*c = (struct cells){ 0 };
}

/* Where the cell of @owner at @at is, or would go. There is always an empty place. */
static struct cells_one *cells_slot(const struct cells *c, struct cells_one *v, uint64_t at, uint32_t owner)
{
	size_t i = (size_t)((at / c->size * 4 + owner) * 0x9e3779b97f4a7c15ull >> 32) & (c->room - 1);

	while (v[i].owner && (v[i].at != at || v[i].owner != owner))
		i = (i + 1) & (c->room - 1);
	return &v[i];
}

/* Sums stay below the size: what is told twice counts once. */
static uint32_t cells_left(const struct cells *c, const struct cells_one *one)
{
	uint32_t sum = 0;

	for (size_t k = 0; k < CELLS_KINDS; k++)
		sum += one->bytes[k];
	return c->size - sum;
}

static void cells_join(struct cells_one *to, const struct cells_one *one)
{
	for (size_t k = 0; k < CELLS_KINDS; k++)
		to->bytes[k] += one->bytes[k];
	to->resident += one->resident;
	to->swapped += one->swapped;
	to->live_blocks += one->live_blocks;
}

/* Makes one of two, until there is room for one more. */
static void cells_coarsen(struct cells *c)
{
	while (!c->error && c->n >= CELLS_MAX && c->size < CELLS_SIZE_MAX) {
		struct cells_one *v = calloc(c->room, sizeof(*v));

		if (!v) {
			c->error = -ENOMEM;
			return;
		}
		c->size *= 2;
		c->n = 0;
		for (size_t i = 0; i < c->room; i++) {
			const uint64_t at = c->v[i].at & ~(uint64_t)(c->size - 1);
			struct cells_one *to;

			if (!c->v[i].owner)
				continue;
			to = cells_slot(c, v, at, c->v[i].owner);
			if (!to->owner) {
				*to = (struct cells_one){ .at = at, .owner = c->v[i].owner, .arena = c->v[i].arena };
				c->n++;
			}
			/* The first one's, whatever the order of the table. */
			if (c->v[i].at == at)
				to->arena = c->v[i].arena;
			cells_join(to, &c->v[i]);
		}
		free(c->v);
		c->v = v;
	}
}

static struct cells_one *cells_find(struct cells *c, enum cells_owner owner, uint64_t addr)
{
	struct cells_one *one = c->error ? NULL : cells_slot(c, c->v, addr & ~(uint64_t)(c->size - 1), (uint32_t)owner);

	return one && one->owner ? one : NULL;
}

/* NULL: out of memory, or of everything. */
static struct cells_one *cells_make(struct cells *c, enum cells_owner owner, uint32_t arena, uint64_t addr)
{
	struct cells_one *one = cells_find(c, owner, addr);
	uint64_t at;

	if (one)
		return one;
	cells_coarsen(c);
	if (c->error || c->n >= CELLS_MAX)
		return NULL;
	at = addr & ~(uint64_t)(c->size - 1);
	one = cells_slot(c, c->v, at, (uint32_t)owner);
	if (!one->owner) {
		*one = (struct cells_one){ .at = at, .owner = (uint32_t)owner, .arena = arena };
		c->n++;
	}
	return one;
}

/* Where the cell around @addr ends, at most @hi: after it has been made, since that may change its size. */
static uint64_t cells_end(const struct cells *c, uint64_t addr, uint64_t hi)
{
	const uint64_t end = (addr | (c->size - 1)) + 1;

	return end ? MIN(end, hi) : hi;
}

void cells_add(struct cells *c, enum cells_owner owner, uint32_t arena, uint64_t lo, uint64_t hi, enum cells_kind kind)
{
	while (lo < hi) {
		struct cells_one *one = cells_make(c, owner, arena, lo);
		uint64_t end;

		if (!one)
			return;
		end = cells_end(c, lo, hi);
		one->bytes[kind] += (uint32_t)MIN(end - lo, (uint64_t)cells_left(c, one));
		lo = end;
	}
}

void cells_move(struct cells *c, enum cells_owner owner, uint64_t lo, uint64_t hi, enum cells_kind kind)
{
	/* There are no more cells than these: a length that nobody has added is nonsense. */
	if (hi - MIN(lo, hi) > (uint64_t)CELLS_MAX * c->size)
		hi = lo + (uint64_t)CELLS_MAX * c->size;
	while (lo < hi && !c->error) {
		const uint64_t end = cells_end(c, lo, hi);
		struct cells_one *one = cells_find(c, owner, lo);

		if (one) {
			const uint32_t n = (uint32_t)MIN(end - lo, (uint64_t)one->bytes[CELLS_IN_USE]);

			one->bytes[CELLS_IN_USE] -= n;
			one->bytes[kind] += n;
		}
		lo = end;
	}
}

int cells_free(struct cells *c, enum cells_owner owner, struct window *w, uint64_t chunk, uint64_t size, uint64_t lo,
	       uint64_t hi)
{
	if (lo >= hi) {
		cells_move(c, owner, chunk, chunk + size, CELLS_FREE_SHARED);
		return 0;
	}
	cells_move(c, owner, chunk, lo, CELLS_FREE_SHARED);
	cells_move(c, owner, hi, chunk + size, CELLS_FREE_SHARED);
	while (lo < hi && !c->error) {
		const uint64_t end = cells_end(c, lo, hi);
		uint64_t resident;
		int r = window_resident(w, lo, end, &resident);

		if (r < 0)
			return r;
		/* How much of each is all that counts: both lie in the one cell. */
		cells_move(c, owner, lo, lo + resident, CELLS_FREE_RESIDENT);
		cells_move(c, owner, lo + resident, end, CELLS_FREE_GONE);
		lo = end;
	}
	return 0;
}

void cells_live(struct cells *c, enum cells_owner owner, uint64_t addr, uint32_t n)
{
	struct cells_one *one = cells_find(c, owner, addr);

	if (one)
		one->live_blocks += MIN(n, UINT32_MAX - one->live_blocks);
}

int cells_resident(struct cells *c, enum cells_owner owner, struct remote *mem, uint64_t lo, uint64_t hi)
{
	uint8_t flags[PAGES_BATCH];

	while (lo < hi && !c->error) {
		const size_t n = MIN((hi - lo + REMOTE_PAGE - 1) / REMOTE_PAGE, (uint64_t)PAGES_BATCH);
		int r = remote_pages(mem, lo, n, flags);

		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			struct cells_one *one = flags[i] & (REMOTE_PRESENT | REMOTE_SWAPPED) ?
							cells_find(c, owner, lo + i * REMOTE_PAGE) :
							NULL;

			if (!one || one->resident + one->swapped > c->size - REMOTE_PAGE)
				continue;
			if (flags[i] & REMOTE_PRESENT)
				one->resident += (uint32_t)REMOTE_PAGE;
			else
				one->swapped += (uint32_t)REMOTE_PAGE;
		}
		lo += n * REMOTE_PAGE;
	}
	return 0;
}

void cells_drop(struct cells *c, enum cells_owner owner)
{
	/* They stay in the table, which others lie behind; what has nothing in it is left out at the end. */
	for (size_t i = 0; i < c->room; i++)
		if (c->v[i].owner == owner)
			for (size_t k = 0; k < CELLS_KINDS; k++)
				c->v[i].bytes[k] = 0;
}

static int cells_compare(const void *a, const void *b)
{
	const struct cells_one *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->owner > y->owner) - (x->owner < y->owner);
}

int cells_finish(struct cells *c)
{
	size_t n = 0;

	if (c->error)
		return c->error;
	for (size_t i = 0; i < c->room; i++)
		if (c->v[i].owner && cells_left(c, &c->v[i]) < c->size)
			c->v[n++] = c->v[i];
	c->n = n;
	qsort(c->v, n, sizeof(*c->v), cells_compare);
	return 0;
}
