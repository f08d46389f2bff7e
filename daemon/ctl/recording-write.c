// SPDX-License-Identifier: GPL-2.0-or-later
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/crc.h"
#include "base/parse.h"
#include "base/text.h"
#include "ctl/recording.h"

#define SYNC_US 30000000ull /* what a crash of the machine may cost */

/* ---- bytes ---- */

static unsigned char *put_number(unsigned char *at, uint64_t v)
{
	for (; v > 0x7f; v >>= 7)
		*at++ = (unsigned char)(v | 0x80);
	*at++ = (unsigned char)v;
	return at;
}

/* Small ones stay short on both sides of zero. */
static unsigned char *put_signed(unsigned char *at, uint64_t v)
{
	return put_number(at, v << 1 ^ (v >> 63 ? UINT64_MAX : 0));
}

static unsigned char *put_text(unsigned char *at, const char *text, size_t size)
{
	const size_t n = strnlen(text, size - 1);

	at = put_number(at, n);
	memcpy(at, text, n);
	return at + n;
}

/* Facts may be nonsense: what no process can have isn't known. */
static uint64_t stored(uint64_t v)
{
	return v > RECORDING_SIZE_MAX ? 0 : v + 1;
}

static unsigned char *put_sample(unsigned char *at, const struct recording_sample *s, uint64_t last[RECORDED_N])
{
	const unsigned int n = s->looked ? RECORDED_N : RECORDED_COUNTED;
	uint64_t changed = 0;

	for (unsigned int i = 0; i < n; i++)
		if (stored(s->v[i]) != last[i])
			changed |= 1ull << i;
	at = put_number(at, s->looked);
	at = put_number(at, changed);
	for (unsigned int i = 0; i < n; i++) {
		if (!(changed & 1ull << i))
			continue;
		at = put_signed(at, stored(s->v[i]) - last[i]);
		last[i] = stored(s->v[i]);
	}
	return at;
}

static unsigned char *put_target(unsigned char *at, const struct recording_target *t)
{
	at = put_number(at, (uint64_t)t->pid);
	at = put_number(at, t->start_time);
	at = put_text(at, t->comm, sizeof(t->comm));
	return put_text(at, t->exe, sizeof(t->exe));
}

static unsigned char *put_event(unsigned char *at, const struct recording_event *e)
{
	at = put_number(at, e->kind);
	at = put_signed(at, (uint64_t)e->bytes);
	return put_text(at, e->words, sizeof(e->words));
}

size_t recording_encode(struct recording_state *s, const struct recording_block *b, unsigned char *buf)
{
	const uint64_t at_us = MAX(b->at_us, s->at_us);
	unsigned char *at = buf + 3;
	uint32_t sum;
	size_t n;

	at = put_number(at, at_us - s->at_us);
	at = put_number(at, b->target);
	if (b->type == RECORDING_BLOCK_TARGET)
		at = put_target(at, &b->about);
	else if (b->type == RECORDING_BLOCK_SAMPLE)
		at = put_sample(at, &b->sample, s->last[b->target]);
	else if (b->type == RECORDING_BLOCK_EVENT)
		at = put_event(at, &b->event);
	s->at_us = at_us;
	s->ntargets += b->type == RECORDING_BLOCK_TARGET;
	n = (size_t)(at - buf) - 3;
	buf[0] = (unsigned char)b->type;
	buf[1] = (unsigned char)n;
	buf[2] = (unsigned char)(n >> 8);
	sum = htole32(crc32(buf, n + 3));
	memcpy(at, &sum, sizeof(sum));
	return n + 7;
}

void recording_encode_head(const struct recording_head *h, unsigned char *buf)
{
	const uint64_t numbers[] = { htole64(RECORDING_VERSION), htole64(h->real_us), htole64(h->interval_us) };
	uint32_t sum;

	memset(buf, 0, RECORDING_HEAD);
	for (size_t i = 0; i < 8; i++)
		buf[i] = (unsigned char)RECORDING_MAGIC[i];
	memcpy(buf + 8, numbers, sizeof(numbers));
	sum = htole32(crc32(buf, RECORDING_HEAD - sizeof(sum)));
	memcpy(buf + RECORDING_HEAD - sizeof(sum), &sum, sizeof(sum));
}

/* ---- the file ---- */

