/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thread stacks have no name in maps since Linux 4.5. The stack pointer of a
 * thread that sleeps in a system call is in /proc/PID/task/TID/syscall (before
 * the last field), for whoever may trace it; a running one shows none.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "ctl/explain.h"

#define STACKS_MAX 4096

/* "0 0x3 0x7f.. ... 0xSP 0xPC\n", "-1 0xSP 0xPC\n" or "running\n" */
static bool parse_sp(char *text, uint64_t *ret)
{
	char *pc = strrchr(text, ' '), *sp;

	if (!pc)
		return false;
	*pc = 0;
	sp = strrchr(text, ' ');
	return sp && !strncmp(sp + 1, "0x", 2) && parse_u64(sp + 3, 16, ret) == 0;
}

int stacks_read(int piddir, uint64_t **ret, size_t *ret_n)
{
	_cleanup_close_ int fd = openat(piddir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	_cleanup_free_ uint64_t *v = calloc(STACKS_MAX, sizeof(*v));
	const struct dirent *de;
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	if (dir)
		(void)TAKE_FD(fd);
	while (dir && n < STACKS_MAX && (de = readdir(dir)) != NULL) {
		char path[64], text[256];
		pid_t tid;

		if (parse_pid(de->d_name, &tid) < 0)
			continue;
		snprintf(path, sizeof(path), "task/%d/syscall", tid);
		if (procfs_read_once(piddir, path, text, sizeof(text)) > 0 && parse_sp(text, &v[n]))
			n++;
	}
	*ret = TAKE_PTR(v);
	*ret_n = n;
	return 0;
}
