// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/glibc-tally.h"

#include <errno.h>

static unsigned int log2_of(uint64_t v)
{
	return v ? 63 - (unsigned int)__builtin_clzll(v) : 0;
}

/* One more stretch. */
static void pin_add(struct glibc_pins *to, const struct glibc_pins *one)
{
	to->stretches++;
	to->live_bytes += one->live_bytes;
	to->live_blocks += one->live_blocks;
	to->free_resident += one->free_resident;
}

static void pin_flush(struct glibc_tally *ta)
{
	struct glibc_pins *to = &ta->f->pins[MIN(log2_of(ta->pin.live_bytes), GLIBC_PINS - 1u)];

	if (ta->pin.free_resident) {
		pin_add(to, &ta->pin);
		/* Without a live block nothing is pinned. */
		if (ta->pin.live_blocks && ta->pin.live_bytes < GLIBC_LITTLE)
			pin_add(&ta->a->pinned, &ta->pin);
	}
	ta->pin = (struct glibc_pins){ 0 };
}

static void pin_move(struct glibc_tally *ta, uint64_t addr)
{
	if (addr / GLIBC_STRETCH == ta->stretch)
		return;
	pin_flush(ta);
	ta->stretch = addr / GLIBC_STRETCH;
}

static void pin_live(struct glibc_tally *ta, uint64_t chunk, uint64_t size)
{
	uint64_t end = chunk + size;

	pin_move(ta, chunk);
	ta->pin.live_blocks++;
	ta->pin.live_bytes += MIN(end, (ta->stretch + 1) * GLIBC_STRETCH) - chunk;
	if ((end - 1) / GLIBC_STRETCH == ta->stretch)
		return;
	/* Whole stretches in between have nothing free. */
	pin_move(ta, end - 1);
	ta->pin.live_blocks++;
	ta->pin.live_bytes += end - ta->stretch * GLIBC_STRETCH;
}

/* Resident whole pages of [lo, hi), booked to the stretches they are in. */
static int pin_free(struct glibc_tally *ta, uint64_t lo, uint64_t hi, uint64_t *ret)
{
	uint64_t total = 0;

	for (uint64_t at = lo; at < hi;) {
		uint64_t next = MIN(hi, (at / GLIBC_STRETCH + 1) * GLIBC_STRETCH), resident;
		int r = window_resident_runs(ta->w, at, next, &ta->a->runs, &resident);

		if (r < 0)
			return r;
		pin_move(ta, at);
		ta->pin.free_resident += resident;
		total += resident;
		at = next;
	}
	*ret = total;
	return 0;
}

void glibc_tally_begin(struct glibc_tally *ta, struct glibc_arena *a)
{
	ta->a = a;
	ta->fixed = false;
	ta->run = 0;
	ta->run_end = 0;
	ta->stretch = 0;
	ta->pin = (struct glibc_pins){ 0 };
}

/* malloc_trim() gives back whole pages behind the links of a free chunk: mtrim(), 2.31-2.44. */
static int run_flush(struct glibc_tally *ta)
{
	uint64_t resident = ta->run_resident;
	int r = 0;

	if (ta->run && ta->run_fast && !ta->fixed)
		r = window_resident(ta->w, ta->run + CHUNK_LINKS, ta->run_end, &resident);
	if (ta->run && r == 0)
		ta->a->trim += resident;
	ta->run = 0;
	return r;
}

static void run_add(struct glibc_tally *ta, uint64_t chunk, uint64_t size, uint64_t resident, bool fast)
{
	if (ta->run && ta->run_end == chunk) {
		ta->run_end += size;
		ta->run_fast |= fast;
		ta->run_resident += resident;
		return;
	}
	ta->run = chunk;
	ta->run_end = chunk + size;
	ta->run_fast = fast;
	ta->run_resident = resident;
}

