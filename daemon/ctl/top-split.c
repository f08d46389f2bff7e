/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/top-split.h"

#include <string.h>

const char *const top_part_names[TOP_PARTS] = {
	[TOP_IN_USE] = "in use", [TOP_CACHED] = "cached", [TOP_FREE] = "free",
	[TOP_IDLE] = "idle",	 [TOP_OTHER] = "other",	  [TOP_UNSEEN] = "unseen",
};

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX / 2 - MIN(b, UINT64_MAX / 2) ? UINT64_MAX / 2 : a + b;
}

static bool has_figures(uint32_t layer)
{
	return layer == EXPLAIN_READ || layer == EXPLAIN_ESTIMATE;
}

void top_inside_fill(const struct explain_head *h, struct top_inside *ret)
{
	struct top_inside in = { .known = false };

	/* When glibc isn't its malloc, what glibc holds is not what the process holds. */
	if (h->allocator == EXPLAIN_ALLOC_GLIBC && has_figures(h->glibc.layer)) {
		in.known = true;
		in.in_use = sum(h->glibc.in_use, h->glibc.mmapped);
		in.cached = h->glibc.cached;
		in.free = h->glibc.free_resident;
	}
	if (has_figures(h->python.layer)) {
		const struct explain_python *py = &h->python;

		in.known = true;
		/* With the scraps between what lives: a glance doesn't tell them apart. */
		in.in_use = sum(in.in_use, py->resident ? py->resident - MIN(py->resident, py->free_resident) :
							  py->arena_bytes - MIN(py->arena_bytes, py->free));
		in.free = sum(in.free, h->python.free_resident);
	}
	*ret = in;
}

static uint64_t known(uint64_t v)
{
	return v == PROC_UNKNOWN ? 0 : v;
}

/* Of what is left, at most @want. */
static uint64_t take(uint64_t *left, uint64_t want)
{
	const uint64_t v = MIN(*left, want);

	*left -= v;
	return v;
}

void top_split(const struct proc *p, const struct top_inside *in, uint64_t parts[TOP_PARTS])
{
	const uint64_t rss = known(p->rss), anon = MIN(known(p->anon), rss), idle = known(p->idle);
	uint64_t left = anon;

	memset(parts, 0, TOP_PARTS * sizeof(*parts));
	parts[TOP_OTHER] = rss - anon;
	if (in->known) {
		parts[TOP_FREE] = take(&left, in->free);
		parts[TOP_CACHED] = take(&left, in->cached);
	}
	/* What is free hasn't been touched either, and is counted already. */
	parts[TOP_IDLE] = take(&left, idle - MIN(idle, parts[TOP_FREE] + parts[TOP_CACHED]));
	if (in->known) {
		parts[TOP_IN_USE] = take(&left, in->in_use);
		parts[TOP_OTHER] += left;
	} else {
		parts[TOP_UNSEEN] = left;
	}
}

static size_t scale(uint64_t v, uint64_t whole, size_t width)
{
	const size_t n = whole ? (size_t)(((__uint128_t)v * width + whole / 2) / whole) : 0;

	return MIN(n, width);
}

/* The smallest bar still shows that there is something: of what it has most of. */
static uint8_t largest(const uint64_t parts[TOP_PARTS])
{
	size_t most = 0;

	for (size_t p = 1; p < TOP_PARTS; p++)
		if (parts[p] > parts[most])
			most = p;
	return (uint8_t)most;
}

void top_bar(const uint64_t parts[TOP_PARTS], uint64_t whole, size_t width, uint8_t *ret)
{
	uint64_t before = 0;
	size_t at = 0;

	for (size_t p = 0; p < TOP_PARTS; p++) {
		before = sum(before, parts[p]);
		for (const size_t end = scale(before, whole, width); at < end; at++)
			ret[at] = (uint8_t)p;
	}
	if (before && at <= 1 && width) {
		ret[0] = largest(parts);
		at = 1;
	}
	for (; at < width; at++)
		ret[at] = TOP_PARTS;
}
