// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Recorded files, mutated at random: whatever comes out is a refusal with the
 * output untouched, or a result that holds what the headers promise. Meant for
 * the sanitizers. RECLAIM_TEST_SEED repeats a run.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>

#include <cmocka.h>

#include "base/maps.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "base/pstatus.h"
#include "sense/names.h"
#include "sense/region.h"

#define ROUNDS 20000
#define TEXT_MAX ((size_t)96 << 10)

static uint64_t rng;
static unsigned int accepted, refused;

/* xorshift64*: no more is needed, and the same everywhere */
static uint64_t random_u64(void)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return rng * 0x2545f4914f6cdd1dull;
}

static size_t random_below(size_t n)
{
	return n ? random_u64() % n : 0;
}

/* Up to eight of: a byte changed, a range cut out or doubled, something nasty put in, the end cut off. */
static size_t mutate(char *text, size_t len)
{
	static const char *const nasty[] = {
		"18446744073709551616",
		"-1",
		"ffffffffffffffff",
		")",
		"(",
		"\n",
		"\\n",
		":",
		"\t",
		" kB\n",
		"7fffffff-",
		"[heap]",
		" (deleted)",
		"\x1b[2J",
		"\xc2",
		"0::/",
		".slice/",
		"_",
		"@",
	};

	for (size_t n = 1 + random_below(8); n > 0; n--) {
		size_t at = random_below(len), span = random_below(MIN(64, len - at)), room = TEXT_MAX - 1 - len;
		const char *insert = nasty[random_below(ARRAY_SIZE(nasty))];

		switch (random_below(5)) {
		case 0:
			if (len)
				text[at] = (char)random_u64();
			break;
		case 1:
			memmove(text + at, text + at + span, len - at - span);
			len -= span;
			break;
		case 2:
			span = MIN(span, room);
			memmove(text + at + span, text + at, len - at);
			len += span;
			break;
		case 3:
			span = MIN(strlen(insert), room);
			memmove(text + at + span, text + at, len - at);
			memcpy(text + at, insert, span);
			len += span;
			break;
		case 4:
			if (random_below(4) == 0)
				len = at;
			break;
		}
	}

	text[len] = '\0';
	return len;
}

static void check_stat(char *text, int dir)
{
	struct pstat s, before;
	int r;

	(void)dir;
	memset(&s, 0x5a, sizeof(s));
	before = s;
	r = pstat_parse(text, &s);
	if (r < 0) {
		refused++;
		assert_int_equal(r, -EBADMSG);
		assert_memory_equal(&s, &before, sizeof(s));
		return;
	}
	accepted++;
	assert_true(s.pid > 0 && s.ppid >= 0 && s.threads >= 0 && memchr(s.comm, '\0', sizeof(s.comm)));
}

static void check_status(char *text, int dir)
{
	struct pstatus s, before;
	int r;

	(void)dir;
	memset(&s, 0x5a, sizeof(s));
	before = s;
	r = pstatus_parse(text, &s);
	if (r < 0) {
		refused++;
		assert_int_equal(r, -EBADMSG);
		assert_memory_equal(&s, &before, sizeof(s));
		return;
	}
	accepted++;
	assert_true(s.pid >= 0 && s.tgid >= 0 && s.tracer >= 0 && s.threads >= 0 && s.nspid >= 0);
	assert_non_null(memchr(s.name, '\0', sizeof(s.name)));
}

static void check_maps(char *text, int dir)
{
	struct maps m = { 0 };
	uint64_t last = 0;
	int r;

	(void)text;
	r = maps_read(dir, 200, &m);
	if (r < 0) {
		refused++;
		assert_true(r == -EBADMSG || r == -E2BIG);
		assert_true(!m.v && !m.text);
		return;
	}
	accepted++;
	for (size_t i = 0; i < m.n; i++) {
		assert_true(m.v[i].start >= last && m.v[i].start < m.v[i].end);
		assert_ptr_equal(maps_find(&m, m.v[i].start), &m.v[i]);
		assert_null(strchr(m.v[i].name, '\n'));
		last = m.v[i].end;
	}
	maps_done(&m);
}

