/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What sense makes of the kernel module's messages, true and forged ones, without a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/maps.h"
#include "forged.h"
#include "sense/reply.h"

#define GET RECLAIM_CMD_PROC_GET
#define NTF RECLAIM_CMD_PROC_BLOAT_NTF
#define REGION RECLAIM_CMD_REGION_GET

static int read_it(const struct forged *f, struct reply *ret)
{
	_cleanup_free_ struct nlmsghdr *h = forged_message(f);
	int r = reply_read(h, ret);

	/* Text is in the message, which goes. */
	if (r == 0 && ret->comm)
		ret->comm = "gone";
	if (r == 0 && ret->name)
		ret->name = "gone";
	return r;
}

static void expect(const struct forged *f, int want)
{
	struct reply r, before;

	memset(&r, 0x5a, sizeof(r));
	before = r;
	assert_int_equal(read_it(f, &r), want);
	if (want < 0)
		assert_memory_equal(&r, &before, sizeof(r));
}

/* What must be there, but for attribute @without (0: all of it). */
static void begin_proc(struct forged *f, uint8_t cmd, int without)
{
	forged_begin(f, FORGED_FAMILY, NLM_F_MULTI, cmd);
	if (without != RECLAIM_A_PID)
		forged_u32(f, RECLAIM_A_PID, 77);
	if (without != RECLAIM_A_START_TIME)
		forged_u64(f, RECLAIM_A_START_TIME, 123456789012);
	if (without != RECLAIM_A_COMM)
		forged_text(f, RECLAIM_A_COMM, "a\n\033b");
	if (without != RECLAIM_A_UID)
		forged_u32(f, RECLAIM_A_UID, 1000);
	if (cmd == NTF && without != RECLAIM_A_REASON)
		forged_u32(f, RECLAIM_A_REASON, RECLAIM_REASON_GROWTH);
}

static void begin_region(struct forged *f, int without)
{
	static const int u32s[] = { RECLAIM_A_PID, RECLAIM_A_REGION_FLAGS, RECLAIM_A_KIND };
	static const int u64s[] = { RECLAIM_A_START_TIME, RECLAIM_A_REGION_START, RECLAIM_A_REGION_END };

	forged_begin(f, FORGED_FAMILY, NLM_F_MULTI, REGION);
	for (size_t i = 0; i < 3; i++)
		if (without != u32s[i])
			forged_u32(f, (uint16_t)u32s[i], i + 1);
	for (size_t i = 0; i < 3; i++)
		if (without != u64s[i])
			forged_u64(f, (uint16_t)u64s[i], (i + 1) << 12);
}

static void test_left_out_is_unknown(void **state)
{
	_cleanup_free_ struct nlmsghdr *h = NULL;
	struct forged f;
	struct reply r;
	struct proc p;

	(void)state;
	begin_proc(&f, GET, 0);
	h = forged_message(&f);
	assert_int_equal(reply_read(h, &r), 0);
	assert_int_equal(reply_make_proc(&r, &p), 0);
	assert_true(p.pid == 77 && p.start_time == 123456789012 && p.uid == 1000);
	assert_string_equal(p.comm, "a\n\033b");
	assert_true(p.threads == -1 && p.tracer == -1 && p.seccomp == -1 && p.ppid == -1 && !p.state && !p.bits);
	assert_true(p.rss == PROC_UNKNOWN && p.anon == PROC_UNKNOWN && p.file == PROC_UNKNOWN);
	assert_true(p.shmem == PROC_UNKNOWN && p.swap == PROC_UNKNOWN && p.heap_size == PROC_UNKNOWN);
	assert_true(p.heap == PROC_UNKNOWN && p.mmap_anon == PROC_UNKNOWN && p.stack == PROC_UNKNOWN);
	assert_true(p.huge == PROC_UNKNOWN && p.lazyfree == PROC_UNKNOWN && p.idle == PROC_UNKNOWN);
	assert_true(p.heap_idle == PROC_UNKNOWN && p.sample_age_us == PROC_UNKNOWN && !p.sampling);
	assert_true(p.exe && p.cgroup && p.unit && !*p.exe && !*p.cgroup && !*p.unit);
	proc_done(&p);
}

