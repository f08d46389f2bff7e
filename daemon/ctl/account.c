/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every resident page of a process, by what it is for. */
#include <errno.h>

#include "ctl/explain.h"

static const struct {
	const char *name, *owner;
} accounts[] = {
	[ACCOUNT_GLIBC_HEAP] = { "glibc heaps", "glibc" },
	[ACCOUNT_GLIBC_MMAP] = { "glibc large blocks", "glibc" },
	[ACCOUNT_PYMALLOC] = { "pymalloc arenas", "pymalloc" },
	[ACCOUNT_STACK] = { "main stack", "stack" },
	[ACCOUNT_THREAD_STACK] = { "thread stacks", "stack" },
	[ACCOUNT_OTHER] = { "other anonymous", NULL },
	[ACCOUNT_FILE] = { "files", NULL },
	[ACCOUNT_FILE_COPY] = { "written parts of files", NULL },
	[ACCOUNT_SHARED] = { "shared memory", NULL },
	[ACCOUNT_SPECIAL] = { "kernel's own", NULL },
};

/* Indexed by enum explain_owner. */
static const enum account_kind owners[] = {
	[EXPLAIN_OWNER_GLIBC_HEAP] = ACCOUNT_GLIBC_HEAP,
	[EXPLAIN_OWNER_GLIBC_MMAP] = ACCOUNT_GLIBC_MMAP,
	[EXPLAIN_OWNER_PYMALLOC] = ACCOUNT_PYMALLOC,
};
_Static_assert(ARRAY_SIZE(owners) == EXPLAIN_NOWNERS, "each owner has an account");

const char *account_name(enum account_kind kind)
{
	return accounts[kind].name;
}

const char *account_owner(enum account_kind kind)
{
	return accounts[kind].owner;
}

static void add(struct account *to, const struct account *from)
{
	to->mapped += from->mapped;
	to->rss += from->rss;
	to->anon += from->anon;
	to->swap += from->swap;
	to->huge += from->huge;
	to->lazyfree += from->lazyfree;
}

/* @a * @part / @whole, for a part of the whole; nothing here overflows. */
static uint64_t share(uint64_t a, uint64_t part, uint64_t whole)
{
	if (!whole || part >= whole)
		return a;
	return (uint64_t)((__uint128_t)a * part / whole);
}

/*
 * Takes from *@left what belongs to @r: its mapped bytes, its resident ones as
 * counted (or as many as its size is of the rest, when they weren't), and so
 * much of the other figures as of the resident ones.
 */
static struct account cut(struct account *left, const struct explain_range *r, uint64_t mapped)
{
	struct account part = { .mapped = mapped };
	const uint64_t rss = left->rss;

	part.rss = r->resident == EXPLAIN_UNKNOWN ? share(rss, mapped, left->mapped) : MIN(r->resident, rss);
	if (mapped >= left->mapped)
		part.rss = rss;
	part.anon = share(left->anon, part.rss, rss);
	part.huge = share(left->huge, part.rss, rss);
	part.lazyfree = share(left->lazyfree, part.rss, rss);
	part.swap = share(left->swap, mapped, left->mapped);
	left->mapped -= part.mapped;
	left->rss -= part.rss;
	left->anon -= part.anon;
	left->huge -= part.huge;
	left->lazyfree -= part.lazyfree;
	left->swap -= part.swap;
	return part;
}

static bool holds_stack(const struct map *m, const uint64_t *stacks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (stacks[i] >= m->start && stacks[i] < m->end)
			return true;
	return false;
}

/* Private anonymous memory, *@at being the first range that may lie in it. Returns whose most of it is. */
static enum account_kind fill_anonymous(struct explanation *e, const struct region *r, size_t *at, bool stack)
{
	struct account left = { r->map.end - r->map.start, r->rss, r->anon, r->swap, r->huge, r->lazyfree };
	const struct explain_answer *a = &e->answer;
	uint64_t mapped[ACCOUNT_N] = { 0 };
	enum account_kind most = stack ? ACCOUNT_THREAD_STACK : ACCOUNT_OTHER;

	while (*at < a->head.nranges && a->ranges[*at].hi <= r->map.start)
		++*at;
	for (size_t i = *at; i < a->head.nranges && a->ranges[i].lo < r->map.end; i++) {
		const uint64_t lo = MAX(a->ranges[i].lo, r->map.start), hi = MIN(a->ranges[i].hi, r->map.end);
		const enum account_kind kind = owners[a->ranges[i].owner];
		struct account part = cut(&left, &a->ranges[i], hi - lo);

		add(&e->accounts[kind], &part);
		mapped[kind] += part.mapped;
	}
	add(&e->accounts[most], &left);
	mapped[most] += left.mapped;
	for (enum account_kind k = 0; k < ACCOUNT_N; k++)
		if (mapped[k] > mapped[most])
			most = k;
	return most;
}

static enum account_kind fill_file(struct explanation *e, const struct region *r)
{
	const struct account all = { r->map.end - r->map.start, r->rss, r->anon, r->swap, r->huge, r->lazyfree };
	struct account clean = { .mapped = all.mapped, .rss = all.rss - MIN(all.rss, all.anon) };
	struct account copy = all;

	copy.mapped = 0;
	copy.rss = all.rss - clean.rss;
	add(&e->accounts[ACCOUNT_FILE], &clean);
	add(&e->accounts[ACCOUNT_FILE_COPY], &copy);
	return copy.rss > clean.rss ? ACCOUNT_FILE_COPY : ACCOUNT_FILE;
}

static enum account_kind fill_whole(struct explanation *e, const struct region *r, enum account_kind kind)
{
	const struct account all = { r->map.end - r->map.start, r->rss, r->anon, r->swap, r->huge, r->lazyfree };

	add(&e->accounts[kind], &all);
	return kind;
}

int account_fill(struct explanation *e, const uint64_t *stacks, size_t n)
{
	size_t at = 0;

	e->kinds = calloc(e->regions.n + 1, sizeof(*e->kinds));
	if (!e->kinds)
		return -ENOMEM;
	for (size_t i = 0; i < e->regions.n; i++) {
		const struct region *r = &e->regions.v[i];
		enum account_kind kind = ACCOUNT_SPECIAL;

		switch (r->map.kind) {
		case MAP_KIND_HEAP:
			kind = fill_anonymous(e, r, &at, false);
			break;
		case MAP_KIND_ANON:
			kind = fill_anonymous(e, r, &at, holds_stack(&r->map, stacks, n));
			break;
		case MAP_KIND_FILE:
			kind = fill_file(e, r);
			break;
		case MAP_KIND_SHMEM:
			kind = fill_whole(e, r, ACCOUNT_SHARED);
			break;
		case MAP_KIND_STACK:
			kind = fill_whole(e, r, ACCOUNT_STACK);
			break;
		case MAP_KIND_SPECIAL:
			kind = fill_whole(e, r, ACCOUNT_SPECIAL);
			break;
		}
		e->kinds[i] = (uint8_t)kind;
	}
	return 0;
}
