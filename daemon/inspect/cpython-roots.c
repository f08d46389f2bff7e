// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/cpython-roots.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "inspect/cpython-data.h"
#include "inspect/pymalloc.h"

/*
 * usedpools: for each size class the nextpool and prevpool words of a pool
 * header that begins 16 bytes before them (PTA() in Objects/obmalloc.c,
 * pycore_obmalloc.h). An empty class points at itself.
 */
#define TABLE_WORDS (2 * PYMALLOC_CLASSES)
#define TABLE_BYTES (TABLE_WORDS * sizeof(uint64_t))
#define SENTINEL(u, class) ((u) + 16ull * (class) - 16)
#define POOLS_GOOD 3 /* classes in use whose first pool holds together */
#define POOLS_BAD 4 /* and that had changed between two looks */
#define TRIES 5

/* struct _obmalloc_mgmt behind usedpools, 3.12 to 3.15 (pycore_obmalloc.h). */
#define STATE_ARENAS 512
#define STATE_MAXARENAS 520
#define STATE_USABLE 536
#define STATE_NFP2LASTA 544

#define MAXARENAS_FIRST 16 /* INITIAL_ARENA_OBJECTS: doubled each time */
#define MAXARENAS_NEAR 64 /* bytes around "arenas": one object file's variables; 8 and 16 seen */
#define SAMPLES 4

struct table {
	uint64_t address;
	unsigned int good, bad, empty;
	bool small_pools; /* some are aligned to 4 KiB only */
	size_t nsamples;
	uint64_t pools[SAMPLES]; /* in use, with different arena indexes where possible */
	uint32_t indexes[SAMPLES];
};

static bool table_fits(const struct cpython_data *d, size_t offset)
{
	const uint64_t u = d->lo + offset;

	for (size_t i = 0; i < PYMALLOC_CLASSES; i++) {
		uint64_t next = cpython_data_u64(d, offset + 16 * i), prev = cpython_data_u64(d, offset + 16 * i + 8);
		bool empty = next == SENTINEL(u, i) && prev == next;

		if (!empty && (!next || !prev || next % REMOTE_PAGE || prev % REMOTE_PAGE || next >> 47 || prev >> 47))
			return false;
	}
	return true;
}

static void table_sample(struct table *tab, uint64_t pool, uint32_t index)
{
	for (size_t i = 0; i < tab->nsamples; i++)
		if (tab->indexes[i] == index)
			return;
	if (tab->nsamples == SAMPLES)
		return;
	tab->pools[tab->nsamples] = pool;
	tab->indexes[tab->nsamples++] = index;
}

static void table_check(struct target *t, const struct cpython_data *d, size_t offset, struct table *ret)
{
	struct table tab = { .address = d->lo + offset };

	for (uint32_t i = 0; i < PYMALLOC_CLASSES; i++) {
		uint64_t pool = cpython_data_u64(d, offset + 16ull * i);
		struct pymalloc_pool_header h = { 0 };
		bool good = false;

		if (pool == SENTINEL(tab.address, i)) {
			tab.empty++;
			continue;
		}
		/* Of a busy class the first pool changes: look again at what is first now. */
		for (unsigned int tries = 0; !good && tries < TRIES; tries++) {
			if (pool % REMOTE_PAGE || cpython_peek(t, pool, &h, sizeof(h)) < 0)
				break;
			good = h.prevpool == SENTINEL(tab.address, i) && h.szidx == i && h.count && h.count <= 1024;
			if (!good && cpython_peek(t, tab.address + 16ull * i, &pool, sizeof(pool)) < 0)
				break;
		}
		if (!good) {
			tab.bad++;
			continue;
		}
		tab.good++;
		tab.small_pools |= pool % 16384 != 0;
		table_sample(&tab, pool, h.arenaindex);
	}
	*ret = tab;
}

/* 0; -ENOENT; -ENODATA: there is one, and nothing in it; -EEXIST: several. */
static int table_find(struct target *t, const struct cpython_data *d, struct table *ret)
{
	unsigned int found = 0, empty = 0;

	for (size_t at = 0; at + TABLE_BYTES <= d->len; at += 8) {
		struct table tab;

		if (!cpython_data_u64(d, at) || !table_fits(d, at))
			continue;
		table_check(t, d, at, &tab);
		empty += tab.empty == PYMALLOC_CLASSES;
		if (tab.good < POOLS_GOOD || tab.bad > POOLS_BAD)
			continue;
		found++;
		*ret = tab;
	}
	return found == 1 ? 0 : found ? -EEXIST : empty ? -ENODATA : -ENOENT;
}