static void test_figures(void **state)
{
	static const int attrs[] = {
		RECLAIM_A_RSS_ANON,  RECLAIM_A_RSS_FILE,  RECLAIM_A_RSS_SHMEM, RECLAIM_A_SWAP,
		RECLAIM_A_HEAP_SIZE, RECLAIM_A_ANON_HEAP, RECLAIM_A_ANON_MMAP, RECLAIM_A_ANON_STACK,
		RECLAIM_A_HUGE,	     RECLAIM_A_LAZYFREE,  RECLAIM_A_IDLE,      RECLAIM_A_HEAP_IDLE,
	};
	_cleanup_free_ struct nlmsghdr *h = NULL;
	struct proc p = { .anon = 5, .threads = 9 };
	struct forged f;
	struct reply r;

	(void)state;
	begin_proc(&f, GET, 0);
	for (size_t i = 0; i < ARRAY_SIZE(attrs); i++)
		forged_u64(&f, (uint16_t)attrs[i], 1000 + i);
	forged_u64(&f, RECLAIM_A_SAMPLE_AGE, 7);
	forged_u32(&f, RECLAIM_A_THREADS, 3);
	forged_u32(&f, RECLAIM_A_SAMPLING, RECLAIM_SAMPLING_SECONDARY_MMU);
	forged_u64(&f, RECLAIM_A_MAX + 1, 1);
	forged_text(&f, 1000, "of a newer module");
	h = forged_message(&f);
	assert_int_equal(reply_read(h, &r), 0);
	reply_fill_proc(&r, &p);
	assert_true(p.anon == 1000 && p.file == 1001 && p.shmem == 1002 && p.rss == 3003 && p.swap == 1003);
	assert_true(p.heap_size == 1004 && p.heap == 1005 && p.mmap_anon == 1006 && p.stack == 1007);
	assert_true(p.huge == 1008 && p.lazyfree == 1009 && p.idle == 1010 && p.heap_idle == 1011);
	assert_true(p.sample_age_us == 7000 && p.threads == 3);
	assert_string_equal(p.sampling, "secondary-mmu");
	assert_true(reply_is_about(&r, &p));
	p.start_time++;
	assert_false(reply_is_about(&r, &p));

	/* What the next one leaves out stays. */
	r.value[RECLAIM_A_RSS_ANON] = r.value[RECLAIM_A_THREADS] = PROC_UNKNOWN;
	r.value[RECLAIM_A_SAMPLING] = 1000;
	reply_fill_proc(&r, &p);
	assert_true(p.anon == 1000 && p.threads == 3 && !p.sampling);
}

/* No machine has so much: the sum would come out small, and be believed. */
static void test_more_than_there_can_be(void **state)
{
	struct proc p = { .rss = 5 };
	struct forged f;
	struct reply r;
	struct region reg;

	(void)state;
	begin_proc(&f, GET, 0);
	forged_u64(&f, RECLAIM_A_RSS_ANON, UINT64_MAX - 1);
	forged_u64(&f, RECLAIM_A_RSS_FILE, 4096);
	forged_u64(&f, RECLAIM_A_RSS_SHMEM, 4096);
	assert_int_equal(read_it(&f, &r), 0);
	reply_fill_proc(&r, &p);
	assert_true(p.rss == PROC_UNKNOWN && p.anon == UINT64_MAX - 1);
	r.value[RECLAIM_A_RSS_ANON] = UINT64_MAX / 2;
	reply_fill_proc(&r, &p);
	assert_true(p.rss == UINT64_MAX / 2 + 8192);

	begin_region(&f, 0);
	forged_u64(&f, RECLAIM_A_SWAPPED, UINT64_MAX / 2 + 1);
	forged_u64(&f, RECLAIM_A_SWAPPED_SHMEM, UINT64_MAX / 2 + 1);
	assert_int_equal(read_it(&f, &r), 0);
	reply_make_region(&r, NULL, &reg);
	assert_true(reg.swap == PROC_UNKNOWN);
}

