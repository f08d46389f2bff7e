/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A target as the readers see it. Opening takes everything that needs
 * privileges (memory, maps, files); after it the reader gives them all up,
 * and only then parses what it has opened.
 */
#ifndef RECLAIM_INSPECT_TARGET_H
#define RECLAIM_INSPECT_TARGET_H

#include <sys/types.h>

#include "base/maps.h"
#include "inspect/modules.h"
#include "inspect/remote.h"

#define TARGET_THREADS_MAX 65536

/*
 * A thread's list of robust futexes lies inside of its struct pthread (glibc
 * registers it for each thread): the way to a running thread's own data
 * without a look at its registers. Hostile: the thread can register anything.
 */
struct target_thread {
	pid_t tid;
	uint64_t robust; /* see get_robust_list(2); 0: none, or can't be told */
};

struct target {
	struct maps maps;
	struct modules mods;
	struct remote_fds fds;
	int exe_fd; /* the program's file; -1 when it can't be opened */
	int smaps_fd; /* nobody has read of it yet; -1 when it can't be opened */
	int turn_fd; /* one of the few that may be open of a process at a time */
	struct target_thread *threads; /* as of the opening; some may have gone, others come */
	size_t n_threads;
	struct remote mem;
	/* auxiliary vector: see getauxval(3) */
	uint64_t at_base; /* where the dynamic linker was loaded; 0 in a static program */
	uint64_t at_entry; /* _start of the program */
};

#define TARGET_CLOSED                                                                                   \
	{                                                                                               \
		.fds = { .mem_fd = -1, .pagemap_fd = -1 }, .exe_fd = -1, .smaps_fd = -1, .turn_fd = -1, \
	}

/* 0, -ESRCH, -EACCES or -EPERM (not permitted), -EBUSY (open several times already), -errno. */
int target_open(int piddir, struct target *ret) __must_check;
void target_close(struct target *t); /* accepts zeroed and closed ones */

/* The program itself: the module that holds the entry point. NULL when it can't be told. */
struct module *target_program(const struct target *t);
/* The dynamic linker. NULL in a static program. */
struct module *target_linker(const struct target *t);

#endif
