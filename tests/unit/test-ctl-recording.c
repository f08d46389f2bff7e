// SPDX-License-Identifier: GPL-2.0-or-later
/* Recordings: what is written is read, and whatever else is in a file is the end of it, never more. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/crc.h"
#include "ctl/recording.h"

#define MIB (1ull << 20)
#define BLOCKS 40

static const struct recording_head head = { .real_us = 1800000000000000ull, .interval_us = 1000000 };

static void fill_sample(struct recording_sample *s, unsigned int i)
{
	s->looked = i % 3 == 0;
	for (unsigned int k = 0; k < RECORDED_N; k++)
		s->v[k] = s->looked || k < RECORDED_COUNTED ? (k * 7 + i * i * 131) * 4096 % (300 * MIB) :
							      RECORDING_UNKNOWN;
	if (i % 7 == 0)
		s->v[RECORDED_SWAP] = RECORDING_UNKNOWN;
	if (i % 5 == 0)
		s->v[RECORDED_RSS] = RECORDING_SIZE_MAX;
}

/* Block @i of a recording of two processes. */
static void fill(struct recording_block *b, unsigned int i)
{
	memset(b, 0, sizeof(*b));
	b->at_us = i * 999983ull;
	b->target = i == 0 ? 0 : i == 1 ? 1 : i % 2;
	if (i < 2) {
		b->type = RECORDING_BLOCK_TARGET;
		b->about = (struct recording_target){ .pid = 4711 + (pid_t)i, .start_time = UINT64_MAX - i };
		snprintf(b->about.comm, sizeof(b->about.comm), "a\n\x1b[31m\xff%u", i);
		memset(b->about.exe, 'x', i ? sizeof(b->about.exe) - 1 : 5);
	} else if (i == BLOCKS - 1) {
		b->type = RECORDING_BLOCK_END;
		b->target = 0;
	} else if (i % 10 == 9) {
		b->type = RECORDING_BLOCK_EVENT;
		b->event.kind = 1 + i % (RECORDING_EVENTS - 1);
		b->event.bytes = i % 20 == 9 ? -(int64_t)RECORDING_SIZE_MAX : (int64_t)RECORDING_SIZE_MAX;
		snprintf(b->event.words, sizeof(b->event.words), "%s", i % 20 == 9 ? "" : "words");
	} else {
		b->type = RECORDING_BLOCK_SAMPLE;
		fill_sample(&b->sample, i);
	}
}

static unsigned char file[64 << 10];
static size_t file_size, ends[BLOCKS];

static void make_file(void)
{
	static struct recording_state s;

	memset(&s, 0, sizeof(s));
	recording_encode_head(&head, file);
	file_size = RECORDING_HEAD;
	for (unsigned int i = 0; i < BLOCKS; i++) {
		struct recording_block b;

		fill(&b, i);
		file_size += recording_encode(&s, &b, file + file_size);
		ends[i] = file_size;
	}
}

static void assert_same(const struct recording_block *b, unsigned int i)
{
	struct recording_block want;

	fill(&want, i);
	assert_int_equal(b->type, want.type);
	assert_int_equal(b->at_us, want.at_us);
	assert_int_equal(b->target, want.target);
	if (b->type == RECORDING_BLOCK_TARGET) {
		assert_int_equal(b->about.pid, want.about.pid);
		assert_int_equal(b->about.start_time, want.about.start_time);
		assert_string_equal(b->about.comm, want.about.comm);
		assert_string_equal(b->about.exe, want.about.exe);
	} else if (b->type == RECORDING_BLOCK_SAMPLE) {
		assert_int_equal(b->sample.looked, want.sample.looked);
		assert_memory_equal(b->sample.v, want.sample.v, sizeof(want.sample.v));
	} else if (b->type == RECORDING_BLOCK_EVENT) {
		assert_int_equal(b->event.kind, want.event.kind);
		assert_int_equal(b->event.bytes, want.event.bytes);
		assert_string_equal(b->event.words, want.event.words);
	}
}

static FILE *open_bytes(const void *data, size_t size)
{
	FILE *f = fmemopen((void *)(uintptr_t)data, size, "r");

	assert_non_null(f);
	return f;
}

/* How many blocks can be read before the end. They are those that were written. */
static unsigned int count(const unsigned char *data, size_t size, enum recording_ending *ret)
{
	static struct recording_reader r;
	FILE *f = open_bytes(data, size);
	struct recording_block b;
	unsigned int n = 0;
	int e;

	assert_int_equal(recording_read(f, &r), 0);
	assert_int_equal(r.head.real_us, head.real_us);
	assert_int_equal(r.head.interval_us, head.interval_us);
	while ((e = recording_next(&r, &b)) > 0)
		assert_same(&b, n++);
	assert_int_equal(e, 0);
	if (r.ending != RECORDING_ENDED)
		assert_int_equal(r.offset, n ? ends[n - 1] : RECORDING_HEAD);
	*ret = r.ending;
	(void)fclose(f);
	return n;
}