static void test_missing(void **state)
{
	static const int procs[] = { RECLAIM_A_PID, RECLAIM_A_START_TIME, RECLAIM_A_COMM, RECLAIM_A_UID };
	static const int regions[] = { RECLAIM_A_PID,  RECLAIM_A_START_TIME,   RECLAIM_A_REGION_FLAGS,
				       RECLAIM_A_KIND, RECLAIM_A_REGION_START, RECLAIM_A_REGION_END };
	struct forged f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(procs); i++) {
		/* Names may have been left out on request. */
		begin_proc(&f, GET, procs[i]);
		expect(&f, procs[i] == RECLAIM_A_COMM || procs[i] == RECLAIM_A_UID ? 0 : -EBADMSG);
		begin_proc(&f, NTF, procs[i]);
		expect(&f, -EBADMSG);
	}
	begin_proc(&f, NTF, RECLAIM_A_REASON);
	expect(&f, -EBADMSG);
	begin_proc(&f, NTF, 0);
	expect(&f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		begin_region(&f, regions[i]);
		expect(&f, -EBADMSG);
	}
	begin_region(&f, 0);
	expect(&f, 0);
	/* Empty, and the wrong way round. */
	begin_region(&f, RECLAIM_A_REGION_END);
	forged_u64(&f, RECLAIM_A_REGION_END, 2 << 12);
	expect(&f, -EBADMSG);
	begin_proc(&f, GET, RECLAIM_A_PID);
	forged_u32(&f, RECLAIM_A_PID, 0);
	expect(&f, -EBADMSG);
	begin_proc(&f, GET, RECLAIM_A_PID);
	forged_u32(&f, RECLAIM_A_PID, 1u << 31);
	expect(&f, -EBADMSG);
}

static void test_nameless(void **state)
{
	struct proc p = { .pid = 77, .start_time = 123456789012, .uid = 5, .comm = "before" };
	static const int attrs[] = { 0, RECLAIM_A_COMM, RECLAIM_A_UID };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(attrs); i++) {
		_cleanup_free_ struct nlmsghdr *h = NULL;
		struct forged f;
		struct reply r;

		begin_proc(&f, GET, attrs[i]);
		h = forged_message(&f);
		assert_int_equal(reply_read(h, &r), 0);
		assert_int_equal(reply_has_who(&r), attrs[i] == 0);
		if (attrs[i] == 0)
			continue;
		p.uid = 5;
		strcpy(p.comm, "before");
		reply_fill_proc(&r, &p);
		assert_int_equal(p.uid, attrs[i] == RECLAIM_A_UID ? 5 : 1000);
		assert_string_equal(p.comm, attrs[i] == RECLAIM_A_COMM ? "before" : "a\n\033b");
	}
}

/* Whatever its type, one of the wrong size is refused, and so is a second one. */
static bool is_in(const uint16_t *list, size_t n, uint16_t type)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == type)
			return true;
	return false;
}

/* What is left out is unknown. Sent as a figure it let the same attribute come once more. */
static void test_a_figure_that_says_unknown(void **state)
{
	const uint64_t none = PROC_UNKNOWN, some = 1;
	struct forged f;

	(void)state;
	begin_proc(&f, NTF, RECLAIM_A_START_TIME);
	forged_attr(&f, RECLAIM_A_START_TIME, &none, sizeof(none));
	forged_attr(&f, RECLAIM_A_START_TIME, &some, sizeof(some));
	expect(&f, -EBADMSG);
	begin_proc(&f, NTF, 0);
	expect(&f, 0);
	forged_attr(&f, RECLAIM_A_RSS_ANON, &none, sizeof(none));
	expect(&f, -EBADMSG);
}

static void test_sizes_and_twice(void **state)
{
	/* Pid, padding, what is in requests only, and the nest. */
	static const uint16_t others[] = {
		RECLAIM_A_PID,	     RECLAIM_A_PAD,    RECLAIM_A_FRESH, RECLAIM_A_MIN_ANON,
		RECLAIM_A_HISTOGRAM, RECLAIM_A_FIELDS, RECLAIM_A_RANGE,
	};
	static const char zeros[64];
	struct forged f;
	int known = 0;

	(void)state;
	for (uint16_t type = 1; type <= RECLAIM_A_MAX; type++) {
		int right = 0;

		for (size_t size = 0; size <= 16; size++) {
			struct reply r;

			begin_proc(&f, NTF, type);
			forged_attr(&f, type, zeros, size);
			if (is_in(others, ARRAY_SIZE(others), type))
				continue;
			right += read_it(&f, &r) == 0;
			if (read_it(&f, &r) == 0) {
				forged_attr(&f, type, zeros, size);
				expect(&f, -EBADMSG);
			}
		}
		assert_true(right <= 1);
		known += right;
	}
	assert_int_equal(known, RECLAIM_A_MAX - ARRAY_SIZE(others));
}

