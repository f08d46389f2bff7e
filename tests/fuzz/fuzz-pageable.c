// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=8192 */
/*
 * smaps and pagemap of a process whose memory the kernel may be advised on: what is found may be moved by every rule,
 * counted once more by hand. Byte 0: are only idle parts asked for, and what of the runs are stacks; then the length
 * of smaps in two bytes, its text, and runs of pages: { u32 page, u16 pages, u8 what they are }.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "inspect/huge.h"
#include "inspect/pageable.h"

#define PAGES (1u << 20) /* that pagemap has: up to 4 GiB */
#define RUNS 64
#define RUN_BYTES 7

static const uint64_t kinds[] = {
	1ull << 63 | 1ull << 56, /* ours alone */
	1ull << 63, /* somebody else's as well */
	1ull << 63 | 1ull << 61 | 1ull << 56, /* a file's */
	1ull << 62, /* swapped out */
	0,
};

static uint64_t entries[PAGES];
static int smaps_fd = -1, pagemap_fd = -1;

static void file_begin(int *fd)
{
	if (*fd < 0)
		*fd = memfd_create("file", MFD_CLOEXEC);
	MUST(*fd >= 0 && ftruncate(*fd, 0) == 0 && lseek(*fd, 0, SEEK_SET) == 0);
}

struct run {
	uint32_t page, n;
};

static size_t make_pagemap(const uint8_t *data, size_t size, struct run *runs)
{
	size_t k = 0;

	file_begin(&pagemap_fd);
	MUST(ftruncate(pagemap_fd, PAGES * 8) == 0);
	for (; k < RUNS && size >= RUN_BYTES; k++, data += RUN_BYTES, size -= RUN_BYTES) {
		uint32_t page, n = data[4] | (uint32_t)data[5] << 8;

		memcpy(&page, data, sizeof(page));
		page %= PAGES;
		n = MIN(n % 2048, PAGES - page);
		for (uint32_t i = 0; i < n; i++)
			entries[page + i] = kinds[data[6] % ARRAY_SIZE(kinds)];
		MUST(pwrite(pagemap_fd, entries + page, n * 8, (off_t)page * 8) == (ssize_t)(n * 8));
		runs[k] = (struct run){ page, n };
	}
	return k;
}

static void forget_pagemap(const struct run *runs, size_t n)
{
	for (size_t k = 0; k < n; k++)
		memset(entries + runs[k].page, 0, runs[k].n * sizeof(entries[0]));
}

static bool ours(uint64_t at)
{
	return at / REMOTE_PAGE < PAGES && entries[at / REMOTE_PAGE] == kinds[0];
}

/* Is this page in one of the idle spans? */
static bool idle(const struct pageable_ask *ask, uint64_t at)
{
	for (size_t i = 0; i < ask->nidle; i++)
		if (at >= ask->idle[i].lo && at < ask->idle[i].hi)
			return true;
	return !ask->idle;
}

static void check_range(const struct pageable_ask *ask, const struct pageable_range *r)
{
	uint64_t bytes = 0;

	MUST(r->lo < r->hi && (r->lo | r->hi) % REMOTE_PAGE == 0 && r->hi - r->lo <= PAGEABLE_RANGE);
	for (uint64_t at = r->lo; at < r->hi; at += REMOTE_PAGE) {
		bytes += ours(at) ? REMOTE_PAGE : 0;
		MUST(idle(ask, at));
	}
	MUST(bytes == r->bytes && bytes);
	for (size_t i = 0; i < ask->nstacks; i++)
		MUST(ask->stacks[i] < r->lo || ask->stacks[i] >= r->hi);
}

static void check_found(const struct pageable_ask *ask, struct pageable *p)
{
	struct pageable_range some[8];
	uint64_t bytes = 0, given = 0, last = 0;
	char why[128];
	size_t n;

	for (size_t i = 0; i < p->n; i++) {
		check_range(ask, &p->v[i]);
		MUST(p->v[i].lo >= last);
		last = p->v[i].hi;
		bytes += p->v[i].bytes;
	}
	MUST(bytes == p->bytes);
	pageable_why_none(p, ask->idle, why, sizeof(why));
	MUST(why[0] && memchr(why, 0, sizeof(why)));
	while ((n = pageable_next(p, some, ARRAY_SIZE(some))) != 0) {
		MUST(n <= ARRAY_SIZE(some));
		for (size_t i = 0; i < n; i++)
			given += some[i].bytes;
	}
	MUST(given == bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pageable_span spans[RUNS];
	struct pageable_ask ask = { 0 };
	struct pageable p = { .n = 77 };
	struct run runs[RUNS];
	uint64_t stacks[RUNS];
	size_t len, n;
	uint8_t how;
	int r;

	if (size < 3)
		return 0;
	how = data[0];
	len = MIN((size_t)data[1] | (size_t)data[2] << 8, size - 3);
	file_begin(&smaps_fd);
	MUST(write(smaps_fd, data + 3, len) == (ssize_t)len && lseek(smaps_fd, 0, SEEK_SET) == 0);
	n = make_pagemap(data + 3 + len, size - 3 - len, runs);
	ask.smaps_fd = smaps_fd;
	ask.pagemap_fd = pagemap_fd;
	for (size_t k = 0; k < n; k++) {
		const uint64_t lo = runs[k].page * REMOTE_PAGE, hi = lo + runs[k].n * REMOTE_PAGE;

		if (how & 1 && lo < hi && (!ask.nidle || lo >= spans[ask.nidle - 1].hi))
			spans[ask.nidle++] = (struct pageable_span){ lo, hi };
		if (how & 2 && (!ask.nstacks || hi > stacks[ask.nstacks - 1]))
			stacks[ask.nstacks++] = hi;
	}
	ask.idle = how & 1 ? spans : NULL;
	ask.stacks = stacks;
	r = pageable_find(&ask, &p);
	MUST(r == 0 || r == -EBADMSG || r == -ESRCH || r == -EAGAIN);
	MUST(r == 0 || p.n == 77);
	if (r == 0) {
		check_found(&ask, &p);
		pageable_done(&p);
	}
	forget_pagemap(runs, n);
	return 0;
}
