// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/cpython-data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DATA_MAX (64u << 20) /* .data and .bss of a python are 0.5 to 3 MiB */
#define PAGE_DOWN(a) ((a) & ~(REMOTE_PAGE - 1))

/*
 * A page of .data that was never written to is still the file's: present or
 * not, reading it costs the target no memory of its own. An absent page of
 * .bss is zero.
 */
static bool data_readable(const struct target *t, uint64_t addr, uint8_t flags)
{
	const struct map *map = maps_find(&t->maps, addr);

	if (!map || !(map->flags & MAP_F_READ) || (flags & REMOTE_SWAPPED))
		return false;
	return (flags & REMOTE_PRESENT) || map->inode;
}

static int data_fill(struct target *t, struct cpython_data *d, uint8_t *flags)
{
	const size_t pages = d->len / REMOTE_PAGE;
	int r = remote_pages(&t->mem, d->lo, pages, flags);

	if (r < 0)
		return r;
	for (size_t i = 0; i < pages; i++) {
		size_t n = 0;

		d->swapped += flags[i] & REMOTE_SWAPPED ? REMOTE_PAGE : 0;
		while (i + n < pages && data_readable(t, d->lo + (i + n) * REMOTE_PAGE, flags[i + n]))
			n++;
		if (!n)
			continue;
		r = remote_read(&t->mem, d->lo + i * REMOTE_PAGE, d->bytes + i * REMOTE_PAGE, n * REMOTE_PAGE);
		if (r < 0)
			return r;
		i += n - 1;
	}
	return 0;
}

int cpython_data_read(struct target *t, const struct module *mod, struct cpython_data *ret)
{
	_cleanup_(cpython_data_done) struct cpython_data d = { 0 };
	_cleanup_free_ uint8_t *flags = NULL;
	uint64_t lo, hi;
	int r = object_data(&mod->object, &lo, &hi);

	if (r < 0)
		return r;
	if (hi > UINT64_MAX - mod->bias - REMOTE_PAGE)
		return -EBADMSG;
	d.lo = PAGE_DOWN(mod->bias + lo);
	hi = PAGE_DOWN(mod->bias + hi + REMOTE_PAGE - 1);
	if (hi - d.lo > DATA_MAX)
		return -E2BIG;
	d.len = hi - d.lo;
	d.bytes = calloc(1, d.len);
	flags = calloc(d.len / REMOTE_PAGE, 1);
	if (!d.bytes || !flags)
		return -ENOMEM;
	r = data_fill(t, &d, flags);
	if (r < 0)
		return r;
	*ret = d;
	d = (struct cpython_data){ 0 };
	return 0;
}

void cpython_data_done(struct cpython_data *d)
{
	free(d->bytes);
	*d = (struct cpython_data){ 0 };
}

int cpython_peek(struct target *t, uint64_t addr, void *buf, size_t len)
{
	uint8_t flags[2];
	size_t pages;
	int r;

	if (!len || len > REMOTE_PAGE || addr > UINT64_MAX - 2 * REMOTE_PAGE)
		return -EFAULT;
	pages = (size_t)((addr + len - 1) / REMOTE_PAGE - addr / REMOTE_PAGE) + 1;
	r = remote_pages(&t->mem, PAGE_DOWN(addr), pages, flags);
	for (size_t i = 0; r == 0 && i < pages; i++)
		if (flags[i] & REMOTE_SWAPPED)
			r = -ENXIO;
	return r < 0 ? r : remote_read(&t->mem, addr, buf, len);
}

bool cpython_is_heap(const struct target *t, uint64_t addr)
{
	const struct map *map = maps_find(&t->maps, addr);
	const unsigned int rw = MAP_F_READ | MAP_F_WRITE;

	return map && !map->inode && (map->flags & (rw | MAP_F_SHARED)) == rw;
}
