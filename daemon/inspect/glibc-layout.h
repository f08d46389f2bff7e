/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where glibc keeps what, as data: offsets in bytes, on 64-bit machines. From
 * the DWARF of Debian's 2.31, 2.36, 2.41, 2.43, 2.44 (x86-64 and aarch64 are
 * the same), and the struct texts of the versions between.
 */
#ifndef RECLAIM_INSPECT_GLIBC_LAYOUT_H
#define RECLAIM_INSPECT_GLIBC_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GLIBC_BINS 127 /* bin_at(1..127); pairs of pointers */
#define GLIBC_FASTBINS 10
#define GLIBC_TCACHE_BINS_MAX 76
#define GLIBC_ARENA_MAX 2200 /* largest struct malloc_state */
#define GLIBC_PAR_MAX 144 /* largest struct malloc_par */

#define GLIBC_NONE UINT16_MAX /* this version has no such field */

struct glibc_layout {
	unsigned int minor_from, minor_to; /* 2.from .. 2.to */

	/* struct malloc_state; the mutex is its first word */
	struct {
		uint16_t flags, fastbins, top, bins, next, attached_threads, system_mem, size;
	} arena;

	/* struct malloc_par; thresholds are its first three words: trim_threshold, top_pad, mmap_threshold */
	struct {
		uint16_t thp_pagesize, hp_pagesize, n_mmaps, no_dyn_threshold, mmapped_mem, sbrk_base, tcache_count,
			size;
	} par;

	/* struct heap_info: ar_ptr, prev, size, mprotect_size at 0, 8, 16, 24 */
	uint16_t heap_info;
	bool heap_max_by_hugetlb; /* 4 * hp_pagesize instead of 64 MiB */

	struct {
		uint16_t bins; /* the first 64 are of one size each: 32, 48, ... */
		uint16_t entries, size; /* counts (u16) are at 0 */
		bool counts_down; /* what is free in a bin, not what is in it */
	} tcache;

	bool safe_linking; /* links in caches are mixed with their own address */
};

/* The row for 2.@minor, or NULL. */
const struct glibc_layout *glibc_layout_find(unsigned int minor);

#endif
