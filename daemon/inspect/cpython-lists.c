// SPDX-License-Identifier: GPL-2.0-or-later
/* usable_arenas and nfp2lasta before 3.12: two variables without a name, known by what must be in them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/cpython-data.h"
#include "inspect/pymalloc.h"

#define NFP2LASTA_MAX (PYMALLOC_POOLS_MAX + 1)
#define TRIES 5

/*
 * nfp2lasta[n] is the last arena with n free pools in the list that
 * usable_arenas begins, which is sorted by them (Objects/obmalloc.c, 3.8-3.11).
 */
struct lists {
	struct target *t;
	const struct cpython *py;
	uint64_t vector;
	uint32_t max;
	uint64_t head;
	uint64_t last[NFP2LASTA_MAX];
	size_t n; /* entries of nfp2lasta */
};

static bool lists_member(const struct lists *l, uint64_t object)
{
	return object >= l->vector && object - l->vector < 48ull * l->max && (object - l->vector) % 48 == 0;
}

/* The one usable arena without a predecessor. Those that aren't in the list have stale links, but no free pool. */
static int lists_head(struct lists *l)
{
	unsigned int found = 0;

	for (uint32_t i = 0; i < l->max; i++) {
		struct pymalloc_arena_object o;
		int r = cpython_peek(l->t, l->vector + 48ull * i, &o, sizeof(o));

		if (r < 0)
			return r;
		if (!o.address || !o.nfreepools || o.prevarena)
			continue;
		l->head = l->vector + 48ull * i;
		found++;
	}
	return found == 1 ? 0 : -EAGAIN;
}

static int lists_walk(struct lists *l)
{
	uint64_t at = l->head, before = 0;
	uint32_t nfree = 1;

	memset(l->last, 0, sizeof(l->last));
	for (uint32_t i = 0; at; i++) {
		struct pymalloc_arena_object o;
		int r;

		if (i >= l->max || !lists_member(l, at))
			return -EAGAIN;
		r = cpython_peek(l->t, at, &o, sizeof(o));
		if (r < 0)
			return r;
		if (!o.address || o.prevarena != before || o.nfreepools < nfree || o.nfreepools >= l->n)
			return -EAGAIN;
		nfree = o.nfreepools;
		l->last[nfree] = at;
		before = at;
		at = o.nextarena;
	}
	return 0;
}

/* Both must be in the data exactly once, or nothing is known. */
static int lists_search(const struct lists *l, uint64_t *ret_usable, uint64_t *ret_last)
{
	_cleanup_(cpython_data_done) struct cpython_data d = { 0 };
	const size_t bytes = l->n * sizeof(uint64_t);
	uint64_t usable = 0, last = 0;
	unsigned int nusable = 0, nlast = 0;
	int r = cpython_data_read(l->t, l->py->module, &d);

	if (r < 0)
		return r;
	for (size_t at = 0; at + bytes <= d.len; at += 8) {
		if (memcmp(d.bytes + at, l->last, bytes))
			continue;
		last = d.lo + at;
		nlast++;
	}
	if (nlast != 1)
		return nlast ? -EBADMSG : -EAGAIN;
	for (size_t at = 0; at + 8 <= d.len; at += 8) {
		const uint64_t addr = d.lo + at;

		/* The vector's own pointer equals the head when that is its first arena. */
		if (cpython_data_u64(&d, at) != l->head || (addr >= last && addr - last < bytes) ||
		    addr == l->py->arenas_at)
			continue;
		usable = addr;
		nusable++;
	}
	/* unused_arena_objects may never equal it: it leads to slots without an arena. */
	if (nusable != 1)
		return nusable ? -EBADMSG : -EAGAIN;
	*ret_usable = usable;
	*ret_last = last;
	return 0;
}

int cpython_locate_lists(struct target *t, struct cpython *py)
{
	_cleanup_free_ struct lists *l = NULL;
	int r = -EAGAIN;

	if (!py->usedpools)
		return -EBADMSG;
	if (py->usable_arenas_at && py->nfp2lasta_at)
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct lists){ .t = t, .py = py, .n = py->arena_size / py->pool_size + 1 };
	for (unsigned int i = 0; r == -EAGAIN && i < TRIES; i++) {
		r = pymalloc_vector(t, py, &l->vector, &l->max);
		if (r == 0)
			r = lists_head(l);
		if (r == 0)
			r = lists_walk(l);
		if (r == 0)
			r = lists_search(l, &py->usable_arenas_at, &py->nfp2lasta_at);
	}
	return r;
}
