// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake-pymalloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_ID 152 /* as in 3.13 */
#define THREADS_HEAD 72
#define ARENA_AT(f, i) (FAKE_ARENAS + (i) * (f)->py.arena_size)

static int fake_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	const void *p = fake_at(ctx, addr, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

static int fake_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	const struct fake *f = ctx;

	for (size_t i = 0; i < n; i++, addr += REMOTE_PAGE)
		ret[i] = addr >= FAKE_BASE && addr - FAKE_BASE < f->len ? f->flags[(addr - FAKE_BASE) / REMOTE_PAGE] :
									  0;
	return 0;
}

void *fake_at(struct fake *f, uint64_t addr, size_t len)
{
	if (addr < FAKE_BASE || addr - FAKE_BASE > f->len || f->len - (addr - FAKE_BASE) < len)
		return NULL;
	return f->bytes + (addr - FAKE_BASE);
}

static void put(struct fake *f, uint64_t addr, uint64_t v)
{
	memcpy(fake_at(f, addr, sizeof(v)), &v, sizeof(v));
}

void fake_init(struct fake *f, uint64_t pool_size)
{
	*f = (struct fake){ .t = TARGET_CLOSED };
	f->py = (struct cpython){
		.version = pool_size == 4096 ? 0x030902f0 : 0x030d05f0,
		.interp = FAKE_INTERP,
		.interpreters_head_at = FAKE_INTERP - 8,
		.threads_head = THREADS_HEAD,
		.thread_id = THREAD_ID,
		.finalizing_at = FAKE_INTERP - 16,
		.gil = FAKE_GIL,
		.usedpools = FAKE_ROOTS,
		.arenas_at = FAKE_ROOTS + 512,
		.maxarenas_at = FAKE_ROOTS + 520,
		.pool_size = pool_size,
		.arena_size = pool_size * 64,
	};
	f->len = FAKE_ARENAS - FAKE_BASE + FAKE_NARENAS * f->py.arena_size;
	f->bytes = calloc(1, f->len);
	f->flags = malloc(f->len / REMOTE_PAGE);
	memset(f->flags, REMOTE_PRESENT, f->len / REMOTE_PAGE);
	f->t.mem = (struct remote){
		.read = fake_read,
		.pages = fake_pages,
		.ctx = f,
		.reads_left = 1000000,
		.bytes_left = 1ull << 32,
	};
	put(f, f->py.arenas_at, FAKE_VECTOR);
	put(f, f->py.maxarenas_at, FAKE_MAX);
	put(f, f->py.interpreters_head_at, FAKE_INTERP);
}

void fake_done(struct fake *f)
{
	free(f->bytes);
	free(f->flags);
}

struct pymalloc_arena_object *fake_object(struct fake *f, uint32_t arena)
{
	return fake_at(f, FAKE_VECTOR + 48ull * arena, 48);
}

uint64_t fake_pool_at(const struct fake *f, uint32_t arena, uint32_t slot)
{
	return ARENA_AT(f, arena) + slot * f->py.pool_size;
}

struct pymalloc_pool_header *fake_pool(struct fake *f, uint32_t arena, uint32_t slot)
{
	return fake_at(f, fake_pool_at(f, arena, slot), sizeof(struct pymalloc_pool_header));
}

void fake_arena(struct fake *f, uint32_t arena)
{
	*fake_object(f, arena) = (struct pymalloc_arena_object){
		.address = ARENA_AT(f, arena),
		.pool_address = ARENA_AT(f, arena),
		.nfreepools = 64,
		.ntotalpools = 64,
	};
}

uint32_t fake_carve(struct fake *f, uint32_t arena, uint32_t szidx, uint32_t live, uint32_t listed)
{
	struct pymalloc_arena_object *o = fake_object(f, arena);
	const uint32_t slot = (uint32_t)((o->pool_address - o->address) / f->py.pool_size);
	const uint32_t size = PYMALLOC_BLOCK_SIZE(szidx);
	const uint64_t pool = o->pool_address, first = pool + PYMALLOC_POOL_HEADER + live * size;

	*fake_pool(f, arena, slot) = (struct pymalloc_pool_header){
		.count = live,
		.garbage = 0xdeadbeef,
		.freeblock = listed ? first : 0,
		.arenaindex = arena,
		.szidx = szidx,
		.nextoffset = PYMALLOC_POOL_HEADER + (live + listed) * size,
		.maxnextoffset = (uint32_t)f->py.pool_size - size,
	};
	for (uint32_t i = 0; i < listed; i++)
		put(f, first + i * size, i + 1 < listed ? first + (i + 1) * size : 0);
	o->pool_address += f->py.pool_size;
	o->nfreepools--;
	return slot;
}

void fake_free(struct fake *f, uint32_t arena, uint32_t slot)
{
	struct pymalloc_arena_object *o = fake_object(f, arena);
	struct pymalloc_pool_header *h = fake_pool(f, arena, slot);

	h->count = 0;
	h->nextpool = o->freepools;
	o->freepools = fake_pool_at(f, arena, slot);
	o->nfreepools++;
}

void fake_retire(struct fake *f, uint32_t arena, uint32_t slot)
{
	struct pymalloc_arena_object *o = fake_object(f, arena);
	struct pymalloc_pool_header *h = fake_pool(f, arena, slot);
	const size_t page = (size_t)(fake_pool_at(f, arena, slot) - FAKE_BASE) / REMOTE_PAGE;

	o->freepools = h->nextpool;
	o->nfreepools--;
	o->ntotalpools--;
	memset(h, 0, f->py.pool_size);
	memset(f->flags + page, 0, f->py.pool_size / REMOTE_PAGE);
}

void fake_threads(struct fake *f, unsigned int n, int holder)
{
	put(f, FAKE_GIL, 5000);
	put(f, FAKE_GIL + 8, holder < 0 ? FAKE_TSTATES : FAKE_TSTATES + 0x100ull * (unsigned int)holder);
	put(f, FAKE_GIL + 16, holder >= 0);
	put(f, FAKE_INTERP + THREADS_HEAD, n ? FAKE_TSTATES : 0);
	for (unsigned int i = 0; i < n; i++) {
		const uint64_t ts = FAKE_TSTATES + 0x100ull * i, tcb = FAKE_TCBS + 0x100ull * i;

		put(f, ts, i ? ts - 0x100 : 0);
		put(f, ts + 8, i + 1 < n ? ts + 0x100 : 0);
		put(f, ts + 16, FAKE_INTERP);
		put(f, ts + THREAD_ID, tcb);
		put(f, tcb, tcb);
	}
}
