// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pymalloc-look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "inspect/cpython-data.h"

#define ARENA_TRIES 5
#define VECTOR_TRIES 3
#define VECTOR_PART 1024 /* arena objects looked at in one piece: 48 KiB */

static const uint64_t pin_limits[PYMALLOC_PINS] = { 64, 512, 4096, 16384, 65536, 262144, 786432, UINT64_MAX };

int pymalloc_vector(struct target *t, const struct cpython *py, uint64_t *ret_arenas, uint32_t *ret_max)
{
	for (unsigned int i = 0; i < VECTOR_TRIES; i++) {
		uint64_t v = 0, again = 0;
		uint32_t n = 0;
		int r = cpython_peek(t, py->arenas_at, &v, sizeof(v));

		if (r == 0)
			r = cpython_peek(t, py->maxarenas_at, &n, sizeof(n));
		if (r == 0)
			r = cpython_peek(t, py->arenas_at, &again, sizeof(again));
		if (r < 0)
			return r;
		if (v != again) /* it is being doubled this moment */
			continue;
		if (!v || v % 16 || v >> 47 || !n || n > PYMALLOC_ARENAS_MAX)
			return -EBADMSG;
		*ret_arenas = v;
		*ret_max = n;
		return 0;
	}
	return -EBADMSG;
}

static void pool_pages(const struct look *l, struct pymalloc_pool *p)
{
	const size_t pages = l->py->pool_size / REMOTE_PAGE, first = p->slot * pages;

	for (size_t i = 0; i < pages; i++) {
		if (!(l->seen.flags[first + i] & REMOTE_PRESENT))
			continue;
		p->resident += (uint32_t)REMOTE_PAGE;
		p->present |= (uint8_t)(1u << i);
	}
}

/* The header: zero when its page isn't there (virgin, or retired and dropped), -ENXIO when it is swapped out. */
static int pool_header(struct look *l, struct pymalloc_pool *p)
{
	const uint8_t flags = l->seen.flags[p->slot * (l->py->pool_size / REMOTE_PAGE)];

	if (flags & (REMOTE_SWAPPED | REMOTE_SHARED))
		return -ENXIO;
	memcpy(&p->h, l->body + p->slot * l->py->pool_size, sizeof(p->h));
	return 0;
}

/*
 * Of pools of one page, all of them in one piece. Of larger ones the headers
 * alone: 64 small reads of an arena took 85 us, all of its pages 290 us.
 */
static int arena_read(struct look *l)
{
	struct seen *s = &l->seen;
	const uint64_t size = l->py->pool_size;
	const size_t carved = (size_t)((s->a.o.pool_address - s->a.base) / size);
	int r = remote_pages(&l->t->mem, s->a.base, s->a.slots * (size / REMOTE_PAGE), s->flags);

	if (r == 0 && size == REMOTE_PAGE)
		return pymalloc_look_read(l, s->a.base, s->flags, carved, l->body);
	for (size_t i = 0; r == 0 && i < carved; i++) {
		const uint8_t flags = s->flags[i * (size / REMOTE_PAGE)];

		if ((flags & (REMOTE_PRESENT | REMOTE_SWAPPED | REMOTE_SHARED)) == REMOTE_PRESENT)
			r = remote_read(&l->t->mem, s->a.base + i * size, l->body + i * size,
					sizeof(struct pymalloc_pool_header));
		else
			memset(l->body + i * size, 0, sizeof(struct pymalloc_pool_header));
	}
	return r;
}

/* Headers of all pools that were ever carved. -EAGAIN: not a state that can be. */
static int arena_headers(struct look *l)
{
	struct seen *s = &l->seen;
	const uint32_t carved = (uint32_t)((s->a.o.pool_address - s->a.base) / l->py->pool_size);

	s->swapped = 0;
	for (uint32_t i = 0; i < s->a.slots; i++) {
		struct pymalloc_pool *p = &s->pools[i];
		int r;

		memset(p, 0, offsetof(struct pymalloc_pool, free_map));
		p->address = s->a.base + i * l->py->pool_size;
		p->slot = i;
		pool_pages(l, p);
		p->state = PYMALLOC_VIRGIN;
		if (i >= carved)
			continue;
		p->state = PYMALLOC_RETIRED; /* until it is found in the list, or live */
		r = pool_header(l, p);
		if (r == -ENXIO)
			s->swapped += l->py->pool_size;
		else if (r < 0)
			return r;
		if (r < 0 || !p->h.count)
			continue;
		if (!pymalloc_header_sane(l->py, p->address, &p->h) || p->h.arenaindex != s->a.index)
			return -EAGAIN;
		p->state = p->h.count == pymalloc_blocks(l->py, p->h.szidx) ? PYMALLOC_FULL : PYMALLOC_USED;
	}
	return 0;
}

