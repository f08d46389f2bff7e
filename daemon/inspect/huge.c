// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/huge.h"

#include <errno.h>
#include <string.h>

#include "base/pagemap.h"

#define HUGE_MAX 131072 /* 256 GiB */
#define HUGE_FIRST 64
#define HUGE_GUESSES 32768 /* places looked at before Linux 6.7, each some microseconds */
#define REGIONS 128

enum { HUGE_PAGES = HUGE_PAGE / REMOTE_PAGE };

static int huge_add(struct huge *h, size_t *room, uint64_t block)
{
	if (h->n == HUGE_MAX) {
		h->more = true;
		return 0;
	}
	if (h->n == *room) {
		size_t want = *room ? *room * 2 : HUGE_FIRST;
		uint64_t *v = reallocarray(h->blocks, want, sizeof(*v));

		if (!v)
			return -ENOMEM;
		h->blocks = v;
		*room = want;
	}
	h->blocks[h->n++] = block;
	return 0;
}

static int huge_note_map(int fd, const struct map *map, struct huge *h, size_t *room)
{
	struct pagemap_region v[REGIONS] = { 0 };
	uint64_t at = map->start;

	while (at < map->end && !h->more) {
		int n = pagemap_scan(fd, at, map->end, PAGEMAP_HUGE, 0, v, REGIONS, &at);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++) {
			uint64_t block = (v[i].start + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);

			for (; block + HUGE_PAGE <= MIN(v[i].end, map->end); block += HUGE_PAGE) {
				int r = huge_add(h, room, block);

				if (r < 0)
					return r;
			}
		}
	}
	return 0;
}

/* Pages of @block that are there, and one of them. Not by t->mem's budgets: those are for structures. */
static int block_present(struct target *t, uint64_t block, uint64_t *ret_page)
{
	uint8_t flags[HUGE_PAGES];
	int n = 0, r = t->mem.pages(t->mem.ctx, block, HUGE_PAGES, flags);

	if (r < 0)
		return r;
	for (size_t i = 0; i < HUGE_PAGES; i++) {
		if (!(flags[i] & REMOTE_PRESENT))
			continue;
		*ret_page = block + i * REMOTE_PAGE;
		n++;
	}
	return n;
}

/*
 * Before Linux 6.7: whatever is there as a whole. A mapping too large to be
 * looked at is mostly a reservation (a sanitizer's shadow), and left out.
 */
static int huge_guess_map(struct target *t, const struct map *map, struct huge *h, size_t *room, size_t *looks)
{
	uint64_t block = (map->start + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1), page;

	if ((map->end - map->start) / HUGE_PAGE > HUGE_GUESSES - *looks)
		return 0;
	*looks += (map->end - map->start) / HUGE_PAGE;
	for (; block < map->end && map->end - block >= HUGE_PAGE && !h->more; block += HUGE_PAGE) {
		int n = block_present(t, block, &page);

		if (n < 0)
			return n;
		n = n == HUGE_PAGES ? huge_add(h, room, block) : 0;
		if (n < 0)
			return n;
	}
	return 0;
}

int huge_note(struct target *t, struct huge *ret)
{
	_cleanup_(huge_done) struct huge h = { .guess = t->fds.no_scan };
	size_t room = 0, looks = 0;

	if (t->fds.pagemap_fd < 0)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < t->maps.n; i++) {
		const struct map *map = &t->maps.v[i];
		int r;

		if ((map->kind != MAP_KIND_ANON && map->kind != MAP_KIND_HEAP) || !(map->flags & MAP_F_WRITE) ||
		    map->end - map->start < HUGE_PAGE)
			continue;
		r = h.guess ? -EOPNOTSUPP : huge_note_map(t->fds.pagemap_fd, map, &h, &room);
		if (r == -EOPNOTSUPP) {
			h.guess = true;
			r = huge_guess_map(t, map, &h, &room, &looks);
		}
		if (r < 0)
			return r;
	}
	*ret = h;
	h = (struct huge){ 0 };
	return 0;
}

void huge_done(struct huge *h)
{
	free(h->blocks);
	h->blocks = NULL;
	h->n = 0;
}

static int huge_look_scan(int fd, uint64_t block, uint64_t *ret)
{
	struct pagemap_region v[REGIONS] = { 0 };
	uint64_t at = block, present = 0, page = 0;

	while (at < block + HUGE_PAGE) {
		int n = pagemap_scan(fd, at, block + HUGE_PAGE, PAGEMAP_PRESENT, PAGEMAP_ZERO, v, REGIONS, &at);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++) {
			page = v[i].start;
			present += v[i].end - v[i].start;
		}
	}
	if (!present || present >= HUGE_PAGE)
		return 0;
	*ret = page;
	return 1;
}

/* 1 and a page that is left; 0: whole, or gone altogether. */
static int huge_look(struct target *t, const struct huge *h, uint64_t block, uint64_t *ret)
{
	int n;

	if (!h->guess)
		return huge_look_scan(t->fds.pagemap_fd, block, ret);
	n = block_present(t, block, ret);
	return n < 0 ? n : n > 0 && n < HUGE_PAGES;
}

int huge_torn(struct target *t, struct huge *h, uint64_t *ret, size_t max)
{
	size_t n = 0;

	for (; h->at < h->n && n < max; h->at++) {
		int r = huge_look(t, h, h->blocks[h->at], &ret[n]);

		if (r < 0)
			return r;
		n += (size_t)r;
	}
	return (int)n;
}
