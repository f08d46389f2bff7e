/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mappings of one process with their residency, from smaps. */
#include <string.h>

#include "sense/region.h"
#include "sense/smaps.h"

#define READ_TRIES 4

struct builder {
	struct region_list list;
	size_t size; /* of list.v */
	size_t text_used, text_size;
};

static void builder_done(struct builder *b)
{
	region_list_done(&b->list);
}

/* Doubles *@p, an array of @size elements of @each bytes, until it holds @want. */
static int grow(void *p, size_t *size, size_t each, size_t want)
{
	size_t n = MAX(*size, 64), bytes;
	void *bigger;

	if (want <= *size)
		return 0;
	while (n < want)
		if (__builtin_mul_overflow(n, 2, &n))
			return -ENOMEM;
	if (__builtin_mul_overflow(n, each, &bytes))
		return -ENOMEM;

	bigger = realloc(*(void **)p, bytes);
	if (!bigger)
		return -ENOMEM;

	*(void **)p = bigger;
	*size = n;
	return 0;
}

/* The text may still move: until the end, a name is its offset in disguise. */
static int builder_add(struct builder *b, const struct region *reg)
{
	size_t len = strlen(reg->map.name) + 1;
	struct region *last = b->list.n ? &b->list.v[b->list.n - 1] : NULL;
	size_t at = b->text_used;
	int r;

	r = grow(&b->list.v, &b->size, sizeof(*b->list.v), b->list.n + 1);
	if (r < 0)
		return r;
	last = b->list.n ? &b->list.v[b->list.n - 1] : NULL;

	/* A library has five mappings in a row. */
	if (last && !strcmp(b->list.text + (uintptr_t)last->map.name, reg->map.name)) {
		at = (uintptr_t)last->map.name;
	} else {
		r = grow(&b->list.text, &b->text_size, 1, b->text_used + len);
		if (r < 0)
			return r;
		memcpy(b->list.text + at, reg->map.name, len);
		b->text_used += len;
	}

	b->list.v[b->list.n] = *reg;
	b->list.v[b->list.n++].map.name = (const char *)(uintptr_t)at;
	return 0;
}

static int read_once(int piddir, size_t max_regions, struct builder *b)
{
	_cleanup_(smaps_close) struct smaps s = { .fd = -1 };
	struct region reg;
	int r;

	r = smaps_open(piddir, &s);
	if (r < 0)
		return r;

	while ((r = smaps_next(&s, &reg)) > 0) {
		if (b->list.n >= max_regions)
			return -E2BIG;
		r = builder_add(b, &reg);
		if (r < 0)
			return r;
	}

	return r;
}

int region_list_read(int piddir, size_t max_regions, struct region_list *ret)
{
	for (int i = 0; i < READ_TRIES; i++) {
		_cleanup_(builder_done) struct builder b = { 0 };
		int r;

		r = read_once(piddir, max_regions, &b);
		if (r == -EAGAIN)
			continue;
		if (r < 0)
			return r;

		for (size_t k = 0; k < b.list.n; k++)
			b.list.v[k].map.name = b.list.text + (uintptr_t)b.list.v[k].map.name;
		*ret = b.list;
		b.list = (struct region_list){ 0 };
		return 0;
	}

	return -EBADMSG;
}

void region_list_done(struct region_list *l)
{
	free(l->v);
	free(l->text);
	*l = (struct region_list){ 0 };
}
