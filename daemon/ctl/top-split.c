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

/* What pymalloc holds; when it couldn't be read, that may be anything. */
static void add_python(const struct explain_python *py, struct top_inside *in)
{
	const bool used = !(py->flags & (EXPLAIN_P_NO_PYMALLOC | EXPLAIN_P_FREE_THREADED));
	uint64_t in_use;

	if (!has_figures(py->layer)) {
		in->unseen = sum(in->unseen, py->layer == EXPLAIN_UNREADABLE && used ? UINT64_MAX : 0);
		return;
	}
	/* With the scraps between what lives. A glance knows no pages but those that are free. */
	in_use = py->resident ? py->resident - MIN(py->resident, py->free_resident) :
				py->arena_bytes - MIN(py->arena_bytes, sum(py->free, py->unknown));
	in->known = true;
	in->in_use = sum(in->in_use, in_use);
	in->free = sum(in->free, py->free_resident);
	in->unseen = sum(in->unseen, py->unknown);
}

void top_inside_fill(const struct explain_head *h, struct top_inside *ret)
{
	struct top_inside in = { .known = false };

	/* When glibc isn't its malloc, what glibc holds is not what the process holds. */
	if (h->allocator == EXPLAIN_ALLOC_GLIBC && has_figures(h->glibc.layer)) {
		in.known = true;
		in.in_use = sum(h->glibc.in_use, h->glibc.mmapped);
		in.cached = sum(h->glibc.cached, 0);
		in.free = sum(h->glibc.free_resident, 0);
		in.unseen = sum(h->glibc.unknown, 0);
	} else if (h->allocator == EXPLAIN_ALLOC_GLIBC && h->glibc.layer == EXPLAIN_UNREADABLE) {
		in.unseen = UINT64_MAX / 2;
	}
	add_python(&h->python, &in);
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

static size_t scale(uint64_t v, uint64_t whole, size_t width)
{
	const size_t n = whole ? (size_t)(((__uint128_t)v * width + whole / 2) / whole) : 0;

	return MIN(n, width);
}

void top_split(const struct proc *p, const struct top_inside *in, uint64_t parts[TOP_PARTS])
{
	const uint64_t rss = known(p->rss), anon = MIN(known(p->anon), rss), idle = known(p->idle);
	uint64_t left = anon, touched = 0, unseen, both;

	memset(parts, 0, TOP_PARTS * sizeof(*parts));
	parts[TOP_OTHER] = rss - anon;
	if (in->known) {
		parts[TOP_FREE] = take(&left, in->free);
		parts[TOP_CACHED] = take(&left, in->cached);
		unseen = in->whole ? in->unseen - MIN(in->unseen, known(p->swap)) : in->unseen;
		unseen = MIN(unseen, left);
		both = unseen + MIN(in->in_use, left);
		/* Neither knows what of it is resident: where there is less than both, each has its share. */
		parts[TOP_UNSEEN] = take(&left, both > left ? scale(unseen, both, left) : unseen);
		/* What is free hasn't been touched either, and is counted already; so may what is unseen. */
		touched = parts[TOP_FREE] + parts[TOP_CACHED] + parts[TOP_UNSEEN];
	}
	parts[TOP_IDLE] = take(&left, idle - MIN(idle, touched));
	if (in->known) {
		parts[TOP_IN_USE] = take(&left, in->in_use);
		parts[TOP_OTHER] += left;
	} else {
		parts[TOP_UNSEEN] = left;
	}
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
