// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pymalloc-image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POOLS_MAX 65536u /* kept, of 64 bytes each: arenas of 1 GiB */
#define MAPS_MAX 32768u /* of 128 bytes each */
#define ARENAS_MAX 16384u
#define ARENAS_AHEAD 256u /* arenas are asked for in the order in which they were seen; some are new, or left out */
#define NO_MAP UINT32_MAX

struct image_pool {
	struct pymalloc_pool_header h;
	uint32_t map; /* of its free blocks */
	uint8_t present; /* see struct pymalloc_pool */
};

struct image_arena {
	uint64_t base, end;
	uint32_t first, slots; /* pools */
	bool shown;
};

struct pymalloc_image {
	const struct cpython *py;
	struct image_arena *arenas;
	size_t n_arenas, room_arenas;
	struct image_pool *pools;
	size_t n_pools, room_pools;
	uint64_t (*maps)[16];
	size_t n_maps, room_maps;
	/* while it is shown */
	int (*read)(void *ctx, uint64_t addr, void *buf, size_t len);
	int (*pages)(void *ctx, uint64_t addr, size_t n, uint8_t *ret);
	void *ctx;
	size_t next; /* arena to be asked for */
	const struct image_arena *now; /* the one that is shown */
};

int pymalloc_image_new(const struct cpython *py, struct pymalloc_image **ret)
{
	struct pymalloc_image *img = calloc(1, sizeof(*img));

	if (!img)
		return -ENOMEM;
	img->py = py;
	*ret = img;
	return 0;
}

void pymalloc_image_free(struct pymalloc_image *img)
{
	if (!img)
		return;
	free(img->arenas);
	free(img->pools);
	free(img->maps);
	free(img);
}

/* Room for one more of @n. */
static bool image_room(void **v, size_t n, size_t *room, size_t each, size_t max)
{
	const size_t more = MIN(MAX(2 * *room, (size_t)64), max);
	void *p;

	if (n < *room)
		return true;
	p = n < more ? reallocarray(*v, more, each) : NULL;
	if (!p)
		return false;
	*v = p;
	*room = more;
	return true;
}

void pymalloc_image_arena(struct pymalloc_image *img, const struct pymalloc_arena *a)
{
	if (!image_room((void **)&img->arenas, img->n_arenas, &img->room_arenas, sizeof(*img->arenas), ARENAS_MAX))
		return;
	img->arenas[img->n_arenas++] = (struct image_arena){
		.base = a->base,
		.end = a->base + a->slots * img->py->pool_size,
		.first = (uint32_t)img->n_pools,
		.slots = a->slots,
	};
}

/* What is free is on the list or in the carve window: the list alone is linked. */
static void image_map(const struct cpython *py, const struct pymalloc_pool *p, uint64_t ret[16])
{
	const uint32_t size = PYMALLOC_BLOCK_SIZE(p->h.szidx);

	memcpy(ret, p->free_map, sizeof(p->free_map));
	for (uint32_t at = p->h.nextoffset; at <= p->h.maxnextoffset && at < py->pool_size; at += size) {
		const uint32_t i = (at - PYMALLOC_POOL_HEADER) / size;

		ret[i / 64] &= ~(1ull << (i % 64));
	}
}

static uint32_t image_next(const uint64_t map[16], uint32_t from)
{
	for (uint32_t w = from / 64; w < 16; w++) {
		const uint64_t bits = w == from / 64 ? map[w] & (~0ull << (from % 64)) : map[w];

		if (bits)
			return w * 64 + (uint32_t)__builtin_ctzll(bits);
	}
	return NO_MAP;
}

static uint64_t image_block(uint64_t pool, uint32_t szidx, uint32_t i)
{
	return i == NO_MAP ? 0 : pool + PYMALLOC_POOL_HEADER + (uint64_t)i * PYMALLOC_BLOCK_SIZE(szidx);
}

