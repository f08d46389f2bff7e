/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where facts come from: the kernel module where it is loaded and lets us ask,
 * else /proc. Both fill the same structures; what the one can't tell is unknown.
 */
#ifndef RECLAIM_SENSE_SOURCE_H
#define RECLAIM_SENSE_SOURCE_H

#include "sense/proc.h"
#include "sense/region.h"

enum source_kind { SOURCE_AUTO, SOURCE_NETLINK, SOURCE_PROCFS };

struct netlink;

struct source {
	int root; /* of /proc; the caller's */
	enum source_kind wanted;
	struct netlink *module; /* NULL: procfs */
};

/*
 * With SOURCE_NETLINK -ENOENT when the module isn't loaded, -EPERM when we may
 * not ask it, or -errno, and words for it in @why; otherwise /proc serves
 * without a word. The caller calls source_close().
 */
int source_open(int root, enum source_kind wanted, struct source *ret, char *why, size_t why_size) __must_check;
void source_close(struct source *s); /* accepts zeroed */

/* Is it the module, now? With SOURCE_AUTO it may go at any time. */
bool source_is_module(const struct source *s);

/* As those of procfs in proc.h and region.h, by pid. */
int source_list(struct source *s, const struct proc_filter *filter, enum proc_depth depth, struct proc_list *ret)
	__must_check;
int source_proc(struct source *s, pid_t pid, enum proc_depth depth, struct proc *ret) __must_check;
int source_regions(struct source *s, pid_t pid, size_t max_regions, struct region_list *ret) __must_check;

/* A part of an address space, up to but not including its end. */
struct source_range {
	uint64_t start, end;
};

/*
 * Signs of access were taken away in these @ranges of a process, by MADV_COLD or
 * MADV_PAGEOUT: its ages begin anew there. Call it afterwards. With no ranges all
 * of them do. 0 also when nobody keeps ages, -ESRCH when it is gone, -ERANGE for
 * a range that ends before it starts, -errno.
 */
int source_reset_ages(struct source *s, pid_t pid, uint64_t start_time, const struct source_range *ranges, size_t n)
	__must_check;

/* The kernel's own words for the last failure, or "". */
const char *source_words(const struct source *s);

#endif