static void test_round_trip(void **state)
{
	enum recording_ending ending;

	(void)state;
	make_file();
	assert_int_equal(count(file, file_size, &ending), BLOCKS - 1);
	assert_int_equal(ending, RECORDING_ENDED);
	/* Compact, though each figure changes each time. */
	assert_true(file_size < BLOCKS * 150);
}

static void test_cut_anywhere(void **state)
{
	enum recording_ending ending;
	unsigned int whole = 0;

	(void)state;
	make_file();
	for (size_t size = RECORDING_HEAD; size < file_size; size++) {
		while (ends[whole] <= size)
			whole++;
		assert_int_equal(count(file, size, &ending), whole);
		assert_int_equal(ending, RECORDING_CUT);
	}
}

static void test_damaged_anywhere(void **state)
{
	enum recording_ending ending;
	unsigned int whole = 0;

	(void)state;
	make_file();
	for (size_t at = RECORDING_HEAD; at < file_size; at++) {
		const unsigned char was = file[at];

		while (ends[whole] <= at)
			whole++;
		file[at] ^= (unsigned char)(1u << at % 8);
		assert_int_equal(count(file, file_size, &ending), whole);
		assert_int_not_equal(ending, RECORDING_ENDED);
		file[at] = was;
	}
}

static int read_head(size_t size)
{
	static struct recording_reader r;
	FILE *f = open_bytes(file, size);
	int e = recording_read(f, &r);

	(void)fclose(f);
	return e;
}

static void test_heads(void **state)
{
	(void)state;
	make_file();
	for (size_t size = 1; size < RECORDING_HEAD; size++)
		assert_int_equal(read_head(size), -EBADMSG);
	for (size_t at = 0; at < RECORDING_HEAD; at++) {
		file[at] ^= 0x10;
		assert_int_equal(read_head(file_size), at >= 8 && at < 16 ? -ENOTSUP : -EBADMSG);
		file[at] ^= 0x10;
	}
	assert_int_equal(read_head(file_size), 0);
}

/* A block with a right checksum, and nonsense in it, behind the two processes. */
static enum recording_ending read_forged(unsigned int type, const unsigned char *payload, size_t n)
{
	unsigned char forged[4096];
	enum recording_ending ending;
	unsigned char *at;
	uint32_t sum;

	make_file();
	memcpy(forged, file, ends[1]);
	at = forged + ends[1];
	at[0] = (unsigned char)type;
	at[1] = (unsigned char)n;
	at[2] = (unsigned char)(n >> 8);
	memcpy(at + 3, payload, n);
	sum = crc32(at, n + 3);
	memcpy(at + 3 + n, &sum, sizeof(sum));
	assert_int_equal(count(forged, ends[1] + n + 7, &ending), 2);
	return ending;
}

#define FORGED(type, ...)                                       \
	({                                                      \
		const unsigned char bytes_[] = { __VA_ARGS__ }; \
		read_forged(type, bytes_, sizeof(bytes_));      \
	})
#define LARGEST 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01
#define BITS_65 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02
#define ASSERT_DAMAGED(...) assert_int_equal(FORGED(__VA_ARGS__), RECORDING_DAMAGED)

static void test_nonsense(void **state)
{
	(void)state;
	assert_int_equal(FORGED(RECORDING_BLOCK_END, 0, 0), RECORDING_ENDED);
	ASSERT_DAMAGED(RECORDING_BLOCK_END, 0, 0, 0); /* too long */
	ASSERT_DAMAGED(RECORDING_BLOCK_END, 0); /* too short */
	ASSERT_DAMAGED(RECORDING_BLOCK_END, LARGEST, 0); /* when? */
	ASSERT_DAMAGED(9, 0, 0); /* what? */
	ASSERT_DAMAGED(RECORDING_BLOCK_SAMPLE, 0, 2, 0, 0); /* of whom? */
	ASSERT_DAMAGED(RECORDING_BLOCK_SAMPLE, 0, LARGEST, 0, 0);
	ASSERT_DAMAGED(RECORDING_BLOCK_SAMPLE, 0, 0, 2, 0);
	ASSERT_DAMAGED(RECORDING_BLOCK_SAMPLE, 0, 0, 0, 0x20, 0); /* takes a look */
	ASSERT_DAMAGED(RECORDING_BLOCK_SAMPLE, 0, 0, 0, 1, LARGEST);
	ASSERT_DAMAGED(RECORDING_BLOCK_SAMPLE, 0, 0, 0, 1, BITS_65);
	ASSERT_DAMAGED(RECORDING_BLOCK_TARGET, 0, 1, 1, 0, 0, 0); /* the second one again */
	ASSERT_DAMAGED(RECORDING_BLOCK_TARGET, 0, 2, 1, 0, 2, 'a', 0, 0);
	ASSERT_DAMAGED(RECORDING_BLOCK_TARGET, 0, 2, 1, 0, 65, 0);
	ASSERT_DAMAGED(RECORDING_BLOCK_TARGET, 0, 2, LARGEST, 0, 0, 0);
	ASSERT_DAMAGED(RECORDING_BLOCK_EVENT, 0, 0, 0, 0, 0);
	ASSERT_DAMAGED(RECORDING_BLOCK_EVENT, 0, 0, RECORDING_EVENTS, 0, 0);
	ASSERT_DAMAGED(RECORDING_BLOCK_EVENT, 0, 0, 1, LARGEST, 0);
}

