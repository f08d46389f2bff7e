/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/reclaim.yaml */
/* YNL-GEN uapi header */

#ifndef _UAPI_LINUX_RECLAIM_H
#define _UAPI_LINUX_RECLAIM_H

#define RECLAIM_FAMILY_NAME	"reclaim"
#define RECLAIM_FAMILY_VERSION	1

/**
 * enum reclaim_kind - What a mapping is for.
 * @RECLAIM_KIND_HEAP: Grown by brk(), [heap] in /proc/PID/maps.
 * @RECLAIM_KIND_MMAP: Private and without a file, and neither heap nor stack.
 * @RECLAIM_KIND_STACK: The main thread's stack. Those of other threads are
 *   mmap.
 * @RECLAIM_KIND_FILE: Of a file. Its anonymous part is what was written to
 *   privately.
 * @RECLAIM_KIND_SHMEM: Of tmpfs, shared anonymous memory, or System V shared
 *   memory.
 * @RECLAIM_KIND_HUGETLB: Of hugetlbfs. Not walked.
 * @RECLAIM_KIND_SPECIAL: Device memory and the like. Not walked.
 * @RECLAIM_KIND_VDSO: The kernel's own code pages in user space.
 */
enum reclaim_kind {
	RECLAIM_KIND_HEAP,
	RECLAIM_KIND_MMAP,
	RECLAIM_KIND_STACK,
	RECLAIM_KIND_FILE,
	RECLAIM_KIND_SHMEM,
	RECLAIM_KIND_HUGETLB,
	RECLAIM_KIND_SPECIAL,
	RECLAIM_KIND_VDSO,
};

/**
 * enum reclaim_sampling - Whether accessed bits of a process are sampled, and
 *   if not, why not.
 * @RECLAIM_SAMPLING_DISABLED: The sysfs attribute "enabled" is 0.
 * @RECLAIM_SAMPLING_SMALL: Less anonymous memory than the sysfs attribute
 *   "min_anon_kb".
 * @RECLAIM_SAMPLING_PENDING: Large enough, and the sampler hasn't come by yet.
 * @RECLAIM_SAMPLING_SECONDARY_MMU: Something else (a virtual machine, a
 *   device) uses its page tables' notifiers; left alone.
 * @RECLAIM_SAMPLING_UNSUPPORTED: This kernel has no young flag for pages, and
 *   "no_young_flag" says not to sample then.
 * @RECLAIM_SAMPLING_NO_MEMORY: The bound on the sampler's own memory was
 *   reached, so its ages are not complete.
 */
enum reclaim_sampling {
	RECLAIM_SAMPLING_ACTIVE,
	RECLAIM_SAMPLING_DISABLED,
	RECLAIM_SAMPLING_SMALL,
	RECLAIM_SAMPLING_PENDING,
	RECLAIM_SAMPLING_SECONDARY_MMU,
	RECLAIM_SAMPLING_UNSUPPORTED,
	RECLAIM_SAMPLING_NO_MEMORY,
};

/**
 * enum reclaim_reason - Why a process was announced.
 * @RECLAIM_REASON_ANON: Its anonymous memory, resident or swapped out, crossed
 *   "bloat_anon_kb".
 * @RECLAIM_REASON_HEAP: The resident part of its heap crossed "bloat_heap_kb".
 * @RECLAIM_REASON_GROWTH: It grew by "bloat_growth_kb" within the window.
 * @RECLAIM_REASON_HEAP_IDLE: Its heap is larger than "bloat_heap_kb" and most
 *   of it has been idle for "idle_after_ms".
 */
enum reclaim_reason {
	RECLAIM_REASON_ANON,
	RECLAIM_REASON_HEAP,
	RECLAIM_REASON_GROWTH,
	RECLAIM_REASON_HEAP_IDLE,
};

/**
 * enum reclaim_region_flags - Rights and properties of a mapping.
 */
enum reclaim_region_flags {
	RECLAIM_REGION_FLAGS_READ = 1,
	RECLAIM_REGION_FLAGS_WRITE = 2,
	RECLAIM_REGION_FLAGS_EXEC = 4,
	RECLAIM_REGION_FLAGS_SHARED = 8,
	RECLAIM_REGION_FLAGS_GROWS_DOWN = 16,
	RECLAIM_REGION_FLAGS_LOCKED = 32,
	RECLAIM_REGION_FLAGS_HUGE_ADVISED = 64,
	RECLAIM_REGION_FLAGS_NO_HUGE = 128,
};

