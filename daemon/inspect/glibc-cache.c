// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/glibc-cache.h"

#include <errno.h>
#include <string.h>

#define CACHE_STEPS_MAX (64u << 20)
#define LIST_TRIES 3
#define TCACHE_SMALL_BINS 64 /* of one size each; the others (2.42+) by powers of two */
#define TLS_MAX 65536
#define PTHREAD_MAX 4096 /* sizeof(struct pthread) is 2304 in 2.31, 2.36 to 2.43 below 2600 */

void glibc_cache_done(struct glibc_cache *cache)
{
	glibc_marks_done(&cache->fast);
	glibc_marks_done(&cache->thread);
}

const struct glibc_heap *glibc_heap_find(const struct glibc_heap *heaps, size_t n, uint64_t addr)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (heaps[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && addr >= heaps[lo].first ? &heaps[lo] : NULL;
}

/* PROTECT_PTR of malloc.c, 2.32+ */
static uint64_t link_of(const struct glibc *g, uint64_t at, uint64_t stored)
{
	return g->layout->safe_linking ? stored ^ at >> 12 : stored;
}

/* One singly linked list of chunks that are all of one size. */
struct list {
	const struct glibc *g;
	struct glibc_pages *pages;
	struct glibc_cache *cache;
	struct glibc_marks *marks;
	uint64_t link; /* offset of the link from the chunk's header; 0 of what the list's pointers point at */
	uint64_t pointee; /* offset of what they point at from the header */
	uint64_t size_lo, size_hi; /* of its chunks */
	uint64_t limit; /* longest possible */
	/* what to do with each */
	void (*count)(void *ctx, uint64_t chunk, uint64_t size_field);
	void *ctx;
};

/* Goes along the list, calling @count when @really. -EBADMSG it isn't one; -ENXIO a link is swapped out. */
static int list_walk(const struct list *l, uint64_t head, bool really)
{
	uint64_t p = head, hare = 0, power = 1, lap = 0;

	for (uint64_t n = 0; p; n++) {
		uint64_t chunk = p - l->pointee, words[2], next;
		int r;

		if (!glibc_is_chunk_addr(chunk) || n >= l->limit)
			return -EBADMSG;
		/* Brent: a loop is noticed after at most three rounds. */
		if (p == hare)
			return -EBADMSG;
		if (lap++ == power) {
			hare = p;
			power *= 2;
			lap = 0;
		}
		if (!l->cache->steps_left) {
			l->cache->full = true;
			return 0;
		}
		l->cache->steps_left--;
		r = glibc_pages_read(l->pages, chunk + 8, words, sizeof(words));
		if (r < 0)
			return r;
		if ((words[0] & ~CHUNK_FLAGS) < l->size_lo || (words[0] & ~CHUNK_FLAGS) > l->size_hi)
			return -EBADMSG;
		next = link_of(l->g, chunk + l->link, words[1]);
		/* Once only, also when an earlier walk along here came to no end. */
		if (really && !glibc_marks_has(l->marks, chunk)) {
			r = glibc_marks_set(l->marks, chunk);
			if (r < 0 && r != -ENOSPC)
				return r;
			l->cache->full |= r == -ENOSPC;
			l->count(l->ctx, chunk, words[0]);
		}
		p = next;
	}
	return 0;
}

/*
 * First to see whether it is sound, then to count: a list changes under our
 * eyes, at its head mostly. @head is read anew for each try.
 */
static int list_read(const struct list *l, uint64_t head_at)
{
	for (int i = 0; i < LIST_TRIES; i++) {
		uint64_t head;
		int r = glibc_pages_read(l->pages, head_at, &head, sizeof(head));

		if (r == 0)
			r = list_walk(l, head, false);
		if (r == 0)
			r = list_walk(l, head, true);
		if (r == 0 || (r != -EBADMSG && r != -ENXIO && r != -EFAULT))
			return r;
		glibc_pages_forget(l->pages);
	}
	l->cache->unread++;
	return 0;
}

static void fast_count(void *ctx, uint64_t chunk, uint64_t size_field)
{
	struct glibc_arena *arena = ctx;

	(void)chunk;
	arena->fastbins += size_field & ~CHUNK_FLAGS;
}

int glibc_cache_fast(struct target *t, const struct glibc *g, const struct glibc_state *s, struct glibc_pages *pages,
		     struct glibc_cache *cache, struct glibc_arena *arena)
{
	struct list l = {
		.g = g,
		.pages = pages,
		.cache = cache,
		.marks = &cache->fast,
		.link = 16,
		.limit = CACHE_STEPS_MAX,
		.count = fast_count,
		.ctx = arena,
	};

	if (g->layout->arena.fastbins == GLIBC_NONE)
		return 0;
	for (unsigned int i = 0; i < GLIBC_FASTBINS; i++) {
		uint64_t at = g->layout->arena.fastbins + i * 8ull, head = glibc_state_u64(s, (uint16_t)at);
		int r = 0;

		l.size_lo = l.size_hi = CHUNK_MIN + 16ull * i;
		for (int try = 0; head && try < LIST_TRIES; try++) {
			r = list_walk(&l, head, false);
			if (r == 0)
				r = list_walk(&l, head, true);
			if (r == 0 || (r != -EBADMSG && r != -ENXIO && r != -EFAULT))
				break;
			glibc_pages_forget(pages);
			r = glibc_read(t, s->addr + at, &head, sizeof(head));
			if (r < 0)
				break;
			r = -EBADMSG;
		}
		if (r == -EBADMSG || r == -ENXIO || r == -EFAULT)
			cache->unread++;
		else if (r < 0)
			return r;
	}
	return 0;
}

/* ---- threads ---- */

struct tcache_count {
	const struct glibc_heap *heaps;
	size_t n_heaps;
	struct glibc_arena *arenas;
};

static void tcache_count(void *ctx, uint64_t chunk, uint64_t size_field)
{
	const struct tcache_count *c = ctx;
	const struct glibc_heap *heap = glibc_heap_find(c->heaps, c->n_heaps, chunk);

	/* A chunk with a mapping of its own may be in there from 2.43 on: no arena's. */
	if (heap && !(size_field & CHUNK_MMAPPED))
		c->arenas[heap->arena].tcaches += size_field & ~CHUNK_FLAGS;
}

/* Does @bytes look like a thread's cache? Its lists are checked link by link later. */
static bool tcache_plausible(const struct glibc *g, const struct glibc_par *par, const unsigned char *bytes)
{
	const struct glibc_layout *l = g->layout;

	for (unsigned int i = 0; i < l->tcache.bins; i++) {
		uint16_t count;
		uint64_t entry;

		memcpy(&count, bytes + i * sizeof(count), sizeof(count));
		memcpy(&entry, bytes + l->tcache.entries + i * sizeof(entry), sizeof(entry));
		/* The count may be behind or ahead by one, when the thread is just at it. */
		if (count > par->tcache_count + 1 || (entry && !glibc_is_chunk_addr(entry)))
			return false;
	}
	return true;
}

static int tcache_read(const struct glibc *g, const struct glibc_par *par, uint64_t tcache, const unsigned char *bytes,
		       struct glibc_pages *pages, struct glibc_cache *cache, struct tcache_count *c)
{
	const struct glibc_layout *l = g->layout;
	struct list list = {
		.g = g,
		.pages = pages,
		.cache = cache,
		.marks = &cache->thread,
		.link = CHUNK_HEADER,
		.pointee = CHUNK_HEADER,
		.limit = par->tcache_count + 1,
		.count = tcache_count,
		.ctx = c,
	};

	for (unsigned int i = 0; i < l->tcache.bins; i++) {
		uint64_t entry;
		int r;

		memcpy(&entry, bytes + l->tcache.entries + i * sizeof(entry), sizeof(entry));
		if (!entry)
			continue;
		list.size_lo = list.size_hi = CHUNK_MIN + 16ull * i;
		if (i >= TCACHE_SMALL_BINS) {
			list.size_lo = CHUNK_MIN + 16ull * TCACHE_SMALL_BINS;
			list.size_hi = GLIBC_ADDR_MAX;
		}
		r = list_read(&list, tcache + l->tcache.entries + i * sizeof(entry));
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * struct pthread begins with its own address, at 0 and at 16 (tcbhead_t: tcb,
 * dtv, self), and holds the head of the robust list further on: at 0x2e0 in
 * 2.31 to 2.43, but we look.
 */
static int thread_pointer(struct target *t, uint64_t robust, uint64_t *ret)
{
	uint64_t words[PTHREAD_MAX / 8];
	uint64_t from = robust - PTHREAD_MAX;
	uint64_t first = page_up(from);

	if (robust % 8 || robust < 2 * PTHREAD_MAX || robust >= GLIBC_ADDR_MAX)
		return -EBADMSG;
	/* What lies a page below may not be mapped, or not be there. */
	if (glibc_read(t, from, words, sizeof(words)) < 0) {
		memset(words, 0, sizeof(words));
		if (first >= robust || glibc_read(t, first, words + (first - from) / 8, robust - first) < 0)
			return -EBADMSG;
	}
	for (size_t i = ARRAY_SIZE(words); i-- > 0;) {
		uint64_t addr = from + i * 8;

		if (words[i] == addr && i + 2 < ARRAY_SIZE(words) && words[i + 2] == addr) {
			*ret = addr;
			return 0;
		}
	}
	return -EBADMSG;
}

/* Is @tcache a thread's cache? 1, and fills @bytes; 0, or why it can't be told. */
static int tcache_at(struct target *t, const struct glibc *g, const struct glibc_par *par, uint64_t tcache,
		     unsigned char *bytes)
{
	const struct glibc_layout *l = g->layout;
	uint64_t size, want = chunk_align(l->tcache.size + 8);
	int r;

	if (!glibc_is_chunk_addr(tcache))
		return 0;
	r = glibc_read(t, tcache - 8, &size, sizeof(size));
	if (r < 0)
		return r;
	size &= ~CHUNK_FLAGS;
	/* 2.43 asks for its size once more than needed; it may also be aligned to a cache line in later ones. */
	if (size < want || size > want + 64)
		return 0;
	r = glibc_read(t, tcache, bytes, l->tcache.size);
	return r < 0 ? r : tcache_plausible(g, par, bytes);
}

/* One thread: 0 when it has been read (or has no cache), -ENOENT when it can't be found. */
static int thread_read(struct target *t, const struct glibc *g, const struct glibc_par *par, uint64_t robust,
		       struct glibc_pages *pages, struct glibc_cache *cache, struct tcache_count *c)
{
	unsigned char bytes[GLIBC_TCACHE_BINS_MAX * 10];
	uint64_t tls[512], tp, size = MIN(g->tls_size, (uint64_t)TLS_MAX);
	int missed = 0;

	_Static_assert(sizeof(bytes) >= 760, "room for the largest struct tcache_perthread_struct");
	if (!robust || thread_pointer(t, robust, &tp) < 0)
		return -ENOENT;
	for (uint64_t at = 0; at < size; at += sizeof(tls)) {
		uint64_t len = MIN(sizeof(tls), size - at) & ~7ull;

		if (!len || glibc_read(t, tp + (uint64_t)g->tls_offset + at, tls, len) < 0)
			return -ENOENT;
		for (size_t i = 0; i < len / 8; i++) {
			int is = tls[i] ? tcache_at(t, g, par, tls[i], bytes) : 0;

			if (is > 0)
				return tcache_read(g, par, tls[i], bytes, pages, cache, c);
			/* Most words are no pointers; one into a heap that can't be read may have been the one. */
			if (is < 0 && glibc_heap_find(c->heaps, c->n_heaps, tls[i]))
				missed = -ENOENT;
		}
	}
	return missed;
}

int glibc_cache_threads(struct target *t, const struct glibc *g, const struct glibc_par *par,
			const struct glibc_heap *heaps, size_t n_heaps, struct glibc_pages *pages,
			struct glibc_cache *cache, struct glibc_arena *arenas)
{
	struct tcache_count c = { .heaps = heaps, .n_heaps = n_heaps, .arenas = arenas };

	cache->threads = t->n_threads;
	for (size_t i = 0; g->has_tls && i < t->n_threads; i++) {
		int r = thread_read(t, g, par, t->threads[i].robust, pages, cache, &c);

		if (r == 0)
			cache->threads_read++;
		else if (r != -ENOENT)
			return r;
	}
	return 0;
}
