// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pypurge-vector.h"

#include <errno.h>
#include <string.h>

#define ENTRY sizeof(struct pymalloc_arena_object)
#define ENTRY_WORDS (ENTRY / sizeof(uint64_t))

/* Writes and bytes that one changed arena may need at most: itself, and the two neighbours that it leaves and finds. */
#define HELD_WRITES 5
#define HELD_VALUES 104
/* Once: list head and table. */
#define HELD_LISTS_WRITES 2
#define HELD_LISTS_VALUES (8 + (PYMALLOC_POOLS_MAX + 1) * 8)

_Static_assert(offsetof(struct pymalloc_arena_object, pool_address) == 8 &&
		       offsetof(struct pymalloc_arena_object, freepools) == 24,
	       "words 1 to 3 are an arena's own fields, 4 and 5 its place in the list");

void pypurge_vector_free(struct pypurge_vector *v)
{
	free(v->now);
	free(v->then);
	free(v->order);
	free(v->sorted);
	free(v->dirty);
	*v = (struct pypurge_vector){ 0 };
}

static int vector_room(struct pypurge_vector *v, uint32_t n)
{
	struct pypurge_vector grown = { 0 };

	if (n <= v->room)
		return 0;
	grown.now = calloc(n, ENTRY);
	grown.then = calloc(n, ENTRY);
	grown.order = calloc(n, sizeof(*grown.order));
	grown.sorted = calloc(n, sizeof(*grown.sorted));
	grown.dirty = calloc(n, sizeof(*grown.dirty));
	if (!grown.now || !grown.then || !grown.order || !grown.sorted || !grown.dirty) {
		pypurge_vector_free(&grown);
		return -ENOMEM;
	}
	grown.room = n;
	pypurge_vector_free(v);
	*v = grown;
	return 0;
}

static uint64_t vector_addr(const struct pypurge_vector *v, uint32_t index)
{
	return v->at + (uint64_t)index * ENTRY;
}

uint32_t pypurge_vector_retired(const struct cpython *py, const struct pymalloc_arena_object *o)
{
	const uint64_t base = (o->address + py->pool_size - 1) & ~(py->pool_size - 1);
	const uint64_t slots = (py->arena_size - (base - o->address)) / py->pool_size;

	return o->ntotalpools < slots ? (uint32_t)slots - o->ntotalpools : 0;
}

int pypurge_vector_read(const struct cpython *py, struct remote *mem, bool whole, struct pypurge_vector *v)
{
	uint64_t at;
	uint32_t n = 0;
	int r = remote_read(mem, py->arenas_at, &at, sizeof(at));

	if (r == 0)
		r = remote_read(mem, py->maxarenas_at, &n, sizeof(n));
	if (r < 0)
		return r;
	if (!at || !n)
		return -ENOENT;
	if (at % sizeof(at) || at > UINT64_MAX - (uint64_t)n * ENTRY)
		return -EBADMSG;
	if (n > PYPURGE_VECTOR_MAX)
		return -E2BIG;
	r = vector_room(v, n);
	if (r == 0 && whole)
		r = remote_read(mem, at, v->now, n * ENTRY);
	if (r < 0)
		return r;
	v->at = at;
	v->n = n;
	v->n_dirty = v->n_order = 0;
	v->free_pools = v->retired_pools = 0;
	for (uint32_t i = 0; whole && i < n; i++) {
		v->then[i] = v->now[i];
		if (!v->now[i].address)
			continue;
		v->free_pools += v->now[i].nfreepools;
		v->retired_pools += pypurge_vector_retired(py, &v->now[i]);
	}
	return 0;
}

int pypurge_vector_entry(struct pypurge_vector *v, struct remote *mem, uint32_t index)
{
	int r;

	if (index >= v->n)
		return -EBADMSG;
	r = remote_read(mem, vector_addr(v, index), &v->now[index], ENTRY);
	if (r == 0)
		v->then[index] = v->now[index];
	return r;
}

static int vector_walk(struct pypurge_vector *v, uint32_t most)
{
	uint64_t link = v->usable, prev = 0;
	uint32_t nf = 0;

	/* Each names its predecessor: no cycle without a contradiction. Bounded all the same. */
	for (v->n_order = 0; link; v->n_order++) {
		const struct pymalloc_arena_object *o;
		uint64_t offset = link - v->at;

		if (link < v->at || offset % ENTRY || offset / ENTRY >= v->n || v->n_order >= v->n)
			return -EBADMSG;
		o = &v->now[offset / ENTRY];
		if (!o->address || !o->nfreepools || o->nfreepools < nf || o->nfreepools > most || o->prevarena != prev)
			return -EBADMSG;
		v->order[v->n_order] = (uint32_t)(offset / ENTRY);
		nf = o->nfreepools;
		prev = link;
		link = o->nextarena;
	}
	return 0;
}

/* The table as it follows from the list. */
static void vector_table(const struct pypurge_vector *v, const struct pymalloc_arena_object *of, const uint32_t *order,
			 uint32_t n_order, uint64_t *ret)
{
	memset(ret, 0, sizeof(v->lasta));
	for (uint32_t k = 0; k < n_order; k++)
		ret[of[order[k]].nfreepools] = vector_addr(v, order[k]);
}

