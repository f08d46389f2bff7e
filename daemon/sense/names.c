/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exe, cgroup, unit and word size of a process. */
#include <limits.h>
#include <string.h>

#include "base/procfs.h"
#include "sense/names.h"

#define AUXV_PAGESZ 6 /* AT_PAGESZ: every Linux process has it */
#define CGROUP_STACK 4096
#define CGROUP_MAX ((size_t)256 << 10) /* 16 hierarchies, paths of up to 4 KiB */

/*
 * Not by opening exe, which would show the ELF class: that opens a file of the
 * target's choosing, perhaps on a file system that never answers.
 */
int proc_bits_of_auxv(const char *auxv, size_t len)
{
	uint64_t v64[2];
	uint32_t v32[2];

	for (size_t i = 0; i + sizeof(v64) <= len; i += sizeof(v64)) {
		memcpy(v64, auxv + i, sizeof(v64));
		if (v64[0] == AUXV_PAGESZ && v64[1] >= 4096 && v64[1] <= 65536)
			return 64;
	}
	for (size_t i = 0; i + sizeof(v32) <= len; i += sizeof(v32)) {
		memcpy(v32, auxv + i, sizeof(v32));
		if (v32[0] == AUXV_PAGESZ && v32[1] >= 4096 && v32[1] <= 65536)
			return 32;
	}

	return 0;
}

/* Path of the line whose first two fields, with their colons, are @prefix or end in it; NULL when none. */
static const char *find_hierarchy(const char *text, const char *prefix, size_t *ret_len)
{
	while (*text) {
		const char *end = strchrnul(text, '\n');
		const char *first = memchr(text, ':', (size_t)(end - text));
		const char *second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;

		/* Hierarchy numbers of version 1 vary, that of version 2 is always 0. */
		if (second) {
			size_t len = strlen(prefix);
			const char *key = *prefix == ':' ? first : text;

			if ((size_t)(second + 1 - key) == len && !memcmp(key, prefix, len)) {
				*ret_len = (size_t)(end - second - 1);
				return second + 1;
			}
		}
		text = *end ? end + 1 : end;
	}

	return NULL;
}

int proc_cgroup_of_text(const char *text, char **ret)
{
	size_t len = 0, v1_len = 0;
	const char *path = find_hierarchy(text, "0::", &len);
	const char *v1 = find_hierarchy(text, ":name=systemd:", &v1_len);
	char *s;

	/* A hybrid machine may have version 2 mounted without using it. */
	if (v1 && (!path || len <= 1)) {
		path = v1;
		len = v1_len;
	}

	s = strndup(path ? path : "", len);
	if (!s)
		return -ENOMEM;
	*ret = s;
	return 0;
}

static int read_cgroup(int piddir, char **ret)
{
	_cleanup_free_ char *large = NULL;
	char small[CGROUP_STACK];
	const char *text = small;
	ssize_t n;

	n = procfs_read_once(piddir, "cgroup", small, sizeof(small));
	if (n == -ENOBUFS) {
		n = procfs_read_alloc(piddir, "cgroup", CGROUP_MAX, &large);
		text = large;
	}
	/* No cgroups in this kernel, or not to be seen. */
	if (n == -ENOENT || n == -EACCES || n == -EPERM)
		text = "";
	else if (n < 0)
		return (int)n;

	return proc_cgroup_of_text(text, ret);
}

static int read_exe(int piddir, char **ret)
{
	char path[PATH_MAX + sizeof(" (deleted)")];
	ssize_t n;

	n = procfs_readlink(piddir, "exe", path, sizeof(path));
	/* A kernel thread has none, others' may not be read, and some paths are too long to be said. */
	if (n == -ENOENT || n == -EACCES || n == -EPERM || n == -ENAMETOOLONG || n == -ENOBUFS)
		path[0] = '\0';
	else if (n < 0)
		return (int)n;

	*ret = strdup(path);
	return *ret ? 0 : -ENOMEM;
}

static int read_bits(int piddir, int *ret)
{
	char auxv[2048];
	ssize_t n;

	n = procfs_read_once(piddir, "auxv", auxv, sizeof(auxv));
	if (n < 0 && n != -ENOENT && n != -EACCES && n != -EPERM && n != -ENOBUFS)
		return (int)n;

	*ret = n > 0 ? proc_bits_of_auxv(auxv, (size_t)n) : 0;
	return 0;
}

int proc_read_names(int piddir, bool has_mm, struct proc *p)
{
	int r;

	r = read_cgroup(piddir, &p->cgroup);
	if (r < 0)
		return r;
	r = proc_unit_of_cgroup(p->cgroup, &p->unit);
	if (r < 0)
		return r;

	if (!has_mm) {
		p->exe = strdup("");
		return p->exe ? 0 : -ENOMEM;
	}

	r = read_exe(piddir, &p->exe);
	if (r < 0)
		return r;
	return read_bits(piddir, &p->bits);
}
