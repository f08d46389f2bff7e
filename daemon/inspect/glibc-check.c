// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For who holds an arena's lock: which of the candidates hold now?
 *
 * What a chunk says about itself is no proof: freed and joined with its
 * neighbour, then handed out again, it leaves its old header and foot behind
 * as somebody's data. Its links are: whoever leaves a bin makes its neighbours
 * point at each other, so that no neighbour points at it any more.
 */
#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/clock.h"
#include "inspect/glibc-state.h"

struct check {
	struct target *t;
	const struct glibc *g;
	struct glibc_state s;
	struct glibc_par par;
	uint64_t top, top_size;
	bool swaps; /* something on this machine is swapped out: look before reading */
	bool scattered;
	uint64_t heap, heap_end; /* the thread arena's heap that was asked for last */
};

static int check_read(const struct check *c, uint64_t addr, void *buf, size_t len)
{
	if (addr >= c->s.addr && addr - c->s.addr <= c->g->layout->arena.size - len) {
		memcpy(buf, c->s.bytes + (addr - c->s.addr), len);
		return 0;
	}
	return c->swaps ? glibc_read(c->t, addr, buf, len) : remote_read(&c->t->mem, addr, buf, len);
}

static bool check_swaps(void)
{
	struct sysinfo si;

	return sysinfo(&si) < 0 || si.totalswap != si.freeswap;
}

static int check_begin(struct check *c, struct target *t, const struct glibc *g, uint64_t arena)
{
	uint32_t flags;
	int r;

	*c = (struct check){ .t = t, .g = g, .swaps = check_swaps() };
	r = glibc_state_read(t, g, arena, &c->s);
	if (r == 0)
		r = glibc_par_read(t, g, &c->par);
	if (r < 0)
		return r;
	if (!glibc_state_mutex(&c->s))
		return -EAGAIN;
	memcpy(&flags, c->s.bytes + g->layout->arena.flags, sizeof(flags));
	c->scattered = arena == g->main_arena && (flags & GLIBC_NONCONTIGUOUS);
	c->top = glibc_state_u64(&c->s, g->layout->arena.top);
	if (!glibc_is_chunk_addr(c->top))
		return -EBADMSG;
	r = check_read(c, c->top + 8, &c->top_size, sizeof(c->top_size));
	c->top_size &= ~CHUNK_FLAGS;
	if (r == 0 &&
	    (c->top_size < CHUNK_HEADER || c->top_size > GLIBC_ADDR_MAX || (c->top + c->top_size) % REMOTE_PAGE))
		r = -EBADMSG;
	return r;
}

/* Does [chunk, chunk + size) lie in the arena's own memory? */
static bool check_place(struct check *c, uint64_t chunk, uint64_t size)
{
	const struct map *map;
	uint64_t info[3];

	if (size > GLIBC_ADDR_MAX)
		return false;
	if (c->scattered) {
		map = maps_find(&c->t->maps, chunk);
		return map && (map->flags & MAP_F_WRITE) && !(map->flags & MAP_F_SHARED) && map->end - chunk >= size;
	}
	if (c->s.addr == c->g->main_arena)
		return chunk >= c->par.sbrk_base && chunk + size <= c->top + c->top_size;
	if (c->heap != (chunk & ~(c->g->heap_max - 1))) {
		c->heap = chunk & ~(c->g->heap_max - 1);
		c->heap_end = 0;
		if (c->heap && check_read(c, c->heap, info, sizeof(info)) == 0 && info[0] == c->s.addr &&
		    info[2] <= c->g->heap_max)
			c->heap_end = c->heap + info[2];
	}
	return chunk + size <= c->heap_end;
}

/* A link leads to a chunk or to the head of a bin, which in 2.43 isn't aligned as chunks are. */
static bool check_link(const struct check *c, uint64_t addr)
{
	bool head = addr % 8 == 0 && addr >= c->s.addr && addr - c->s.addr < c->g->layout->arena.size;

	return head || glibc_is_chunk_addr(addr);
}

