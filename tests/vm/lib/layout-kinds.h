/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the parts of layout: what kinds there are, and what making them has in common. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* 6.1 */
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define KSM "/sys/kernel/mm/ksm/"
#define RAMFS "/tmp/ramfs"

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

#define LAYOUT_ANON(K) \
	K(in_the_heap) K(on_the_stack) K(sparse) K(dense) K(single) K(across) K(untouched) \
	K(populated) K(grows_down) K(whole_huge) K(huge_one_byte) K(huge_with_hole) K(huge_cut) \
	K(huge_half_readonly) K(collapsed) K(medium_folios) K(zero_pages) K(huge_zero_page) \
	K(zero_then_written) K(lazyfree) K(lazyfree_rewritten) K(lazyfree_huge) K(dropped_in_part) \
	K(never_accessible) K(made_inaccessible) K(striped) K(locked_in_half) K(moved) K(guarded) \
	K(forked) K(forked_huge)

#define LAYOUT_BACKED(K) \
	K(cow_ramfs) K(cow_tmpfs) K(shared_ramfs) K(shared_tmpfs) K(code) K(shared_anon) K(dev_zero) \
	K(sysv) K(shmem_huge) K(shmem_huge_part) K(hugetlb) K(swapped) K(swapped_stripes) \
	K(swapped_huge) K(swapped_shmem) K(swapped_shmem_part) K(swapped_tmpfs_private) \
	K(swapped_tmpfs_readonly) K(swapped_and_back) K(lazyfree_paged_out) K(cold) K(merged) \
	K(merged_zero) K(write_protected)

#define LAYOUT_PROTOTYPE(name) int layout_##name(char *at);
LAYOUT_ANON(LAYOUT_PROTOTYPE)
LAYOUT_BACKED(LAYOUT_PROTOTYPE)

/* NULL, with errno, when it can't be had */
char *layout_map(char *at, size_t size, int prot, int flags, int fd, off_t offset);
char *layout_small(char *at, size_t size);
char *layout_huge(char *at, size_t size);
int layout_ended(const void *p, int r);
int layout_read(char *p, size_t size);
int layout_fork(char *p);
