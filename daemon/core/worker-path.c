/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/worker-client.h"

#ifndef RECLAIM_LIBEXECDIR
#define RECLAIM_LIBEXECDIR "/usr/local/libexec/reclaim"
#endif
#ifndef RECLAIM_BINDIR
#define RECLAIM_BINDIR "/usr/local/bin"
#endif
#ifndef RECLAIM_SBINDIR
#define RECLAIM_SBINDIR "/usr/local/sbin"
#endif

static int put_path(char *buf, size_t size, const char *dir, const char *name)
{
	int n = snprintf(buf, size, "%s%s%s", dir, *dir ? "/" : "", name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Where the running executable lies, without a final slash. */
static int own_dir(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size);
	char *slash;

	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buf[n] = 0;
	slash = strrchr(buf, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	return 0;
}

int worker_client_path(char *buf, size_t size)
{
	const char *env = secure_getenv("RECLAIM_WORKER");
	char dir[4096], beside[4200];
	int r;

	if (env && *env)
		return put_path(buf, size, "", env);
	/* Without /proc/self/exe there is no build tree to find: the installed one is right. */
	r = own_dir(dir, sizeof(dir));
	if (r >= 0 && strcmp(dir, RECLAIM_BINDIR) && strcmp(dir, RECLAIM_SBINDIR)) {
		r = put_path(beside, sizeof(beside), dir, "reclaim-worker");
		if (r < 0)
			return r;
		if (access(beside, X_OK) == 0)
			return put_path(buf, size, "", beside);
	}
	return put_path(buf, size, RECLAIM_LIBEXECDIR, "reclaim-worker");
}
