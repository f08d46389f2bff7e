// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "core/metrics.h"

static int write_all(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t done = write(fd, text, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		text += done;
		n -= (size_t)done;
	}
	return 0;
}

/* A new file, readable for all whatever our umask: the exporter is somebody else. */
static int write_file(int dir, const char *name, const char *text)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text, strlen(text));
	if (r < 0)
		return r;
	return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int replace(int dir, const char *tmp, const char *name, const char *text)
{
	int r;

	/*
	 * Left by a crash, or put there by whoever else may write to this folder. Never opened: a link in its place
	 * would have us overwrite what it leads to.
	 */
	if (unlinkat(dir, tmp, 0) < 0 && errno != ENOENT)
		return -errno;
	r = write_file(dir, tmp, text);
	if (!r && renameat(dir, tmp, dir, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir, tmp, 0);
	return r;
}

int metrics_write(const char *path, const char *text)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int dir = -1;
	char tmp[NAME_MAX + 1];
	int n;

	if (!copy)
		return -ENOMEM;
	n = snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	if (!*name || n < 0 || (size_t)n >= sizeof(tmp))
		return -EINVAL;
	dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	return replace(dir, tmp, name, text);
}
