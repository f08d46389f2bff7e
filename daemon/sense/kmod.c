/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/kmod.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/text.h"

#define FILE_NAME "reclaim.ko"

/* A line of modules.dep: the module's path, perhaps of a compressed file, then ":" and what it needs. */
static bool is_ours(const char *line)
{
	const size_t n = strcspn(line, ":");
	const char *name = memrchr(line, '/', n);

	name = name ? name + 1 : line;
	return line[n] == ':' && !strncmp(name, FILE_NAME, strlen(FILE_NAME)) &&
	       strchr(".:", name[strlen(FILE_NAME)]) != NULL;
}

bool kmod_installed(int root)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *line = NULL;
	struct utsname name;
	char path[128];
	size_t size = 0;

	if (uname(&name) < 0)
		return false;
	/* What modprobe itself reads is made of this one, by depmod. */
	text_format(path, sizeof(path), "lib/modules/%s/modules.dep", name.release);
	fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	f = fdopen(fd, "r");
	if (!f)
		return false;
	(void)TAKE_FD(fd);
	while (getline(&line, &size, f) >= 0)
		if (is_ours(line))
			return true;
	return false;
}
