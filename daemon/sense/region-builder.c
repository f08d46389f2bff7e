/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A list of mappings while it grows. */
#include "sense/region-builder.h"

#include <string.h>

void region_builder_done(struct region_builder *b)
{
	region_list_done(&b->list);
}

/* @p, an array of *@size elements of @each bytes, doubled until it holds @want; NULL, and @p as it was. */
static void *grow(void *p, size_t *size, size_t each, size_t want)
{
	size_t n = MAX(*size, (size_t)64);
	void *bigger;

	if (p && want <= *size)
		return p;
	while (n < want)
		if (__builtin_mul_overflow(n, 2, &n))
			return NULL;
	bigger = reallocarray(p, n, each);
	if (bigger)
		*size = n;
	return bigger;
}

/* The text may still move: until the end, a name is its offset in disguise. */
int region_builder_add(struct region_builder *b, const struct region *reg)
{
	const size_t len = strlen(reg->map.name) + 1;
	struct region *v = grow(b->list.v, &b->size, sizeof(*v), b->list.n + 1);
	const struct region *last;
	size_t at = b->text_used;
	char *text;

	if (!v)
		return -ENOMEM;
	b->list.v = v;
	last = b->list.n ? &v[b->list.n - 1] : NULL;

	/* A library has five mappings in a row. */
	if (last && !strcmp(b->list.text + (uintptr_t)last->map.name, reg->map.name)) {
		at = (uintptr_t)last->map.name;
	} else {
		text = grow(b->list.text, &b->text_size, 1, b->text_used + len);
		if (!text)
			return -ENOMEM;
		b->list.text = text;
		memcpy(text + at, reg->map.name, len);
		b->text_used += len;
	}

	v[b->list.n] = *reg;
	v[b->list.n++].map.name = (const char *)(uintptr_t)at;
	return 0;
}

void region_builder_end(struct region_builder *b, struct region_list *ret)
{
	for (size_t k = 0; k < b->list.n; k++)
		b->list.v[k].map.name = b->list.text + (uintptr_t)b->list.v[k].map.name;
	*ret = b->list;
	*b = (struct region_builder){ .size = 0 };
}
