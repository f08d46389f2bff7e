// SPDX-License-Identifier: GPL-2.0-or-later
/* Whose memory is where: allocators keep no list of it that could be sent as it is. */
#include <errno.h>
#include <stdlib.h>

#include "inspect/window.h"
#include "worker/explain.h"

#define RANGES_COLLECTED_MAX 65536
#define HEAPS_MAX 65536
#define MMAPPED_MAX 65536 /* blocks: mp_.n_mmaps_max is 65536 unless it was raised */
#define PAGES_BATCH 4096

/* malloc_chunk of a block with its own mapping: prev_size 0, size with IS_MMAPPED alone; the same in 2.31-2.44 */
#define CHUNK_MMAPPED 2ull
#define CHUNK_FLAGS 7ull
/* From 2.43 on size leaves out the 16 bytes of the header: map_len = prev_size + size + 16. */
#define CHUNK_HEADER 16ull

void explain_ranges_done(struct explain_ranges *rs)
{
	free(rs->v);
	*rs = (struct explain_ranges){ 0 };
}

void explain_ranges_add(struct explain_ranges *rs, uint64_t lo, uint64_t hi, enum explain_owner owner)
{
	if (lo >= hi || hi > UINT64_MAX - REMOTE_PAGE || rs->n >= RANGES_COLLECTED_MAX)
		return;
	lo -= lo % REMOTE_PAGE;
	hi = (hi + REMOTE_PAGE - 1) / REMOTE_PAGE * REMOTE_PAGE;
	if (rs->n && rs->v[rs->n - 1].owner == owner && rs->v[rs->n - 1].hi == lo) {
		rs->v[rs->n - 1].hi = hi;
		return;
	}
	if (rs->n == rs->room) {
		const size_t room = MAX(2 * rs->room, (size_t)64);
		void *v = reallocarray(rs->v, room, sizeof(*rs->v));

		if (!v)
			return;
		rs->v = v;
		rs->room = room;
	}
	rs->v[rs->n++] = (struct explain_range){ .lo = lo, .hi = hi, .owner = owner };
}

static bool is_memory(const struct map *m)
{
	return m->kind == MAP_KIND_ANON && (m->flags & MAP_F_WRITE) && !(m->flags & MAP_F_SHARED);
}

/* Words are read only where a page is: nothing is brought in from swap, nothing gets a page that had none. */
static bool read_words(struct window *w, uint64_t addr, uint64_t ret[2])
{
	return window_u64(w, addr, &ret[0]) == 0 && window_u64(w, addr + 8, &ret[1]) == 0;
}

static bool is_arena(const struct explain_arena *arenas, size_t n, uint64_t address)
{
	for (size_t i = 0; i < n; i++)
		if (arenas[i].address == address)
			return true;
	return false;
}

/* Heaps are aligned to their largest size and begin with the address of their arena (heap_info.ar_ptr). */
static void add_heaps(struct window *w, const struct map *m, const struct explain_arena *arenas, size_t n,
		      uint64_t heap_max, struct explain_ranges *rs)
{
	uint64_t heap = m->start % heap_max ? m->start - m->start % heap_max + heap_max : m->start;

	for (unsigned int i = 0; heap >= m->start && heap < m->end && i < HEAPS_MAX; i++, heap += heap_max) {
		uint64_t words[2];

		if (read_words(w, heap, words) && words[0] && is_arena(arenas, n, words[0]))
			explain_ranges_add(rs, heap, MIN(m->end, heap + heap_max), EXPLAIN_OWNER_GLIBC_HEAP);
	}
}

/*
 * Neighbouring mappings merge: several blocks may stand one after another in
 * what the kernel calls one, from @at on.
 */
