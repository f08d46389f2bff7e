// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/pageable.h"

#include <errno.h>
#include <string.h>

#include "base/pagemap.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/scan.h"
#include "base/text.h"
#include "inspect/huge.h"

/* Bits of a pagemap entry: Documentation/admin-guide/mm/pagemap.rst. They are there without privileges. */
#define ENTRY_EXCLUSIVE (1ull << 56)
#define ENTRY_FILE (1ull << 61)
#define ENTRY_PRESENT (1ull << 63)

#define BUFFER ((size_t)16 << 10) /* a line is a path of 4 KiB, escaped, and some numbers */
#define WINDOW (16 * HUGE_PAGE) /* of pagemap at a time */
#define LOOKS_MAX (64ull << 30) /* bytes of address space that are looked at where holes can't be skipped */
#define STACK_TOP ((uint64_t)256 << 10) /* of a thread's stack: what it needs first when it wakes up */

enum { WINDOW_PAGES = WINDOW / REMOTE_PAGE, BLOCK_PAGES = HUGE_PAGE / REMOTE_PAGE };

struct finder {
	const struct pageable_ask *ask;
	struct pageable found;
	size_t idle_at; /* spans before it lie below what is looked at now */
	uint64_t looked;
	bool no_scan;
	/* the mapping that is being read */
	struct map map;
	enum pageable_bar bar;
	bool in_map, flagged;
	uint64_t anon;
	uint64_t entries[WINDOW_PAGES];
};

static int add_range(struct pageable *p, uint64_t lo, uint64_t hi, uint64_t bytes)
{
	struct pageable_range *last = p->n ? &p->v[p->n - 1] : NULL;

	if (last && last->hi == lo && hi - last->lo <= PAGEABLE_RANGE) {
		last->hi = hi;
		last->bytes += bytes;
		p->bytes += bytes;
		return 0;
	}
	if (p->n == PAGEABLE_RANGES_MAX) {
		p->more = true;
		return 0;
	}
	if (!p->v || p->n == p->room) {
		const size_t want = p->room ? p->room * 2 : 64;
		struct pageable_range *v = reallocarray(p->v, want, sizeof(*v));

		if (!v)
			return -ENOMEM;
		p->v = v;
		p->room = want;
	}
	p->v[p->n++] = (struct pageable_range){ .lo = lo, .hi = hi, .bytes = bytes };
	p->bytes += bytes;
	return 0;
}

/* Is a thread's stack in there? The first such address from @lo on tells. */
static bool holds_stack(const struct pageable_ask *ask, uint64_t lo, uint64_t hi)
{
	size_t a = 0, b = ask->nstacks;

	while (a < b) {
		const size_t mid = a + (b - a) / 2;

		if (ask->stacks[mid] < lo)
			a = mid + 1;
		else
			b = mid;
	}
	return a < ask->nstacks && ask->stacks[a] - MIN(ask->stacks[a], STACK_TOP) < hi;
}

/* The pages of [lo, hi), which lies within one huge page, as in @entries. */
static int add_block(struct finder *f, uint64_t lo, uint64_t hi, const uint64_t *entries)
{
	const size_t pages = (hi - lo) / REMOTE_PAGE;
	uint64_t ours = 0;

	for (size_t i = 0; i < pages; i++) {
		if (!(entries[i] & ENTRY_PRESENT) || (entries[i] & ENTRY_FILE))
			continue;
		if (entries[i] & ENTRY_EXCLUSIVE)
			ours += REMOTE_PAGE;
		else
			f->found.shared += REMOTE_PAGE;
	}
	if (!ours)
		return 0;
	if (holds_stack(f->ask, lo, hi)) {
		f->found.barred[PAGEABLE_STACK] += ours;
		return 0;
	}
	return add_range(&f->found, lo, hi, ours);
}

