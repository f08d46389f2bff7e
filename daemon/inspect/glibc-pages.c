// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/glibc-pages.h"

#include <errno.h>
#include <string.h>

#define BLOCK_BYTES (GLIBC_PAGES_BLOCK * REMOTE_PAGE)

void glibc_pages_init(struct glibc_pages *p, struct remote *mem)
{
	p->mem = mem;
	glibc_pages_forget(p);
}

void glibc_pages_forget(struct glibc_pages *p)
{
	memset(p->addr, 0, sizeof(p->addr));
	memset(p->block, 0, sizeof(p->block));
}

static int pages_flags(struct glibc_pages *p, uint64_t page, uint8_t *ret)
{
	uint64_t block = page & ~(BLOCK_BYTES - 1);
	size_t i = block / BLOCK_BYTES % GLIBC_PAGES_BLOCKS;

	if (!block)
		return -EFAULT;
	if (p->block[i] != block) {
		int r = remote_pages(p->mem, block, GLIBC_PAGES_BLOCK, p->flags[i]);

		if (r < 0) {
			p->block[i] = 0;
			return r;
		}
		p->block[i] = block;
	}
	*ret = p->flags[i][(page - block) / REMOTE_PAGE];
	return 0;
}

static int pages_at(struct glibc_pages *p, uint64_t page, const unsigned char **ret)
{
	size_t i = page / REMOTE_PAGE % GLIBC_PAGES;
	uint8_t flags;
	int r;

	*ret = p->bytes[i];
	if (p->addr[i] == page)
		return 0;
	p->addr[i] = 0;
	r = pages_flags(p, page, &flags);
	if (r < 0)
		return r;
	if (flags & (REMOTE_SWAPPED | REMOTE_SHARED))
		return -ENXIO;
	if (flags & REMOTE_PRESENT)
		r = remote_read(p->mem, page, p->bytes[i], REMOTE_PAGE);
	else
		memset(p->bytes[i], 0, REMOTE_PAGE);
	if (r == 0)
		p->addr[i] = page;
	return r;
}

int glibc_pages_read(struct glibc_pages *p, uint64_t addr, void *buf, size_t len)
{
	unsigned char *to = buf;

	if (addr > UINT64_MAX - 2 * REMOTE_PAGE || len > REMOTE_PAGE)
		return -EFAULT;
	while (len) {
		uint64_t off = addr % REMOTE_PAGE;
		size_t some = MIN(len, (size_t)(REMOTE_PAGE - off));
		const unsigned char *page;
		int r = pages_at(p, addr - off, &page);

		if (r < 0)
			return r;
		memcpy(to, page + off, some);
		to += some;
		addr += some;
		len -= some;
	}
	return 0;
}
