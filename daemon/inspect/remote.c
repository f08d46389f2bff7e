// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/remote.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pagemap.h"
#include "inspect/trouble.h"

/* Bits of a pagemap entry: Documentation/admin-guide/mm/pagemap.rst, since Linux 3.5 without privileges. */
#define ENTRY_FILE (1ull << 61)
#define ENTRY_SWAP (1ull << 62)
#define ENTRY_PRESENT (1ull << 63)
#define ENTRIES 512
#define REGIONS 256

static int remote_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	char *to = buf;

	if (offset > (uint64_t)INT64_MAX - len)
		return -EFAULT;
	/* Only the read after a short one says why that was short. */
	while (len) {
		ssize_t n = pread(fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		/* EIO: not mapped; 0: the address space is gone. */
		if (n <= 0)
			return n == 0 || errno == EIO ? -EFAULT : trouble_note(errno, -errno);
		to += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int remote_mem_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	const struct remote_fds *fds = ctx;

	return remote_pread(fds->mem_fd, buf, len, addr);
}

/* Before Linux 6.7: the zero page looks like any other, and huge ones don't show. */
static int remote_read_pagemap(int fd, uint64_t addr, size_t n, uint8_t *ret)
{
	uint64_t entries[ENTRIES] = { 0 };

	while (n) {
		size_t some = MIN(n, (size_t)ENTRIES);
		int r = remote_pread(fd, entries, some * sizeof(entries[0]), addr / REMOTE_PAGE * sizeof(entries[0]));

		if (r < 0)
			return r;
		for (size_t i = 0; i < some; i++)
			ret[i] = (uint8_t)((entries[i] & ENTRY_PRESENT ? REMOTE_PRESENT : 0) |
					   (entries[i] & ENTRY_SWAP ? REMOTE_SWAPPED : 0) |
					   (entries[i] & ENTRY_FILE ? REMOTE_SHARED : 0));
		ret += some;
		n -= some;
		addr += some * REMOTE_PAGE;
	}
	return 0;
}

static int remote_scan_pagemap(int fd, uint64_t addr, size_t n, uint8_t *ret)
{
	/* Cleared for valgrind, which does not know that the kernel fills it. */
	struct pagemap_region v[REGIONS] = { 0 };
	const uint64_t base = addr, end = addr + n * REMOTE_PAGE;

	memset(ret, 0, n);
	while (addr < end) {
		int k = pagemap_scan(fd, addr, end, PAGEMAP_PRESENT | PAGEMAP_SWAPPED | PAGEMAP_FILE | PAGEMAP_HUGE,
				     PAGEMAP_ZERO, v, REGIONS, &addr);

		if (k < 0)
			return trouble_note(-k, k);
		for (int i = 0; i < k; i++) {
			uint8_t flags = (uint8_t)((v[i].categories & PAGEMAP_PRESENT ? REMOTE_PRESENT : 0) |
						  (v[i].categories & PAGEMAP_SWAPPED ? REMOTE_SWAPPED : 0) |
						  (v[i].categories & PAGEMAP_FILE ? REMOTE_SHARED : 0) |
						  (v[i].categories & PAGEMAP_HUGE ? REMOTE_HUGE : 0));

			if (v[i].start < base || v[i].end > end || v[i].start > v[i].end)
				return -EBADMSG;
			memset(ret + (v[i].start - base) / REMOTE_PAGE, flags, (v[i].end - v[i].start) / REMOTE_PAGE);
		}
	}
	return 0;
}

static int remote_mem_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	struct remote_fds *fds = ctx;
	int r = -EOPNOTSUPP;

	if (fds->pagemap_fd < 0)
		return -EOPNOTSUPP;
	if (!fds->no_scan)
		r = remote_scan_pagemap(fds->pagemap_fd, addr, n, ret);
	if (r != -EOPNOTSUPP)
		return r;
	fds->no_scan = true;
	return remote_read_pagemap(fds->pagemap_fd, addr, n, ret);
}

void remote_from_fds(struct remote_fds *fds, uint64_t max_reads, uint64_t max_bytes, struct remote *ret)
{
	*ret = (struct remote){
		.read = remote_mem_read,
		.pages = remote_mem_pages,
		.ctx = fds,
		.reads_left = max_reads,
		.bytes_left = max_bytes,
	};
}

static int remote_charge(struct remote *m, uint64_t bytes)
{
	if (!m->reads_left || m->bytes_left < bytes)
		return -EDQUOT;
	if (m->deadline_ns && clock_ns() > m->deadline_ns)
		return -ETIME;
	m->reads_left--;
	m->bytes_left -= bytes;
	return 0;
}

int remote_read(struct remote *m, uint64_t addr, void *buf, size_t len)
{
	int r = remote_charge(m, len);

	return r < 0 ? r : m->read(m->ctx, addr, buf, len);
}

int remote_pages(struct remote *m, uint64_t addr, size_t n, uint8_t *ret)
{
	int r;

	if (!m->pages)
		return -EOPNOTSUPP;
	if (addr % REMOTE_PAGE || n > UINT64_MAX / REMOTE_PAGE || addr > UINT64_MAX - n * REMOTE_PAGE)
		return -EFAULT;
	r = remote_charge(m, n * sizeof(uint64_t));
	return r < 0 ? r : m->pages(m->ctx, addr, n, ret);
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
