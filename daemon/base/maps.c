/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/maps */
#include <limits.h>
#include <string.h>

#include "base/maps.h"
#include "base/procfs.h"
#include "base/scan.h"

/* Names are shorter than this on average, or the reading ends: a target may map 65530 files with 4 KiB paths. */
#define BYTES_PER_MAP 512
#define TEXT_MIN ((size_t)1 << 20)

/* While the target changes its mappings between two reads of ours, the kernel may repeat an address. */
#define READ_TRIES 4

static const char deleted[] = " (deleted)";

static bool scan_perms(const char **p, unsigned int *ret)
{
	static const struct {
		char set, clear;
		unsigned int flag;
	} perms[] = {
		{ 'r', '-', MAP_F_READ },
		{ 'w', '-', MAP_F_WRITE },
		{ 'x', '-', MAP_F_EXEC },
		{ 's', 'p', MAP_F_SHARED },
	};
	unsigned int flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(perms); i++, (*p)++) {
		if (**p == perms[i].set)
			flags |= perms[i].flag;
		else if (**p != perms[i].clear)
			return false;
	}

	*ret = flags;
	return true;
}

static bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static enum map_kind kind_of(const struct map *m)
{
	bool shared = m->flags & MAP_F_SHARED;

	/* No path of the kernel's begins with '[': these are its own words. */
	if (m->name[0] == '[') {
		if (!strcmp(m->name, "[heap]"))
			return MAP_KIND_HEAP;
		if (!strcmp(m->name, "[stack]"))
			return MAP_KIND_STACK;
		if (starts_with(m->name, "[anon:"))
			return MAP_KIND_ANON;
		if (starts_with(m->name, "[anon_shmem:"))
			return MAP_KIND_SHMEM;
		return MAP_KIND_SPECIAL;
	}
	if (!m->name[0] && m->inode == 0)
		return shared ? MAP_KIND_SHMEM : MAP_KIND_ANON;

	/* The kernel's own mount has no block device; a disk file of such a name has. */
	if (m->dev_major == 0) {
		if (starts_with(m->name, "/memfd:") || starts_with(m->name, "/SYSV"))
			return MAP_KIND_SHMEM;
		/* Private mappings of these two are anonymous memory that keeps the name. */
		if (!strcmp(m->name, "/dev/zero") || !strcmp(m->name, "/anon_hugepage"))
			return shared ? MAP_KIND_SHMEM : MAP_KIND_ANON;
	}

	return MAP_KIND_FILE;
}

static void cut_deleted(char *name, unsigned int *flags)
{
	size_t len = strlen(name), tail = sizeof(deleted) - 1;

	if (len > tail && !strcmp(name + len - tail, deleted)) {
		name[len - tail] = '\0';
		*flags |= MAP_F_DELETED;
	}
}

int maps_parse_line(char *line, struct map *ret)
{
	struct map m = { 0 };
	uint64_t major, minor;
	const char *p = line;
	char *name;

	if (!scan_hex(&p, &m.start) || !scan_char(&p, '-') || !scan_hex(&p, &m.end) || m.start >= m.end)
		return -EBADMSG;
	if (!scan_char(&p, ' ') || !scan_perms(&p, &m.flags))
		return -EBADMSG;
	if (!scan_char(&p, ' ') || !scan_hex(&p, &m.offset))
		return -EBADMSG;
	if (!scan_char(&p, ' ') || !scan_hex(&p, &major) || !scan_char(&p, ':') || !scan_hex(&p, &minor))
		return -EBADMSG;
	if (!scan_char(&p, ' ') || !scan_u64(&p, &m.inode) || major > UINT32_MAX || minor > UINT32_MAX)
		return -EBADMSG;
	if (*p != ' ' && *p != '\n' && *p != '\0')
		return -EBADMSG;

	while (*p == ' ')
		p++;
	name = line + (p - line);
	*strchrnul(name, '\n') = '\0';

	m.dev_major = (uint32_t)major;
	m.dev_minor = (uint32_t)minor;
	cut_deleted(name, &m.flags);
	m.name = name;
	m.kind = kind_of(&m);

	*ret = m;
	return 0;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; n++) {
		text = strchrnul(text, '\n');
		if (*text)
			text++;
	}

	return n;
}

static int parse_text(char *text, size_t max_maps, struct maps *m)
{
	size_t n = count_lines(text);
	uint64_t last_end = 0;

	if (n > max_maps)
		return -E2BIG;

	m->v = calloc(MAX(n, 1), sizeof(*m->v));
	if (!m->v)
		return -ENOMEM;

	for (char *next; m->n < n; m->n++, text = next) {
		int r;

		next = strchrnul(text, '\n');
		/* The kernel ends every line: one without an end was cut. */
		if (!*next)
			return -EBADMSG;
		*next++ = '\0';
		r = maps_parse_line(text, &m->v[m->n]);
		if (r < 0)
			return r;
		if (m->v[m->n].start < last_end)
			return -EAGAIN;
		last_end = m->v[m->n].end;
	}

	return 0;
}

static int read_text(int dir, size_t max, char **ret)
{
	_cleanup_close_ int fd = procfs_open(dir, "maps");
	_cleanup_free_ char *text = NULL;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = procfs_read_fd_alloc(fd, max, &text);
	if (n < 0)
		return n == -EFBIG ? -E2BIG : (int)n;
	if (strlen(text) != (size_t)n)
		return -EBADMSG;
	/* Nothing at all is right for a kernel thread or zombie. */
	if (n > 0) {
		int r = procfs_still_mapped(fd);

		if (r < 0)
			return r;
	}

	*ret = TAKE_PTR(text);
	return 0;
}

int maps_read(int dir, size_t max_maps, struct maps *ret)
{
	size_t max_text;
	int r;

	if (__builtin_mul_overflow(max_maps, BYTES_PER_MAP, &max_text) || max_text > SSIZE_MAX / 2)
		return -EINVAL;
	max_text = MAX(max_text, TEXT_MIN);

	for (int i = 0; i < READ_TRIES; i++) {
		_cleanup_(maps_done) struct maps m = { 0 };

		r = read_text(dir, max_text, &m.text);
		if (r < 0)
			return r;
		r = parse_text(m.text, max_maps, &m);
		if (r == -EAGAIN)
			continue;
		if (r < 0)
			return r;

		*ret = m;
		m = (struct maps){ 0 };
		return 0;
	}

	return -EBADMSG;
}

void maps_done(struct maps *m)
{
	free(m->v);
	free(m->text);
	*m = (struct maps){ 0 };
}

const struct map *maps_find(const struct maps *m, uint64_t addr)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (addr < m->v[mid].start)
			high = mid;
		else if (addr >= m->v[mid].end)
			low = mid + 1;
		else
			return &m->v[mid];
	}

	return NULL;
}
