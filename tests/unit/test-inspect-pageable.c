// SPDX-License-Identifier: GPL-2.0-or-later
/* Which memory may be moved: by forged smaps and pagemaps, and by those of our own. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "inspect/huge.h"
#include "inspect/pageable.h"

#define MIB (1ull << 20)
#define KIB (1ull << 10)
#define BASE 0x40000000ull
#define ENTRY_OURS (1ull << 63 | 1ull << 56)
#define ENTRY_SHARED (1ull << 63)
#define ENTRY_FILE (1ull << 63 | 1ull << 61 | 1ull << 56)
#define ENTRY_SWAPPED (1ull << 62)
#define GOOD "VmFlags: rd wr mr mw me ac sd \n"

static FILE *smaps, *pagemap; /* forged */

static int setup(void **state)
{
	(void)state;
	smaps = tmpfile();
	pagemap = tmpfile();
	return smaps && pagemap ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	fclosep(&smaps);
	fclosep(&pagemap);
	return 0;
}

static void mapping(uint64_t start, uint64_t size, const char *perms, const char *name, uint64_t anon,
		    const char *flags)
{
	fprintf(smaps, "%lx-%lx %s 00000000 00:00 0 %s%s\nSize: %lu kB\nRss: %lu kB\nAnonymous: %lu kB\nSwap: 0 kB\n%s",
		start, start + size, perms, *name ? "   " : "", name, size / 1024, anon / 1024, anon / 1024, flags);
	/* Up to the end of all there is something to read. */
	assert_int_equal(fseek(pagemap, (long)((start + size) / REMOTE_PAGE * 8), SEEK_SET), 0);
	assert_int_equal(fwrite("", 1, 1, pagemap), 1);
}

