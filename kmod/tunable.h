/* SPDX-License-Identifier: GPL-2.0-only */
/* What sysfs sets and everything else obeys, and what it counts. */
#ifndef RECLAIM_TUNABLE_H
#define RECLAIM_TUNABLE_H

#include <linux/atomic.h>
#include <linux/types.h>

/* What to do with a page whose accessed bit we clear, where pages have no young flag (CONFIG_PAGE_IDLE_FLAG). */
enum reclaim_no_young_flag {
	RECLAIM_NO_YOUNG_ACTIVATE, /* tell its reclaim by folio_mark_accessed(), which protects more than it should */
	RECLAIM_NO_YOUNG_SAMPLE, /* let its reclaim lose one sign of access */
	RECLAIM_NO_YOUNG_OFF, /* clear nothing */
	RECLAIM_NO_YOUNG_MAX,
};

/* Read and written by READ_ONCE() and WRITE_ONCE(): each value stands for itself. */
struct reclaim_tunables {
	unsigned int enabled;
	unsigned int scan_interval_ms;
	unsigned int scan_cpu_permille;
	unsigned int granule_kb; /* a power of two */
	unsigned int idle_after_ms;
	unsigned int min_anon_kb;
	unsigned int age_max_kb;
	unsigned int bloat_anon_kb; /* this and the next two: 0 is never */
	unsigned int bloat_heap_kb;
	unsigned int bloat_growth_kb;
	unsigned int bloat_window_ms;
	unsigned int no_young_flag; /* enum reclaim_no_young_flag */
};

extern struct reclaim_tunables reclaim_tunables;

#define reclaim_tunable(name) READ_ONCE(reclaim_tunables.name)

struct reclaim_stats {
	atomic64_t looks; /* at all processes' counters */
	atomic64_t walks; /* of one process each, by the sampler, from end to end */
	atomic64_t walks_skipped; /* the process hadn't run */
	atomic64_t walks_abandoned; /* its mmap lock wasn't to be had, or it was gone */
	atomic64_t pages; /* page table entries looked at by the sampler, those of huge pages count once */
	atomic64_t busy_ns; /* of the sampler */
	atomic64_t hold_max_ns; /* longest hold of an mmap lock, by anyone here */
	atomic64_t targets; /* tracked now */
	atomic64_t age_bytes; /* held for ages now */
	atomic64_t age_failures; /* ages that weren't kept for want of memory */
	atomic64_t events;
	atomic64_t events_lost; /* for want of memory, or of room at a listener */
};

extern struct reclaim_stats reclaim_stats;

void reclaim_stats_hold(u64 ns);
void reclaim_tunables_init(void);

#endif
