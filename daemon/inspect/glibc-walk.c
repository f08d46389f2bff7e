// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/glibc-walk.h"

#include <errno.h>
#include <string.h>

#define VIEW_PAGES (WINDOW_PAGES - 1)
#define WALK_TRIES 3
#define DENSE 4 /* pages: of a larger chunk only those with headers are fetched */
#define PROOF_CHUNKS 24 /* in a row, before an address is taken for a chunk's */
#define PROBES_MAX 65536 /* at one break */

/* prev_size and size of a chunk */
struct header {
	uint64_t foot, size;
};

struct walk {
	struct glibc_walk *env;
	const struct glibc_heap *heap;
	const struct glibc_walk_visitor *v;
	uint64_t at, top;
	size_t pages; /* of a view: more of them where chunks are small */
};

enum step {
	STEP_ON, /* walk.at has moved */
	STEP_END, /* the top chunk, or the end of the heap */
	STEP_FENCE, /* somebody else's memory follows in the main heap */
	STEP_BROKEN, /* no chunk here, or not any more */
	STEP_UNREADABLE, /* swapped out, or not private memory */
};

static uint64_t size_of(const struct header *h)
{
	return h->size & ~CHUNK_FLAGS;
}

/* A header that may stand at @at: size and flags as this heap's chunks have them. */
static bool header_fits(const struct walk *k, uint64_t at, const struct header *h)
{
	uint64_t size = size_of(h);

	return size >= CHUNK_MIN && size % 16 == 0 && size <= k->heap->end - at &&
	       !(h->size & (CHUNK_MMAPPED | (k->heap->is_main ? CHUNK_NON_MAIN : 0)));
}

/* The top chunk, where it wasn't a moment ago: nothing else ends where the heap does. */
static bool ends_in_top(const struct walk *k, uint64_t at, const struct header *h)
{
	return k->heap->last && !k->heap->scattered && size_of(h) == k->heap->end - at;
}

/*
 * Two neighbours: a free one says its size again at its end, and isn't beside
 * another free one; a used one says whether it is of the main arena (free ones
 * may have lost that bit).
 */
static bool header_follows(const struct walk *k, const struct header *h, const struct header *next)
{
	if (next->size & CHUNK_PREV_INUSE)
		return k->heap->is_main || (h->size & CHUNK_NON_MAIN);
	return next->foot == size_of(h) && (h->size & CHUNK_PREV_INUSE);
}

static void header_load(const void *p, struct header *ret)
{
	memcpy(ret, p, sizeof(*ret));
}

/* What a header that doesn't fit may be when nothing is wrong. */
static enum step walk_stop(const struct walk *k, uint64_t at, const struct header *h)
{
	/*
	 * sysmalloc() ends a thread arena's heap with a chunk of 16 and one of 0 bytes,
	 * and the part of the main heap before somebody else's sbrk() with two of 16.
	 */
	if (!k->heap->last && size_of(h) <= CHUNK_FENCE && k->heap->end - at <= 3 * CHUNK_FENCE)
		return STEP_END;
	if (k->heap->is_main && size_of(h) == CHUNK_FENCE)
		return STEP_FENCE;
	return STEP_BROKEN;
}

/* @len bytes at @addr as STEP_ON; *ret_r: an error that ends the walk. */
static enum step walk_fetch(struct window *w, uint64_t addr, size_t len, const void **ret, int *ret_r)
{
	int r = window_at(w, addr, len, ret);

	if (r == -ENXIO || r == -EFAULT)
		return STEP_UNREADABLE;
	*ret_r = r;
	return r < 0 ? STEP_END : STEP_ON;
}

/* As much as can be had at once from @at on: *ret_len bytes of it. */
static enum step walk_view(struct walk *k, const unsigned char **ret, size_t *ret_len, int *ret_r)
{
	uint64_t left = page_up(k->heap->end) - k->at;
	size_t len = (size_t)MIN(left, (uint64_t)k->pages * REMOTE_PAGE - k->at % REMOTE_PAGE);
	const void *p = NULL;
	enum step step = STEP_UNREADABLE;