/* A chunk that is in a bin: 0, -ENOENT it isn't. Sets what of it may be dropped. */
static int check_binned(struct check *c, uint64_t chunk, uint64_t *ret_lo, uint64_t *ret_hi)
{
	uint64_t head[4], next[2], back = 0, forth = 0, size;
	int r = check_read(c, chunk, head, sizeof(head));

	if (r < 0)
		return r;
	size = head[1] & ~CHUNK_FLAGS;
	if (size % 16 || size < CHUNK_MIN || !(head[1] & CHUNK_PREV_INUSE) || (head[1] & CHUNK_MMAPPED) ||
	    !check_place(c, chunk, size) || !check_link(c, head[2]) || !check_link(c, head[3]))
		return -ENOENT;
	r = check_read(c, chunk + size, next, sizeof(next));
	if (r < 0)
		return r;
	if (next[0] != size || (next[1] & CHUNK_PREV_INUSE))
		return -ENOENT;
	r = check_read(c, head[2] + 24, &back, sizeof(back));
	if (r == 0)
		r = check_read(c, head[3] + 16, &forth, sizeof(forth));
	if (r < 0)
		return r;
	if (back != chunk || forth != chunk)
		return -ENOENT;
	*ret_lo = page_up(chunk + CHUNK_LINKS);
	*ret_hi = page_down(chunk + size);
	return 0;
}

static int check_top(struct check *c, uint64_t chunk, uint64_t *ret_lo, uint64_t *ret_hi)
{
	if (chunk != c->top || !check_place(c, chunk, c->top_size))
		return -ENOENT;
	*ret_lo = page_up(chunk + CHUNK_HEADER);
	*ret_hi = page_down(chunk + c->top_size);
	return 0;
}

/* 1: *range is what may be dropped; 0: nothing of it any more; or an error. */
static int check_one(struct check *c, struct glibc_range *range)
{
	uint64_t lo = 0, hi = 0;
	int r = -ENOENT;

	if (!glibc_is_chunk_addr(range->chunk) || range->arena != c->s.addr)
		return 0;
	switch (range->kind) {
	case GLIBC_BINNED:
		r = check_binned(c, range->chunk, &lo, &hi);
		break;
	case GLIBC_TOP:
		r = check_top(c, range->chunk, &lo, &hi);
		break;
	case GLIBC_CACHED:
		break; /* its thread owns it, not whoever holds the arena's lock */
	}
	/* Swapped out, or gone: nothing to be had there. */
	if (r == -ENOENT || r == -ENXIO || r == -EFAULT)
		return 0;
	if (r < 0)
		return r;
	range->lo = MAX(page_up(range->lo), lo);
	range->hi = MIN(page_down(range->hi), hi);
	if (range->lo >= range->hi)
		return 0;
	range->resident = MIN(range->resident, range->hi - range->lo);
	return 1;
}

int glibc_check_ranges(struct target *t, const struct glibc *g, uint64_t arena, const struct glibc_range *in, size_t n,
		       const struct glibc_check *c, struct glibc_range *ret, size_t *ret_n, size_t *ret_used)
{
	struct check ck;
	uint64_t bytes = 0;
	size_t used, good = 0;
	uint32_t mutex;
	int r = check_begin(&ck, t, g, arena);

	for (used = 0; r == 0 && used < n && good < c->max_ranges; used++) {
		struct glibc_range range = in[used];
		int ok;

		if (c->deadline_ns && clock_ns() > c->deadline_ns)
			break;
		ok = check_one(&ck, &range);
		if (ok < 0)
			return ok;
		if (!ok)
			continue;
		if (good && c->max_bytes && bytes + range.resident > c->max_bytes)
			break;
		bytes += range.resident;
		ret[good++] = range;
	}
	if (r < 0)
		return r;
	/* Was it held all the time? Had it been let go, somebody may have taken and let go as well. */
	r = remote_read(&t->mem, arena, &mutex, sizeof(mutex));
	if (r < 0)
		return r;
	if (!mutex)
		return -EAGAIN;
	*ret_n = good;
	*ret_used = used;
	return 0;
}
