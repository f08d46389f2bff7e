// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/ledger-segment.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/parse.h"

#define PREFIX "ledger-"

char *ledger_segment_name(uint64_t first, char buf[static LEDGER_SEGMENT_NAME])
{
	snprintf(buf, LEDGER_SEGMENT_NAME, PREFIX "%" PRIu64, first);
	return buf;
}

void ledger_segments_done(struct ledger_segments *s)
{
	free(s->v);
	*s = (struct ledger_segments){ 0 };
}

static int by_first(const void *a, const void *b)
{
	const struct ledger_segment *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Only the name that we would have given it ourselves: "ledger-007" would be a second file 7. */
static bool number_of(const char *name, uint64_t *ret)
{
	char own[LEDGER_SEGMENT_NAME];
	uint64_t first;

	if (strncmp(name, PREFIX, strlen(PREFIX)) || parse_u64(name + strlen(PREFIX), 10, &first) < 0 || !first ||
	    first > INT64_MAX || strcmp(name, ledger_segment_name(first, own)) != 0)
		return false;
	*ret = first;
	return true;
}

static int add(struct ledger_segments *s, size_t *room, const struct ledger_segment *seg)
{
	struct ledger_segment *v;

	if (s->n == *room) {
		v = reallocarray(s->v, *room ? *room * 2 : 32, sizeof(*v));
		if (!v)
			return -ENOMEM;
		s->v = v;
		*room = *room ? *room * 2 : 32;
	}
	s->v[s->n++] = *seg;
	return 0;
}

int ledger_segments_list(int dir, struct ledger_segments *ret)
{
	_cleanup_(ledger_segments_done) struct ledger_segments s = { 0 };
	_cleanup_closedir_ DIR *d = NULL;
	size_t room = 0;
	int fd;

	/* Not a dup of @dir: that would share the place where the last listing has stopped. */
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int r = -errno;

		closep(&fd);
		return r;
	}
	for (;;) {
		struct ledger_segment seg;
		struct dirent *e;
		struct stat st;
		int r;

		errno = 0;
		e = readdir(d);
		if (!e && errno)
			return -errno;
		if (!e)
			break;
		if (!number_of(e->d_name, &seg.first))
			continue;
		/* It may be removed at any time, being the oldest. */
		if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			s.gone |= errno == ENOENT;
			continue;
		}
		if (!S_ISREG(st.st_mode))
			continue;
		seg.size = (uint64_t)st.st_size;
		r = add(&s, &room, &seg);
		if (r < 0)
			return r;
	}
	if (s.n)
		qsort(s.v, s.n, sizeof(*s.v), by_first);
	*ret = s;
	s = (struct ledger_segments){ 0 };
	return 0;
}

int ledger_segment_open(int dir, uint64_t first, int flags)
{
	const int always = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	char name[LEDGER_SEGMENT_NAME];
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = openat(dir, ledger_segment_name(first, name), flags | always, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	return TAKE_FD(fd);
}

ssize_t ledger_segment_read(int fd, void *buf, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buf + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}