/* Does V[index] own that pool? */
static bool vector_covers(struct target *t, const struct cpython *py, uint64_t v, uint64_t pool, uint32_t index)
{
	struct pymalloc_arena a = { .index = index };

	if (index >= PYMALLOC_ARENAS_MAX || cpython_peek(t, v + 48ull * index, &a.o, sizeof(a.o)) < 0)
		return false;
	return pymalloc_arena_sane(py, &a) && pool >= a.base && pool - a.base < a.slots * py->pool_size;
}

static bool vector_fits(struct target *t, const struct cpython *py, const struct table *tab, uint64_t v)
{
	if (!v || v % 16 || v >> 47 || !cpython_is_heap(t, v))
		return false;
	for (size_t i = 0; i < tab->nsamples; i++)
		if (!vector_covers(t, py, v, tab->pools[i], tab->indexes[i]))
			return false;
	return true;
}

static bool maxarenas_possible(uint32_t n)
{
	return n >= MAXARENAS_FIRST && n <= PYMALLOC_ARENAS_MAX && !(n & (n - 1));
}

/*
 * How many objects does the vector have at most? All those in it are arenas
 * or unused (address 0, and a link into the vector or none).
 */
static bool vector_has(struct target *t, const struct cpython *py, uint64_t v, uint32_t n)
{
	const uint64_t bytes = 48ull * n;
	const uint32_t step = n > 4096 ? n / 4096 : 1; /* samples of a huge one */

	for (uint32_t i = 0; i < n; i += step) {
		struct pymalloc_arena a = { .index = i };
		bool sane = false;

		/* One that is being changed makes sense at the next look. */
		for (unsigned int tries = 0; !sane && tries < TRIES; tries++) {
			int r = cpython_peek(t, v + 48ull * i, &a.o, sizeof(a.o));

			if (r < 0 && r != -ENXIO)
				return false;
			sane = r < 0 || !a.o.address || pymalloc_arena_sane(py, &a);
		}
		if (!sane)
			return false;
		if (!a.o.address && a.o.nextarena &&
		    (a.o.nextarena < v || a.o.nextarena - v >= bytes || (a.o.nextarena - v) % 48))
			return false;
	}
	return true;
}

/* Where the two variables seem to be, and how much speaks for it. */
struct roots_pair {
	uint64_t vector;
	size_t arenas, max; /* offsets in the data */
	bool usual; /* maxarenas is where all known builds have it */
};

static size_t pair_distance(const struct roots_pair *p)
{
	return p->max < p->arenas ? p->arenas - p->max : p->max - p->arenas;
}

static bool max_fits(struct target *t, const struct cpython *py, const struct cpython_data *d, const struct table *tab,
		     uint64_t v, size_t at)
{
	const uint32_t n = cpython_data_u32(d, at);

	if (!maxarenas_possible(n))
		return false;
	for (size_t i = 0; i < tab->nsamples; i++)
		if (tab->indexes[i] >= n)
			return false;
	return vector_has(t, py, v, n);
}

/*
 * The length of the vector that the word at @p->arenas leads to: 8 bytes before
 * "arenas" where the linker kept the source's order (3.8-3.11), 16 before it in
 * Debian's builds with link-time optimization (3.9, 3.11). Else the largest
 * number nearby that can be one.
 */
static bool pair_complete(struct target *t, const struct cpython *py, const struct cpython_data *d,
			  const struct table *tab, struct roots_pair *p)
{
	static const size_t usual[] = { 8, 16 };
	const size_t from = p->arenas > MAXARENAS_NEAR ? p->arenas - MAXARENAS_NEAR : 0;
	const size_t to = MIN(p->arenas + MAXARENAS_NEAR, d->len - 4);
	uint32_t most = 0;

	for (size_t i = 0; i < ARRAY_SIZE(usual); i++) {
		p->max = p->arenas - usual[i];
		p->usual = p->arenas >= usual[i] && max_fits(t, py, d, tab, p->vector, p->max);
		if (p->usual)
			return true;
	}
	for (size_t at = from; at <= to; at += 4) {
		const uint32_t n = cpython_data_u32(d, at);

		if (n <= most || !max_fits(t, py, d, tab, p->vector, at))
			continue;
		most = n;
		p->max = at;
	}
	return most != 0;
}

/*
 * usable_arenas, unused_arena_objects and entries of nfp2lasta lead to the
 * vector's beginning as well while its first object is the one that they are
 * about. None of them has maxarenas where "arenas" has it, but for
 * unused_arena_objects in Debian's builds: 8 bytes behind, "arenas" follows.
 */
static bool pair_better(const struct roots_pair *p, const struct roots_pair *than)
{
	if (p->usual != than->usual)
		return p->usual;
	if (p->usual || pair_distance(p) == pair_distance(than))
		return p->arenas > than->arenas;
	return pair_distance(p) < pair_distance(than);
}

