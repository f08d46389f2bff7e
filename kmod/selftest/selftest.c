// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bits.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/printk.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/time64.h>

#include <uapi/linux/reclaim.h>

#include "age.h"
#include "sample.h"
#include "selftest.h"
#include "tunable.h"
#include "watch.h"

#define CHECK(condition) check(condition, #condition, __LINE__)

static unsigned int failures __initdata;

static void __init check(bool good, const char *what, int line)
{
	if (good)
		return;
	failures++;
	pr_err("reclaim: selftest failed, line %d: %s\n", line, what);
}

static void __init test_age_steps(void)
{
	unsigned int age, bucket;

	CHECK(reclaim_age_next(0, 1, false) == 1);
	CHECK(reclaim_age_next(7, 3, false) == 10);
	CHECK(reclaim_age_next(7, 0, false) == 7);
	CHECK(reclaim_age_next(200, 3, true) == 0);
	CHECK(reclaim_age_next(RECLAIM_AGE_MAX - 1, 1, false) == RECLAIM_AGE_MAX);
	CHECK(reclaim_age_next(RECLAIM_AGE_RESET, 0, false) == 0);
	CHECK(reclaim_age_next(RECLAIM_AGE_RESET, 3, false) == 0);
	CHECK(reclaim_age_next(RECLAIM_AGE_MAX, RECLAIM_AGE_MAX, false) == RECLAIM_AGE_MAX);

	CHECK(reclaim_age_ticks(1, 1000) == 1);
	CHECK(reclaim_age_ticks(1000, 1000) == 1);
	CHECK(reclaim_age_ticks(1001, 1000) == 2);
	CHECK(reclaim_age_ticks(UINT_MAX, 100) == RECLAIM_AGE_MAX);

	/* Each age is in the one bucket between whose starts it lies. */
	for (age = 0; age <= RECLAIM_AGE_MAX; age++) {
		bucket = reclaim_age_bucket(age);
		CHECK(bucket < RECLAIM_AGE_BUCKETS);
		CHECK(reclaim_age_bucket_start(bucket) <= age);
		CHECK(bucket + 1 == RECLAIM_AGE_BUCKETS || reclaim_age_bucket_start(bucket + 1) > age);
	}
}

/* Of the third chunk, which is the only one */
static void __init test_age_reset(struct reclaim_ages *ages, struct reclaim_age_chunk *chunk)
{
	const unsigned long start = 3 * PMD_SIZE;
	size_t slots = reclaim_age_slots(chunk);

	memset(chunk->age, 9, slots);
	reclaim_ages_reset(ages, 0, start);
	reclaim_ages_reset(ages, start + PMD_SIZE, ULONG_MAX);
	CHECK(!memchr_inv(chunk->age, 9, slots));
	/* The last byte of one granule, the first one of the next but one */
	reclaim_ages_reset(ages, start + 2 * SZ_64K - 1, start + 3 * SZ_64K + 1);
	CHECK(chunk->age[0] == 9 && chunk->age[4] == 9);
	CHECK(!memchr_inv(chunk->age + 1, RECLAIM_AGE_RESET, 3));
	reclaim_ages_reset(ages, start - 1, start + 1);
	CHECK(chunk->age[0] == RECLAIM_AGE_RESET && chunk->age[4] == 9);
	reclaim_ages_reset(ages, start + PMD_SIZE - 1, start + 2 * PMD_SIZE);
	CHECK(chunk->age[slots - 1] == RECLAIM_AGE_RESET && chunk->age[slots - 2] == 9);
	reclaim_ages_reset(ages, 0, ULONG_MAX);
	CHECK(!memchr_inv(chunk->age, RECLAIM_AGE_RESET, slots));
}

static void __init test_age_chunks(void)
{
	s64 before = atomic64_read(&reclaim_stats.age_bytes), failed = atomic64_read(&reclaim_stats.age_failures);
	unsigned int limit = reclaim_tunables.age_max_kb;
	unsigned long addr = 3 * PMD_SIZE + SZ_64K;
	struct reclaim_age_chunk *chunk;
	struct reclaim_ages ages;

	reclaim_ages_init(&ages, SZ_64K);
	CHECK(!reclaim_ages_find(&ages, addr));

	reclaim_tunables.age_max_kb = 0;
	CHECK(!reclaim_ages_get(&ages, addr) && ages.incomplete);
	CHECK(atomic64_read(&reclaim_stats.age_failures) == failed + 1);
	CHECK(atomic64_read(&reclaim_stats.age_bytes) == before);

	reclaim_tunables.age_max_kb = 64;
	chunk = reclaim_ages_get(&ages, addr);
	CHECK(chunk);
	if (chunk) {
		CHECK(reclaim_ages_find(&ages, 3 * PMD_SIZE) == chunk);
		CHECK(!reclaim_ages_find(&ages, 4 * PMD_SIZE));
		CHECK(reclaim_age_slots(chunk) == PMD_SIZE / SZ_64K);
		CHECK(reclaim_age_slot(chunk, addr) == &chunk->age[1]);
		CHECK(reclaim_age_slot(chunk, 4 * PMD_SIZE - 1) == &chunk->age[PMD_SIZE / SZ_64K - 1]);
		CHECK(atomic64_read(&reclaim_stats.age_bytes) > before);
		test_age_reset(&ages, chunk);
		chunk->pass = ages.pass;
		reclaim_ages_sweep(&ages);
		CHECK(reclaim_ages_find(&ages, addr) == chunk);
		ages.pass++;
		reclaim_ages_sweep(&ages);
		CHECK(!reclaim_ages_find(&ages, addr));
	}
	CHECK(reclaim_ages_get(&ages, addr));
	reclaim_ages_destroy(&ages);
	CHECK(atomic64_read(&reclaim_stats.age_bytes) == before);

	reclaim_tunables.age_max_kb = limit;
	atomic64_set(&reclaim_stats.age_failures, failed);
}

