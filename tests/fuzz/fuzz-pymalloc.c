// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=4096 */
/*
 * The pymalloc reader and the GIL's proof over hostile memory. An input is
 * either a recorded image (inspect/image.h; its notes name the roots), or a
 * list of edits to a small made-up heap: then it stays close to what is valid.
 * Whatever it is told, the figures must be possible.
 */
#include <stdlib.h>
#include <string.h>

#include "fake-pymalloc.h"
#include "fuzz.h"
#include "inspect/image.h"

struct edit {
	uint16_t where; /* which word of the interesting ones, see edit_at() */
	uint8_t how;
	uint8_t bits;
	uint64_t value;
} __attribute__((packed));

struct seen {
	const struct cpython *py;
	uint64_t arenas, pools, last;
};

static int see_arena(void *ctx, const struct pymalloc_arena *a)
{
	struct seen *s = ctx;

	MUST(a->slots <= PYMALLOC_POOLS_MAX && a->base >= a->o.address && a->base % s->py->pool_size == 0);
	MUST(a->o.ntotalpools <= a->slots && a->o.nfreepools <= a->o.ntotalpools);
	s->arenas++;
	s->last = a->base - 1;
	return 0;
}

static int see_pool(void *ctx, const struct pymalloc_arena *a, const struct pymalloc_pool *p)
{
	struct seen *s = ctx;
	uint32_t free_blocks = 0;

	MUST(p->address > s->last && p->slot < a->slots && p->address - a->base == p->slot * s->py->pool_size);
	MUST(p->resident <= s->py->pool_size && p->free_pages_resident < s->py->pool_size);
	s->last = p->address;
	s->pools++;
	if (p->state != PYMALLOC_USED && p->state != PYMALLOC_FULL)
		return 0;
	MUST(p->h.count && p->h.count <= pymalloc_blocks(s->py, p->h.szidx));
	for (size_t i = 0; p->blocks_valid && i < ARRAY_SIZE(p->free_map); i++)
		free_blocks += (uint32_t)__builtin_popcountll(p->free_map[i]);
	MUST(!p->blocks_valid || free_blocks + p->h.count == pymalloc_blocks(s->py, p->h.szidx));
	return 0;
}

static void look(struct target *t, const struct cpython *py)
{
	struct seen s = { .py = py };
	const struct pymalloc_visitor v = { see_arena, see_pool, &s };
	struct pymalloc_facts f;
	struct cpython_thread th;

	for (unsigned int flags = 0; flags <= PYMALLOC_BLOCKS; flags++) {
		s.arenas = s.pools = 0;
		if (pymalloc_look(t, py, flags, &v, &f) < 0)
			continue;
		MUST(s.arenas <= f.arenas && f.resident <= f.arena_bytes && f.free_resident <= f.resident);
		MUST(f.in_use + f.free + f.unknown <= f.arena_bytes && f.pools_free <= f.arenas * PYMALLOC_POOLS_MAX);
	}
	for (unsigned int i = 0; i < 4; i++) {
		cpython_thread(t, py, FAKE_TCBS + 0x100ull * i, &th);
		MUST(!th.released || th.known);
		MUST(th.released || th.why[0]);
	}
}

/* The words that matter: roots, GIL, interpreter, thread states, arena objects, pool headers and list links. */
static uint64_t edit_at(const struct fake *f, uint16_t where)
{
	static const uint64_t fixed[] = { FAKE_ROOTS + 512, FAKE_ROOTS + 520, FAKE_GIL,	   FAKE_GIL + 8,
					  FAKE_GIL + 16,    FAKE_INTERP - 8,  FAKE_INTERP, FAKE_INTERP + 72 };
	const uint32_t n = where / 8, word = where % 8;

	if (n == 0)
		return fixed[word];
	if (n < 5)
		return FAKE_TSTATES + 0x100ull * (n - 1) + (word < 3 ? word * 8 : 152);
	if (n < 9)
		return FAKE_VECTOR + 48ull * (n - 5) + word % 6 * 8;
	if (n < 9 + 16)
		return fake_pool_at(f, (n - 9) / 8, (n - 9) % 8) + word % 6 * 8;
	return fake_pool_at(f, n % 2, n / 2 % 8) + 48 + where % 1024 * 8;
}

