/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of pymalloc for tests: the rules of CPython 3.11's Objects/obmalloc.c
 * (pymalloc_alloc, allocate_from_new_pool, pymalloc_free, insert_to_pool,
 * insert_to_freepool, new_arena) with the asserts of a debug build, written
 * anew for any sizes. What breaks the real one breaks this one.
 */
#ifndef RECLAIM_TESTS_PYPURGE_OBMALLOC_H
#define RECLAIM_TESTS_PYPURGE_OBMALLOC_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "inspect/pymalloc.h"

#define OB_ARENAS 256
#define OB_CLASSES PYMALLOC_CLASSES

#ifdef NDEBUG
#error "the asserts are the test"
#endif

struct ob {
	uint64_t arena_size, pool_size;
	uint32_t maxarenas;
	uint64_t vector_at; /* what the variable `arenas` holds */
	struct pymalloc_arena_object *arenas; /* OB_ARENAS of them */
	uint64_t usable, lasta[PYMALLOC_POOLS_MAX + 1];
	/* usedpools: one ring for each class */
	struct pymalloc_pool_header used[OB_CLASSES];
	void *maps[OB_ARENAS];
	uint32_t shift[OB_ARENAS]; /* pages that arena @i begins above the alignment of a pool */
	uint32_t mapped, unmapped;
};

static inline struct pymalloc_pool_header *ob_pool(uint64_t addr)
{
	return (struct pymalloc_pool_header *)(uintptr_t)addr;
}

static inline struct pymalloc_arena_object *ob_arena(uint64_t addr)
{
	return (struct pymalloc_arena_object *)(uintptr_t)addr;
}