static void test_text(void **state)
{
	char huge[8192];
	struct forged f;

	(void)state;
	memset(huge, 'x', sizeof(huge));
	begin_proc(&f, GET, RECLAIM_A_COMM);
	forged_attr(&f, RECLAIM_A_COMM, "abc", 3);
	expect(&f, -EBADMSG);
	begin_proc(&f, GET, RECLAIM_A_COMM);
	forged_attr(&f, RECLAIM_A_COMM, "a\0c", 4);
	expect(&f, -EBADMSG);
	huge[64] = '\0';
	begin_proc(&f, GET, RECLAIM_A_COMM);
	forged_text(&f, RECLAIM_A_COMM, huge);
	expect(&f, 0);
	huge[64] = 'x';
	huge[65] = '\0';
	begin_proc(&f, GET, RECLAIM_A_COMM);
	forged_text(&f, RECLAIM_A_COMM, huge);
	expect(&f, -EBADMSG);
	huge[65] = 'x';
	huge[4095] = '\0';
	begin_region(&f, 0);
	forged_text(&f, RECLAIM_A_NAME, huge);
	expect(&f, 0);
	huge[4095] = 'x';
	huge[8191] = '\0';
	begin_region(&f, 0);
	forged_text(&f, RECLAIM_A_NAME, huge);
	expect(&f, -EBADMSG);
}

/* Cut off anywhere, and with lengths that lie. */
static void test_truncated(void **state)
{
	struct forged f, cut;
	struct reply r;
	int good = 0;

	(void)state;
	begin_proc(&f, NTF, 0);
	for (uint32_t len = 0; len < f.head.nlmsg_len; len++) {
		struct nlmsghdr *h;

		cut = f;
		cut.head.nlmsg_len = MAX(len, NLMSG_HDRLEN);
		h = forged_message(&cut);
		good += reply_read(h, &r) == 0;
		free(h);
	}
	assert_int_equal(good, 0);
	for (uint32_t at = NLMSG_LENGTH(4); at < f.head.nlmsg_len; at += 4) {
		for (unsigned int len = 0; len < 0x10000; len += 0x7f1) {
			cut = f;
			memcpy(cut.bytes + at, &(uint16_t){ (uint16_t)len }, 2);
			(void)read_it(&cut, &r);
		}
	}
	/* An attribute that claims more than there is. */
	begin_proc(&f, GET, 0);
	forged_bytes(&f, "\x40\x00\x07\x00", 4);
	expect(&f, -EBADMSG);
	begin_proc(&f, GET, 0);
	forged_bytes(&f, "\x03\x00\x07\x00", 4);
	expect(&f, -EBADMSG);
	begin_proc(&f, GET, 0);
	forged_bytes(&f, "\x04", 1);
	expect(&f, -EBADMSG);
}

static void put_bucket(struct forged *f, uint64_t idle_ms, uint64_t bytes)
{
	size_t nest = forged_nest(f, RECLAIM_A_HISTOGRAM_BUCKET);

	forged_u64(f, RECLAIM_A_BUCKET_IDLE_FOR, idle_ms);
	forged_attr(f, RECLAIM_A_BUCKET_PAD, NULL, 0);
	forged_u64(f, RECLAIM_A_BUCKET_BYTES, bytes);
	forged_nest_end(f, nest);
}

static void put_ages(struct forged *f, size_t n, uint64_t step_ms)
{
	size_t nest = forged_nest(f, RECLAIM_A_HISTOGRAM);

	forged_u32(f, RECLAIM_A_HISTOGRAM_KIND, RECLAIM_KIND_HEAP);
	for (size_t i = 0; i < n; i++)
		put_bucket(f, i * step_ms, 4096 * (i + 1));
	forged_nest_end(f, nest);
}