/**
 * enum reclaim_proc_fields - Groups of a process's attributes. Pid and start
 *   time belong to each answer.
 * @RECLAIM_PROC_FIELDS_WHO: comm, uid, cgroup-id, threads.
 * @RECLAIM_PROC_FIELDS_COUNTERS: rss-anon, rss-file, rss-shmem, swap,
 *   page-tables, heap-size.
 * @RECLAIM_PROC_FIELDS_SAMPLE: sampling, sample-age, and what the walk found.
 */
enum reclaim_proc_fields {
	RECLAIM_PROC_FIELDS_WHO = 1,
	RECLAIM_PROC_FIELDS_COUNTERS = 2,
	RECLAIM_PROC_FIELDS_SAMPLE = 4,
};

enum {
	RECLAIM_A_PAD = 1,
	RECLAIM_A_PID,
	RECLAIM_A_START_TIME,
	RECLAIM_A_COMM,
	RECLAIM_A_UID,
	RECLAIM_A_CGROUP_ID,
	RECLAIM_A_THREADS,
	RECLAIM_A_RSS_ANON,
	RECLAIM_A_RSS_FILE,
	RECLAIM_A_RSS_SHMEM,
	RECLAIM_A_SWAP,
	RECLAIM_A_PAGE_TABLES,
	RECLAIM_A_HEAP_SIZE,
	RECLAIM_A_SAMPLE_AGE,
	RECLAIM_A_ANON_HEAP,
	RECLAIM_A_ANON_MMAP,
	RECLAIM_A_ANON_STACK,
	RECLAIM_A_HUGE,
	RECLAIM_A_LAZYFREE,
	RECLAIM_A_ACCESSED,
	RECLAIM_A_IDLE,
	RECLAIM_A_HEAP_IDLE,
	RECLAIM_A_SAMPLING,
	RECLAIM_A_REASON,
	RECLAIM_A_GROWTH,
	RECLAIM_A_MIN_ANON,
	RECLAIM_A_FRESH,
	RECLAIM_A_REGION_START,
	RECLAIM_A_REGION_END,
	RECLAIM_A_REGION_FLAGS,
	RECLAIM_A_KIND,
	RECLAIM_A_NAME,
	RECLAIM_A_OFFSET,
	RECLAIM_A_PRESENT,
	RECLAIM_A_ANON,
	RECLAIM_A_SWAPPED,
	RECLAIM_A_SWAPPED_SHMEM,
	RECLAIM_A_HUGE_SHMEM,
	RECLAIM_A_HUGE_FILE,
	RECLAIM_A_HISTOGRAM,
	RECLAIM_A_INTERVAL,
	RECLAIM_A_GRANULE,
	RECLAIM_A_FIELDS,
	RECLAIM_A_RANGE,

	__RECLAIM_A_MAX,
	RECLAIM_A_MAX = (__RECLAIM_A_MAX - 1)
};

enum {
	RECLAIM_A_HISTOGRAM_PAD = 1,
	RECLAIM_A_HISTOGRAM_KIND,
	RECLAIM_A_HISTOGRAM_BUCKET,

	__RECLAIM_A_HISTOGRAM_MAX,
	RECLAIM_A_HISTOGRAM_MAX = (__RECLAIM_A_HISTOGRAM_MAX - 1)
};

enum {
	RECLAIM_A_BUCKET_PAD = 1,
	RECLAIM_A_BUCKET_IDLE_FOR,
	RECLAIM_A_BUCKET_BYTES,

	__RECLAIM_A_BUCKET_MAX,
	RECLAIM_A_BUCKET_MAX = (__RECLAIM_A_BUCKET_MAX - 1)
};

enum {
	RECLAIM_A_RANGE_PAD = 1,
	RECLAIM_A_RANGE_START,
	RECLAIM_A_RANGE_END,

	__RECLAIM_A_RANGE_MAX,
	RECLAIM_A_RANGE_MAX = (__RECLAIM_A_RANGE_MAX - 1)
};

enum {
	RECLAIM_CMD_PROC_GET = 1,
	RECLAIM_CMD_PROC_BLOAT_NTF,
	RECLAIM_CMD_REGION_GET,
	RECLAIM_CMD_AGE_GET,
	RECLAIM_CMD_AGE_RESET,

	__RECLAIM_CMD_MAX,
	RECLAIM_CMD_MAX = (__RECLAIM_CMD_MAX - 1)
};

#define RECLAIM_MCGRP_BLOAT	"bloat"

#endif /* _UAPI_LINUX_RECLAIM_H */