static void add_mmapped(struct window *w, const struct map *m, uint64_t at, uint64_t *left, struct explain_ranges *rs)
{
	for (unsigned int i = 0; at < m->end && i < MMAPPED_MAX; i++) {
		uint64_t words[2], len;

		if (!read_words(w, at, words) || words[0] || (words[1] & CHUNK_FLAGS) != CHUNK_MMAPPED)
			return;
		len = words[1] & ~CHUNK_FLAGS;
		if (len % REMOTE_PAGE == REMOTE_PAGE - CHUNK_HEADER)
			len += CHUNK_HEADER;
		if (!len || len % REMOTE_PAGE || len > m->end - at || len > *left)
			return;
		explain_ranges_add(rs, at, at + len, EXPLAIN_OWNER_GLIBC_MMAP);
		*left -= len;
		at += len;
	}
}

static int by_address(const void *a, const void *b)
{
	const struct explain_range *ra = a, *rb = b;

	return ra->lo < rb->lo ? -1 : ra->lo > rb->lo;
}

/* Sorted; what overlaps an earlier one gives way. */
static void put_in_order(struct explain_ranges *rs)
{
	size_t n = 0;

	if (rs->n)
		qsort(rs->v, rs->n, sizeof(*rs->v), by_address);
	for (size_t i = 0; i < rs->n; i++) {
		struct explain_range r = rs->v[i];
		struct explain_range *last = n ? &rs->v[n - 1] : NULL;

		if (last && r.lo < last->hi)
			r.lo = last->hi;
		if (r.lo >= r.hi)
			continue;
		if (last && last->owner == r.owner && last->hi == r.lo)
			last->hi = r.hi;
		else
			rs->v[n++] = r;
	}
	rs->n = MIN(n, (size_t)EXPLAIN_RANGES_MAX);
}

void explain_ranges_glibc(struct target *t, const struct explain_arena *arenas, size_t n, uint64_t heap_max,
			  uint64_t mmapped, struct explain_ranges *rs)
{
	struct window *w = malloc(sizeof(*w));
	size_t nothers, at = 0;

	if (!w)
		return;
	window_init(w, &t->mem);
	put_in_order(rs);
	nothers = rs->n;
	for (size_t i = 0; i < t->maps.n; i++) {
		const struct map *m = &t->maps.v[i];
		const size_t before = rs->n;

		if (m->kind == MAP_KIND_HEAP) {
			explain_ranges_add(rs, m->start, m->end, EXPLAIN_OWNER_GLIBC_HEAP);
			continue;
		}
		if (!is_memory(m))
			continue;
		if (n > 1 && heap_max >= REMOTE_PAGE)
			add_heaps(w, m, arenas, n, heap_max, rs);
		if (rs->n != before || !mmapped)
			continue;
		add_mmapped(w, m, m->start, &mmapped, rs);
		/* And behind what others have in the same mapping. */
		while (at < nothers && rs->v[at].hi <= m->start)
			at++;
		for (; at < nothers && rs->v[at].hi < m->end; at++)
			add_mmapped(w, m, rs->v[at].hi, &mmapped, rs);
	}
	free(w);
}

static uint64_t count_resident(struct target *t, uint64_t lo, uint64_t hi)
{
	uint8_t flags[PAGES_BATCH];
	uint64_t total = 0;

	while (lo < hi) {
		const size_t n = MIN((hi - lo + REMOTE_PAGE - 1) / REMOTE_PAGE, (uint64_t)PAGES_BATCH);

		if (remote_pages(&t->mem, lo, n, flags) < 0)
			return EXPLAIN_UNKNOWN;
		for (size_t i = 0; i < n; i++)
			total += flags[i] & REMOTE_PRESENT ? REMOTE_PAGE : 0;
		lo += n * REMOTE_PAGE;
	}
	return total;
}

void explain_ranges_finish(struct target *t, struct explain_ranges *rs)
{
	put_in_order(rs);
	for (size_t i = 0; i < rs->n; i++) {
		struct explain_range *r = &rs->v[i];
		const struct map *m = maps_find(&t->maps, r->lo);

		/* Of a whole mapping the kernel's own count is as good, and has been made already. */
		r->resident = m && m->start == r->lo && m->end == r->hi ? EXPLAIN_UNKNOWN :
									  count_resident(t, r->lo, r->hi);
	}
}