static void pages(uint64_t start, size_t n, uint64_t entry)
{
	assert_int_equal(fseek(pagemap, (long)(start / REMOTE_PAGE * 8), SEEK_SET), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(fwrite(&entry, sizeof(entry), 1, pagemap), 1);
}

static int find_with(struct pageable_ask *ask, struct pageable *ret)
{
	fflush(smaps);
	fflush(pagemap);
	ask->smaps_fd = fileno(smaps);
	ask->pagemap_fd = fileno(pagemap);
	assert_int_equal(lseek(ask->smaps_fd, 0, SEEK_SET), 0);
	return pageable_find(ask, ret);
}

static int find(struct pageable *ret)
{
	struct pageable_ask ask = { .idle = NULL };

	return find_with(&ask, ret);
}

static void test_ranges(void **state)
{
	_cleanup_(pageable_done) struct pageable p = { 0 };
	struct pageable_range v[8];

	(void)state;
	/* A mapping that begins and ends between huge pages, with a hole. */
	mapping(BASE + MIB, 100 * MIB, "rw-p", "", 30 * MIB, GOOD);
	pages(BASE + MIB, 10, ENTRY_OURS);
	pages(BASE + 10 * MIB, 512, ENTRY_OURS);
	pages(BASE + 12 * MIB, 256, ENTRY_OURS);
	pages(BASE + 13 * MIB, 5, ENTRY_SHARED);
	pages(BASE + 20 * MIB, 512, ENTRY_SWAPPED);
	pages(BASE + 30 * MIB, 512, ENTRY_SHARED);
	pages(BASE + 40 * MIB, 512, ENTRY_FILE);
	pages(BASE + 101 * MIB - 4096, 1, ENTRY_OURS);
	assert_int_equal(find(&p), 0);
	assert_int_equal(p.n, 3);
	assert_int_equal(p.bytes, (10 + 512 + 256 + 1) * 4096);
	assert_int_equal(p.shared, (5 + 512) * 4096);
	assert_false(p.more);
	assert_int_equal(pageable_next(&p, v, ARRAY_SIZE(v)), 3);
	assert_int_equal(v[0].lo, BASE + MIB);
	assert_int_equal(v[0].hi, BASE + 2 * MIB);
	assert_int_equal(v[0].bytes, 10 * 4096);
	assert_int_equal(v[1].lo, BASE + 10 * MIB);
	assert_int_equal(v[1].hi, BASE + 14 * MIB);
	assert_int_equal(v[2].lo, BASE + 100 * MIB);
	assert_int_equal(v[2].hi, BASE + 101 * MIB);
	assert_int_equal(pageable_next(&p, v, ARRAY_SIZE(v)), 0);
}

/* Handed out in portions. */
static void test_portions(void **state)
{
	_cleanup_(pageable_done) struct pageable p = { 0 };
	struct pageable_range v[4];
	uint64_t last = BASE, sum = 0;
	size_t n;

	(void)state;
	mapping(BASE, 200 * MIB, "rw-p", "[heap]", 200 * MIB, GOOD);
	pages(BASE, 200 * MIB / 4096, ENTRY_OURS);
	assert_int_equal(find(&p), 0);
	assert_int_equal(p.bytes, 200 * MIB);
	while ((n = pageable_next(&p, v, ARRAY_SIZE(v))) > 0) {
		assert_int_equal(v[0].lo, last);
		assert_true(v[n - 1].hi - v[0].lo <= PAGEABLE_RANGE);
		for (size_t i = 0; i < n; i++)
			sum += v[i].bytes;
		last = v[n - 1].hi;
	}
	assert_int_equal(last, BASE + 200 * MIB);
	assert_int_equal(sum, 200 * MIB);
}

static void test_bars(void **state)
{
	static const struct {
		const char *perms, *name, *flags;
		enum pageable_bar bar;
	} rows[] = {
		{ "rw-p", "", "VmFlags: rd wr lo \n", PAGEABLE_LOCKED },
		{ "rw-p", "", "VmFlags: rd wr ht \n", PAGEABLE_HUGETLB },
		{ "rw-p", "", "VmFlags: rd wr io pf \n", PAGEABLE_DEVICE },
		{ "rw-p", "", "VmFlags: rd wr mm \n", PAGEABLE_DEVICE },
		{ "rw-p", "", "VmFlags: rd wr um\n", PAGEABLE_UFFD },
		{ "rw-p", "", "VmFlags: uw\n", PAGEABLE_UFFD },
		{ "rw-p", "", "VmFlags: rd wr ui \n", PAGEABLE_UFFD },
		{ "rw-p", "", "VmFlags: rd wr dc \n", PAGEABLE_KEPT },
		{ "rw-p", "", "VmFlags: rd wr wf \n", PAGEABLE_KEPT },
		{ "rw-p", "[anon: x]", "VmFlags: rd wr dp \n", PAGEABLE_KEPT },
		{ "rw-p", "", "VmFlags: rd wr gd \n", PAGEABLE_STACK },
		{ "rw-p", "[stack]", GOOD, PAGEABLE_STACK },
		{ "rwxp", "", GOOD, PAGEABLE_CODE },
		{ "r--p", "", GOOD, PAGEABLE_CODE },
		{ "---p", "", GOOD, PAGEABLE_CODE },
		{ "rw-p", "", "", PAGEABLE_UNKNOWN },
		/* Nobody's private memory: not even counted. */
		{ "rw-s", "/memfd:x (deleted)", GOOD, PAGEABLE_MAY },
		{ "rw-s", "", GOOD, PAGEABLE_MAY },
		{ "rw-p", "/usr/lib/x", GOOD, PAGEABLE_MAY },
	};
	char why[192];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(pageable_done) struct pageable p = { 0 };

		assert_int_equal(setup(NULL), 0);
		if (rows[i].name[0] == '/')
			fprintf(smaps, "%llx-%llx %s 00000000 08:01 77 %s\nAnonymous: 2048 kB\n%s", BASE,
				BASE + 2 * MIB, rows[i].perms, rows[i].name, rows[i].flags);
		else
			mapping(BASE, 2 * MIB, rows[i].perms, rows[i].name, 2 * MIB, rows[i].flags);
		pages(BASE, 512, ENTRY_OURS);
		assert_int_equal(find(&p), 0);
		for (size_t k = 0; k < PAGEABLE_NBARS; k++)
			if (p.barred[k] != (k == rows[i].bar && k ? 2 * MIB : 0))
				fail_msg("row %zu: %zu bytes barred by %zu", i, (size_t)p.barred[k], k);
		assert_int_equal(p.n, 0);
		pageable_why_none(&p, false, why, sizeof(why));
		assert_non_null(strstr(why, "can be moved"));
		assert_int_equal(!!strstr(why, "2.0MiB is "), rows[i].bar != PAGEABLE_MAY);
		teardown(NULL);
	}
	assert_int_equal(setup(NULL), 0);
}

static void test_idle(void **state)
{
	const struct pageable_span idle[] = {
		{ BASE - 4096, BASE + 3 * MIB }, /* before the mapping; ends in the middle of a huge page */
		{ BASE + 5 * MIB, BASE + 9 * MIB },
		{ BASE + 10 * MIB, BASE + 11 * MIB }, /* no whole huge page */
		{ BASE + 60 * MIB, BASE + 70 * MIB }, /* the whole of the next mapping and more */
	};
	struct pageable_ask ask = { .idle = idle, .nidle = ARRAY_SIZE(idle) }, none = { .idle = idle };
	_cleanup_(pageable_done) struct pageable p = { 0 }, q = { 0 };
	struct pageable_range v[8];

	(void)state;
	mapping(BASE, 20 * MIB, "rw-p", "", 20 * MIB, GOOD);
	mapping(BASE + 61 * MIB, 5 * MIB, "rw-p", "", 5 * MIB, GOOD);
	pages(BASE, 20 * MIB / 4096, ENTRY_OURS);
	pages(BASE + 61 * MIB, 5 * MIB / 4096, ENTRY_OURS);
	assert_int_equal(find_with(&ask, &p), 0);
	assert_int_equal(pageable_next(&p, v, ARRAY_SIZE(v)), 3);
	assert_true(v[0].lo == BASE && v[0].hi == BASE + 2 * MIB);
	assert_true(v[1].lo == BASE + 6 * MIB && v[1].hi == BASE + 8 * MIB);
	assert_true(v[2].lo == BASE + 61 * MIB && v[2].hi == BASE + 66 * MIB);
	assert_int_equal(find_with(&none, &q), 0);
	assert_int_equal(q.bytes, 0);
}