/* One look a second at an anonymous size in MiB. */
static unsigned int __init look(struct reclaim_watch *w, u64 second, u64 mib, u64 *growth)
{
	struct reclaim_watched now = { .anon = mib * SZ_1M };

	return reclaim_watch_look(w, &now, (1000 + second) * NSEC_PER_SEC, growth);
}

static void __init test_watch_limit(void)
{
	struct reclaim_watch w = {};
	u64 growth;

	CHECK(look(&w, 0, 90, &growth) == 0);
	CHECK(look(&w, 1, 100, &growth) == BIT(RECLAIM_REASON_ANON));
	CHECK(look(&w, 2, 200, &growth) == 0);
	/* Not enough below, then enough, but too soon. */
	CHECK(look(&w, 3, 99, &growth) == 0);
	CHECK(look(&w, 4, 100, &growth) == 0);
	CHECK(look(&w, 5, 80, &growth) == 0);
	CHECK(look(&w, 6, 100, &growth) == 0);
	CHECK(look(&w, 11, 100, &growth) == BIT(RECLAIM_REASON_ANON));
}

static void __init test_watch_growth(void)
{
	struct reclaim_watch w = {};
	u64 growth, i;

	reclaim_tunables.bloat_anon_kb = 0;
	reclaim_tunables.bloat_growth_kb = 50 << 10;
	CHECK(look(&w, 0, 10, &growth) == 0 && growth == 0);
	CHECK(look(&w, 2, 40, &growth) == 0 && growth == 30 * SZ_1M);
	CHECK(look(&w, 4, 60, &growth) == BIT(RECLAIM_REASON_GROWTH) && growth == 50 * SZ_1M);
	/* So slow that it is never much within the window. */
	for (i = 1; i < 100; i++)
		CHECK(look(&w, 100 + i, 100 + i, &growth) == 0 && growth <= 10 * SZ_1M);
	/* Nobody looked for longer than the window. */
	CHECK(look(&w, 400, 500, &growth) == 0 && growth == 0);
}

static void __init test_watch_heap(void)
{
	struct reclaim_watched now = { .heap = 100 * SZ_1M, .heap_idle = 60 * SZ_1M };
	struct reclaim_watch w = {};
	u64 growth;

	reclaim_tunables.bloat_growth_kb = 0;
	reclaim_tunables.bloat_heap_kb = 80 << 10;
	CHECK(reclaim_watch_look(&w, &now, NSEC_PER_SEC, &growth) == 0);
	now.heap_known = true;
	CHECK(reclaim_watch_look(&w, &now, NSEC_PER_SEC, &growth) ==
	      (BIT(RECLAIM_REASON_HEAP) | BIT(RECLAIM_REASON_HEAP_IDLE)));
	CHECK(reclaim_watch_look(&w, &now, 2 * NSEC_PER_SEC, &growth) == 0);
}

static u64 __init idle_after(const struct reclaim_sample *s, unsigned int ms)
{
	struct reclaim_summary sum;

	reclaim_sample_summarize(s, ms, &sum);
	return sum.idle;
}

static void __init test_sample(void)
{
	static struct reclaim_sample s __initdata;
	struct reclaim_summary sum;

	s.interval_ms = 1000;
	s.part[RECLAIM_PART_HEAP].anon = 3;
	s.part[RECLAIM_PART_HEAP].histogram[0] = 1;
	s.part[RECLAIM_PART_HEAP].histogram[2] = 2; /* 2 to 3 intervals */
	s.part[RECLAIM_PART_HEAP].idle = 1;
	s.part[RECLAIM_PART_STACK].anon = 4;
	s.part[RECLAIM_PART_STACK].histogram[1] = 4;
	s.part[RECLAIM_PART_STACK].huge = 5;
	s.taken_ns = NSEC_PER_SEC;
	s.valid_ns = NSEC_PER_SEC;
	reclaim_sample_summarize(&s, 3000, &sum);
	CHECK(sum.anon[RECLAIM_PART_HEAP] == 3 && sum.anon[RECLAIM_PART_STACK] == 4);
	CHECK(sum.anon[RECLAIM_PART_MMAP] == 0);
	CHECK(sum.huge == 5 && sum.idle == 1 && sum.heap_idle == 1 && sum.interval_ms == 1000);

	/* Nothing has run for a second: what was idle for two is now for three. */
	s.valid_ns += NSEC_PER_SEC;
	CHECK(idle_after(&s, 3000) == 2);
	CHECK(idle_after(&s, 2000) == 6);
	s.valid_ns += 2 * NSEC_PER_SEC;
	CHECK(idle_after(&s, 3000) == 7);
}

int __init reclaim_selftest(void)
{
	struct reclaim_tunables saved = reclaim_tunables;

	test_age_steps();
	test_age_chunks();
	reclaim_tunables.bloat_anon_kb = 100 << 10;
	reclaim_tunables.bloat_heap_kb = 0;
	reclaim_tunables.bloat_growth_kb = 0;
	reclaim_tunables.bloat_window_ms = 10000;
	test_watch_limit();
	test_watch_growth();
	test_watch_heap();
	test_sample();
	reclaim_tunables = saved;

	if (failures)
		return -EINVAL;
	pr_info("reclaim: selftests passed\n");
	return 0;
}
