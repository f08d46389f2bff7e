// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/procfs.h"
#include "recorded.h"

int recorded_tree(const char *tree)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/proc/%s", FIXTURES, tree);
	fd = procfs_open_root(path);
	assert_true(fd >= 0);
	return fd;
}

int recorded_process(const char *tree, pid_t pid)
{
	_cleanup_close_ int root = recorded_tree(tree);
	int fd = procfs_open_pid(root, pid);

	assert_true(fd >= 0);
	return fd;
}