static void test_stacks(void **state)
{
	const uint64_t stacks[] = { BASE + 9 * MIB - 100, BASE + 40 * MIB + 100, UINT64_MAX };
	struct pageable_ask ask = { .stacks = stacks, .nstacks = ARRAY_SIZE(stacks) };
	_cleanup_(pageable_done) struct pageable p = { 0 };
	struct pageable_range v[8];

	(void)state;
	mapping(BASE, 60 * MIB, "rw-p", "", 60 * MIB, GOOD);
	pages(BASE, 60 * MIB / 4096, ENTRY_OURS);
	assert_int_equal(find_with(&ask, &p), 0);
	/* Of the second its huge page, and the one below: what is just below the address is needed first. */
	assert_int_equal(p.barred[PAGEABLE_STACK], 6 * MIB);
	assert_int_equal(p.bytes, 54 * MIB);
	assert_true(pageable_next(&p, v, 1) == 1 && v[0].lo == BASE && v[0].hi == BASE + 8 * MIB);
	assert_true(pageable_next(&p, v, 1) == 1 && v[0].lo == BASE + 10 * MIB);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *text;
		int error;
	} rows[] = {
		{ "Anonymous: 4 kB\n", -EBADMSG },
		{ "40000000-40200000 rw-p 00000000 00:00 0 \nAnonymous: 4\n", -EBADMSG },
		{ "40000000-40200000 rw-p 00000000 00:00 0 \nAnonymous: 99999999999999999999 kB\n", -EBADMSG },
		{ "40000000-40200000 rw-p 00000000 00:00 0 \nAnony", -EBADMSG },
		{ "40000000-40200001 rw-p 00000000 00:00 0 \n", -EBADMSG },
		{ "40000000-3f000000 rw-p 00000000 00:00 0 \n", -EBADMSG },
		{ "40000000-40200000 rw-p 00000000 00:00 0 \n40100000-40300000 rw-p 00000000 00:00 0 \n", -EAGAIN },
		{ "", -ESRCH },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pageable p = { .n = 77 };
		int r;

		assert_int_equal(setup(NULL), 0);
		fputs(rows[i].text, smaps);
		r = find(&p);
		if (r != rows[i].error || p.n != 77)
			fail_msg("row %zu: %d", i, r);
		teardown(NULL);
	}
	/* A line without an end. */
	assert_int_equal(setup(NULL), 0);
	for (size_t i = 0; i < 40000; i++)
		fputc('a', smaps);
	assert_int_equal(find(&(struct pageable){ 0 }), -EBADMSG);
}

static bool covers(struct pageable *p, const void *at, size_t size)
{
	const uint64_t lo = (uintptr_t)at, hi = lo + size;
	uint64_t sum = 0;

	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].lo < hi && p->v[i].hi > lo)
			sum += MIN(p->v[i].hi, hi) - MAX(p->v[i].lo, lo);
	return sum == size;
}

static void find_ours(struct pageable *ret)
{
	_cleanup_close_ int smaps_fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	const struct pageable_ask ask = { .smaps_fd = smaps_fd, .pagemap_fd = pagemap_fd };

	pageable_done(ret);
	assert_int_equal(pageable_find(&ask, ret), 0);
}

/* What the kernel says of memory of our own: alone, locked, and while a child has it too. */
static void test_live(void **state)
{
	_cleanup_(pageable_done) struct pageable p = { 0 };
	const size_t size = 8 * MIB;
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t all;
	int pipes[2], status;
	pid_t child;

	(void)state;
	assert_true(area != MAP_FAILED);
	memset(area, 7, size);
	find_ours(&p);
	assert_true(covers(&p, area, size));
	all = p.bytes;
	assert_true(all >= size);
	/* Not mlock(): a build with sanitizers has one that does nothing. */
	if (syscall(SYS_mlock, area, size) == 0) {
		find_ours(&p);
		assert_false(covers(&p, area, size));
		assert_true(p.barred[PAGEABLE_LOCKED] >= size);
		assert_int_equal(syscall(SYS_munlock, area, size), 0);
	}
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		char c;

		close(pipes[1]);
		_exit(read(pipes[0], &c, 1) == 0 ? 0 : 1);
	}
	find_ours(&p);
	assert_false(covers(&p, area, size));
	assert_true(p.shared >= size);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	find_ours(&p);
	assert_true(covers(&p, area, size));
	assert_int_equal(munmap(area, size), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_portions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bars, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stacks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test(test_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
