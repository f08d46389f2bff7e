// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/sharer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/procfs.h"

/* 0: the same. Positive: not. -errno. */
static int sharer_compare(pid_t a, pid_t b)
{
	long r = syscall(SYS_kcmp, a, b, KCMP_VM, 0ul, 0ul);

	return r < 0 ? -errno : (int)r;
}

/* One that has ended meanwhile, or may not be looked into, is none. */
static bool sharer_is_none(int r)
{
	return r == -ESRCH || r == -ENOENT || r == -EPERM || r == -EACCES;
}

/* Has @tid, which @st was read of, the memory of @of? 1, 0 or -errno. */
static int sharer_judge(const struct pstat *of, pid_t tid, const struct pstat *st)
{
	int r;

	if (st->start_stack != of->start_stack || st->start_brk != of->start_brk)
		return 0;
	r = sharer_compare(of->pid, tid);
	if (r == -ESRCH)
		return 0;
	return r < 0 ? r : r == 0;
}

/* NULL with errno when it can't be listed. */
static DIR *sharer_list(int at, const char *name)
{
	_cleanup_close_ int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir)
		(void)TAKE_FD(fd);
	return dir;
}

/* The next number that @dir, of processes or threads, lists, and what its stat says. 1, 0 at the end, -errno. */
static int sharer_next(DIR *dir, pid_t *ret, struct pstat *ret_stat)
{
	const struct dirent *de;

	*ret = 0;
	while ((errno = 0, de = readdir(dir)) != NULL) {
		_cleanup_close_ int fd = -1;
		pid_t pid;
		int r;

		if (parse_pid(de->d_name, &pid) < 0)
			continue;
		fd = procfs_open_pid(dirfd(dir), pid);
		r = fd < 0 ? fd : pstat_read(fd, ret_stat);
		if (sharer_is_none(r))
			continue;
		*ret = pid;
		return r < 0 ? r : 1;
	}
	return errno > 0 ? -errno : 0;
}

/* The first thread of @pid has ended and shows no memory any more, but others of it go on. */
static int sharer_ask_threads(int root, const struct pstat *of, pid_t pid)
{
	_cleanup_closedir_ DIR *dir = NULL;
	char path[sizeof("-2147483648/task")];
	struct pstat st = { 0 };
	pid_t tid;
	int r;

	(void)snprintf(path, sizeof(path), "%d/task", pid);
	dir = sharer_list(root, path);
	if (!dir)
		return sharer_is_none(-errno) ? 0 : -errno;
	while ((r = sharer_next(dir, &tid, &st)) > 0) {
		r = sharer_judge(of, tid, &st);
		if (r)
			return r;
	}
	return sharer_is_none(r) ? 0 : r;
}

int sharer_find(int root, const struct pstat *of, pid_t *ret)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct pstat st = { 0 };
	int r;

	*ret = 0;
	/* Whom we may not look into nothing can be done to either. */
	if (!of->start_stack || !of->start_brk)
		return sharer_is_none(sharer_compare(getpid(), of->pid)) && !sharer_compare(getpid(), getpid()) ?
			       0 :
			       -EACCES;
	dir = sharer_list(root, ".");
	if (!dir)
		return -errno;
	while ((r = sharer_next(dir, ret, &st)) > 0) {
		if (*ret == of->pid)
			continue;
		r = (st.state == 'Z' || st.state == 'X') && st.threads > 1 ? sharer_ask_threads(root, of, *ret) :
									     sharer_judge(of, *ret, &st);
		if (r)
			return r;
	}
	return r;
}