/* Follows the list of free pools through the headers that were read. */
static int arena_list(struct look *l)
{
	struct seen *s = &l->seen;
	uint64_t at = s->a.o.freepools;

	while (at) {
		const uint64_t offset = at - s->a.base;
		struct pymalloc_pool *p;

		if (at < s->a.base || at >= s->a.o.pool_address || offset % l->py->pool_size)
			return -EAGAIN;
		p = &s->pools[offset / l->py->pool_size];
		/* Live, or met before: a cycle. */
		if (p->state != PYMALLOC_RETIRED)
			return -EAGAIN;
		p->state = PYMALLOC_FREE;
		at = p->h.nextpool;
	}
	return 0;
}

/* The counts that pymalloc keeps must be those of the pools, all of them. */
static bool arena_adds_up(struct seen *s)
{
	const struct pymalloc_arena_object *o = &s->a.o;
	uint32_t *n = s->a.npools;

	memset(n, 0, sizeof(s->a.npools));
	s->a.live_blocks = s->a.live_bytes = 0;
	for (uint32_t i = 0; i < s->a.slots; i++) {
		const struct pymalloc_pool *p = &s->pools[i];

		n[p->state]++;
		s->a.live_blocks += p->h.count;
		if (p->h.count)
			s->a.live_bytes += (uint64_t)p->h.count * PYMALLOC_BLOCK_SIZE(p->h.szidx);
	}
	return n[PYMALLOC_FREE] + n[PYMALLOC_VIRGIN] == o->nfreepools &&
	       n[PYMALLOC_USED] + n[PYMALLOC_FULL] + o->nfreepools == o->ntotalpools &&
	       n[PYMALLOC_RETIRED] == s->a.slots - o->ntotalpools;
}

/* 0; -EAGAIN it was changing; -ENOENT it is gone; -ENXIO part of it is swapped out. */
static int arena_try(struct look *l, uint32_t index)
{
	struct seen *s = &l->seen;
	struct pymalloc_arena_object again;
	uint64_t vector;
	uint32_t max;
	int r = pymalloc_vector(l->t, l->py, &vector, &max);

	if (r < 0)
		return r;
	s->a = (struct pymalloc_arena){ .index = index, .object = vector + 48ull * index };
	r = index < max ? cpython_peek(l->t, s->a.object, &s->a.o, sizeof(s->a.o)) : -ENOENT;
	if (r == 0 && !s->a.o.address)
		r = -ENOENT;
	if (r < 0)
		return r;
	if (!pymalloc_arena_sane(l->py, &s->a))
		return -EAGAIN;
	r = arena_read(l);
	if (r == 0)
		r = arena_headers(l);
	/* A header below a swapped page can't be told from a retired one, so that nothing adds up. */
	if (r == 0 && s->swapped) {
		(void)arena_adds_up(s);
		return -ENXIO;
	}
	if (r == 0)
		r = arena_list(l);
	if (r < 0)
		return r == -EFAULT ? -EAGAIN : r; /* unmapped meanwhile */
	if (!arena_adds_up(s))
		return -EAGAIN;
	r = cpython_peek(l->t, s->a.object, &again, sizeof(again));
	if (r < 0)
		return r == -EFAULT ? -EAGAIN : r;
	return memcmp(&again, &s->a.o, offsetof(struct pymalloc_arena_object, nextarena)) ? -EAGAIN : 0;
}

static void facts_pool(struct look *l, const struct pymalloc_pool *p)
{
	struct pymalloc_facts *f = l->facts;
	struct pymalloc_class_facts *c;
	uint64_t size, free_blocks;

	f->resident += p->resident;
	if (p->state != PYMALLOC_USED && p->state != PYMALLOC_FULL) {
		f->free += l->py->pool_size;
		f->free_resident_pools += p->resident;
		return;
	}
	c = &f->classes[p->h.szidx];
	size = PYMALLOC_BLOCK_SIZE(p->h.szidx);
	free_blocks = pymalloc_blocks(l->py, p->h.szidx) - p->h.count;
	c->pools++;
	c->full_pools += p->state == PYMALLOC_FULL;
	c->used_blocks += p->h.count;
	c->free_blocks += free_blocks;
	f->used_blocks += p->h.count;
	f->free_blocks += free_blocks;
	f->in_use += p->h.count * size;
	f->free += free_blocks * size;
	f->free_resident_blocks += p->free_pages_resident;
}

static void facts_arena(struct look *l)
{
	const struct seen *s = &l->seen;
	struct pymalloc_facts *f = l->facts;
	const uint64_t free_before = f->free;

	f->arenas++;
	f->arena_bytes += l->py->arena_size;
	f->unknown += s->swapped;
	f->pools_used += s->a.npools[PYMALLOC_USED];
	f->pools_full += s->a.npools[PYMALLOC_FULL];
	f->pools_listed += s->a.npools[PYMALLOC_FREE];
	f->pools_virgin += s->a.npools[PYMALLOC_VIRGIN];
	/* What is swapped out looks like retired. */
	f->pools_retired += s->swapped ? 0 : s->a.npools[PYMALLOC_RETIRED];
	f->pools_free = f->pools_listed + f->pools_virgin;
	for (uint32_t i = 0; i < s->a.slots; i++)
		if (!s->swapped || s->pools[i].state != PYMALLOC_RETIRED)
			facts_pool(l, &s->pools[i]);
	for (size_t i = 0; !s->swapped && i < PYMALLOC_PINS; i++) {
		struct pymalloc_pin *pin = &f->pins[i];

		if (s->a.live_bytes > pin->limit)
			continue;
		pin->arenas++;
		pin->live_blocks += s->a.live_blocks;
		pin->live_bytes += s->a.live_bytes;
		pin->free_bytes += f->free - free_before;
		break;
	}
}