static inline uint64_t ob_addr(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static inline void ob_init(struct ob *o, uint64_t arena_size, uint64_t pool_size)
{
	memset(o, 0, sizeof(*o));
	o->arena_size = arena_size;
	o->pool_size = pool_size;
	o->maxarenas = OB_ARENAS;
	o->arenas = calloc(OB_ARENAS, sizeof(*o->arenas));
	assert(o->arenas);
	o->vector_at = ob_addr(o->arenas);
	for (uint32_t i = 0; i < OB_CLASSES; i++)
		o->used[i].nextpool = o->used[i].prevpool = ob_addr(&o->used[i]);
	for (uint32_t i = 0; i < OB_ARENAS; i++)
		o->shift[i] = i % 4;
}

static inline void ob_done(struct ob *o)
{
	for (uint32_t i = 0; i < OB_ARENAS; i++)
		if (o->maps[i])
			munmap(o->maps[i], o->arena_size + 8 * o->pool_size);
	free(o->arenas);
}

static inline void ob_new_arena(struct ob *o)
{
	struct pymalloc_arena_object *ao;
	uint32_t i = 0;
	uint64_t base;

	while (i < OB_ARENAS && o->arenas[i].address)
		i++;
	assert(i < OB_ARENAS);
	ao = &o->arenas[i];
	o->maps[i] = mmap(NULL, o->arena_size + 8 * o->pool_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	assert(o->maps[i] != MAP_FAILED);
	(void)madvise(o->maps[i], o->arena_size + 8 * o->pool_size, MADV_NOHUGEPAGE); /* drops shall be exact */
	base = (ob_addr(o->maps[i]) + o->pool_size - 1) & ~(o->pool_size - 1);
	ao->address = base + (o->shift[i] * REMOTE_PAGE) % o->pool_size;
	ao->pool_address = (ao->address + o->pool_size - 1) & ~(o->pool_size - 1);
	ao->ntotalpools = (uint32_t)((ao->address + o->arena_size - ao->pool_address) / o->pool_size);
	ao->nfreepools = ao->ntotalpools;
	ao->freepools = 0;
	ao->nextarena = ao->prevarena = 0;
	assert(!o->usable);
	o->usable = ob_addr(ao);
	assert(!o->lasta[ao->nfreepools]);
	o->lasta[ao->nfreepools] = o->usable;
	o->mapped++;
}

static inline void ob_link_used(struct ob *o, uint64_t pool, uint32_t szidx)
{
	struct pymalloc_pool_header *head = &o->used[szidx], *p = ob_pool(pool);

	p->nextpool = head->nextpool;
	p->prevpool = ob_addr(head);
	ob_pool(head->nextpool)->prevpool = pool;
	head->nextpool = pool;
}

static inline void ob_unlink_used(uint64_t pool)
{
	ob_pool(ob_pool(pool)->nextpool)->prevpool = ob_pool(pool)->prevpool;
	ob_pool(ob_pool(pool)->prevpool)->nextpool = ob_pool(pool)->nextpool;
}

static inline void ob_take_count(struct ob *o, struct pymalloc_arena_object *ao)
{
	assert(ob_addr(ao) == o->usable && ao->nfreepools > 0);
	if (o->lasta[ao->nfreepools] == ob_addr(ao))
		o->lasta[ao->nfreepools] = 0;
	if (ao->nfreepools > 1) {
		assert(!o->lasta[ao->nfreepools - 1]);
		o->lasta[ao->nfreepools - 1] = ob_addr(ao);
	}
	if (--ao->nfreepools == 0) {
		assert(!ao->nextarena || ob_arena(ao->nextarena)->prevarena == ob_addr(ao));
		o->usable = ao->nextarena;
		if (o->usable)
			ob_arena(o->usable)->prevarena = 0;
	} else {
		assert(ao->freepools || ao->pool_address <= ao->address + o->arena_size - o->pool_size);
	}
}

static inline uint64_t ob_new_pool(struct ob *o, uint32_t szidx)
{
	const uint32_t bs = PYMALLOC_BLOCK_SIZE(szidx);
	struct pymalloc_arena_object *ao;
	struct pymalloc_pool_header *p;
	uint64_t pool, bp;

	if (!o->usable)
		ob_new_arena(o);
	ao = ob_arena(o->usable);
	assert(ao->address);
	pool = ao->freepools;
	if (pool) {
		ao->freepools = ob_pool(pool)->nextpool;
		ob_take_count(o, ao);
		assert(ob_pool(pool)->count == 0);
	} else {
		pool = ao->pool_address;
		assert(pool >= ao->address && pool <= ao->address + o->arena_size - o->pool_size);
		ob_pool(pool)->arenaindex = (uint32_t)(ao - o->arenas);
		ob_pool(pool)->szidx = PYMALLOC_NO_CLASS;
		ao->pool_address += o->pool_size;
		ob_take_count(o, ao);
	}
	p = ob_pool(pool);
	assert(p->arenaindex == (uint32_t)(ao - o->arenas));
	ob_link_used(o, pool, szidx);
	p->count = 1;
	if (p->szidx == szidx) {
		bp = p->freeblock;
		assert(bp);
		memcpy(&p->freeblock, (void *)(uintptr_t)bp, 8);
		return bp;
	}
	p->szidx = szidx;
	bp = pool + PYMALLOC_POOL_HEADER;
	p->nextoffset = PYMALLOC_POOL_HEADER + 2 * bs;
	p->maxnextoffset = (uint32_t)o->pool_size - bs;
	p->freeblock = bp + bs;
	memset((void *)(uintptr_t)p->freeblock, 0, 8);
	return bp;
}

static inline uint64_t ob_alloc(struct ob *o, uint32_t szidx)
{
	const uint64_t pool = o->used[szidx].nextpool;
	struct pymalloc_pool_header *p = ob_pool(pool);
	uint64_t bp;

	if (pool == ob_addr(&o->used[szidx]))
		return ob_new_pool(o, szidx);
	p->count++;
	bp = p->freeblock;
	assert(bp);
	memcpy(&p->freeblock, (void *)(uintptr_t)bp, 8);
	if (p->freeblock)
		return bp;
	if (p->nextoffset <= p->maxnextoffset) {
		p->freeblock = pool + p->nextoffset;
		p->nextoffset += PYMALLOC_BLOCK_SIZE(szidx);
		memset((void *)(uintptr_t)p->freeblock, 0, 8);
	} else {
		ob_unlink_used(pool);
	}
	return bp;
}

static inline void ob_free_arena(struct ob *o, struct pymalloc_arena_object *ao)
{
	const uint32_t i = (uint32_t)(ao - o->arenas);

	assert(!ao->prevarena || ob_arena(ao->prevarena)->nextarena == ob_addr(ao));
	assert(ob_arena(ao->nextarena)->prevarena == ob_addr(ao));
	if (!ao->prevarena) {
		o->usable = ao->nextarena;
	} else {
		ob_arena(ao->prevarena)->nextarena = ao->nextarena;
	}
	ob_arena(ao->nextarena)->prevarena = ao->prevarena;
	munmap(o->maps[i], o->arena_size + 8 * o->pool_size);
	o->maps[i] = NULL;
	ao->address = 0;
	o->unmapped++;
}

/* insert_to_freepool() */
static inline void ob_free_pool(struct ob *o, uint64_t pool)
{
	struct pymalloc_arena_object *ao = &o->arenas[ob_pool(pool)->arenaindex];
	uint32_t nf = ao->nfreepools;
	uint64_t lastnf = o->lasta[nf];

	ob_unlink_used(pool);
	ob_pool(pool)->nextpool = ao->freepools;
	ao->freepools = pool;
	assert((nf == 0 && !lastnf) ||
	       (nf > 0 && lastnf && ob_arena(lastnf)->nfreepools == nf &&
		(!ob_arena(lastnf)->nextarena || nf < ob_arena(ob_arena(lastnf)->nextarena)->nfreepools)));
	if (lastnf == ob_addr(ao)) {
		const uint64_t p = ao->prevarena;

		o->lasta[nf] = p && ob_arena(p)->nfreepools == nf ? p : 0;
	}
	ao->nfreepools = ++nf;
	if (nf == ao->ntotalpools && ao->nextarena) {
		ob_free_arena(o, ao);
		return;
	}
	if (nf == 1) {
		ao->nextarena = o->usable;
		ao->prevarena = 0;
		if (o->usable)
			ob_arena(o->usable)->prevarena = ob_addr(ao);
		o->usable = ob_addr(ao);
		if (!o->lasta[1])
			o->lasta[1] = ob_addr(ao);
		return;
	}
	if (!o->lasta[nf])
		o->lasta[nf] = ob_addr(ao);
	if (ob_addr(ao) == lastnf)
		return;
	assert(ao->nextarena);
	if (ao->prevarena) {
		assert(ob_arena(ao->prevarena)->nextarena == ob_addr(ao));
		ob_arena(ao->prevarena)->nextarena = ao->nextarena;
	} else {
		assert(o->usable == ob_addr(ao));
		o->usable = ao->nextarena;
	}
	ob_arena(ao->nextarena)->prevarena = ao->prevarena;
	ao->prevarena = lastnf;
	ao->nextarena = ob_arena(lastnf)->nextarena;
	if (ao->nextarena)
		ob_arena(ao->nextarena)->prevarena = ob_addr(ao);
	ob_arena(lastnf)->nextarena = ob_addr(ao);
}

static inline void ob_free(struct ob *o, uint64_t block)
{
	const uint64_t pool = block & ~(o->pool_size - 1);
	struct pymalloc_pool_header *p = ob_pool(pool);
	const uint64_t last = p->freeblock;

	assert(p->count > 0);
	memcpy((void *)(uintptr_t)block, &last, 8);
	p->freeblock = block;
	p->count--;
	if (!last) {
		/* It was full: back to the rear of its class. */
		struct pymalloc_pool_header *head = &o->used[p->szidx];

		assert(p->count > 0);
		p->nextpool = ob_addr(head);
		p->prevpool = head->prevpool;
		ob_pool(head->prevpool)->nextpool = pool;
		head->prevpool = pool;
		return;
	}
	if (p->count == 0)
		ob_free_pool(o, pool);
}

/* The list and the table as they follow from each other; a debug build's asserts at all arenas at once. */
static inline void ob_check(const struct ob *o)
{
	uint64_t table[PYMALLOC_POOLS_MAX + 1] = { 0 }, prev = 0;
	uint32_t n = 0, m = 0, nf = 0;

	for (uint64_t a = o->usable; a; prev = a, a = ob_arena(a)->nextarena) {
		assert(ob_arena(a)->address && ob_arena(a)->nfreepools && ob_arena(a)->nfreepools >= nf);
		assert(ob_arena(a)->prevarena == prev && ++n <= OB_ARENAS);
		nf = ob_arena(a)->nfreepools;
		table[nf] = a;
	}
	assert(!memcmp(table, o->lasta, sizeof(table)));
	for (uint32_t i = 0; i < OB_ARENAS; i++) {
		const struct pymalloc_arena_object *ao = &o->arenas[i];
		uint32_t listed = 0;

		if (!ao->address)
			continue;
		m += ao->nfreepools > 0;
		for (uint64_t p = ao->freepools; p; p = ob_pool(p)->nextpool) {
			assert(p < ao->pool_address && ob_pool(p)->count == 0 && ob_pool(p)->arenaindex == i);
			assert(++listed <= PYMALLOC_POOLS_MAX);
		}
		assert(ao->ntotalpools >= 2 && ao->nfreepools <= ao->ntotalpools);
		assert(listed + (ao->address + o->arena_size - ao->pool_address) / o->pool_size == ao->nfreepools);
	}
	assert(n == m);
}

static inline void ob_cpython(const struct ob *o, struct cpython *py)
{
	memset(py, 0, sizeof(*py));
	py->usedpools = ob_addr(o->used);
	py->arenas_at = ob_addr(&o->vector_at);
	py->maxarenas_at = ob_addr(&o->maxarenas);
	py->usable_arenas_at = ob_addr(&o->usable);
	py->nfp2lasta_at = ob_addr(o->lasta);
	py->arena_size = o->arena_size;
	py->pool_size = o->pool_size;
}

#endif
