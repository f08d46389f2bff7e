/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another process that runs on the memory of one.
 *
 * clone(CLONE_VM) without CLONE_THREAD makes one: a child (vfork(), posix_spawn()), with CLONE_PARENT a sibling; and
 * whose parent has ended belongs to init: no kinship tells. What we do in one happens to the other, which may be in
 * the allocator, without its locks: each of them takes itself for the only thread.
 *
 * All processes are looked at. The same memory has its stack and its heap begin at the same, random, places
 * (fs/proc/array.c, do_task_stat(): fields 28 and 47 are mm->start_stack and mm->start_brk; they are 0 for whom the
 * reader may not look into). Only who has them both is compared by kcmp(KCMP_VM), since that waits for an exec of the
 * other (kernel/kcmp.c, kcmp_lock(), of 5.11 and later), which a file system in user space can hold up for ever.
 */
#ifndef RECLAIM_WORKER_SHARER_H
#define RECLAIM_WORKER_SHARER_H

#include "base/pstat.h"

/*
 * Looks below @root, a procfs that stays the caller's, for a process that has the memory of @of. Who isn't visible in
 * that procfs, or may not be looked into, counts as none: who shares the memory of a process that we may trace may be
 * traced too, as long as neither changes its user.
 * 1: there is one, its pid in *ret. 0: none. -errno: nobody can tell; *ret is the process that it was about, 0 if it
 * was none in particular. -EACCES: @of itself shows nothing, though we may look into it.
 */
int sharer_find(int root, const struct pstat *of, pid_t *ret) __must_check;

#endif
