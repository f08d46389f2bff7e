/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of mappings while it grows. */
#include "sense/region-builder.h"

#include <string.h>

void region_builder_done(struct region_builder *b)
{
	region_list_done(&b->list);
}

/* Doubles *@p, an array of @size elements of @each bytes, until it holds @want. */
static int grow(void *p, size_t *size, size_t each, size_t want)
{
	size_t n = MAX(*size, 64), bytes;
	void *bigger;

	if (*(void **)p && want <= *size)
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
int region_builder_add(struct region_builder *b, const struct region *reg)
{
	size_t len = strlen(reg->map.name) + 1;
	const struct region *last;
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

void region_builder_end(struct region_builder *b, struct region_list *ret)
{
	for (size_t k = 0; k < b->list.n; k++)
		b->list.v[k].map.name = b->list.text + (uintptr_t)b->list.v[k].map.name;
	*ret = b->list;
	*b = (struct region_builder){ .size = 0 };
}
