// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/swap.h"

#include <fcntl.h>
#include <string.h>

#include "base/procfs.h"
#include "base/scan.h"

#define MEMINFO_MAX 8192
#define SWAPS_MAX ((size_t)64 << 10)
#define CGROUP_MAX ((size_t)256 << 10) /* 16 hierarchies, paths of up to 4 KiB */
#define DEPTH_MAX 128 /* groups above each other */

/* The kilobytes behind "KEY:" as bytes, or SWAP_UNLIMITED. */
static uint64_t meminfo(const char *text, const char *key)
{
	const char *p = strstr(text, key);
	uint64_t kb;

	if (!p || (p != text && p[-1] != '\n'))
		return SWAP_UNLIMITED;
	p += strlen(key);
	scan_blanks(&p);
	return scan_u64(&p, &kb) && !strncmp(p, " kB", 3) && kb <= UINT64_MAX / 2048 ? kb * 1024 : SWAP_UNLIMITED;
}

/* "/dev/zram0", "/zram0" where the device's folder isn't seen */
static bool is_zram(const char *name)
{
	const char *base = strrchr(name, '/');

	return !strncmp(base ? base + 1 : name, "zram", 4);
}

/* Lines of /proc/swaps, below a heading: name, type, size, used, priority. The highest priority is used first. */
static void read_areas(char *text, struct swap *s)
{
	int64_t best = INT64_MIN;
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *blank = strrchr(line, '\t');
		int64_t priority;
		size_t n = strcspn(line, " \t");

		if (*line != '/' || !blank)
			continue;
		for (blank++; *blank == ' ';)
			blank++;
		if (!scan_i64(&blank, &priority))
			continue;
		line[n] = '\0';
		if (is_zram(line))
			s->ram = true;
		else
			s->disk = true;
		if (priority <= best)
			continue;
		best = priority;
		n = MIN(n, sizeof(s->name) - 1);
		memcpy(s->name, line, n);
		s->name[n] = '\0';
	}
}

int swap_read(int proc, struct swap *ret)
{
	_cleanup_free_ char *areas = NULL;
	char text[MEMINFO_MAX];
	struct swap s = { 0 };
	ssize_t n = procfs_read(proc, "meminfo", text, sizeof(text));

	if (n < 0)
		return (int)n;
	s.total = meminfo(text, "SwapTotal:");
	s.free = meminfo(text, "SwapFree:");
	if (s.total == SWAP_UNLIMITED || s.free == SWAP_UNLIMITED || s.free > s.total)
		return -EBADMSG;
	n = procfs_read_alloc(proc, "swaps", SWAPS_MAX, &areas);
	if (n < 0)
		return (int)n;
	read_areas(areas, &s);
	*ret = s;
	return 0;
}

uint64_t swap_room(const struct swap *s, uint64_t keep)
{
	return s->free - MIN(s->free, keep);
}

/* A file with one number, or "max". SWAP_UNLIMITED when it can't be read: a group's root has none. */
static uint64_t group_figure(int group, const char *name)
{
	char text[64];
	const char *p = text;
	uint64_t v;

	if (procfs_read(group, name, text, sizeof(text)) < 0 || !scan_u64(&p, &v) || *p != '\n')
		return SWAP_UNLIMITED;
	return v;
}

static uint64_t group_room(int groups, const char *path)
{
	_cleanup_close_ int dir = openat(groups, *path ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint64_t max, current;

	if (dir < 0)
		return SWAP_UNLIMITED;
	max = group_figure(dir, "memory.swap.max");
	current = group_figure(dir, "memory.swap.current");
	if (max == SWAP_UNLIMITED || current == SWAP_UNLIMITED)
		return SWAP_UNLIMITED;
	return max - MIN(max, current);
}

/* The line "0::/PATH", as a relative one; or NULL. Beyond the root of our own cgroup namespace it begins with "/..". */
static char *path_of(char *text)
{
	char *line = !strncmp(text, "0::/", 4) ? text : strstr(text, "\n0::/");
	char *path;

	if (!line)
		return NULL;
	path = strchr(line, '/') + 1;
	path[strcspn(path, "\n")] = '\0';
	return !strncmp(path, "..", 2) || strstr(path, "/..") ? NULL : path;
}

int swap_room_of_groups(int groups, int piddir, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	uint64_t least = SWAP_UNLIMITED;
	char *path;
	ssize_t n;

	if (groups < 0) {
		*ret = SWAP_UNLIMITED;
		return 0;
	}
	n = procfs_read_alloc(piddir, "cgroup", CGROUP_MAX, &text);
	if (n < 0)
		return (int)n;
	path = path_of(text);
	for (int i = 0; path && i < DEPTH_MAX; i++) {
		char *slash = strrchr(path, '/');
		const uint64_t room = group_room(groups, path);

		least = MIN(least, room);
		if (!*path)
			break;
		*(slash ? slash : path) = '\0';
	}
	*ret = least;
	return 0;
}
