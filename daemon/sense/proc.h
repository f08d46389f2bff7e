/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel knows about processes: one interface, two sources (source.h).
 * procfs, declared here, is the one that is always there.
 *
 * Reading is cheap first: PROC_FIGURES is what the kernel module tells most
 * cheaply, PROC_COUNTERS what it can tell without /proc, PROC_BASIC reads only
 * stat and status (counters),
 * PROC_HEAP walks the page tables of [heap] and [stack] only,
 * PROC_DEEP also walks page tables (smaps) and is for candidates only.
 */
#ifndef RECLAIM_SENSE_PROC_H
#define RECLAIM_SENSE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define PROC_UNKNOWN UINT64_MAX /* a figure nobody could read: shown as "-", null in JSON */

enum proc_depth {
	PROC_FIGURES, /* pid, start time, RSS split, swap, idle; comm, uid and threads may stay unknown */
	PROC_COUNTERS, /* identity, threads, RSS split, swap; procfs reads no less than for PROC_BASIC */
	PROC_BASIC, /* + state, parent, tracer, seccomp */
	PROC_NAMES, /* + exe, cgroup, unit, 32/64 bit */
	PROC_HEAP, /* + heap, stack, other anonymous residency: cheap since Linux 6.11, as PROC_DEEP before */
	PROC_DEEP, /* + huge pages, lazy-free */
};

struct proc {
	pid_t pid, ppid, tracer;
	uint64_t start_time; /* clock ticks since boot */
	uid_t uid, euid;
	char comm[65]; /* raw bytes: escape before showing */
	char state;
	int threads;
	int seccomp; /* 0 off, 1 strict, 2 filter */
	bool kthread;
	int bits; /* 32, 64, or 0 when unknown */
	/* bytes, PROC_UNKNOWN when not known */
	uint64_t rss, anon, file, shmem, swap;
	uint64_t heap_size, heap; /* [heap]: mapped and resident */
	/*
	 * Resident private anonymous memory outside [heap] and [stack]: heap, stack
	 * and this add up to anon. Holds threads' stacks and what was written to
	 * private mappings of files (data segments) too.
	 */
	uint64_t mmap_anon;
	uint64_t stack; /* resident in [stack] */
	uint64_t huge; /* AnonHugePages */
	uint64_t lazyfree;
	/* Of the kernel module only: anonymous memory without a sign of access for long, in all and in [heap] */
	uint64_t idle, heap_idle;
	uint64_t sample_age_us; /* how old the figures of PROC_HEAP and beyond are; PROC_UNKNOWN: of procfs, new */
	const char *sampling; /* is it watched, and why not: a word of the module's; NULL when unknown. Not owned */
	/* malloc'ed, "" when unknown; raw bytes */
	char *exe, *cgroup, *unit;
};

void proc_done(struct proc *p); /* frees what it owns; accepts zeroed */

struct proc_list {
	struct proc *v;
	size_t n;
};

void proc_list_done(struct proc_list *l);

struct proc_filter {
	uint64_t min_rss, min_anon; /* cheap tests before anything deep is read; unknown is enough */
	bool kthreads; /* kernel threads too */
	bool patient; /* by the caller's thread alone: nobody waits, and helpers would only wake processors up */
	/*
	 * Of /proc only, where each process costs a read: is this one wanted at all? NULL: yes. Asked for every pid
	 * of the listing, by several threads at once, but once for each pid.
	 */
	bool (*wanted)(pid_t pid, void *arg);
	void *arg;
};

/* All processes that pass @filter, by pid. Processes that exit meanwhile are left out. 0 or -errno. */
int proc_list_read(int root, const struct proc_filter *filter, enum proc_depth depth, struct proc_list *ret)
	__must_check;

/* One process. 0, -ESRCH, -errno. What may not be read (-EACCES) stays PROC_UNKNOWN or "". */
int proc_read(int root, pid_t pid, enum proc_depth depth, struct proc *ret) __must_check;

/* systemd unit (service, scope, ...) of a cgroup path, as sd_pid_get_unit does; "" when none. malloc'ed. */
int proc_unit_of_cgroup(const char *cgroup, char **ret) __must_check;

#endif