/* What no process can have isn't known, whoever says so; the file stays readable. */
static void test_nonsense_written(void **state)
{
	static struct recording_state s;
	static struct recording_reader r;
	struct recording_block b;
	FILE *f;

	(void)state;
	memset(&s, 0, sizeof(s));
	recording_encode_head(&head, file);
	fill(&b, 0);
	file_size = RECORDING_HEAD + recording_encode(&s, &b, file + RECORDING_HEAD);
	b = (struct recording_block){ .type = RECORDING_BLOCK_SAMPLE, .sample = { .looked = true } };
	for (unsigned int k = 0; k < RECORDED_N; k++)
		b.sample.v[k] = UINT64_MAX - k;
	file_size += recording_encode(&s, &b, file + file_size);
	f = open_bytes(file, file_size);
	assert_int_equal(recording_read(f, &r), 0);
	assert_int_equal(recording_next(&r, &b), 1);
	assert_int_equal(recording_next(&r, &b), 1);
	for (unsigned int k = 0; k < RECORDED_N; k++)
		assert_int_equal(b.sample.v[k], RECORDING_UNKNOWN);
	(void)fclose(f);
}

/* ---- files ---- */

static char folder[] = "/tmp/reclaim-recording-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = { "a", "a.old", "other", "link", "folder" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)remove(names[i]);
	return chdir("/") == 0 ? rmdir(folder) : -1;
}

static off_t size_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0 ? st.st_size : -1;
}

static void test_file(void **state)
{
	struct recording_writer w;
	struct recording_block b;
	char why[300];
	struct stat st;
	off_t first;

	(void)state;
	assert_int_equal(recording_create("a", &head, &w, why, sizeof(why)), 0);
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (unsigned int i = 0; i < BLOCKS; i++) {
		fill(&b, i);
		assert_int_equal(recording_put(&w, &b), 0);
		/* At any time all of it is there. */
		assert_int_equal(size_of("a"), w.size);
	}
	assert_int_equal(recording_close(&w), 0);
	assert_int_equal(recording_close(&w), 0);
	make_file();
	assert_int_equal(size_of("a"), file_size);
	first = size_of("a");
	/* The next one keeps it, and without a result all is as before. */
	assert_int_equal(recording_create("./a", &head, &w, why, sizeof(why)), 0);
	assert_int_equal(size_of("a.old"), first);
	recording_discard(&w);
	assert_int_equal(size_of("a"), first);
	assert_int_equal(size_of("a.old"), -1);
	assert_int_equal(recording_create("a", &head, &w, why, sizeof(why)), 0);
	assert_int_equal(recording_close(&w), 0);
	assert_int_equal(size_of("a.old"), first);
	assert_int_equal(size_of("a"), RECORDING_HEAD);
}

static void test_left_alone(void **state)
{
	static const struct {
		const char *path;
		int error;
	} rows[] = {
		{ "other", -EEXIST }, { "link", -EEXIST },	{ "folder", -EEXIST }, { "/dev/null", -EEXIST },
		{ "", -EISDIR },      { "nowhere/a", -ENOENT }, { ".", -EISDIR },
	};
	_cleanup_close_ int fd = open("other", O_WRONLY | O_CREAT | O_EXCL, 0644);
	struct recording_writer w;
	char why[300];

	(void)state;
	assert_int_equal(write(fd, "somebody's data", 15), 15);
	assert_int_equal(symlink("other", "link"), 0);
	assert_int_equal(mkdir("folder", 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(recording_create(rows[i].path, &head, &w, why, sizeof(why)), rows[i].error);
		assert_non_null(strstr(why, rows[i].path));
	}
	assert_int_equal(size_of("other"), 15);
}

/* No room in the middle of a block: what was before is whole. */
static void test_no_room(void **state)
{
	const struct rlimit few = { RECORDING_HEAD + 100, RLIM_INFINITY };
	struct recording_writer w;
	struct recording_block b;
	struct rlimit old;
	unsigned int n = 0;
	char why[300];
	off_t size;
	int e;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(recording_create("a", &head, &w, why, sizeof(why)), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	do {
		size = size_of("a");
		fill(&b, n++);
		e = recording_put(&w, &b);
	} while (e == 0 && n < BLOCKS);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(e, -EFBIG);
	assert_int_equal(size_of("a"), size);
	assert_int_equal(recording_close(&w), 0);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned int k = 1; k < RECORDING_EVENTS; k++)
		assert_string_not_equal(recording_event_name(k), "unknown");
	assert_string_equal(recording_event_name(0), "unknown");
	assert_string_equal(recording_event_name(RECORDING_EVENTS), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_damaged_anywhere),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_nonsense_written),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_left_alone),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