static void test_ages(void **state)
{
	struct forged f;
	struct reply r;
	size_t nest;

	(void)state;
	begin_region(&f, 0);
	put_ages(&f, 4, 5000);
	put_ages(&f, 2, 5000);
	assert_int_equal(read_it(&f, &r), 0);
	assert_int_equal(r.age.n, 4);
	assert_true(r.age.v[3].idle_us == 15000000 && r.age.v[3].bytes == 16384);
	assert_int_equal(age_bytes(&r.age, 0), 40960);
	assert_int_equal(age_bytes(&r.age, 10000000), 28672);
	assert_int_equal(age_bytes(&r.age, 10000001), 16384);
	assert_int_equal(age_median_us(&r.age), 10000000);
	r.age.n = 0;
	assert_true(age_median_us(&r.age) == UINT64_MAX && age_bytes(&r.age, 0) == 0);

	/* Too many, out of order, no number, half a bucket, time that overflows. */
	begin_region(&f, 0);
	put_ages(&f, AGE_BUCKETS + 1, 1);
	expect(&f, -EBADMSG);
	begin_region(&f, 0);
	put_ages(&f, 2, 0);
	expect(&f, -EBADMSG);
	begin_region(&f, 0);
	put_ages(&f, 3, UINT64_MAX / 4);
	expect(&f, -EBADMSG);
	begin_region(&f, 0);
	forged_attr(&f, RECLAIM_A_HISTOGRAM, "12345", 5);
	expect(&f, -EBADMSG);
	begin_region(&f, 0);
	nest = forged_nest(&f, RECLAIM_A_HISTOGRAM);
	forged_attr(&f, RECLAIM_A_HISTOGRAM_BUCKET, NULL, 0);
	forged_nest_end(&f, nest);
	expect(&f, -EBADMSG);
	begin_region(&f, 0);
	nest = forged_nest(&f, RECLAIM_A_HISTOGRAM);
	forged_u64(&f, RECLAIM_A_HISTOGRAM_BUCKET, 1);
	forged_nest_end(&f, nest);
	expect(&f, -EBADMSG);
}

static void read_region(const struct forged *f, const struct maps *maps, struct region *ret)
{
	_cleanup_free_ struct nlmsghdr *h = forged_message(f);
	struct reply r;

	assert_int_equal(reply_read(h, &r), 0);
	reply_make_region(&r, maps, ret);
	/* The message goes. */
	if (r.name && ret->map.name == r.name)
		ret->map.name = "from the message";
}

static void test_regions(void **state)
{
	static const struct map map = {
		.start = 2 << 12, .end = 3 << 12, .inode = 9, .flags = MAP_F_WRITE | MAP_F_DELETED, .name = "/from/maps"
	};
	struct maps maps = { .v = (struct map *)&map, .n = 1 }, none = { 0 };
	struct region reg;
	struct forged f;

	(void)state;
	/* Flags 2: writable; kind 3: of a file. */
	begin_region(&f, 0);
	read_region(&f, &none, &reg);
	assert_true(reg.map.start == 2 << 12 && reg.map.end == 3 << 12 && reg.map.flags == MAP_F_WRITE);
	assert_int_equal(reg.map.kind, MAP_KIND_FILE);
	assert_true(reg.rss == PROC_UNKNOWN && reg.anon == PROC_UNKNOWN && reg.swap == PROC_UNKNOWN);
	assert_true(reg.huge == PROC_UNKNOWN && reg.lazyfree == PROC_UNKNOWN && reg.accessed == PROC_UNKNOWN);
	assert_true(reg.referenced == PROC_UNKNOWN && reg.locked == 0 && reg.age.n == 0 && !*reg.map.name);

	forged_text(&f, RECLAIM_A_NAME, "/cut/off");
	forged_u64(&f, RECLAIM_A_SWAPPED, 4096);
	read_region(&f, NULL, &reg);
	assert_string_equal(reg.map.name, "from the message");
	assert_true(reg.swap == PROC_UNKNOWN);
	forged_u64(&f, RECLAIM_A_SWAPPED_SHMEM, 8192);
	forged_u64(&f, RECLAIM_A_ACCESSED, 4096);
	read_region(&f, &maps, &reg);
	assert_string_equal(reg.map.name, "/from/maps");
	assert_true(reg.swap == 12288 && reg.map.inode == 9 && reg.accessed == PROC_UNKNOWN);
	put_ages(&f, 1, 1);
	read_region(&f, &maps, &reg);
	assert_true(reg.accessed == 4096 && reg.age.n == 1);

	/* Not the very same mapping any more, and a kind that isn't known here. */
	begin_region(&f, RECLAIM_A_REGION_END);
	forged_u64(&f, RECLAIM_A_REGION_END, 4 << 12);
	read_region(&f, &maps, &reg);
	assert_true(!*reg.map.name && reg.map.end == 4 << 12);
	begin_region(&f, RECLAIM_A_KIND);
	forged_u32(&f, RECLAIM_A_KIND, 4000);
	read_region(&f, &none, &reg);
	assert_int_equal(reg.map.kind, MAP_KIND_SPECIAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_left_out_is_unknown),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_more_than_there_can_be),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_nameless),
		cmocka_unit_test(test_sizes_and_twice),
		cmocka_unit_test(test_a_figure_that_says_unknown),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
