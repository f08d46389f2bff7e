/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc through an injectable root: everything that reads /proc takes a
 * directory fd, so that recorded trees serve as fixtures.
 *
 * A directory fd of /proc/PID also pins the identity of the process: once the
 * process is gone, reads through the fd fail with -ESRCH, also when the pid
 * number has been given to another one.
 */
#ifndef RECLAIM_BASE_PROCFS_H
#define RECLAIM_BASE_PROCFS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

/* Opens the root itself (normally "/proc"); the caller closes. fd or -errno. */
int procfs_open_root(const char *path) __must_check;

/*
 * Is @fd on a procfs? A chroot often has /proc as an empty directory, where no
 * process seems to exist. Apart from opening, since recorded trees are none.
 * 0, -ENODEV when it is something else, -errno.
 */
int procfs_check(int fd) __must_check;

/* Opens /proc/PID below @root; the caller closes. fd, -ESRCH when there is no such process, -errno. */
int procfs_open_pid(int root, pid_t pid) __must_check;

/*
 * Reads a whole file below @dir into @buf and adds a NUL. Returns its length,
 * -ENOBUFS when it does not fit (content then unspecified), -ESRCH when the
 * process has gone (also for ENOENT on files that every process has), -errno.
 */
ssize_t procfs_read(int dir, const char *name, char *buf, size_t size) __must_check;

/*
 * The same into malloc'ed memory, growing up to @max bytes (-EFBIG beyond).
 * The caller frees *ret, which is NUL-terminated and untouched on failure.
 */
ssize_t procfs_read_alloc(int dir, const char *name, size_t max, char **ret) __must_check;

/*
 * The same with a single read, for files that the kernel makes up as a whole
 * (stat, status, statm): a second read, only to see the end, costs a tenth more.
 */
ssize_t procfs_read_once(int dir, const char *name, char *buf, size_t size) __must_check;

/* Opens a file below @dir for reading, with the error codes of procfs_read(); the caller closes. fd or -errno. */
int procfs_open(int dir, const char *name) __must_check;

/* procfs_read_alloc() on an open file, from its current offset. */
ssize_t procfs_read_fd_alloc(int fd, size_t max, char **ret) __must_check;

/*
 * Was a maps or smaps file read to its true end? When the address space goes
 * away between two reads (exit, exec), the kernel reports a plain end of file.
 * 0, or -ESRCH when it has gone. Moves no offset.
 */
int procfs_still_mapped(int fd) __must_check;

/* Opens what an O_PATH fd refers to, with O_CLOEXEC added to @flags. fd or -errno. */
int procfs_reopen(int path_fd, int flags) __must_check;

/* readlinkat with a NUL; -ENOBUFS when it does not fit. Length or -errno. */
ssize_t procfs_readlink(int dir, const char *name, char *buf, size_t size) __must_check;

#endif