static void edit(struct fake *f, const struct edit *e)
{
	const uint64_t at = edit_at(f, e->where);
	uint64_t old, v = e->value, *p = fake_at(f, at, 8);

	if (!p)
		return;
	memcpy(&old, p, sizeof(old));
	switch (e->how % 6) {
	case 0: /* anything */
		break;
	case 1: /* near */
		v = old + (int8_t)e->bits;
		break;
	case 2: /* a bit */
		v = old ^ 1ull << (e->bits % 64);
		break;
	case 3: /* another pool or block */
		v = fake_pool_at(f, e->bits & 1, e->bits >> 1 & 63) + (v % 3 ? 0 : 48 + v % 500 * 16);
		break;
	case 4: /* one half */
		v = (old & 0xffffffff00000000ull) | (uint32_t)v;
		break;
	default: /* the page is elsewhere, or gone */
		f->flags[(at - FAKE_BASE) / REMOTE_PAGE] = e->bits & 7;
		return;
	}
	memcpy(p, &v, sizeof(v));
}

static void fuzz_fake(const uint8_t *data, size_t size)
{
	struct fake f;

	/* Small pools mostly: there is a quarter of the memory to go through. */
	fake_init(&f, data[0] & 7 ? 4096 : 16384);
	fake_arena(&f, 0);
	fake_arena(&f, 1);
	for (uint32_t i = 0; i < 6; i++)
		(void)fake_carve(&f, i % 2, i * 5, 1 + i, 3);
	fake_free(&f, 0, fake_carve(&f, 0, 2, 1, 0));
	fake_free(&f, 0, fake_carve(&f, 0, 2, 1, 0));
	fake_free(&f, 1, fake_carve(&f, 1, 9, 1, 0));
	fake_retire(&f, 1, 3);
	fake_threads(&f, 3, data[0] >> 3 & 3 ? 1 : -1);
	for (data++, size--; size >= sizeof(struct edit); data += sizeof(struct edit), size -= sizeof(struct edit)) {
		struct edit e;

		memcpy(&e, data, sizeof(e));
		edit(&f, &e);
	}
	f.t.mem.reads_left = 2000;
	look(&f.t, &f.py);
	fake_done(&f);
}

static void fuzz_image(const uint8_t *data, size_t size)
{
	_cleanup_(image_close) struct image img = { .n_notes = 0 };
	struct target t = TARGET_CLOSED;
	struct cpython py = { .version = 0x030b02f0, .threads_head = 16, .thread_id = 152 };
	uint64_t small = 0;

	if (image_open(data, size, &img) < 0 || image_note(&img, "usedpools", 0, &py.usedpools) < 0 ||
	    image_note(&img, "arenas_at", 0, &py.arenas_at) < 0 ||
	    image_note(&img, "maxarenas_at", 0, &py.maxarenas_at) < 0)
		return;
	(void)!image_note(&img, "small_pools", 0, &small);
	(void)!image_note(&img, "gil", 0, &py.gil);
	(void)!image_note(&img, "interp", 0, &py.interp);
	py.interpreters_head_at = py.interp;
	py.pool_size = small ? 4096 : 16384;
	py.arena_size = py.pool_size * 64;
	t.maps = img.maps;
	image_remote(&img, 2000, 1ull << 24, &t.mem);
	look(&t, &py);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t magic = IMAGE_MAGIC;

	if (size >= sizeof(magic) && !memcmp(data, &magic, sizeof(magic)))
		fuzz_image(data, size);
	else if (size)
		fuzz_fake(data, size);
	return 0;
}