static int read_entries(const struct finder *f, uint64_t lo, size_t pages, uint64_t *ret)
{
	const size_t want = pages * sizeof(*ret);
	size_t got = 0;

	while (got < want) {
		const ssize_t n = pread(f->ask->pagemap_fd, (char *)ret + got, want - got,
					(off_t)(lo / REMOTE_PAGE * sizeof(*ret) + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		/* It says so also when the memory has gone. */
		if (n == 0)
			return -ESRCH;
		got += (size_t)n;
	}
	return 0;
}

/* From where on something is there. *ret may be @hi. */
static int skip_hole(struct finder *f, uint64_t lo, uint64_t hi, uint64_t *ret)
{
	struct pagemap_region v = { 0 };
	int n = -EOPNOTSUPP;

	while (!f->no_scan && lo < hi) {
		const uint64_t from = lo;

		n = pagemap_scan(f->ask->pagemap_fd, lo, hi, PAGEMAP_PRESENT, PAGEMAP_ZERO, &v, 1, &lo);
		if (n == 0)
			continue;
		if (n == 1 && (v.start < from || v.start >= hi))
			return -EBADMSG;
		if (n == 1)
			lo = MAX(from, v.start & ~(HUGE_PAGE - 1));
		break;
	}
	if (n == -EOPNOTSUPP)
		f->no_scan = true;
	else if (n < 0)
		return n;
	*ret = MIN(lo, hi);
	return 0;
}

/* [lo, hi) of one mapping. */
static int look_at_span(struct finder *f, uint64_t lo, uint64_t hi)
{
	while (lo < hi) {
		uint64_t end;
		int r = skip_hole(f, lo, hi, &lo);

		if (r < 0)
			return r;
		end = MIN(hi, (lo & ~(HUGE_PAGE - 1)) + WINDOW);
		if (lo >= end)
			break;
		f->looked += end - lo;
		if (f->looked > LOOKS_MAX && f->no_scan) {
			f->found.more = true;
			return 0;
		}
		r = read_entries(f, lo, (end - lo) / REMOTE_PAGE, f->entries);
		for (uint64_t at = lo; r == 0 && at < end;) {
			const uint64_t next = MIN(end, (at & ~(HUGE_PAGE - 1)) + HUGE_PAGE);

			r = add_block(f, at, next, &f->entries[(at - lo) / REMOTE_PAGE]);
			at = next;
		}
		if (r < 0)
			return r;
		lo = end;
	}
	return 0;
}

/* Its parts that are known to be idle; an edge within the mapping is moved to the next huge page inside. */
static int look_at_idle(struct finder *f)
{
	const struct pageable_ask *ask = f->ask;
	int r = 0;

	while (f->idle_at < ask->nidle && ask->idle[f->idle_at].hi <= f->map.start)
		f->idle_at++;
	for (size_t i = f->idle_at; r == 0 && i < ask->nidle && ask->idle[i].lo < f->map.end; i++) {
		const struct pageable_span *s = &ask->idle[i];
		const uint64_t up = (s->lo + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1), down = s->hi & ~(HUGE_PAGE - 1);
		const uint64_t lo = s->lo <= f->map.start ? f->map.start : up;
		const uint64_t hi = s->hi >= f->map.end ? f->map.end : down;

		if (lo < hi)
			r = look_at_span(f, lo, MIN(hi, f->map.end));
	}
	return r;
}

/* Of a mapping by its line in maps; VmFlags say the rest. */
static enum pageable_bar bar_of(const struct map *m)
{
	const unsigned int both = MAP_F_READ | MAP_F_WRITE;

	if (m->kind == MAP_KIND_STACK)
		return PAGEABLE_STACK;
	if ((m->flags & MAP_F_EXEC) || (m->flags & both) != both)
		return PAGEABLE_CODE;
	return PAGEABLE_MAY;
}

static bool is_private_anon(const struct map *m)
{
	return !(m->flags & MAP_F_SHARED) &&
	       (m->kind == MAP_KIND_ANON || m->kind == MAP_KIND_HEAP || m->kind == MAP_KIND_STACK);
}

static int end_map(struct finder *f)
{
	const enum pageable_bar bar = !f->flagged ? PAGEABLE_UNKNOWN : f->bar;

	if (!f->in_map || !f->anon || !is_private_anon(&f->map))
		return 0;
	if (bar != PAGEABLE_MAY) {
		f->found.barred[bar] += f->anon;
		return 0;
	}
	return f->ask->idle ? look_at_idle(f) : look_at_span(f, f->map.start, f->map.end);
}

static int take_header(struct finder *f, char *line)
{
	const uint64_t last = f->in_map ? f->map.end : 0;
	int r = end_map(f);

	if (r < 0)
		return r;
	r = maps_parse_line(line, &f->map);
	if (r < 0)
		return r;
	/* The name goes with the line. While the target changes its mappings, an address may come twice. */
	f->map.name = "";
	if (f->map.start < last || f->map.start % REMOTE_PAGE || f->map.end % REMOTE_PAGE)
		return f->map.start < last ? -EAGAIN : -EBADMSG;
	f->in_map = true;
	f->flagged = false;
	f->anon = 0;
	f->bar = bar_of(&f->map);
	return 0;
}

static void take_flags(struct finder *f, const char *p)
{
	/* fs/proc/task_mmu.c, show_smap_vma_flags() */
	static const struct {
		char name[3];
		enum pageable_bar bar;
	} bars[] = {
		{ "lo", PAGEABLE_LOCKED }, { "ht", PAGEABLE_HUGETLB }, { "io", PAGEABLE_DEVICE },
		{ "pf", PAGEABLE_DEVICE }, { "mm", PAGEABLE_DEVICE },  { "um", PAGEABLE_UFFD },
		{ "uw", PAGEABLE_UFFD },   { "ui", PAGEABLE_UFFD },    { "dc", PAGEABLE_KEPT },
		{ "wf", PAGEABLE_KEPT },   { "dp", PAGEABLE_KEPT },    { "ss", PAGEABLE_STACK },
		{ "gd", PAGEABLE_STACK },
	};

	f->flagged = true;
	for (p += strspn(p, " "); *p; p += strspn(p, " ")) {
		const size_t n = strcspn(p, " ");

		for (size_t i = 0; n == 2 && i < ARRAY_SIZE(bars); i++)
			if (!memcmp(p, bars[i].name, 2) && f->bar == PAGEABLE_MAY)
				f->bar = bars[i].bar;
		p += n;
	}
}

/* Headers begin with a lower-case hexadecimal digit, all other lines with a capital. */
static int take_line(struct finder *f, char *line)
{
	const char *p;

	if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f'))
		return take_header(f, line);
	if (!f->in_map)
		return -EBADMSG;
	if (!strncmp(line, "VmFlags:", 8)) {
		take_flags(f, line + 8);
	} else if (!strncmp(line, "Anonymous:", 10)) {
		p = line + 10;
		scan_blanks(&p);
		if (!scan_u64(&p, &f->anon) || strcmp(p, " kB") || f->anon > UINT64_MAX / 1024)
			return -EBADMSG;
		f->anon *= 1024;
	}
	return 0;
}

/* Line after line, with room for the longest. */
static int read_smaps(struct finder *f)
{
	char buf[BUFFER];
	size_t used = 0;

	for (;;) {
		ssize_t n = read(f->ask->smaps_fd, buf + used, sizeof(buf) - used);
		char *line = buf, *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return used ? -EBADMSG : end_map(f);
		used += (size_t)n;
		while ((end = memchr(line, '\n', used - (size_t)(line - buf))) != NULL) {
			int r;

			*end = '\0';
			if (strlen(line) != (size_t)(end - line))
				return -EBADMSG;
			r = take_line(f, line);
			if (r < 0)
				return r;
			line = end + 1;
		}
		used -= (size_t)(line - buf);
		memmove(buf, line, used);
		if (used == sizeof(buf))
			return -EBADMSG;
	}
}

int pageable_find(const struct pageable_ask *ask, struct pageable *ret)
{
	_cleanup_free_ struct finder *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->ask = ask;
	r = read_smaps(f);
	/* When the memory goes away between two reads, the end that is read is none. */
	if (r == 0)
		r = procfs_still_mapped(ask->smaps_fd);
	if (r < 0) {
		pageable_done(&f->found);
		return r;
	}
	*ret = f->found;
	return 0;
}

void pageable_done(struct pageable *p)
{
	free(p->v);
	*p = (struct pageable){ 0 };
}

size_t pageable_next(struct pageable *p, struct pageable_range *ret, size_t max)
{
	uint64_t length = 0;
	size_t n = 0;

	while (n < max && p->at < p->n) {
		const struct pageable_range *r = &p->v[p->at];

		length += r->hi - r->lo;
		if (n && length > PAGEABLE_RANGE)
			break;
		ret[n++] = *r;
		p->at++;
	}
	return n;
}

void pageable_why_none(const struct pageable *p, bool idle_only, char *buf, size_t size)
{
	static const char *const words[PAGEABLE_NBARS] = {
		[PAGEABLE_LOCKED] = "locked into memory",
		[PAGEABLE_HUGETLB] = "of hugetlbfs",
		[PAGEABLE_DEVICE] = "a device's",
		[PAGEABLE_UFFD] = "watched by a userfaultfd",
		[PAGEABLE_KEPT] = "kept from children or droppable",
		[PAGEABLE_CODE] = "executable or protected",
		[PAGEABLE_STACK] = "in stacks",
		[PAGEABLE_UNKNOWN] = "of unknown kind",
	};
	uint64_t most = p->shared;
	const char *what = "shared with other processes";
	char text[16];

	for (size_t i = PAGEABLE_MAY + 1; i < PAGEABLE_NBARS; i++) {
		if (p->barred[i] <= most)
			continue;
		most = p->barred[i];
		what = words[i];
	}
	text_format(buf, size, "none of its memory can be moved");
	if (idle_only)
		text_append(buf, size, " among what has been idle for long enough");
	if (most)
		text_append(buf, size, ": %s is %s", format_size(most, text, sizeof(text)), what);
}
