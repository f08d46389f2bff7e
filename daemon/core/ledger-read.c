// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reading side: no lock, no trust in what is there. All files are opened at
 * once, so that what the writer removes meanwhile is still read.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/ledger-segment.h"

#define CHUNK 64u /* records that are read at a time */
#define TRIES 16

struct opened {
	int fd;
	uint64_t first, slots, rest; /* rest: bytes behind the last slot */
};

struct reading {
	const struct ledger_filter *filter;
	struct opened *files; /* oldest first */
	size_t n;
	/* The records @at .. @at + @held of file @of */
	struct ledger_slot chunk[CHUNK];
	const struct opened *of;
	uint64_t at, held;
	ledger_fn fn;
	void *arg;
	uint64_t damaged;
};

static void close_files(struct reading *r)
{
	for (size_t i = 0; i < r->n; i++)
		closep(&r->files[i].fd);
	free(r->files);
	r->files = NULL;
	r->n = 0;
}

static void readingp(struct reading **r)
{
	if (!*r)
		return;
	close_files(*r);
	free(*r);
}

static int open_files(struct reading *r, int dir, const struct ledger_segments *all)
{
	r->files = calloc(all->n + 1, sizeof(*r->files));
	if (!r->files)
		return -ENOMEM;
	for (size_t i = 0; i < all->n; i++) {
		struct opened *f = &r->files[r->n];
		struct stat st;

		f->first = all->v[i].first;
		f->fd = ledger_segment_open(dir, f->first, O_RDONLY);
		if (f->fd < 0)
			return f->fd;
		r->n++;
		if (fstat(f->fd, &st) < 0)
			return -errno;
		f->slots = (uint64_t)st.st_size / LEDGER_SLOT;
		f->rest = (uint64_t)st.st_size % LEDGER_SLOT;
		/* More than that isn't ours, and reading it could take for ever. */
		if ((uint64_t)st.st_size > LEDGER_SEGMENT_MAX)
			*f = (struct opened){ f->fd, f->first, LEDGER_SEGMENT_MAX / LEDGER_SLOT, 1 };
	}
	return 0;
}

/* One that has gone while they are listed and opened makes the list worthless: there is a newer one. */
static int open_all(struct reading *r, const char *path)
{
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int q = -ENOENT;

	if (dir < 0)
		return -errno;
	for (int i = 0; i < TRIES && q == -ENOENT; i++) {
		_cleanup_(ledger_segments_done) struct ledger_segments all = { 0 };

		close_files(r);
		q = ledger_segments_list(dir, &all);
		if (!q)
			q = all.gone ? -ENOENT : open_files(r, dir, &all);
	}
	return q == -ENOENT ? -EBUSY : q;
}

/* The record @i of @f as it was when its neighbours were read, or NULL. */
static const struct ledger_slot *slot_of(struct reading *r, const struct opened *f, uint64_t i)
{
	if (r->of != f || i < r->at || i >= r->at + CHUNK) {
		ssize_t n = ledger_segment_read(f->fd, r->chunk, sizeof(r->chunk), i / CHUNK * CHUNK * LEDGER_SLOT);

		r->of = f;
		r->at = i / CHUNK * CHUNK;
		r->held = n < 0 ? 0 : (uint64_t)n / LEDGER_SLOT;
	}
	return i < r->at + r->held ? &r->chunk[i - r->at] : NULL;
}

/*
 * The record @i of @f, if it is whole. One that is being written at this moment
 * may be seen half: ext4 doesn't lock reads out. Then it is read again.
 */
static bool get(struct reading *r, const struct opened *f, uint64_t i, struct ledger_record *ret)
{
	const struct ledger_slot *s = slot_of(r, f, i);
	struct ledger_slot again;

	if (!s || !ledger_slot_valid(s, f->first + i)) {
		s = &again;
		if (ledger_segment_read(f->fd, &again, sizeof(again), i * LEDGER_SLOT) != sizeof(again) ||
		    !ledger_slot_valid(s, f->first + i))
			return false;
	}
	ledger_slot_read(s, ret);
	return true;
}

/* Does the record match? Who asks for the last few of their own has all others passed over cheaply. */
static bool matches(struct reading *r, const struct opened *f, uint64_t i)
{
	const struct ledger_slot *s = slot_of(r, f, i);
	struct ledger_record rec;

	if (s && ledger_slot_plausible(s, f->first + i)) {
		ledger_slot_read(s, &rec);
		if (!ledger_filter_match(r->filter, &rec))
			return false;
	}
	return get(r, f, i, &rec) && ledger_filter_match(r->filter, &rec);
}

/* The number of the record to begin with: from the newest backwards until so many match, or so many were looked at. */
static uint64_t find_begin(struct reading *r)
{
	size_t left = r->filter->last ? r->filter->last : SIZE_MAX, among = r->filter->among;
	uint64_t from = UINT64_MAX;

	if (!among && left == SIZE_MAX)
		return 0;
	among = among ? among : SIZE_MAX;
	for (size_t k = r->n; k && left; k--) {
		const struct opened *f = &r->files[k - 1];

		for (uint64_t i = f->slots; i && left && among; i--, among--) {
			if (!matches(r, f, i - 1))
				continue;
			from = f->first + i - 1;
			left--;
		}
	}
	return from;
}

static int tell_file(struct reading *r, const struct opened *f, uint64_t from)
{
	const bool newest = f == &r->files[r->n - 1];

	for (uint64_t i = from > f->first ? from - f->first : 0; i < f->slots; i++) {
		struct ledger_record rec;
		int q = 0;

		/* The very last one may only be unfinished. */
		if (!get(r, f, i, &rec))
			r->damaged += !newest || i + 1 < f->slots;
		else if (ledger_filter_match(r->filter, &rec))
			q = r->fn(r->arg, &rec);
		if (q)
			return q;
	}
	r->damaged += !newest && f->rest;
	return 0;
}

int ledger_read(const char *dir, const struct ledger_filter *f, ledger_fn fn, void *arg, uint64_t *ret_damaged)
{
	_cleanup_(readingp) struct reading *r = calloc(1, sizeof(*r));
	uint64_t from;
	int q;

	if (!r)
		return -ENOMEM;
	*r = (struct reading){ .filter = f, .fn = fn, .arg = arg };
	q = open_all(r, dir);
	if (q < 0)
		return q;
	from = find_begin(r);
	for (size_t k = 0; k < r->n && !q; k++)
		if (r->files[k].first + r->files[k].slots > from)
			q = tell_file(r, &r->files[k], from);
	if (q >= 0 && ret_damaged)
		*ret_damaged = r->damaged;
	return q;
}
