/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line of /proc/PID/stat or /proc/PID/task/TID/stat, see proc_pid_stat(5). */
#ifndef RECLAIM_BASE_PSTAT_H
#define RECLAIM_BASE_PSTAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct pstat {
	pid_t pid, ppid;
	char comm[65]; /* as the kernel prints it: any bytes but NUL; up to 64 for kernel workers */
	char state; /* R S D Z T t X I ... */
	unsigned int flags; /* PF_*: 0x00200000 is PF_KTHREAD */
	uint64_t minor_faults, major_faults; /* page faults of all its threads so far */
	unsigned long long utime, stime; /* clock ticks */
	long threads;
	uint64_t start_time; /* clock ticks since boot: with the pid, the identity of a process */
	uint64_t vsize; /* bytes */
	uint64_t start_stack,
		start_brk; /* in [stack], begin of [heap]; 0 when hidden (needs ptrace access) or cut off */
};

/*
 * @text: a NUL-terminated stat line. comm may contain blanks, parentheses and
 * newlines: its end is the last ')' of the line. 0 or -EBADMSG.
 */
int pstat_parse(const char *text, struct pstat *ret) __must_check;

/* Reads "stat" below @dir. 0, -ESRCH, -EBADMSG, -errno. */
int pstat_read(int dir, struct pstat *ret) __must_check;

/*
 * A pidfd of the process that @piddir (of /proc/@pid) is of: it was there before
 * the number could be given to another, and still is. The caller closes. fd,
 * -ESRCH, -errno.
 */
int pstat_pidfd(int piddir, pid_t pid) __must_check;

bool pstat_is_kthread(const struct pstat *s);

#endif
