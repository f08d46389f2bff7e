// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/remote.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int remote_mem_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	const int *fd = ctx;
	ssize_t n;

	if (addr > INT64_MAX - len)
		return -EFAULT;
	n = pread(*fd, buf, len, (off_t)addr);
	if (n < 0)
		return errno == EIO ? -EFAULT : -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

void remote_from_mem(int *fd, uint64_t max_reads, struct remote *ret)
{
	*ret = (struct remote){ .read = remote_mem_read, .ctx = fd, .reads_left = max_reads };
}

int remote_read(struct remote *m, uint64_t addr, void *buf, size_t len)
{
	if (!m->reads_left)
		return -EDQUOT;
	m->reads_left--;
	return m->read(m->ctx, addr, buf, len);
}

void remote_forget(struct remote *m)
{
	for (size_t i = 0; i < REMOTE_CACHED; i++)
		m->cache[i].addr = 0;
}

/* The page at @addr from the cache or the target, NULL when it can't be read whole. */
static const struct remote_page *remote_page(struct remote *m, uint64_t addr)
{
	struct remote_page *page;

	for (size_t i = 0; i < REMOTE_CACHED; i++)
		if (addr && m->cache[i].addr == addr)
			return &m->cache[i];
	page = &m->cache[m->next++ % REMOTE_CACHED];
	page->addr = 0;
	if (remote_read(m, addr, page->bytes, sizeof(page->bytes)) < 0)
		return NULL;
	page->addr = addr;
	return page;
}

int remote_read_u64(struct remote *m, uint64_t addr, uint64_t *ret)
{
	const uint64_t offset = addr % REMOTE_PAGE;
	const struct remote_page *page = NULL;
	uint64_t v;
	int r = 0;

	if (offset + sizeof(v) <= REMOTE_PAGE)
		page = remote_page(m, addr - offset);
	if (page)
		memcpy(&v, page->bytes + offset, sizeof(v));
	else
		r = remote_read(m, addr, &v, sizeof(v));
	if (r < 0)
		return r;
	*ret = v;
	return 0;
}
