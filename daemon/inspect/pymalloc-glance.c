// SPDX-License-Identifier: GPL-2.0-or-later
/* What ps shows of pymalloc: no pool is looked at, so that it costs next to nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "inspect/pymalloc.h"

#define OBJECTS_MAX 65536u /* of the vector: 3 MiB */
#define OBJECTS_PART 1024u
#define PAGES_MAX (32u << 10) /* looked up: 128 MiB. That takes 4 ms, most of it in cache misses of the kernel */
#define TRIES 3

struct glance {
	struct target *t;
	const struct cpython *py;
	struct window window; /* over the vector */
	struct pymalloc_facts *facts;
	uint64_t with_free, seen, step; /* arenas */
	uint64_t looked; /* free pools in those of the sample */
	uint8_t flags[PYMALLOC_POOLS_MAX * 4];
};

/* The objects from @index on as they are now. 0 with *ret_n, or the read's error. */
static int glance_part(struct glance *g, uint64_t vector, uint32_t max, uint32_t index, const unsigned char **ret,
		       uint32_t *ret_n)
{
	const uint32_t n = MIN(max - index, OBJECTS_PART);
	const void *p;
	int r = window_at(&g->window, vector + 48ull * index, 48ull * n, &p);

	if (r < 0)
		return r;
	*ret = p;
	*ret_n = n;
	return 0;
}

/* Allocated, and possible. */
static bool glance_object(const struct glance *g, const unsigned char *part, uint32_t i, struct pymalloc_arena *ret)
{
	memcpy(&ret->o, part + 48ull * i, sizeof(ret->o));
	return ret->o.address && pymalloc_arena_sane(g->py, ret);
}

static void glance_count(struct glance *g, const struct pymalloc_arena *a)
{
	struct pymalloc_facts *f = g->facts;

	f->arenas++;
	f->arena_bytes += g->py->arena_size;
	f->pools_free += a->o.nfreepools;
	f->pools_retired += a->slots - a->o.ntotalpools;
	f->free += (uint64_t)(a->o.nfreepools + a->slots - a->o.ntotalpools) * g->py->pool_size;
	g->with_free += a->o.nfreepools != 0;
}

/* Every step'th of those with free pools, spread over all of them. */
static void glance_choose(struct glance *g)
{
	const uint64_t pages = g->with_free * (g->py->arena_size / REMOTE_PAGE);

	g->step = MAX((pages + PAGES_MAX - 1) / PAGES_MAX, (uint64_t)1);
	g->seen = 0;
}

/* What pools in use can't account for is in free ones. */
static int glance_pages(struct glance *g, const struct pymalloc_arena *a)
{
	struct pymalloc_facts *f = g->facts;
	const size_t n = (size_t)a->slots * (g->py->pool_size / REMOTE_PAGE);
	const uint64_t used = (uint64_t)(a->o.ntotalpools - a->o.nfreepools) * g->py->pool_size;
	uint64_t resident = 0;
	int r;

	if (n > sizeof(g->flags))
		return -EBADMSG;
	r = remote_pages(&g->t->mem, a->base, n, g->flags);
	if (r < 0)
		return r == -EFAULT ? 0 : r; /* unmapped meanwhile */
	for (size_t i = 0; i < n; i++)
		resident += g->flags[i] & REMOTE_PRESENT ? REMOTE_PAGE : 0;
	f->free_resident_pools += resident > used ? resident - used : 0;
	return 0;
}

static int glance_arena(struct glance *g, const struct pymalloc_arena *a)
{
	if (!a->o.nfreepools || g->seen++ % g->step)
		return 0;
	g->looked += a->o.nfreepools;
	return glance_pages(g, a);
}

/* What holds for the sample holds for all. At most 128 MiB times 2^29 pools. */
static void glance_scale(struct glance *g)
{
	struct pymalloc_facts *f = g->facts;

	f->sampled = g->step > 1;
	if (f->sampled && g->looked)
		f->free_resident_pools = f->free_resident_pools * MAX(f->pools_free, g->looked) / g->looked;
	f->free_resident = f->free_resident_pools;
	/* Pools in use may have free pages too, all but the first: nobody has looked. */
	f->unknown =
		(f->arena_bytes - MIN(f->arena_bytes, f->free)) / g->py->pool_size * (g->py->pool_size - REMOTE_PAGE);
}

/* -EAGAIN: the vector has moved. */
static int glance_try(struct glance *g)
{
	uint64_t vector, again;
	uint32_t max, n;
	const unsigned char *part;
	int r = pymalloc_vector(g->t, g->py, &vector, &max);

	if (r < 0)
		return r;
	max = MIN(max, OBJECTS_MAX);
	g->with_free = g->looked = 0;
	*g->facts = (struct pymalloc_facts){ 0 };
	window_forget(&g->window);
	for (unsigned int turn = 0; turn < 2; turn++) {
		for (uint32_t index = 0; index < max; index += OBJECTS_PART) {
			r = glance_part(g, vector, max, index, &part, &n);
			for (uint32_t i = 0; r == 0 && i < n; i++) {
				struct pymalloc_arena a = { .index = index + i };

				if (!glance_object(g, part, i, &a))
					continue;
				if (turn)
					r = glance_arena(g, &a);
				else
					glance_count(g, &a);
			}
			if (r < 0)
				return r == -EFAULT ? -EAGAIN : r;
		}
		if (!turn)
			glance_choose(g);
	}
	r = pymalloc_vector(g->t, g->py, &again, &max);
	return r < 0 ? r : again == vector ? 0 : -EAGAIN;
}

int pymalloc_glance(struct target *t, const struct cpython *py, struct pymalloc_facts *ret)
{
	_cleanup_free_ struct pymalloc_facts *facts = calloc(1, sizeof(*facts));
	_cleanup_free_ struct glance *g = calloc(1, sizeof(*g));
	const uint64_t start = clock_ns();
	int r = -EAGAIN;

	if (!g || !facts)
		return -ENOMEM;
	if (!py->usedpools)
		return -ENOENT;
	g->t = t;
	g->py = py;
	g->facts = facts;
	window_init(&g->window, &t->mem);
	for (unsigned int i = 0; r == -EAGAIN && i < TRIES; i++)
		r = glance_try(g);
	if (r < 0)
		return r;
	glance_scale(g);
	facts->ns = clock_ns() - start;
	*ret = *facts;
	return 0;
}
