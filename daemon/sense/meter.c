/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/procfs.h"
#include "base/scan.h"

#define CGROUP_MAX ((size_t)256 << 10) /* 16 hierarchies, paths of up to 4 KiB */
#define MEMINFO_MAX 8192
#define SLACK (1ull << 20)

/* Where control groups are mounted below sys/fs/cgroup, and which file has the figure. */
static const struct place {
	const char *controller; /* of a line of /proc/PID/cgroup, "" for version 2 */
	const char *mount, *file;
} places[] = {
	{ "", ".", "memory.current" },
	{ "", "unified", "memory.current" }, /* beside version 1 */
	{ "memory", "memory", "memory.usage_in_bytes" },
};

/* Is @word in the comma-separated list of @len bytes? Nothing is in an empty one but "". */
static bool listed(const char *list, size_t len, const char *word)
{
	const size_t n = strlen(word);

	if (!n || !len)
		return !n && !len;
	for (const char *p = list; p < list + len;) {
		const char *comma = memchr(p, ',', (size_t)(list + len - p));
		const char *end = comma ? comma : list + len;

		if ((size_t)(end - p) == n && !memcmp(p, word, n))
			return true;
		p = end + 1;
	}
	return false;
}

/* The path in the line "NUMBER:CONTROLLERS:/PATH" that is about @controller, as a malloc'ed relative one; or NULL. */
static char *path_of(const char *text, const char *controller)
{
	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');
		const char *first = memchr(line, ':', (size_t)(end - line));
		const char *second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;

		if (second && listed(first + 1, (size_t)(second - first - 1), controller)) {
			const char *path = second + 1;

			while (path < end && *path == '/')
				path++;
			return path == end ? strdup(".") : strndup(path, (size_t)(end - path));
		}
		line = *end ? end + 1 : end;
	}
	return NULL;
}

/* Beyond the root of our own cgroup namespace the kernel writes "/../..". */
static bool leads_out(const char *path)
{
	return !strncmp(path, "..", 2) || strstr(path, "/..");
}

/*
 * Nobody else is charged to it: the process is alone in there and there is no
 * group below. That it is in there at all also proves that this is the group
 * that was meant, whatever is mounted where.
 */
static bool is_alone(int group, pid_t pid)
{
	char text[64], own[32];
	struct stat st;

	snprintf(own, sizeof(own), "%d\n", pid);
	/* A directory has a link for each one in it, and two more; some file systems always say 1. */
	return procfs_read(group, "cgroup.procs", text, sizeof(text)) > 0 && !strcmp(text, own) &&
	       fstat(group, &st) == 0 && st.st_nlink <= 2;
}

static int open_place(int groups, const struct place *place, const char *path, pid_t pid)
{
	_cleanup_close_ int mount = openat(groups, place->mount, O_PATH | O_DIRECTORY | O_CLOEXEC), group = -1;
	int fd;

	if (mount < 0)
		return -errno;
	group = openat(mount, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group < 0)
		return -errno;
	if (!is_alone(group, pid))
		return -ENOENT;
	fd = openat(group, place->file, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_group(int root, int piddir, pid_t pid)
{
	_cleanup_close_ int groups = openat(root, "sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	int fd = -ENOENT;

	if (groups < 0)
		return -errno;
	if (procfs_read_alloc(piddir, "cgroup", CGROUP_MAX, &text) < 0)
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(places) && fd < 0; i++) {
		_cleanup_free_ char *path = path_of(text, places[i].controller);

		if (path && !leads_out(path))
			fd = open_place(groups, &places[i], path, pid);
	}
	return fd;
}

void meter_close(struct meter *m)
{
	closep(&m->fd);
	m->scope = METER_NONE;
}

/* The kilobytes behind "KEY:", as bytes. */
static uint64_t meminfo(const char *text, const char *key)
{
	const char *p = strstr(text, key);
	uint64_t kb;

	if (!p || (p != text && p[-1] != '\n'))
		return METER_UNKNOWN;
	p += strlen(key);
	scan_blanks(&p);
	return scan_u64(&p, &kb) && !strncmp(p, " kB", 3) && kb <= METER_UNKNOWN / 2048 ? kb * 1024 : METER_UNKNOWN;
}

static uint64_t machine_used(const char *text)
{
	const uint64_t total = meminfo(text, "MemTotal:"), available = meminfo(text, "MemAvailable:");

	if (total == METER_UNKNOWN || available == METER_UNKNOWN || available > total)
		return METER_UNKNOWN;
	return total - available;
}

uint64_t meter_used(const struct meter *m)
{
	char text[MEMINFO_MAX];
	const char *p = text;
	ssize_t n;
	uint64_t v;

	if (m->fd < 0)
		return METER_UNKNOWN;
	do
		n = pread(m->fd, text, sizeof(text) - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return METER_UNKNOWN;
	text[n] = '\0';
	if (m->scope == METER_MACHINE)
		return machine_used(text);
	return scan_u64(&p, &v) && (*p == '\n' || !*p) ? v : METER_UNKNOWN;
}

/* What is counted in pages on several processors is not exact. */
static bool pays_for(const struct meter *m, uint64_t anon)
{
	const uint64_t used = meter_used(m);

	return used != METER_UNKNOWN && used >= anon - MIN(anon, anon / 16 + SLACK);
}

void meter_open(int root, int piddir, pid_t pid, uint64_t anon, struct meter *ret)
{
	struct meter m = { .scope = METER_CGROUP, .fd = open_group(root, piddir, pid) };

	if (m.fd >= 0 && pays_for(&m, anon)) {
		*ret = m;
		return;
	}
	meter_close(&m);
	m.fd = openat(root, "proc/meminfo", O_RDONLY | O_CLOEXEC);
	m.scope = m.fd < 0 ? METER_NONE : METER_MACHINE;
	*ret = m;
}
