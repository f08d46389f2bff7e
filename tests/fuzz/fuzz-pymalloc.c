// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=4096 */
/*
 * The pymalloc reader, the GIL's proof and the purge's plans over hostile memory. An input is
 * either a recorded image (inspect/image.h; its notes name the roots), or a
 * list of edits to a small made-up heap: then it stays close to what is valid.
 * Whatever it is told, the figures must be possible.
 */
#include <stdlib.h>
#include <string.h>

#include "fake-pymalloc.h"
#include "fuzz.h"
#include "inspect/image.h"
#include "python-look.h"
#include "python-purge.h"

#define USABLE (FAKE_BASE + 0x3800) /* the list's head */
#define LASTA (FAKE_BASE + 0x3000)

struct edit {
	uint16_t where; /* which word of the interesting ones, see edit_at() */
	uint8_t how;
	uint8_t bits;
	uint64_t value;
} __attribute__((packed));

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
		return word < 6 ? FAKE_VECTOR + 48ull * (n - 5) + word * 8 : word == 6 ? USABLE : LASTA + n * 8;
	if (n < 9 + 16)
		return fake_pool_at(f, (n - 9) / 8, (n - 9) % 8) + word % 6 * 8;
	return fake_pool_at(f, n % 2, n / 2 % 8) + 48 + where % 1024 * 8;
}

static uint8_t *flags_at(void *ctx, uint64_t addr)
{
	const struct fake *f = ctx;

	return addr >= FAKE_BASE && addr - FAKE_BASE < f->len ? &f->flags[(addr - FAKE_BASE) / REMOTE_PAGE] : NULL;
}

static void edit(struct fake *f, const struct edit *e)
{
	const uint64_t at = edit_at(f, e->where);
	uint64_t old, v = e->value, *p = fake_at(f, at, 8);

	if (!p)
		return;
	memcpy(&old, p, sizeof(old));
	switch (e->how % 7) {
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
	case 5: /* both halves by as much: two counts that belong together */
		v = old + (uint64_t)(int8_t)e->bits * 0x100000001ull;
		break;
	default: /* the page is elsewhere, or gone */
		*flags_at(f, at) = e->bits & 7;
		/* What is nowhere is zero, as the kernel would make it. */
		if (!(e->bits & (REMOTE_PRESENT | REMOTE_SWAPPED)))
			memset(f->bytes + (at - FAKE_BASE) / REMOTE_PAGE * REMOTE_PAGE, 0, REMOTE_PAGE);
		return;
	}
	memcpy(p, &v, sizeof(v));
	/* Who writes to a page that is nowhere has it from then on. */
	if (!(*flags_at(f, at) & REMOTE_SWAPPED))
		*flags_at(f, at) |= REMOTE_PRESENT;
}

static void look(struct target *t, const struct cpython *py)
{
	python_look(t, py);
	for (unsigned int i = 0; i < 4; i++)
		python_thread(t, py, FAKE_TCBS + 0x100ull * i);
}

static void *memory_at(void *ctx, uint64_t addr, size_t len)
{
	return fake_at(ctx, addr, len);
}

static void put(struct fake *f, uint64_t addr, uint64_t v)
{
	memcpy(fake_at(f, addr, sizeof(v)), &v, sizeof(v));
}

/* The list of arenas that have free pools, the one with fewer first, and the table of the last ones with so many. */
static void link_arenas(struct fake *f)
{
	const uint32_t first = fake_object(f, 0)->nfreepools > fake_object(f, 1)->nfreepools;
	struct pymalloc_arena_object *a = fake_object(f, first), *b = fake_object(f, !first);

	f->py.usable_arenas_at = USABLE;
	f->py.nfp2lasta_at = LASTA;
	if (a->nfreepools > PYMALLOC_POOLS_MAX || b->nfreepools > PYMALLOC_POOLS_MAX)
		return;
	memset(fake_at(f, LASTA, 8 * (PYMALLOC_POOLS_MAX + 1)), 0, 8 * (PYMALLOC_POOLS_MAX + 1));
	a->nextarena = FAKE_VECTOR + 48ull * !first;
	b->prevarena = FAKE_VECTOR + 48ull * first;
	put(f, USABLE, b->prevarena);
	put(f, LASTA + 8ull * a->nfreepools, b->prevarena);
	put(f, LASTA + 8ull * b->nfreepools, a->nextarena);
}

static void fuzz_fake(const uint8_t *data, size_t size)
{
	const uint8_t how = data[0];
	struct purge_memory pm;
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
	link_arenas(&f);
	for (data++, size--; size >= sizeof(struct edit); data += sizeof(struct edit), size -= sizeof(struct edit)) {
		struct edit e;

		memcpy(&e, data, sizeof(e));
		edit(&f, &e);
	}
	f.t.mem.reads_left = 2000;
	pm = (struct purge_memory){ &f.t, memory_at, flags_at, &f };
	/* Counts that were edited alone contradict the list, and end there: so it may follow them. */
	if (how >> 7 && how >> 3 & 1)
		link_arenas(&f);
	/* Either: each takes a millisecond, and a purge looks too. */
	if (how >> 7)
		python_purge(&pm, &f.py, how >> 5 & 1, how >> 6 & 1 ? 8 : 0);
	else
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
