/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who lists many processes wants to know their heaps, and smaps costs 8 us for
 * every mapping before any page is looked at. Since Linux 6.11 a mapping can be
 * asked for by address (PROCMAP_QUERY), since 6.7 its resident pages by range
 * (PAGEMAP_SCAN): together a tenth of the price. Older kernels leave smaps.
 *
 * pagemap itself would be no substitute: it shows the zero page as resident.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/pagemap.h"
#include "base/procfs.h"
#include "sense/heap.h"

/* From <linux/fs.h>, spelled out since Debian 12's copy is older. */
struct procmap_query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor;
	uint32_t vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};

#define QUERY_MAPPING _IOWR('f', 17, struct procmap_query)
#define QUERY_COVERING_OR_NEXT 0x10u

#define RANGES 256
/* Of one heap: each change of protection makes another. */
#define MAPPINGS_MAX 65536

static int unsupported(int error)
{
	return error == ENOTTY || error == EINVAL ? -EOPNOTSUPP : -error;
}

/* The mapping at or behind @addr. 1 when it is called @wanted, 0 when it is another or there is none. */
static int query_mapping(int maps, uint64_t addr, const char *wanted, uint64_t *ret_start, uint64_t *ret_end)
{
	char name[sizeof("[stack]")] = "";
	struct procmap_query q = {
		.size = sizeof(q),
		.query_flags = QUERY_COVERING_OR_NEXT,
		.query_addr = addr,
		.vma_name_size = sizeof(name),
		.vma_name_addr = (uintptr_t)name,
	};

	if (ioctl(maps, QUERY_MAPPING, &q) < 0) {
		/* A name longer than those that we look for. */
		if (errno == ENAMETOOLONG || errno == ENOENT) {
			*ret_start = *ret_end = 0;
			return 0;
		}
		return unsupported(errno);
	}

	*ret_start = q.vma_start;
	*ret_end = q.vma_end;
	return q.vma_name_size == strlen(wanted) + 1 && !memcmp(name, wanted, q.vma_name_size);
}

static int count_resident(int pagemap, uint64_t start, uint64_t end, uint64_t *ret)
{
	/* Cleared for valgrind, which does not know that the kernel fills it. */
	struct pagemap_region ranges[RANGES] = { 0 };
	uint64_t sum = 0;

	while (start < end) {
		int n = pagemap_scan(pagemap, start, end, PAGEMAP_PRESENT, PAGEMAP_ZERO, ranges, RANGES, &start);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			sum += ranges[i].end - ranges[i].start;
	}

	*ret = sum;
	return 0;
}

static int query_heap(int maps, int pagemap, uint64_t start_brk, struct heap *h)
{
	uint64_t start = 0, end = start_brk;

	for (int i = 0; i < MAPPINGS_MAX; i++) {
		uint64_t resident = 0;
		int r = query_mapping(maps, end, "[heap]", &start, &end);

		if (r < 0)
			return r;
		/* The program's last page may reach beyond the point from which the heap is counted. */
		if (r == 0 && i == 0 && start < start_brk && end > start_brk)
			continue;
		if (r == 0)
			break;
		r = count_resident(pagemap, start, end, &resident);
		if (r < 0)
			return r;
		h->size += end - start;
		h->resident += resident;
	}

	return 0;
}

int heap_query(int piddir, const struct pstat *stat, struct heap *ret)
{
	_cleanup_close_ int maps = -1, pagemap = -1;
	struct heap h = { 0 };
	uint64_t start = 0, end = 0;
	int r;

	if (!stat->start_brk || !stat->start_stack)
		return -EOPNOTSUPP;
	maps = procfs_open(piddir, "maps");
	if (maps < 0)
		return maps;
	pagemap = procfs_open(piddir, "pagemap");
	if (pagemap < 0)
		return pagemap == -ENOENT ? -EOPNOTSUPP : pagemap;

	r = query_heap(maps, pagemap, stat->start_brk, &h);
	if (r < 0)
		return r;
	r = query_mapping(maps, stat->start_stack, "[stack]", &start, &end);
	if (r > 0)
		r = count_resident(pagemap, start, end, &h.stack);
	if (r < 0)
		return r;

	/* A scan of an address space that has gone finds nothing and says nothing: this one does. */
	r = query_mapping(maps, stat->start_brk, "[heap]", &start, &end);
	if (r < 0)
		return r;

	*ret = h;
	return 0;
}