void pymalloc_image_pool(struct pymalloc_image *img, const struct pymalloc_arena *a, const struct pymalloc_pool *p)
{
	struct image_arena *last = img->n_arenas ? &img->arenas[img->n_arenas - 1] : NULL;
	struct image_pool kept = { .h = p->h, .map = NO_MAP, .present = p->present };

	if (!last || last->base != a->base || p->slot != img->n_pools - last->first)
		return;
	/* An arena that isn't complete is as good as none. */
	if (!image_room((void **)&img->pools, img->n_pools, &img->room_pools, sizeof(*img->pools), POOLS_MAX)) {
		last->shown = true;
		return;
	}
	if (p->state == PYMALLOC_USED && p->blocks_valid &&
	    image_room((void **)&img->maps, img->n_maps, &img->room_maps, sizeof(*img->maps), MAPS_MAX)) {
		kept.map = (uint32_t)img->n_maps++;
		image_map(img->py, p, img->maps[kept.map]);
		kept.h.freeblock = image_block(p->address, p->h.szidx, image_next(img->maps[kept.map], 0));
	}
	img->pools[img->n_pools++] = kept;
}

/* One page of a pool, from the links of its list. */
static void image_page(const struct pymalloc_image *img, const struct image_pool *p, uint64_t pool, uint32_t page,
		       unsigned char *ret)
{
	const uint64_t *map = img->maps[p->map];
	const uint32_t size = PYMALLOC_BLOCK_SIZE(p->h.szidx), lo = page * (uint32_t)REMOTE_PAGE;
	uint32_t i = lo > PYMALLOC_POOL_HEADER ? (lo - PYMALLOC_POOL_HEADER + size - 1) / size : 0;

	memset(ret, 0, REMOTE_PAGE);
	if (!page)
		memcpy(ret, &p->h, sizeof(p->h));
	for (i = image_next(map, i); i != NO_MAP;) {
		const uint32_t next = image_next(map, i + 1), offset = PYMALLOC_POOL_HEADER + i * size;
		const uint64_t link = image_block(pool, p->h.szidx, next);

		/* Blocks are multiples of 16 bytes: no link lies across two pages. */
		if (offset >= lo + REMOTE_PAGE)
			break;
		memcpy(ret + (offset - lo), &link, sizeof(link));
		i = next;
	}
}

static int image_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	struct pymalloc_image *img = ctx;
	const struct image_arena *a = img->now;
	const struct image_pool *p;
	uint64_t pool, offset;

	if (!a || addr < a->base || addr >= a->end)
		return img->read(img->ctx, addr, buf, len);
	offset = (addr - a->base) % img->py->pool_size;
	pool = addr - offset;
	p = &img->pools[a->first + (pool - a->base) / img->py->pool_size];
	if (!offset && len == sizeof(p->h) && (p->present & 1))
		memcpy(buf, &p->h, len);
	else if (p->map != NO_MAP && offset % REMOTE_PAGE == 0 && len == REMOTE_PAGE)
		image_page(img, p, pool, (uint32_t)(offset / REMOTE_PAGE), buf);
	else
		return img->read(img->ctx, addr, buf, len);
	return 0;
}

static int image_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	struct pymalloc_image *img = ctx;
	const size_t each = img->py->pool_size / REMOTE_PAGE;
	const size_t end = MIN(img->next + ARENAS_AHEAD, img->n_arenas);

	img->now = NULL;
	for (size_t i = img->next; i < end && !img->now; i++) {
		struct image_arena *a = &img->arenas[i];

		if (a->base != addr || a->slots * each != n || a->shown)
			continue;
		a->shown = true;
		img->now = a;
		img->next = i + 1;
	}
	if (!img->now)
		return img->pages(img->ctx, addr, n, ret);
	for (size_t i = 0; i < n; i++)
		ret[i] = img->pools[img->now->first + i / each].present >> (i % each) & 1 ? REMOTE_PRESENT : 0;
	return 0;
}

void pymalloc_image_enter(struct pymalloc_image *img, struct remote *mem)
{
	img->read = mem->read;
	img->pages = mem->pages;
	img->ctx = mem->ctx;
	img->next = 0;
	img->now = NULL;
	mem->read = image_read;
	mem->pages = image_pages;
	mem->ctx = img;
	remote_forget(mem);
}

void pymalloc_image_leave(struct pymalloc_image *img, struct remote *mem)
{
	mem->read = img->read;
	mem->pages = img->pages;
	mem->ctx = img->ctx;
	remote_forget(mem);
}