	if (k->pages > 1)
		step = walk_fetch(k->env->w, k->at, len, &p, ret_r);
	if (step == STEP_UNREADABLE) {
		len = MIN(len, (size_t)(REMOTE_PAGE - k->at % REMOTE_PAGE));
		step = walk_fetch(k->env->w, k->at, len, &p, ret_r);
	}
	*ret = p;
	*ret_len = len;
	return step;
}

/* How many bytes of the view are chunks whose next header is in it as well? Checks them all. */
static enum step view_check(const struct walk *k, const unsigned char *p, size_t len, size_t *ret)
{
	size_t off = 0;
	struct header h, next;
	enum step step = STEP_ON;

	header_load(p, &h);
	for (;;) {
		if (k->at + off == k->top) {
			step = STEP_END;
			break;
		}
		if (!header_fits(k, k->at + off, &h)) {
			step = walk_stop(k, k->at + off, &h);
			break;
		}
		if (ends_in_top(k, k->at + off, &h)) {
			step = STEP_END;
			break;
		}
		if (size_of(&h) > len - off || len - off - size_of(&h) < sizeof(next))
			break;
		header_load(p + off + size_of(&h), &next);
		if (!header_follows(k, &h, &next)) {
			step = STEP_BROKEN;
			break;
		}
		off += size_of(&h);
		h = next;
	}
	*ret = off;
	return step;
}

/* Hands out the chunks of the view's first @len bytes, which have been checked. */
static int view_visit(const struct walk *k, const unsigned char *p, size_t len)
{
	struct header h, next;

	header_load(p, &h);
	for (size_t off = 0; off < len; off += size_of(&h), h = next) {
		int r;

		header_load(p + off + size_of(&h), &next);
		r = k->v->chunk(k->v->ctx, k->at + off, size_of(&h), !(next.size & CHUNK_PREV_INUSE));
		if (r != 0)
			return r;
		if (off + size_of(&h) >= len)
			break;
	}
	return 0;
}

/* A chunk whose next header is out of view. */
static enum step walk_big(struct walk *k, const struct header *h, int *ret_r)
{
	struct header next;
	const void *p;
	enum step step = walk_fetch(k->env->w, k->at + size_of(h), sizeof(next), &p, ret_r);

	if (step != STEP_ON)
		return step;
	header_load(p, &next);
	if (!header_follows(k, h, &next))
		return STEP_BROKEN;
	*ret_r = k->v->chunk(k->v->ctx, k->at, size_of(h), !(next.size & CHUNK_PREV_INUSE));
	if (*ret_r != 0)
		return STEP_END;
	k->at += size_of(h);
	return STEP_ON;
}

/* What lies between headers is read in vain: a view grows while most of it is chunks that end in it. */
static void walk_widen(struct walk *k, bool dense)
{
	k->pages = dense ? MIN(k->pages * 2, (size_t)VIEW_PAGES) : 1;
}

/* From walk.at on as far as one view goes. */
static enum step walk_step(struct walk *k, int *ret_r)
{
	const unsigned char *p;
	size_t len, done;
	enum step step = walk_view(k, &p, &len, ret_r);
	struct header h;

	if (step != STEP_ON)
		return step;
	header_load(p, &h);
	step = view_check(k, p, len, &done);
	if (step == STEP_BROKEN)
		return step;
	if (done) {
		*ret_r = view_visit(k, p, done);
		k->at += done;
		walk_widen(k, done >= len / 2);
		return *ret_r != 0 ? STEP_END : step;
	}
	if (step != STEP_ON)
		return step;
	walk_widen(k, size_of(&h) < DENSE * REMOTE_PAGE);
	return walk_big(k, &h, ret_r);
}