static int arena_visit(struct look *l)
{
	int r = 0;

	if (!l->v)
		return 0;
	if (l->v->arena)
		r = l->v->arena(l->v->ctx, &l->seen.a);
	for (uint32_t i = 0; r == 0 && l->v->pool && i < l->seen.a.slots; i++)
		r = l->v->pool(l->v->ctx, &l->seen.a, &l->seen.pools[i]);
	return r;
}

static int look_arena(struct look *l, uint32_t index)
{
	struct seen *s = &l->seen;
	int r = -EAGAIN;

	for (unsigned int i = 0; r == -EAGAIN && i < ARENA_TRIES; i++)
		r = arena_try(l, index);
	if (r == -ENOENT)
		return 0;
	if (r == -EAGAIN) {
		l->facts->torn_arenas++;
		return 0;
	}
	if (r < 0 && r != -ENXIO)
		return r;
	if (l->flags & PYMALLOC_BLOCKS) {
		int k = pymalloc_look_blocks(l);

		if (k < 0)
			return k;
	}
	/* An arena object that is itself swapped out has no pools that we know of. */
	if (r == -ENXIO && !s->swapped) {
		l->facts->unknown += l->py->arena_size;
		return 0;
	}
	facts_arena(l);
	return r == 0 ? arena_visit(l) : 0;
}

/*
 * The addresses of up to VECTOR_PART arenas. The vector moves when it is
 * doubled, with the same contents under the same indexes: what was read while
 * it moved is read again.
 */
static int vector_part(struct look *l, uint32_t index, uint64_t addresses[VECTOR_PART], uint32_t *ret_n,
		       uint32_t *ret_max)
{
	for (unsigned int tries = 0; tries < VECTOR_TRIES; tries++) {
		uint64_t vector, again;
		uint32_t max, n;
		const void *p;
		int r = pymalloc_vector(l->t, l->py, &vector, &max);

		if (r < 0)
			return r;
		n = max > index ? MIN(max - index, (uint32_t)VECTOR_PART) : 0;
		window_forget(&l->window);
		r = n ? window_at(&l->window, vector + 48ull * index, 48ull * n, &p) : 0;
		if (r < 0 && r != -EFAULT)
			return r;
		for (uint32_t i = 0; r == 0 && i < n; i++)
			memcpy(&addresses[i], (const unsigned char *)p + 48 * i, sizeof(addresses[i]));
		if (r == 0)
			r = pymalloc_vector(l->t, l->py, &again, ret_max);
		if (r == 0 && again == vector) {
			*ret_n = n;
			return 0;
		}
	}
	return -EBADMSG;
}

static int look_vector(struct look *l)
{
	uint64_t addresses[VECTOR_PART];
	uint32_t n, max = 1;

	for (uint32_t index = 0; index < max; index += VECTOR_PART) {
		int r = vector_part(l, index, addresses, &n, &max);

		for (uint32_t i = 0; r == 0 && i < n; i++)
			r = addresses[i] ? look_arena(l, index + i) : 0;
		if (r != 0)
			return r;
	}
	return 0;
}

int pymalloc_look(struct target *t, const struct cpython *py, unsigned int flags, const struct pymalloc_visitor *v,
		  struct pymalloc_facts *ret)
{
	_cleanup_free_ unsigned char *body = malloc(MIN(py->arena_size, PYMALLOC_PAGES_MAX * REMOTE_PAGE));
	_cleanup_free_ struct look *l = calloc(1, sizeof(*l));
	_cleanup_free_ struct pymalloc_facts *facts = calloc(1, sizeof(*facts));
	const uint64_t start = clock_ns();
	int r;

	if (!l || !facts || !body)
		return -ENOMEM;
	if (!py->usedpools)
		return -ENOENT;
	*l = (struct look){ .t = t, .py = py, .v = v, .facts = facts, .flags = flags, .body = body };
	window_init(&l->window, &t->mem);
	for (size_t i = 0; i < PYMALLOC_PINS; i++)
		facts->pins[i].limit = pin_limits[i];
	r = look_vector(l);
	if (r != 0)
		return r;
	/* Where most of it contradicts itself, the layout isn't what we take it for. */
	if (facts->torn_arenas > facts->arenas)
		return -EBADMSG;
	facts->free_resident = facts->free_resident_pools + facts->free_resident_blocks;
	facts->ns = clock_ns() - start;
	*ret = *facts;
	return 0;
}