int pypurge_vector_lists(const struct cpython *py, struct remote *mem, struct pypurge_vector *v)
{
	const uint32_t most = (uint32_t)(py->arena_size / py->pool_size);
	uint64_t table[PYMALLOC_POOLS_MAX + 1];
	uint32_t usable = 0;
	int r;

	if (!py->usable_arenas_at || !py->nfp2lasta_at || most > PYMALLOC_POOLS_MAX || v->n > PYPURGE_VECTOR_DEEP)
		return -EOPNOTSUPP;
	memset(v->lasta, 0, sizeof(v->lasta));
	r = remote_read(mem, py->usable_arenas_at, &v->usable, sizeof(v->usable));
	if (r == 0)
		r = remote_read(mem, py->nfp2lasta_at, v->lasta, (most + 1) * sizeof(v->lasta[0]));
	if (r == 0)
		r = vector_walk(v, most);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < v->n; i++)
		usable += v->now[i].address && v->now[i].nfreepools;
	if (usable != v->n_order)
		return -EBADMSG;
	vector_table(v, v->now, v->order, v->n_order, table);
	return memcmp(table, v->lasta, sizeof(table)) ? -EBADMSG : 0;
}

bool pypurge_vector_set(const struct cpython *py, struct pypurge_vector *v, struct pypurge_lists *l, uint32_t index,
			const struct pymalloc_arena_object *o)
{
	const uint32_t lists = v->n_dirty ? 0 : 1;
	const uint32_t writes = HELD_WRITES + lists * HELD_LISTS_WRITES;
	const uint32_t values = HELD_VALUES + lists * HELD_LISTS_VALUES;

	if ((uint64_t)l->n_writes + l->held_writes + writes > l->max_writes ||
	    (uint64_t)l->n_values + l->held_values + values > l->max_values)
		return false;
	l->held_writes += writes;
	l->held_values += values;
	v->free_pools += (uint64_t)o->nfreepools - v->now[index].nfreepools;
	v->retired_pools += (uint64_t)pypurge_vector_retired(py, o) - pypurge_vector_retired(py, &v->now[index]);
	v->then[index] = *o;
	v->dirty[v->n_dirty++] = index;
	return true;
}

/* Stable, so that arenas whose count stays keep their order and need no write. */
static void vector_sort(struct pypurge_vector *v, uint32_t *ret_n)
{
	uint32_t start[PYMALLOC_POOLS_MAX + 2] = { 0 }, n = v->n_order;

	/* Arenas that come back into the list stand behind the others for now. */
	for (uint32_t k = 0; k < v->n_dirty; k++)
		if (!v->now[v->dirty[k]].nfreepools)
			v->order[n++] = v->dirty[k];
	for (uint32_t k = 0; k < n; k++)
		start[v->then[v->order[k]].nfreepools + 1]++;
	*ret_n = n - start[1];
	start[1] = 0;
	for (uint32_t i = 1; i < ARRAY_SIZE(start); i++)
		start[i] += start[i - 1];
	for (uint32_t k = 0; k < n; k++)
		if (v->then[v->order[k]].nfreepools)
			v->sorted[start[v->then[v->order[k]].nfreepools]++] = v->order[k];
}

static bool words_write(struct pypurge_lists *l, uint64_t addr, const uint64_t *was, const uint64_t *is, size_t n)
{
	size_t lo = 0, hi = n;

	while (lo < hi && was[lo] == is[lo])
		lo++;
	while (hi > lo && was[hi - 1] == is[hi - 1])
		hi--;
	return lo == hi || pypurge_lists_write(l, addr + lo * sizeof(*is), is + lo, (hi - lo) * sizeof(*is));
}

static bool entry_write(const struct pypurge_vector *v, struct pypurge_lists *l, uint32_t index)
{
	uint64_t was[ENTRY_WORDS], is[ENTRY_WORDS];

	memcpy(was, &v->now[index], ENTRY);
	memcpy(is, &v->then[index], ENTRY);
	return words_write(l, vector_addr(v, index) + 8, was + 1, is + 1, ENTRY_WORDS - 1);
}

static int vector_relink(const struct cpython *py, struct pypurge_vector *v, struct pypurge_lists *l)
{
	uint64_t table[PYMALLOC_POOLS_MAX + 1], usable;
	uint32_t n;

	vector_sort(v, &n);
	for (uint32_t k = 0; k < n; k++) {
		struct pymalloc_arena_object *o = &v->then[v->sorted[k]];

		o->prevarena = k ? vector_addr(v, v->sorted[k - 1]) : 0;
		o->nextarena = k + 1 < n ? vector_addr(v, v->sorted[k + 1]) : 0;
	}
	usable = n ? vector_addr(v, v->sorted[0]) : 0;
	vector_table(v, v->then, v->sorted, n, table);
	for (uint32_t i = 0; i < v->n; i++)
		if (!entry_write(v, l, i))
			return -ENOBUFS;
	if (!words_write(l, py->usable_arenas_at, &v->usable, &usable, 1) ||
	    !words_write(l, py->nfp2lasta_at, v->lasta, table, ARRAY_SIZE(table)))
		return -ENOBUFS;
	return 0;
}

int pypurge_vector_emit(const struct cpython *py, struct pypurge_vector *v, bool relink, struct pypurge_lists *l)
{
	l->held_writes = l->held_values = 0;
	if (relink)
		return vector_relink(py, v, l);
	for (uint32_t k = 0; k < v->n_dirty; k++)
		if (!entry_write(v, l, v->dirty[k]))
			return -ENOBUFS;
	return 0;
}
