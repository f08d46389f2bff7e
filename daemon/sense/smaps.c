/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smaps as a stream. The kernel hands out at most a page per read, so neither a
 * larger buffer nor the whole text in memory would save anything; what counts
 * is to look at each byte once.
 */
#include <string.h>

#include "base/procfs.h"
#include "base/scan.h"
#include "sense/smaps.h"

int smaps_open(int piddir, struct smaps *ret)
{
	_cleanup_(smaps_close) struct smaps s = { .fd = -1 };

	s.fd = procfs_open(piddir, "smaps");
	if (s.fd < 0)
		return s.fd;
	s.buf = malloc(SMAPS_BUFFER);
	if (!s.buf)
		return -ENOMEM;

	*ret = s;
	s = (struct smaps){ .fd = -1 };
	return 0;
}

void smaps_close(struct smaps *s)
{
	closep(&s->fd);
	free(s->buf);
	s->buf = NULL;
}

static int fill(struct smaps *s)
{
	ssize_t n;

	if (s->pos > 0) {
		memmove(s->buf, s->buf + s->pos, s->used - s->pos);
		s->used -= s->pos;
		s->pos = 0;
	}
	if (s->used == SMAPS_BUFFER)
		return -EBADMSG;

	do
		n = read(s->fd, s->buf + s->used, SMAPS_BUFFER - s->used);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;

	s->eof = n == 0;
	s->used += (size_t)n;
	return 0;
}

/* Headers begin with a lower-case hexadecimal digit, all other lines with a capital. */
static bool is_header(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/*
 * Length of the region that begins at pos: up to the next header. 0 when more
 * must be read. A last region ends with the file.
 */
static size_t region_length(const struct smaps *s)
{
	const char *start = s->buf + s->pos, *end = s->buf + s->used, *p = start;

	while (p < end) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return 0;
		p++;
		if (p < end && is_header(*p))
			return (size_t)(p - start);
	}

	return s->eof ? (size_t)(end - start) : 0;
}

static bool parse_kb(const char *p, uint64_t *ret)
{
	uint64_t kb;

	scan_blanks(&p);
	if (!scan_u64(&p, &kb) || kb > UINT64_MAX / 1024)
		return false;
	if (!scan_char(&p, ' ') || !scan_char(&p, 'k') || !scan_char(&p, 'B') || *p != '\n')
		return false;

	*ret = kb * 1024;
	return true;
}

static int parse_line(const char *line, struct region *r)
{
#define ROW(key, member)                                              \
	{                                                             \
		key ":", sizeof(key), offsetof(struct region, member) \
	}
	static const struct {
		const char *key;
		size_t len, offset;
	} rows[] = {
		ROW("Rss", rss),	   ROW("Anonymous", anon),
		ROW("Swap", swap),	   ROW("AnonHugePages", huge),
		ROW("LazyFree", lazyfree), ROW("Referenced", referenced),
		ROW("Locked", locked),
	};
#undef ROW

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (line[0] == rows[i].key[0] && !strncmp(line, rows[i].key, rows[i].len))
			return parse_kb(line + rows[i].len, (uint64_t *)((char *)r + rows[i].offset)) ? 0 : -EBADMSG;

	return 0;
}

/* @text..@end is one whole region that ends with a newline: every scan stops there. */
static int parse_region(char *text, const char *end, struct region *ret)
{
	struct region reg = { .accessed = UINT64_MAX };
	char *line = memchr(text, '\n', (size_t)(end - text));
	const char *p;
	int r;

	if (!line || end[-1] != '\n' || memchr(text, '\0', (size_t)(end - text)))
		return -EBADMSG;
	*line++ = '\0';
	r = maps_parse_line(text, &reg.map);
	if (r < 0)
		return r;

	for (p = line; p < end; p++) {
		r = parse_line(p, &reg);
		if (r < 0)
			return r;
		p = memchr(p, '\n', (size_t)(end - p));
	}

	*ret = reg;
	return 0;
}

int smaps_next(struct smaps *s, struct region *ret)
{
	struct region reg;
	size_t len;
	int r;

	while ((len = region_length(s)) == 0) {
		if (s->eof)
			break;
		r = fill(s);
		if (r < 0)
			return r;
	}
	if (len == 0) {
		if (s->pos < s->used)
			return -EBADMSG;
		/* Nothing at all is right for a kernel thread or zombie. */
		return s->n > 0 ? procfs_still_mapped(s->fd) : 0;
	}

	r = parse_region(s->buf + s->pos, s->buf + s->pos + len, &reg);
	if (r < 0)
		return r;
	if (reg.map.start < s->last_end)
		return -EAGAIN;

	s->pos += len;
	s->last_end = reg.map.end;
	s->n++;
	*ret = reg;
	return 1;
}
