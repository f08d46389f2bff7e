// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/window.h"

#include <errno.h>
#include <string.h>

#define PAGE_DOWN(a) ((a) & ~(REMOTE_PAGE - 1))
#define RESIDENT_BATCH 1024

void window_init(struct window *w, struct remote *mem)
{
	w->mem = mem;
	w->base = 0;
	w->pages = 0;
	w->swapped_at = 0;
}

void window_forget(struct window *w)
{
	w->pages = 0;
}

/* Pages beyond the end of a mapping are just not there: pagemap says so, reading is what fails. */
static int window_move(struct window *w, uint64_t base)
{
	int r = remote_pages(w->mem, base, WINDOW_PAGES, w->flags);

	if (r < 0)
		return r;
	memset(w->filled, 0, sizeof(w->filled));
	w->base = base;
	w->pages = WINDOW_PAGES;
	return 0;
}

/* Fetches the pages [first, last]: runs of present ones in one read each. */
static int window_fill(struct window *w, size_t first, size_t last)
{
	for (size_t i = first; i <= last; i++) {
		size_t n = 0;
		int r;

		if (w->filled[i])
			continue;
		if (w->flags[i] & (REMOTE_SWAPPED | REMOTE_SHARED)) {
			w->swapped_at = w->base + i * REMOTE_PAGE;
			return -ENXIO;
		}
		if (!(w->flags[i] & REMOTE_PRESENT)) {
			memset(w->bytes + i * REMOTE_PAGE, 0, REMOTE_PAGE);
			w->filled[i] = true;
			continue;
		}
		while (i + n <= last && !w->filled[i + n] &&
		       (w->flags[i + n] & (REMOTE_PRESENT | REMOTE_SWAPPED | REMOTE_SHARED)) == REMOTE_PRESENT)
			n++;
		r = remote_read(w->mem, w->base + i * REMOTE_PAGE, w->bytes + i * REMOTE_PAGE, n * REMOTE_PAGE);
		if (r < 0)
			return r;
		memset(w->filled + i, 1, n);
		i += n - 1;
	}
	return 0;
}

int window_at(struct window *w, uint64_t addr, size_t len, const void **ret)
{
	size_t first, last;
	int r;

	if (len == 0 || len > (WINDOW_PAGES - 1) * REMOTE_PAGE || addr > UINT64_MAX - WINDOW_PAGES * REMOTE_PAGE)
		return -EFAULT;
	if (!w->pages || addr < w->base || addr + len > w->base + w->pages * REMOTE_PAGE) {
		r = window_move(w, PAGE_DOWN(addr));
		if (r < 0)
			return r;
	}
	first = (addr - w->base) / REMOTE_PAGE;
	last = (addr + len - 1 - w->base) / REMOTE_PAGE;
	r = window_fill(w, first, last);
	if (r < 0)
		return r;
	*ret = w->bytes + (addr - w->base);
	return 0;
}

int window_u64(struct window *w, uint64_t addr, uint64_t *ret)
{
	const void *p;
	int r = window_at(w, addr, sizeof(*ret), &p);

	if (r == 0)
		memcpy(ret, p, sizeof(*ret));
	return r;
}

int window_resident(struct window *w, uint64_t lo, uint64_t hi, uint64_t *ret)
{
	return window_resident_runs(w, lo, hi, NULL, ret);
}

int window_resident_runs(struct window *w, uint64_t lo, uint64_t hi, struct page_runs *runs, uint64_t *ret)
{
	uint8_t flags[RESIDENT_BATCH];
	uint64_t from = PAGE_DOWN(lo + REMOTE_PAGE - 1), to = PAGE_DOWN(hi), total = 0;

	if (lo > UINT64_MAX - REMOTE_PAGE)
		return -EFAULT;
	while (from < to) {
		size_t n = MIN((to - from) / REMOTE_PAGE, (uint64_t)RESIDENT_BATCH);
		int r = 0;

		/* What the window has looked up already is asked for once. */
		if (w->pages && from >= w->base && from < w->base + w->pages * REMOTE_PAGE) {
			size_t first = (from - w->base) / REMOTE_PAGE;

			n = MIN(n, w->pages - first);
			memcpy(flags, w->flags + first, n);
		} else {
			r = remote_pages(w->mem, from, n, flags);
		}
		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			if (!(flags[i] & REMOTE_PRESENT))
				continue;
			total += REMOTE_PAGE;
			if (runs)
				page_runs_add(runs, from + i * REMOTE_PAGE);
		}
		from += n * REMOTE_PAGE;
	}
	*ret = total;
	return 0;
}
