// SPDX-License-Identifier: GPL-2.0-or-later
/* The writing side. Whatever fails leaves the file as it was before, at the latest when the next record comes. */
#include "core/ledger.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/ledger-segment.h"

#define MAX_LEAST (4 * LEDGER_SEGMENT_MIN)
#define TAIL_MAX 4096 /* records that a crash may have spoilt: more than are ever written between two syncs */
#define SEGMENTS 8 /* so many at least share the room: the oldest one's going takes no more than that part of it */

struct ledger {
	int dir, lock;
	int fd; /* the newest segment; -1: the next record begins one */
	uint64_t first, slots; /* of it: number of its first record, how many are there */
	uint64_t max;
	bool dir_dirty; /* its name isn't known to be on disk */
};

static uint64_t segment_size(const struct ledger *l)
{
	uint64_t size = l->max / SEGMENTS / LEDGER_SLOT * LEDGER_SLOT;

	return MAX(MIN(size, LEDGER_SEGMENT_MAX), LEDGER_SEGMENT_MIN);
}

/*
 * Not flock(): a child that the daemon has forked, but that hasn't executed the
 * worker yet, would hold that on when the daemon is killed, and the next one
 * couldn't start. These locks are the process's own. 0, -EBUSY, -errno.
 */
static int lock_folder(struct ledger *l)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	l->lock = openat(l->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (l->lock < 0)
		return -errno;
	if (fcntl(l->lock, F_SETLK, &all) < 0)
		return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
	return 0;
}

/* How many records there are up to the last whole one; 0: none near the end; -errno. */
static int64_t whole_slots(int fd, uint64_t first, uint64_t slots)
{
	const uint64_t least = slots > TAIL_MAX ? slots - TAIL_MAX : 0;

	for (; slots > least; slots--) {
		struct ledger_slot s;
		ssize_t n = ledger_segment_read(fd, &s, sizeof(s), (slots - 1) * LEDGER_SLOT);

		if (n < 0)
			return n;
		if (n == sizeof(s) && ledger_slot_valid(&s, first + slots - 1))
			return (int64_t)slots;
	}
	return 0;
}

/*
 * Cuts off behind the last whole record. When there is none, the segment may be
 * of another version or damaged as a whole: that is left as it is, and the next
 * record begins a new one behind it.
 */
static int take_up(struct ledger *l, const struct ledger_segment *last)
{
	const uint64_t slots = (last->size + LEDGER_SLOT - 1) / LEDGER_SLOT;
	_cleanup_close_ int fd = -1;
	int64_t whole = 0;

	l->first = last->first + slots;
	if (last->size > LEDGER_SEGMENT_MAX)
		return 0;
	fd = ledger_segment_open(l->dir, last->first, O_RDWR);
	if (fd < 0)
		return fd;
	whole = whole_slots(fd, last->first, last->size / LEDGER_SLOT);
	if (whole < 0)
		return (int)whole;
	if (!whole && slots > 1)
		return 0;
	if ((uint64_t)whole * LEDGER_SLOT != last->size && ftruncate(fd, whole * LEDGER_SLOT) < 0)
		return -errno;
	l->first = last->first;
	l->slots = (uint64_t)whole;
	l->fd = TAKE_FD(fd);
	return 0;
}

int ledger_open(const char *dir, uint64_t max, struct ledger **ret)
{
	_cleanup_(ledger_segments_done) struct ledger_segments all = { 0 };
	_cleanup_(ledger_close) struct ledger *l = NULL;
	int r;

	l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct ledger){ .lock = -1, .fd = -1, .first = 1, .dir_dirty = true };
	l->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dir < 0)
		return -errno;
	r = lock_folder(l);
	if (r < 0)
		return r;
	r = ledger_segments_list(l->dir, &all);
	if (r < 0)
		return r;
	if (all.n) {
		r = take_up(l, &all.v[all.n - 1]);
		if (r < 0)
			return r;
	}
	ledger_limit(l, max);
	*ret = TAKE_PTR(l);
	return 0;
}

