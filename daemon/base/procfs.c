/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc through an injectable root. */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/procfs.h"

#define FIRST_ALLOC ((size_t)16 << 10)

int procfs_open_root(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int procfs_check(int fd)
{
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return -errno;
	return st.f_type == PROC_SUPER_MAGIC ? 0 : -ENODEV;
}

int procfs_open_pid(int root, pid_t pid)
{
	char name[sizeof("-2147483648")];
	int fd;

	if (pid <= 0)
		return -ESRCH;

	snprintf(name, sizeof(name), "%d", pid);
	fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;

	return fd;
}

/* Files that every process and thread has: their absence says that the process has. */
static bool is_common_file(const char *base)
{
	static const char *const names[] = {
		"stat", "status",  "statm",  "comm", "cmdline", "maps", "smaps", "pagemap", "auxv",
		"mem",	"environ", "cgroup", "task", "exe",	"root", "cwd",	 "wchan",   "syscall",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(base, names[i]))
			return true;

	return false;
}

/*
 * Below the fd of a process that has gone, every file is ENOENT. Some are
 * ENOENT for living ones too (exe of a kernel thread, smaps without its
 * option), so ask for the one that cannot be missing.
 */
static int missing_file(int dir, const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	char stat[256];
	int n;

	if (!is_common_file(base))
		return -ENOENT;

	n = snprintf(stat, sizeof(stat), "%.*sstat", (int)(base - name), name);
	if (n < 0 || (size_t)n >= sizeof(stat))
		return -ENOENT;
	if (faccessat(dir, stat, F_OK, 0) < 0 && errno == ENOENT)
		return -ESRCH;

	return -ENOENT;
}

int procfs_open(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0)
		return fd;
	return errno == ENOENT ? missing_file(dir, name) : -errno;
}

static ssize_t read_some(int fd, char *buf, size_t size)
{
	ssize_t n;

	do
		n = read(fd, buf, size);
	while (n < 0 && errno == EINTR);

	return n < 0 ? -errno : n;
}

ssize_t procfs_read_once(int dir, const char *name, char *buf, size_t size)
{
	_cleanup_close_ int fd = -1;
	ssize_t n;

	if (size == 0)
		return -ENOBUFS;

	fd = procfs_open(dir, name);
	if (fd < 0)
		return fd;
	n = read_some(fd, buf, size);
	if (n < 0)
		return n;
	if ((size_t)n == size)
		return -ENOBUFS;

	buf[n] = '\0';
	return n;
}

ssize_t procfs_read(int dir, const char *name, char *buf, size_t size)
{
	_cleanup_close_ int fd = -1;
	size_t used = 0;
	ssize_t n;

	if (size == 0)
		return -ENOBUFS;

	fd = procfs_open(dir, name);
	if (fd < 0)
		return fd;

	/* Reads may be short in the middle: only 0 is the end. */
	do {
		n = read_some(fd, buf + used, size - used);
		if (n < 0)
			return n;
		used += (size_t)n;
		if (used == size)
			return -ENOBUFS;
	} while (n > 0);

	buf[used] = '\0';
	return (ssize_t)used;
}

ssize_t procfs_read_fd_alloc(int fd, size_t max, char **ret)
{
	_cleanup_free_ char *buf = NULL;
	size_t size = 0, used = 0;
	ssize_t n;

	if (max > SSIZE_MAX - 1)
		return -EINVAL;

	do {
		if (used == size) {
			/* One byte more than @max, to tell a full file from one that goes on. */
			size_t want = MIN(MAX(size * 2, FIRST_ALLOC), max + 1);
			char *bigger;

			if (used > max)
				return -EFBIG;
			bigger = realloc(buf, want + 1);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
			size = want;
		}
		n = read_some(fd, buf + used, size - used);
		if (n < 0)
			return n;
		used += (size_t)n;
	} while (n > 0);

	if (used > max)
		return -EFBIG;

	buf[used] = '\0';
	*ret = TAKE_PTR(buf);
	return (ssize_t)used;
}

ssize_t procfs_read_alloc(int dir, const char *name, size_t max, char **ret)
{
	_cleanup_close_ int fd = procfs_open(dir, name);

	return fd < 0 ? fd : procfs_read_fd_alloc(fd, max, ret);
}

int procfs_still_mapped(int fd)
{
	ssize_t n;
	char c;

	do
		n = pread(fd, &c, 1, 0);
	while (n < 0 && errno == EINTR);

	if (n < 0)
		return -errno;
	return n > 0 ? 0 : -ESRCH;
}

ssize_t procfs_readlink(int dir, const char *name, char *buf, size_t size)
{
	ssize_t n;

	if (size == 0)
		return -ENOBUFS;

	n = readlinkat(dir, name, buf, size);
	if (n < 0)
		return errno == ENOENT ? missing_file(dir, name) : -errno;
	if ((size_t)n == size)
		return -ENOBUFS;

	buf[n] = '\0';
	return n;
}

int procfs_reopen(int path_fd, int flags)
{
	char path[sizeof("/proc/self/fd/-2147483648")];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