/* Does a chain of chunks begin at @addr? */
static bool walk_proves(struct walk *k, uint64_t addr, int *ret_r)
{
	uint64_t at = addr;
	struct header h, next;
	const void *p;

	if (walk_fetch(k->env->probe, at, sizeof(h), &p, ret_r) != STEP_ON)
		return false;
	header_load(p, &h);
	for (unsigned int n = 0; n < PROOF_CHUNKS; n++) {
		if (at == k->top && k->top)
			return n > 0;
		if (!header_fits(k, at, &h))
			return n > 1 && walk_stop(k, at, &h) == STEP_END;
		if (ends_in_top(k, at, &h))
			return n > 0;
		if (walk_fetch(k->env->probe, at + size_of(&h), sizeof(h), &p, ret_r) != STEP_ON)
			return false;
		header_load(p, &next);
		if (!header_follows(k, &h, &next))
			return false;
		at += size_of(&h);
		h = next;
	}
	return true;
}

/* Goes on to the next place from which a chain can be followed; to the top, or the end, if there is none. */
static int walk_resume(struct walk *k, bool foreign)
{
	const uint64_t from = k->at, limit = k->top > from ? k->top : k->heap->end;
	unsigned int probes = 0;
	int r = 0;

	window_forget(k->env->w);
	window_forget(k->env->probe);
	for (k->at += 16; k->at < limit && probes < PROBES_MAX; k->at += 16) {
		struct header h;
		const void *p;
		enum step step = walk_fetch(k->env->w, k->at, sizeof(h), &p, &r);

		if (r < 0)
			return r;
		if (step != STEP_ON) {
			k->at = page_down(k->at) + REMOTE_PAGE - 16;
			continue;
		}
		header_load(p, &h);
		if (!header_fits(k, k->at, &h))
			continue;
		probes++;
		if (walk_proves(k, k->at, &r))
			break;
		if (r < 0)
			return r;
	}
	if (k->at > limit || probes == PROBES_MAX)
		k->at = limit;
	return k->v->gap(k->v->ctx, from, k->at, foreign || k->heap->scattered);
}

/* Older parts of a scattered heap lie behind the top chunk. */
static int walk_skip_top(struct walk *k)
{
	struct header h = { 0 };
	const void *p;
	int r = 0;

	if (walk_fetch(k->env->w, k->at, sizeof(h), &p, &r) == STEP_ON)
		header_load(p, &h);
	k->at = size_of(&h) >= CHUNK_HEADER && size_of(&h) <= k->heap->end - k->at ? k->at + size_of(&h) : k->heap->end;
	k->top = 0;
	return r;
}

int glibc_walk_heap(struct glibc_walk *walk, const struct glibc_heap *heap, uint64_t from, uint64_t top,
		    const struct glibc_walk_visitor *v)
{
	struct walk k = { .env = walk, .heap = heap, .v = v, .at = from, .top = top, .pages = 1 };
	unsigned int tries = 0;
	uint64_t tried = 0;

	while (k.at < heap->end) {
		int r = 0;
		enum step step = walk_step(&k, &r);

		if (r != 0)
			return r;
		switch (step) {
		case STEP_ON:
			continue;
		case STEP_END:
			if (!heap->scattered || k.at != k.top)
				return 0;
			r = walk_skip_top(&k);
			break;
		case STEP_FENCE:
			r = walk_resume(&k, true);
			break;
		case STEP_UNREADABLE:
			r = walk_resume(&k, false);
			break;
		case STEP_BROKEN:
			tries = tried == k.at ? tries + 1 : 1;
			tried = k.at;
			/* First smaller bites, then a fresh look, then what follows. */
			k.pages = 1;
			if (tries <= WALK_TRIES)
				window_forget(walk->w);
			else
				r = walk_resume(&k, false);
			break;
		}
		if (r != 0)
			return r;
	}
	return 0;
}