/* 0; -ENOENT: nothing is there; -EBUSY: somebody is writing it; -EEXIST: it is something else. */
static int check_old(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char magic[8];
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : -EEXIST;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EEXIST;
	if (st.st_size &&
	    (read(fd, magic, sizeof(magic)) != sizeof(magic) || memcmp(magic, RECORDING_MAGIC, sizeof(magic)) != 0))
		return -EEXIST;
	return flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK ? -EBUSY : 0;
}

static int open_new(const struct recording_writer *w)
{
	int fd = openat(w->dir, w->name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	/* Who finds it later sees that it is being written. Some file systems have no locks. */
	(void)!flock(fd, LOCK_EX | LOCK_NB);
	return fd;
}

static int create(const char *path, struct recording_writer *w)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	_cleanup_free_ char *folder = slash ? strndup(path, MAX((size_t)(slash - path), (size_t)1)) : strdup(".");
	_cleanup_free_ char *old = NULL;
	int r;

	w->name = strdup(base);
	if (!folder || !w->name || asprintf(&old, "%s.old", base) < 0)
		return -ENOMEM;
	if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
		return -EISDIR;
	w->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->dir < 0)
		return -errno;
	w->fd = open_new(w);
	if (w->fd != -EEXIST)
		return w->fd;
	r = check_old(w->dir, base);
	if (r < 0 && r != -ENOENT)
		return r;
	r = check_old(w->dir, old);
	if (r < 0 && r != -ENOENT)
		return r == -EEXIST ? -ENOTEMPTY : r;
	if (renameat(w->dir, base, w->dir, old) < 0)
		return -errno;
	w->old = TAKE_PTR(old);
	w->fd = open_new(w);
	return w->fd;
}

/* All of it or nothing: what has come behind by half is cut off again. */
static int write_all(struct recording_writer *w, const unsigned char *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		const ssize_t r = write(w->fd, buf + done, n - done);
		const int error = errno;

		if (r >= 0) {
			done += (size_t)r;
			continue;
		}
		if (error == EINTR)
			continue;
		if (done && ftruncate(w->fd, (off_t)w->size) < 0)
			return -EIO;
		return -error;
	}
	w->size += n;
	return 0;
}

int recording_create(const char *path, const struct recording_head *h, struct recording_writer *ret, char *why,
		     size_t size)
{
	struct recording_writer w = RECORDING_WRITER_NONE;
	unsigned char head[RECORDING_HEAD];
	char shown[512];
	int r = create(path, &w);

	recording_encode_head(h, head);
	if (r >= 0)
		r = write_all(&w, head, sizeof(head));
	if (r < 0) {
		text_format(why, size, "%s%s: %s", escape_text(path, shown, sizeof(shown)),
			    r == -ENOTEMPTY ? ".old" : "",
			    r == -EEXIST || r == -ENOTEMPTY ? "something is there that isn't a recording, and is left "
							      "alone: name another file" :
			    r == -EBUSY			    ? "it is being recorded into" :
							      strerror(-r));
		recording_discard(&w);
		return r;
	}
	w.synced_us = clock_us(CLOCK_MONOTONIC);
	*ret = w;
	return 0;
}

int recording_put(struct recording_writer *w, const struct recording_block *b)
{
	unsigned char buf[RECORDING_BLOCK + 7];
	const uint64_t now_us = clock_us(CLOCK_MONOTONIC);
	const size_t n = recording_encode(&w->state, b, buf);
	int r = write_all(w, buf, n);

	if (r == 0 && now_us - w->synced_us > SYNC_US) {
		w->synced_us = now_us;
		if (fdatasync(w->fd) < 0)
			r = -errno;
	}
	return r;
}

static int writer_done(struct recording_writer *w)
{
	int r = w->fd >= 0 && fsync(w->fd) < 0 && errno != EINVAL ? -errno : 0;

	if (w->fd >= 0 && close(w->fd) < 0 && r == 0)
		r = -errno;
	closep(&w->dir);
	free(w->name);
	free(w->old);
	*w = (struct recording_writer)RECORDING_WRITER_NONE;
	return r;
}

int recording_close(struct recording_writer *w)
{
	return writer_done(w);
}

void recording_discard(struct recording_writer *w)
{
	if (w->fd >= 0)
		(void)unlinkat(w->dir, w->name, 0);
	if (w->old)
		(void)renameat(w->dir, w->old, w->dir, w->name);
	(void)writer_done(w);
}