/* 3.8-3.11: the pointer to the one vector that owns the sampled pools, with its length nearby. */
static int vector_find(struct target *t, struct cpython *py, const struct cpython_data *d, const struct table *tab)
{
	struct roots_pair best = { .vector = 0 };

	for (size_t at = 0; at + 8 <= d->len; at += 8) {
		struct roots_pair p = { .vector = cpython_data_u64(d, at), .arenas = at };
		const uint64_t v = p.vector;

		if (!v || v % 16 || v >> 47 || (v >= d->lo && v - d->lo < d->len) || !vector_fits(t, py, tab, v) ||
		    !pair_complete(t, py, d, tab, &p))
			continue;
		if (best.vector && best.vector != v)
			return -EEXIST;
		if (!best.vector || pair_better(&p, &best))
			best = p;
	}
	if (!best.vector)
		return -ENOENT;
	py->arenas_at = d->lo + best.arenas;
	py->maxarenas_at = d->lo + best.max;
	return 0;
}

/* Builds with 2 MiB arenas (3.15, PYMALLOC_USE_HUGEPAGES) show it by arenas with more pools than fit into one. */
static void roots_arena_size(struct target *t, struct cpython *py, const struct table *tab)
{
	uint64_t v;

	if (py->pool_size != 16384 || cpython_peek(t, py->arenas_at, &v, sizeof(v)) < 0)
		return;
	for (size_t i = 0; i < tab->nsamples; i++) {
		struct pymalloc_arena_object o;

		if (tab->indexes[i] < PYMALLOC_ARENAS_MAX &&
		    cpython_peek(t, v + 48ull * tab->indexes[i], &o, sizeof(o)) == 0 && o.ntotalpools > 64 &&
		    o.ntotalpools <= PYMALLOC_POOLS_MAX)
			py->arena_size = 2ull << 20;
	}
}

static int roots_of_state(struct target *t, struct cpython *py, const struct table *tab)
{
	uint64_t v = 0;
	uint32_t n = 0;
	int r;

	py->arenas_at = tab->address + STATE_ARENAS;
	py->maxarenas_at = tab->address + STATE_MAXARENAS;
	py->usable_arenas_at = tab->address + STATE_USABLE;
	py->nfp2lasta_at = tab->address + STATE_NFP2LASTA;
	roots_arena_size(t, py, tab);
	r = cpython_peek(t, py->arenas_at, &v, sizeof(v));
	if (r == 0)
		r = cpython_peek(t, py->maxarenas_at, &n, sizeof(n));
	if (r < 0)
		return r;
	return maxarenas_possible(n) && vector_fits(t, py, tab, v) ? 0 : -ENOENT;
}

static int roots_try(struct target *t, struct cpython *py, bool *ret_swapped)
{
	_cleanup_(cpython_data_done) struct cpython_data d = { 0 };
	const bool state = CPYTHON_MINOR(py->version) >= 0x030c;
	struct table tab;
	int r = cpython_data_read(t, py->module, &d);

	if (r < 0)
		return r;
	*ret_swapped = d.swapped != 0;
	r = table_find(t, &d, &tab);
	if (r < 0)
		return r;
	/* obmalloc.h: 16 KiB pools in 1 MiB arenas since 3.10, unless built without WITH_PYMALLOC_RADIX_TREE. */
	py->pool_size = CPYTHON_MINOR(py->version) >= 0x030a && !tab.small_pools ? 16384 : 4096;
	py->arena_size = py->pool_size * 64;
	r = state ? roots_of_state(t, py, &tab) : vector_find(t, py, &d, &tab);
	if (r == 0)
		py->usedpools = tab.address;
	return r;
}

void cpython_roots_find(struct target *t, struct cpython *py)
{
	bool swapped = false;
	int r = -ENOTSUP;

	if (py->free_threaded) {
		text_format(py->pymalloc_why, sizeof(py->pymalloc_why),
			    "it is a free-threaded build, which uses mimalloc");
		return;
	}
	for (unsigned int i = 0; i < TRIES; i++) {
		r = roots_try(t, py, &swapped);
		if (r != -ENOENT)
			break;
	}
	if (r == 0)
		return;
	py->usedpools = py->arenas_at = py->maxarenas_at = py->usable_arenas_at = py->nfp2lasta_at = 0;
	if (r == -ENODATA)
		text_format(py->pymalloc_why, sizeof(py->pymalloc_why),
			    "Python's own allocator is not in use (PYTHONMALLOC)");
	else if (swapped)
		text_format(py->pymalloc_why, sizeof(py->pymalloc_why), "its interpreter's data is swapped out");
	else
		text_format(py->pymalloc_why, sizeof(py->pymalloc_why),
			    "the roots of Python's allocator can't be told");
}
