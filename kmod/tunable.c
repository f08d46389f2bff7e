// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>

#include "tunable.h"

struct reclaim_tunables reclaim_tunables = {
	.enabled = 1,
	.scan_interval_ms = 5000,
	.scan_cpu_permille = 10,
	.granule_kb = 64,
	.idle_after_ms = 60000,
	.min_anon_kb = 64 << 10,
	.bloat_anon_kb = 1 << 20,
	.bloat_heap_kb = 512 << 10,
	.bloat_growth_kb = 256 << 10,
	.bloat_window_ms = 60000,
	.no_young_flag = RECLAIM_NO_YOUNG_ACTIVATE,
};

struct reclaim_stats reclaim_stats;

void reclaim_stats_hold(u64 ns)
{
	s64 old = atomic64_read(&reclaim_stats.hold_max_ns);

	while ((s64)ns > old && !atomic64_try_cmpxchg(&reclaim_stats.hold_max_ns, &old, ns))
		;
}

/* Ages of 4 KiB granules of all memory take a 2048th part of it; twice that is enough for whatever is swapped out. */
void reclaim_tunables_init(void)
{
	u64 kb = (u64)totalram_pages() << (PAGE_SHIFT - 10);

	reclaim_tunables.age_max_kb = clamp_t(u64, kb >> 10, 1 << 10, 1 << 30);
}