static void check_smaps(char *text, int dir)
{
	struct region_list l = { 0 };
	uint64_t last = 0;
	int r;

	(void)text;
	r = region_list_read(dir, 200, &l);
	if (r < 0) {
		refused++;
		assert_true(r == -EBADMSG || r == -E2BIG);
		assert_true(!l.v && !l.text);
		return;
	}
	accepted++;
	for (size_t i = 0; i < l.n; i++) {
		assert_true(l.v[i].map.start >= last && l.v[i].map.start < l.v[i].map.end);
		assert_null(strchr(l.v[i].map.name, '\n'));
		last = l.v[i].map.end;
	}
	region_list_done(&l);
}

static void check_texts(char *text, int dir)
{
	_cleanup_free_ char *path = NULL, *unit = NULL;
	char buf[64], one[16];

	(void)dir;
	assert_int_equal(proc_cgroup_of_text(text, &path), 0);
	assert_int_equal(proc_unit_of_cgroup(path, &unit), 0);
	assert_true(strlen(unit) <= 255 && strlen(unit) <= strlen(path));
	for (size_t size = 1; size <= sizeof(buf); size++) {
		memset(buf, 0x5a, sizeof(buf));
		escape_text(text, buf, size);
		assert_true(strlen(buf) < size);
		for (const char *p = buf; *p; p++)
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
		/* What was escaped has no backslash but its own: a second pass may only touch those. */
		assert_true(!strstr(escape_text(buf, one, sizeof(one)), "\n"));
	}
}

static const struct {
	const char *path, *name;
	void (*check)(char *text, int dir);
	bool file; /* is read from a file called @name */
} subjects[] = {
	{ "real/101/stat", "stat", check_stat, false },	      { "hostile/200/stat", "stat", check_stat, false },
	{ "hostile/202/stat", "stat", check_stat, false },    { "real/101/status", "status", check_status, false },
	{ "real/106/status", "status", check_status, false }, { "hostile/200/status", "status", check_status, false },
	{ "real/100/maps", "maps", check_maps, true },	      { "hostile/207/maps", "maps", check_maps, true },
	{ "real/103/smaps", "smaps", check_smaps, true },     { "hostile/207/smaps", "smaps", check_smaps, true },
	{ "real/103/cgroup", "cgroup", check_texts, false },  { "real/101/cgroup", "cgroup", check_texts, false },
};

static void write_file(int dir, const char *name, const char *text, size_t len)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
}

static void test_mutations(void **state)
{
	_cleanup_close_ int fixtures = procfs_open_root(FIXTURES "/proc"), dir = -1;
	char *original[ARRAY_SIZE(subjects)], template[] = "/tmp/reclaim-robust-XXXXXX";
	static char text[TEXT_MAX];

	(void)state;
	assert_non_null(mkdtemp(template));
	dir = procfs_open_root(template);
	assert_true(fixtures >= 0 && dir >= 0);
	/* So that a missing file would not pass for a process that has gone. */
	write_file(dir, "stat", "", 0);
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		assert_true(procfs_read_alloc(fixtures, subjects[i].path, TEXT_MAX / 2, &original[i]) > 0);

	for (int round = 0; round < ROUNDS; round++) {
		size_t i = random_below(ARRAY_SIZE(subjects)), len = strlen(original[i]);

		memcpy(text, original[i], len + 1);
		len = mutate(text, len);
		if (subjects[i].file)
			write_file(dir, subjects[i].name, text, len);
		subjects[i].check(text, dir);
	}

	/* Mutations that are all refused, or all harmless, would have tested little. */
	print_message("accepted %u, refused %u\n", accepted, refused);
	assert_true(accepted > ROUNDS / 20 && refused > ROUNDS / 20);

	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		free(original[i]);
		(void)unlinkat(dir, subjects[i].name, 0);
	}
	(void)unlinkat(dir, "stat", 0);
	assert_int_equal(rmdir(template), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_mutations) };
	const char *given = getenv("RECLAIM_TEST_SEED");

	if (given ? parse_u64(given, 10, &rng) < 0 : getrandom(&rng, sizeof(rng), 0) != sizeof(rng))
		return 2;
	if (rng == 0)
		rng = 1;
	printf("RECLAIM_TEST_SEED=%" PRIu64 "\n", rng);
	fflush(stdout);

	return cmocka_run_group_tests(tests, NULL, NULL);
}
