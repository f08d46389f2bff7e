/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/status or /proc/PID/task/TID/status, see proc_pid_status(5). */
#ifndef RECLAIM_BASE_PSTATUS_H
#define RECLAIM_BASE_PSTATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct pstatus {
	char name[65]; /* unescaped comm ("\n" and "\\" are written escaped by the kernel) */
	char state;
	pid_t tgid, pid, ppid, tracer; /* tracer: TracerPid, 0 when none */
	uid_t uid, euid, suid; /* real, effective, saved */
	gid_t gid;
	int threads;
	pid_t nspid; /* the last of NSpid, which is how it knows itself; 0 when there is none */
	/* bytes; 0 for a kernel thread or zombie */
	uint64_t vm_size, vm_hwm, vm_rss, rss_anon, rss_file, rss_shmem, vm_data, vm_stack, vm_pte, vm_swap, vm_lck;
	bool thp_enabled; /* THP_enabled, since Linux 5.0; true when absent */
	/* signal sets: bit N-1 is signal N */
	uint64_t sig_pnd, shd_pnd, sig_blk, sig_ign, sig_cgt;
	int seccomp; /* 0 off, 1 strict, 2 filter */
	int seccomp_filters; /* since Linux 5.9; -1 when absent */
	bool no_new_privs;
	bool shstk; /* x86_Thread_features has shstk (Linux 6.6) */
};

/* Missing lines leave zeros; a line with a bad number is -EBADMSG. Needs at least Name, State, Tgid, Pid. */
int pstatus_parse(const char *text, struct pstatus *ret) __must_check;
int pstatus_read(int dir, struct pstatus *ret) __must_check;

#endif