int glibc_tally_free(struct glibc_tally *ta, uint64_t chunk, uint64_t size, uint64_t *ret_resident)
{
	struct glibc_range range = {
		.arena = ta->a->address,
		.chunk = chunk,
		.lo = page_up(chunk + CHUNK_LINKS),
		.hi = page_down(chunk + size),
		.kind = GLIBC_BINNED,
	};
	struct glibc_runs *runs = &ta->f->runs[MIN(log2_of(size), GLIBC_LOGS - 1u)];
	int r = 0;

	if (range.lo < range.hi && !ta->fixed)
		r = pin_free(ta, range.lo, range.hi, &range.resident);
	if (r < 0)
		return r;
	ta->a->free += size;
	ta->a->free_blocks++;
	ta->a->free_resident += range.resident;
	runs->count++;
	runs->bytes += size;
	runs->resident += range.resident;
	*ret_resident = range.resident;
	if (ta->cells)
		r = cells_free(ta->cells, CELLS_GLIBC, ta->w, chunk, size, range.lo, ta->fixed ? range.lo : range.hi);
	if (r < 0)
		return r;
	return range.lo < range.hi && !ta->fixed && ta->v ? ta->v->range(ta->v->ctx, &range) : 0;
}

/* A chunk in a thread's cache is large enough for whole pages only by a tunable (tcache_max, 2.42+). */
static int tally_cached(struct glibc_tally *ta, uint64_t chunk, uint64_t size)
{
	struct glibc_range range = {
		.arena = ta->a->address,
		.chunk = chunk,
		.lo = page_up(chunk + CHUNK_MIN),
		.hi = page_down(chunk + size),
		.kind = GLIBC_CACHED,
	};
	int r;

	if (range.lo >= range.hi || ta->fixed || !ta->v)
		return 0;
	r = window_resident(ta->w, range.lo, range.hi, &range.resident);
	return r < 0 ? r : ta->v->range(ta->v->ctx, &range);
}

/* What is in no bin, on the map. */
static void tally_map(const struct glibc_tally *ta, uint64_t chunk, uint64_t size, bool cached)
{
	if (!ta->cells)
		return;
	if (cached)
		cells_move(ta->cells, CELLS_GLIBC, chunk, chunk + size, CELLS_CACHED);
	else
		cells_live(ta->cells, CELLS_GLIBC, chunk, 1);
}

int glibc_tally_chunk(void *ctx, uint64_t chunk, uint64_t size, bool is_free)
{
	struct glibc_tally *ta = ctx;
	uint64_t resident = 0;
	int r;

	if (is_free) {
		r = glibc_tally_free(ta, chunk, size, &resident);
		if (r != 0)
			return r;
		if (ta->run && ta->run_end != chunk)
			r = run_flush(ta);
		run_add(ta, chunk, size, resident, false);
		return r;
	}
	if (glibc_marks_has(&ta->cache->fast, chunk)) {
		tally_map(ta, chunk, size, true);
		r = ta->run && ta->run_end != chunk ? run_flush(ta) : 0;
		run_add(ta, chunk, size, 0, true);
		return r;
	}
	r = run_flush(ta);
	if (r < 0)
		return r;
	if (glibc_marks_has(&ta->cache->thread, chunk)) {
		tally_map(ta, chunk, size, true);
		/* It pins what lies around as if it were live. */
		pin_live(ta, chunk, size);
		return tally_cached(ta, chunk, size);
	}
	tally_map(ta, chunk, size, false);
	ta->a->live_blocks++;
	if (!ta->a->live_smallest || size < ta->a->live_smallest)
		ta->a->live_smallest = size;
	pin_live(ta, chunk, size);
	return 0;
}

int glibc_tally_gap(void *ctx, uint64_t lo, uint64_t hi, bool foreign)
{
	struct glibc_tally *ta = ctx;
	int r = run_flush(ta);

	pin_flush(ta);
	if (foreign) {
		ta->a->foreign += hi - lo;
		return r;
	}
	if (ta->cells)
		cells_move(ta->cells, CELLS_GLIBC, lo, hi, CELLS_UNKNOWN);
	ta->a->unknown += hi - lo;
	ta->a->torn = true;
	return r;
}

int glibc_tally_end(struct glibc_tally *ta, uint64_t top, uint64_t *ret_top)
{
	int r = 0;

	*ret_top = top;
	if (top && ta->run && ta->run_fast && ta->run_end == top)
		*ret_top = ta->run; /* becomes part of the top chunk, which malloc_trim leaves in a thread's arena */
	else
		r = run_flush(ta);
	pin_flush(ta);
	page_runs_end(&ta->a->runs);
	return r;
}
