// SPDX-License-Identifier: GPL-2.0-only
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/shmem_fs.h>
#include <linux/xarray.h>

#include <uapi/linux/reclaim.h>

#include "region.h"

/* Longest name given out: its end tells more than its front. */
#define NAME_BYTES 255

static bool is_shmem(const struct vm_area_struct *vma)
{
	return vma->vm_file && shmem_mapping(vma->vm_file->f_mapping);
}

u32 reclaim_region_kind(const struct vm_area_struct *vma)
{
	if (is_vm_hugetlb_page((struct vm_area_struct *)vma))
		return RECLAIM_KIND_HUGETLB;
	if (vma->vm_flags & VM_PFNMAP)
		return RECLAIM_KIND_SPECIAL;
	/* A private mapping of /dev/zero has a file, and is anonymous all the same. */
	if (vma_is_anonymous((struct vm_area_struct *)vma)) {
		if (vma_is_initial_heap(vma))
			return RECLAIM_KIND_HEAP;
		return vma_is_initial_stack(vma) ? RECLAIM_KIND_STACK : RECLAIM_KIND_MMAP;
	}
	if (is_shmem(vma))
		return RECLAIM_KIND_SHMEM;
	if (vma->vm_file)
		return RECLAIM_KIND_FILE;
	return vma->vm_start == (unsigned long)vma->vm_mm->context.vdso ? RECLAIM_KIND_VDSO : RECLAIM_KIND_SPECIAL;
}

/* smaps counts nothing in the others either. Their entries may have no struct page. */
bool reclaim_region_walkable(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & VM_PFNMAP) && !is_vm_hugetlb_page((struct vm_area_struct *)vma);
}

static u32 region_flags(unsigned long vm_flags)
{
	static const struct {
		unsigned long vm;
		u32 ours;
	} table[] = {
		{ VM_READ, RECLAIM_REGION_FLAGS_READ },
		{ VM_WRITE, RECLAIM_REGION_FLAGS_WRITE },
		{ VM_EXEC, RECLAIM_REGION_FLAGS_EXEC },
		{ VM_MAYSHARE, RECLAIM_REGION_FLAGS_SHARED },
		{ VM_GROWSDOWN, RECLAIM_REGION_FLAGS_GROWS_DOWN },
		{ VM_LOCKED, RECLAIM_REGION_FLAGS_LOCKED },
		{ VM_HUGEPAGE, RECLAIM_REGION_FLAGS_HUGE_ADVISED },
		{ VM_NOHUGEPAGE, RECLAIM_REGION_FLAGS_NO_HUGE },
	};
	u32 flags = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (vm_flags & table[i].vm)
			flags |= table[i].ours;
	return flags;
}

void reclaim_region_init(struct reclaim_region *region, const struct vm_area_struct *vma)
{
	*region = (struct reclaim_region){
		.start = vma->vm_start,
		.end = vma->vm_end,
		.flags = region_flags(vma->vm_flags),
		.kind = reclaim_region_kind(vma),
		.shmem_by_cache = (vma->vm_flags & VM_SHARED) || !(vma->vm_flags & VM_WRITE),
	};
	if (vma->vm_file) {
		region->file = get_file(vma->vm_file);
		region->offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	}
}

void reclaim_region_done(struct reclaim_region *region)
{
	if (region->file)
		fput(region->file);
	region->file = NULL;
}

/* Stops early only when its caller is being killed. */
static u64 swapped_pages(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	XA_STATE(xas, &mapping->i_pages, first);
	unsigned int n = 0;
	u64 pages = 0;
	void *entry;

	rcu_read_lock();
	xas_for_each(&xas, entry, last) {
		if (xas_retry(&xas, entry))
			continue;
		if (xa_is_value(entry))
			pages += 1UL << xas_get_order(&xas);
		if (++n % 1024)
			continue;

		xas_pause(&xas);
		rcu_read_unlock();
		cond_resched();
		if (fatal_signal_pending(current))
			return pages;
		rcu_read_lock();
	}
	rcu_read_unlock();

	return pages;
}

u64 reclaim_region_swapped_shmem(const struct reclaim_region *region)
{
	pgoff_t first = region->offset >> PAGE_SHIFT;
	pgoff_t last = first + ((region->end - region->start) >> PAGE_SHIFT) - 1;
	struct address_space *mapping;

	if (region->kind != RECLAIM_KIND_SHMEM || !region->shmem_by_cache)
		return 0;

	mapping = region->file->f_mapping;
	/* Nearly always. */
	if (!READ_ONCE(SHMEM_I(mapping->host)->swapped))
		return 0;
	return swapped_pages(mapping, first, last) << PAGE_SHIFT;
}

const char *reclaim_region_name(const struct reclaim_region *region, char *buf, size_t size)
{
	const char *path;
	size_t length;

	if (!region->file)
		return "";

	path = file_path(region->file, buf, size);
	if (IS_ERR(path))
		return "";

	length = strlen(path);
	return length > NAME_BYTES ? path + length - NAME_BYTES : path;
}