void ledger_close(struct ledger **l)
{
	if (!*l)
		return;
	closep(&(*l)->fd);
	closep(&(*l)->lock);
	closep(&(*l)->dir);
	free(*l);
	*l = NULL;
}

/* Lets the oldest segments go until there is room for @more bytes, but never the one that is written. 0 or -errno. */
static int make_room(struct ledger *l, uint64_t more)
{
	_cleanup_(ledger_segments_done) struct ledger_segments all = { 0 };
	uint64_t total = more;
	int r;

	r = ledger_segments_list(l->dir, &all);
	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n; i++)
		total += all.v[i].size;
	for (size_t i = 0; i < all.n && total > l->max; i++) {
		char name[LEDGER_SEGMENT_NAME];

		if (all.v[i].first == l->first)
			continue;
		if (unlinkat(l->dir, ledger_segment_name(all.v[i].first, name), 0) < 0 && errno != ENOENT)
			return -errno;
		total -= all.v[i].size;
	}
	return 0;
}

/*
 * The next segment, then room for it: at every moment there is a file whose
 * name tells how far the numbers have come. 0 or -errno.
 */
static int begin_segment(struct ledger *l)
{
	char name[LEDGER_SEGMENT_NAME];
	int r;

	closep(&l->fd);
	l->first += l->slots;
	l->slots = 0;
	l->fd = ledger_segment_open(l->dir, l->first, O_RDWR | O_CREAT | O_EXCL);
	if (l->fd < 0)
		return l->fd;
	l->dir_dirty = true;
	r = make_room(l, segment_size(l));
	if (r < 0) {
		closep(&l->fd);
		(void)unlinkat(l->dir, ledger_segment_name(l->first, name), 0);
	}
	return r;
}

void ledger_limit(struct ledger *l, uint64_t max)
{
	const uint64_t used = l->slots * LEDGER_SLOT;

	l->max = MAX(max, MAX_LEAST);
	/* What can't be done now is tried again with the next record, and reported then. */
	if (l->fd >= 0 && used >= segment_size(l))
		(void)begin_segment(l);
	else
		(void)make_room(l, segment_size(l) - used);
}

/* The segment that the next record goes to. 0 or -errno. */
static int ready_segment(struct ledger *l)
{
	struct stat st;

	/* Somebody may have emptied the folder: what is written to a file without a name, nobody reads. */
	if (l->fd >= 0 && l->slots * LEDGER_SLOT < segment_size(l) && !fstat(l->fd, &st) && st.st_nlink)
		return 0;
	return begin_segment(l);
}

static int write_slot(struct ledger *l, const struct ledger_slot *s)
{
	size_t done = 0;

	while (done < sizeof(*s)) {
		ssize_t n = pwrite(l->fd, (const char *)s + done, sizeof(*s) - done,
				   (off_t)(l->slots * LEDGER_SLOT + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int write_through(struct ledger *l)
{
	if (fdatasync(l->fd) < 0)
		return -errno;
	/* Some file systems have no such thing for folders: then there is nothing to wait for. */
	if (l->dir_dirty && fsync(l->dir) < 0 && errno != EINVAL && errno != EOPNOTSUPP)
		return -errno;
	l->dir_dirty = false;
	return 0;
}

int ledger_append(struct ledger *l, struct ledger_record *rec, bool sync)
{
	struct ledger_slot s;
	int r;

	if (rec->kind <= 0 || rec->kind >= LEDGER_KINDS || rec->pid < 0)
		return -EINVAL;
	r = ready_segment(l);
	if (r < 0)
		return r;
	ledger_slot_fill(&s, rec, l->first + l->slots);
	r = write_slot(l, &s);
	if (!r && sync)
		r = write_through(l);
	if (r < 0) {
		/* When not even that works, the next record is written over it, or the next open cuts it off. */
		(void)!ftruncate(l->fd, (off_t)(l->slots * LEDGER_SLOT));
		return r;
	}
	rec->seq = s.seq;
	l->slots++;
	return 0;
}
