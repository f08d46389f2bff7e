// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/glibc-layout.h"

#include "base/cleanup.h"

#define ARENA_TO_2_42                                                                                       \
	{                                                                                                   \
		.flags = 4, .fastbins = 16, .top = 96, .bins = 112, .next = 2160, .attached_threads = 2176, \
		.system_mem = 2184, .size = 2200                                                            \
	}
/* 2.43 removed the fast bins. */
#define ARENA_FROM_2_43                                                                                           \
	{                                                                                                         \
		.flags = 4, .fastbins = GLIBC_NONE, .top = 8, .bins = 24, .next = 2072, .attached_threads = 2088, \
		.system_mem = 2096, .size = 2112                                                                  \
	}

#define PAR_TO_2_34                                                                                           \
	{                                                                                                     \
		.thp_pagesize = GLIBC_NONE, .hp_pagesize = GLIBC_NONE, .n_mmaps = 40, .no_dyn_threshold = 52, \
		.mmapped_mem = 56, .sbrk_base = 72, .tcache_count = 96, .size = 112                           \
	}
/* 2.35 added glibc.malloc.hugetlb. */
#define PAR_TO_2_42                                                                                              \
	{                                                                                                        \
		.thp_pagesize = 40, .hp_pagesize = 48, .n_mmaps = 60, .no_dyn_threshold = 72, .mmapped_mem = 80, \
		.sbrk_base = 96, .tcache_count = 120, .size = 136                                                \
	}
/* 2.43 put thp_mode before the rest, 2.44 dropped the last field. */
#define PAR_FROM_2_43(bytes)                                                                                     \
	{                                                                                                        \
		.thp_pagesize = 48, .hp_pagesize = 56, .n_mmaps = 68, .no_dyn_threshold = 80, .mmapped_mem = 88, \
		.sbrk_base = 104, .tcache_count = 128, .size = (bytes)                                           \
	}

#define TCACHE_TO_2_41                                                        \
	{                                                                     \
		.bins = 64, .entries = 128, .size = 640, .counts_down = false \
	}
#define TCACHE_FROM_2_42                                                     \
	{                                                                    \
		.bins = 76, .entries = 152, .size = 760, .counts_down = true \
	}

static const struct glibc_layout glibc_layouts[] = {
	{ .minor_from = 31,
	  .minor_to = 31, /* Debian 2.31: DWARF */
	  .arena = ARENA_TO_2_42,
	  .par = PAR_TO_2_34,
	  .heap_info = 32,
	  .tcache = TCACHE_TO_2_41 },
	{ .minor_from = 32,
	  .minor_to = 34, /* source; 2.32 has safe linking */
	  .arena = ARENA_TO_2_42,
	  .par = PAR_TO_2_34,
	  .heap_info = 32,
	  .tcache = TCACHE_TO_2_41,
	  .safe_linking = true },
	{ .minor_from = 35,
	  .minor_to = 41, /* Debian 2.36, 2.41: DWARF */
	  .arena = ARENA_TO_2_42,
	  .par = PAR_TO_2_42,
	  .heap_info = 48,
	  .heap_max_by_hugetlb = true,
	  .tcache = TCACHE_TO_2_41,
	  .safe_linking = true },
	{ .minor_from = 42,
	  .minor_to = 42, /* source */
	  .arena = ARENA_TO_2_42,
	  .par = PAR_TO_2_42,
	  .heap_info = 48,
	  .tcache = TCACHE_FROM_2_42,
	  .safe_linking = true },
	{ .minor_from = 43,
	  .minor_to = 43, /* Debian 2.43: DWARF */
	  .arena = ARENA_FROM_2_43,
	  .par = PAR_FROM_2_43(144),
	  .heap_info = 48,
	  .tcache = TCACHE_FROM_2_42,
	  .safe_linking = true },
	{ .minor_from = 44,
	  .minor_to = 44, /* Debian 2.44: DWARF */
	  .arena = ARENA_FROM_2_43,
	  .par = PAR_FROM_2_43(136),
	  .heap_info = 48,
	  .tcache = TCACHE_FROM_2_42,
	  .safe_linking = true },
};

const struct glibc_layout *glibc_layout_find(unsigned int minor)
{
	for (size_t i = 0; i < ARRAY_SIZE(glibc_layouts); i++)
		if (minor >= glibc_layouts[i].minor_from && minor <= glibc_layouts[i].minor_to)
			return &glibc_layouts[i];
	return NULL;
}
