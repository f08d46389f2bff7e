// SPDX-License-Identifier: GPL-2.0-or-later
/* Sentences and their thresholds, bars, and whose every resident page is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/bar.h"
#include "ctl/notes.h"

#define KIB 1024ull
#define MIB NOTE_MIB

static struct explanation e;
static struct explain_arena arenas[4];
static struct notes notes;

static struct explain_glibc *glibc(void)
{
	return &e.answer.head.glibc;
}

static struct explain_python *python(void)
{
	return &e.answer.head.python;
}

/* An ordinary process of 100 MiB with glibc and nothing to complain of. */
static int setup(void **state)
{
	(void)state;
	memset(&e, 0, sizeof(e));
	memset(arenas, 0, sizeof(arenas));
	e.proc.pid = 4711;
	e.proc.rss = 110 * MIB;
	e.proc.anon = 100 * MIB;
	e.answer.head.outcome = WORKER_NOTHING;
	e.answer.head.allocator = EXPLAIN_ALLOC_GLIBC;
	e.answer.arenas = arenas;
	e.answer.head.narenas = e.answer.head.arenas_total = 1;
	arenas[0].flags = EXPLAIN_A_MAIN;
	glibc()->layer = EXPLAIN_READ;
	glibc()->major = 2;
	glibc()->minor = 36;
	glibc()->system = 90 * MIB;
	glibc()->in_use = 89 * MIB;
	glibc()->flags = EXPLAIN_G_DYNAMIC;
	glibc()->trim_threshold = glibc()->mmap_threshold = 128 * KIB;
	e.thp = (struct thp){ .mode = THP_MADVISE, .max_ptes_none = 511 };
	return 0;
}

static bool said(const char *part)
{
	notes_compose(&e, &notes);
	for (size_t i = 0; i < notes.n; i++)
		if (strstr(notes.text[i], part))
			return true;
	return false;
}

static void test_silence(void **state)
{
	(void)state;
	notes_compose(&e, &notes);
	if (notes.n)
		fail_msg("an ordinary process: '%s'", notes.text[0]);
	/* Nor is anything said of one that nobody could look into. */
	memset(&e.answer.head, 0, sizeof(e.answer.head));
	notes_compose(&e, &notes);
	assert_int_equal(notes.n, 0);
}

static void test_pins(void **state)
{
	(void)state;
	glibc()->pins[6] = (struct explain_pins){ 212, 212 * 64, 212, 211 * MIB };
	e.proc.anon = 230 * MIB;
	assert_true(said("one live block of 64B (on average) pins 1 MiB in 212 places: 211.0MiB are free in them"));
	glibc()->pins[10] = (struct explain_pins){ 10, 15000, 1000, 9 * MIB };
	assert_true(said("1212 live blocks, 27.9KiB in all, pin 222 stretches of 1 MiB: 220.0MiB are free in them"));
	/* What is half alive is no pin; a stretch without a live block isn't pinned. */
	memset(glibc()->pins, 0, sizeof(glibc()->pins));
	glibc()->pins[18] = (struct explain_pins){ 212, 212 * 300000, 212, 211 * MIB };
	glibc()->pins[0] = (struct explain_pins){ 50, 0, 0, 50 * MIB };
	assert_false(said("pin"));
	/* Neither is what is little of a large process. */
	memset(glibc()->pins, 0, sizeof(glibc()->pins));
	glibc()->pins[6] = (struct explain_pins){ 5, 5 * 64, 5, 5 * MIB };
	assert_false(said("pin"));
}

static void test_tops(void **state)
{
	(void)state;
	e.answer.head.narenas = e.answer.head.arenas_total = 4;
	arenas[0].top_resident = 50 * MIB;
	assert_false(said("malloc_trim never touches"));
	arenas[3].top_resident = 39 * MIB;
	assert_true(said("top of thread arena 3 is 39.0MiB that malloc_trim never touches"));
	arenas[1].top_resident = 1 * MIB;
	assert_true(
		said("the tops of 2 thread arenas are 40.0MiB that malloc_trim never touches (the largest, arena 3: "
		     "39.0MiB)"));
	arenas[3].top_resident = MIB / 2;
	arenas[1].top_resident = 0;
	assert_false(said("never touches"));
}

static void test_dynamic(void **state)
{
	(void)state;
	glibc()->trim_threshold = 60 * MIB;
	glibc()->mmap_threshold = 30 * MIB;
	assert_true(said("dynamic trim threshold has risen to 60.0MiB because a 30.0MiB block was freed"));
	assert_false(said("GLIBC_TUNABLES"));
	glibc()->free_resident = 40 * MIB;
	assert_true(said("GLIBC_TUNABLES=glibc.malloc.trim_threshold=131072"));
	glibc()->flags = 0;
	assert_false(said("threshold"));
}

static void test_huge(void **state)
{
	(void)state;
	e.accounts[ACCOUNT_GLIBC_HEAP].huge = 64 * MIB;
	assert_false(said("huge"));
	glibc()->free_resident = 30 * MIB;
	assert_true(
		said("huge pages: 64.0MiB of the heap is in them; dropping 4 KiB pages here frees nothing until they "
		     "are split"));
	assert_true(said("0 in /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none stops that"));
	assert_false(said("before the start"));
	/* Who asks for them decides what keeps them off. */
	e.thp.mode = THP_ALWAYS;
	assert_true(said("stops that; prctl(PR_SET_THP_DISABLE) before the start keeps them off this program"));
	glibc()->thp_pagesize = 2 * MIB;
	assert_true(said("stops that; GLIBC_TUNABLES=glibc.malloc.hugetlb=0 before the start keeps malloc from "
			 "asking for them"));
	/* Not where it can't happen. */
	e.thp.max_ptes_none = 0;
	assert_false(said("khugepaged"));
	e.thp = (struct thp){ .mode = THP_NEVER, .max_ptes_none = 511 };
	assert_false(said("khugepaged"));
	assert_true(said("huge pages: 64.0MiB"));
	/* In memory that is nobody's they don't matter here. */
	e.accounts[ACCOUNT_OTHER].huge = 64 * MIB;
	e.accounts[ACCOUNT_GLIBC_HEAP].huge = 0;
	assert_false(said("huge"));
}

static void test_caches(void **state)
{
	(void)state;
	glibc()->tcaches = 1000 * KIB;
	glibc()->fastbins = 1000 * KIB;
	assert_false(said("hold"));
	glibc()->tcaches = 3174 * KIB;
	assert_true(said("thread caches hold 3.1MiB"));
	assert_false(said("tcache_count"));
	glibc()->fastbins = 2 * MIB;
	assert_true(said("fast bins hold 2.0MiB"));
	glibc()->tcaches = 20 * MIB;
	assert_true(said("GLIBC_TUNABLES=glibc.malloc.tcache_count=0 before the start"));
}

static void test_crumbs(void **state)
{
	(void)state;
	glibc()->runs[12] = (struct explain_runs){ 1000, 80 * MIB, 80 * MIB };
	assert_false(said("smaller than a page"));
	glibc()->runs[10] = (struct explain_runs){ 60000, 80 * MIB, 0 };
	assert_true(said("80.0MiB is free in 60000 pieces smaller than a page"));
	assert_true(said("jemalloc or mimalloc by LD_PRELOAD"));
}

/* The same peak in a program without Python. */
static void test_child(void **state)
{
	(void)state;
	glibc()->free_resident = 60 * MIB;
	assert_false(said("child process"));
	glibc()->free_resident = 70 * MIB;
	assert_true(said("when such a peak is rare, a child process for that work gives all of it back at its end"));
	assert_false(said("PYTHONMALLOC"));
	e.proc.anon = 300 * MIB;
	assert_false(said("child process"));
}

static void test_trim_little(void **state)
{
	(void)state;
	e.answer.head.nremedies = 1;
	e.answer.head.remedies[0] = (struct explain_remedy){
		.remedy = WORKER_REMEDY_TRIM, .possible = 1, .predicted = MIB, .lower = 0, .upper = MIB
	};
	glibc()->free_resident = 40 * MIB;
	assert_true(said("malloc_trim would return only 1.0MiB of the 40.0MiB"));
	e.answer.head.remedies[0].predicted = 39 * MIB;
	assert_false(said("malloc_trim"));
	e.answer.head.remedies[0].predicted = EXPLAIN_UNKNOWN;
	assert_false(said("malloc_trim"));
}

static void test_python(void **state)
{
	(void)state;
	e.answer.head.runtime = EXPLAIN_RUNTIME_CPYTHON;
	*python() = (struct explain_python){ .layer = EXPLAIN_READ, .version = 0x030b02f0, .arena_size = MIB };
	assert_false(said("CPython"));
	python()->free_resident = 90 * MIB;
	python()->free_resident_pools = 70 * MIB;
	python()->free_resident_blocks = 20 * MIB;
	assert_true(
		said("CPython holds 90.0MiB free and resident (70.0MiB in free pools, 20.0MiB between live blocks)"));
	assert_true(said("concurrent.futures.ProcessPoolExecutor"));
	assert_true(said("PYTHONMALLOC=malloc before the start"));
	python()->pins[0] = (struct explain_python_pins){ 512, 90, 90, 90 * 64, 89 * MIB };
	python()->pins[7] = (struct explain_python_pins){ UINT64_MAX, 50, 5000, 40 * MIB, 10 * MIB };
	assert_true(said("one live block of 64B (on average) pins 1.0MiB in 90 arenas of CPython: 89.0MiB in them is "
			 "free"));
	python()->layer = EXPLAIN_UNREADABLE;
	strcpy(python()->why, "a reason");
	assert_true(said("CPython's own allocator could not be read: a reason"));
	assert_false(said("arenas of CPython"));
}

/* Each allocator and runtime but those that are read has its own way named. */
static void test_ways(void **state)
{
	static const struct {
		uint32_t allocator, runtime;
		const char *part;
	} ways[] = {
		{ EXPLAIN_ALLOC_JEMALLOC, 0, "dirty_decay_ms" },
		{ EXPLAIN_ALLOC_TCMALLOC, 0, "MallocExtension_ReleaseFreeMemory" },
		{ EXPLAIN_ALLOC_MIMALLOC, 0, "mi_collect(true)" },
		{ EXPLAIN_ALLOC_MUSL, 0, "musl" },
		{ EXPLAIN_ALLOC_TBB, 0, "TBBMALLOC_CLEAN_ALL_BUFFERS" },
		{ EXPLAIN_ALLOC_GO, EXPLAIN_RUNTIME_GO, "GOMEMLIMIT" },
		{ EXPLAIN_ALLOC_OTHER, 0, "not known here" },
		{ EXPLAIN_ALLOC_GLIBC, EXPLAIN_RUNTIME_JAVA, "System.trim_native_heap" },
		{ EXPLAIN_ALLOC_GLIBC, EXPLAIN_RUNTIME_NODE, "max-old-space-size" },
		{ EXPLAIN_ALLOC_GLIBC, EXPLAIN_RUNTIME_RUBY, "Process.warmup" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		e.answer.head.allocator = ways[i].allocator;
		e.answer.head.runtime = ways[i].runtime;
		if (!said(ways[i].part) || notes.n != 1 || notes.findings != 0)
			fail_msg("allocator %u, runtime %u: not '%s'", ways[i].allocator, ways[i].runtime,
				 ways[i].part);
	}
	setup(NULL);
	e.answer.head.also = EXPLAIN_ALLOC_JEMALLOC;
	assert_true(said("jemalloc is in it too"));
}

static void test_arenas(void **state)
{
	static struct explain_arena many[20];

	(void)state;
	e.answer.arenas = many;
	e.answer.head.narenas = e.answer.head.arenas_total = ARRAY_SIZE(many);
	many[0] = (struct explain_arena){ .flags = EXPLAIN_A_MAIN, .free_resident = 50 * MIB };
	assert_false(said("MALLOC_ARENA_MAX"));
	for (size_t i = 1; i < ARRAY_SIZE(many); i++)
		many[i].free_resident = MIB;
	assert_true(said("19 thread arenas hold 19.0MiB free and resident: MALLOC_ARENA_MAX=2"));
}

static void test_trust(void **state)
{
	(void)state;
	glibc()->layer = EXPLAIN_ESTIMATE;
	assert_true(said("glibc's heap changed while it was read: the figures are estimates"));
	glibc()->unknown = 8 * MIB;
	assert_true(said("8.0MiB of the allocators' memory could not be looked at"));
	glibc()->layer = EXPLAIN_UNREADABLE;
	strcpy(glibc()->why, "its version is not known");
	assert_true(said("glibc's heap could not be read: its version is not known"));
	e.answer.head.allocator = EXPLAIN_ALLOC_UNKNOWN;
	strcpy(e.answer.head.reason, "it is a 32-bit (or x32) program");
	assert_true(said("its allocator could not be told: it is a 32-bit"));
	e.proc.kthread = true;
	assert_true(said("kernel thread"));
}

/* Figures come from a hostile process: nothing may overflow, divide by nothing or run out of room. */
static void test_nonsense(void **state)
{
	struct explain_head *h = &e.answer.head;

	(void)state;
	memset(&h->glibc, 0xfe, sizeof(h->glibc));
	memset(&h->python, 0xfe, sizeof(h->python));
	h->glibc.layer = h->python.layer = EXPLAIN_READ;
	h->glibc.why[EXPLAIN_TEXT_MAX - 1] = h->python.why[EXPLAIN_TEXT_MAX - 1] = 0;
	memset(arenas, 0xfe, sizeof(arenas));
	h->narenas = 4;
	h->arenas_total = UINT64_MAX;
	memset(e.accounts, 0xfe, sizeof(e.accounts));
	notes_compose(&e, &notes);
	assert_true(notes.n > 5 && notes.n <= NOTES_MAX);
	memset(&h->glibc.pins, 0, sizeof(h->glibc.pins));
	h->glibc.pins[3] = (struct explain_pins){ 0, 5, 5, UINT64_MAX };
	notes_compose(&e, &notes);
}

/* ---------------------------------------------------------------- bars */

static void check_bar(uint64_t a, uint64_t b, uint64_t c, uint64_t whole, const char *want)
{
	const uint64_t parts[BAR_PARTS] = { a, b, c };
	char buf[BAR_SIZE];

	assert_string_equal(bar_format(parts, whole, false, false, buf), want);
}

static void test_bar(void **state)
{
	const uint64_t parts[BAR_PARTS] = { 1, 1, 2 };
	char buf[BAR_SIZE];

	(void)state;
	check_bar(1, 0, 1, 2, "############............");
	check_bar(24, 0, 0, 24, "########################");
	check_bar(1, 1, 1000000, 1000002, "#+......................");
	check_bar(0, 0, 0, 100, "");
	check_bar(5, 5, 5, 0, "");
	check_bar(UINT64_MAX, UINT64_MAX, UINT64_MAX, 1, "########################");
	check_bar(UINT64_MAX, 0, 0, UINT64_MAX, "########################");
	assert_string_equal(bar_format(parts, 96, true, true, buf),
			    "\xe2\x96\x88\033[33m\xe2\x96\x93\033[0m\033[32m\xe2\x96\x91\033[0m");
	/* The longest there can be. */
	for (uint64_t i = 0; i < 100; i++) {
		const uint64_t p[BAR_PARTS] = { i, 33, 100 - i };

		assert_true(strlen(bar_format(p, 100, true, true, buf)) < BAR_SIZE - 1);
	}
}

/* ---------------------------------------------------------------- accounts */

static uint64_t accounted(void)
{
	uint64_t sum = 0;

	for (enum account_kind k = 0; k < ACCOUNT_N; k++)
		sum += e.accounts[k].rss;
	return sum;
}

#define AT(start, end, what, ...)                                            \
	{                                                                    \
		.map = { start, end, .kind = what, .name = "" }, __VA_ARGS__ \
	}

static void test_accounts(void **state)
{
	struct region regions[] = {
		AT(0x1000, 0x3000, MAP_KIND_FILE, .rss = 0x2000, .anon = 0x1000),
		AT(0x10000, 0x20000, MAP_KIND_HEAP, .rss = 0x8000, .anon = 0x8000),
		AT(0x30000, 0x40000, MAP_KIND_ANON, .rss = 0x4000, .anon = 0x4000), /* a thread's stack */
		AT(0x100000, 0x200000, MAP_KIND_ANON, .rss = 0x80000, .anon = 0x80000, .huge = 0x80000),
		AT(0x300000, 0x400000, MAP_KIND_ANON, .rss = 0x1000, .anon = 0x1000),
		AT(0x500000, 0x501000, MAP_KIND_SHMEM, .rss = 0x1000),
		AT(0x600000, 0x601000, MAP_KIND_STACK, .rss = 0x1000, .anon = 0x1000),
		AT(0x700000, 0x701000, MAP_KIND_SPECIAL, .rss = 0x1000),
	};
	struct explain_range ranges[] = {
		{ 0x10000, 0x20000, EXPLAIN_UNKNOWN, EXPLAIN_OWNER_GLIBC_HEAP, 0 }, /* all of it */
		{ 0x100000, 0x140000, 0x30000, EXPLAIN_OWNER_PYMALLOC, 0 }, /* counted */
		{ 0x140000, 0x1c0000, 0x40000, EXPLAIN_OWNER_GLIBC_MMAP, 0 },
		/* more than there is; reaches beyond its mapping */
		{ 0x380000, 0x480000, UINT64_MAX - 1, EXPLAIN_OWNER_GLIBC_HEAP, 0 },
		{ 0x800000, 0x900000, 0x1000, EXPLAIN_OWNER_PYMALLOC, 0 }, /* unmapped meanwhile */
	};
	const uint64_t stacks[] = { 0x3f000, 0xffff0000 };

	(void)state;
	e.regions = (struct region_list){ .v = regions, .n = ARRAY_SIZE(regions) };
	e.answer.ranges = ranges;
	e.answer.head.nranges = ARRAY_SIZE(ranges);
	assert_int_equal(account_fill(&e, stacks, ARRAY_SIZE(stacks)), 0);
	assert_int_equal(e.accounts[ACCOUNT_FILE].rss, 0x1000);
	assert_int_equal(e.accounts[ACCOUNT_FILE_COPY].rss, 0x1000);
	assert_int_equal(e.accounts[ACCOUNT_GLIBC_HEAP].rss, 0x8000 + 0x1000);
	assert_int_equal(e.accounts[ACCOUNT_PYMALLOC].rss, 0x30000);
	assert_int_equal(e.accounts[ACCOUNT_GLIBC_MMAP].rss, 0x40000);
	assert_int_equal(e.accounts[ACCOUNT_PYMALLOC].huge + e.accounts[ACCOUNT_GLIBC_MMAP].huge +
				 e.accounts[ACCOUNT_OTHER].huge,
			 0x80000);
	assert_int_equal(e.accounts[ACCOUNT_THREAD_STACK].rss, 0x4000);
	assert_int_equal(e.accounts[ACCOUNT_OTHER].rss, 0x10000);
	assert_int_equal(accounted(), 0x2000 + 0x8000 + 0x4000 + 0x80000 + 0x1000 + 0x1000 + 0x1000 + 0x1000);
	assert_string_equal(account_owner((enum account_kind)e.kinds[1]), "glibc");
	assert_string_equal(account_owner((enum account_kind)e.kinds[2]), "stack");
	assert_string_equal(account_name((enum account_kind)e.kinds[3]), "glibc large blocks");
	assert_null(account_owner((enum account_kind)e.kinds[5]));
	free(e.kinds);
}

/* Without facts from inside everything is still accounted for. */
static void test_accounts_alone(void **state)
{
	struct region regions[] = {
		AT(0x10000, 0x20000, MAP_KIND_HEAP, .rss = 0x8000, .anon = 0x8000),
		AT(0x30000, 0x40000, MAP_KIND_ANON, .rss = 0x4000, .anon = 0x4000),
	};

	(void)state;
	memset(&e.answer, 0, sizeof(e.answer));
	e.regions = (struct region_list){ .v = regions, .n = ARRAY_SIZE(regions) };
	assert_int_equal(account_fill(&e, NULL, 0), 0);
	assert_int_equal(e.accounts[ACCOUNT_OTHER].rss, 0xc000);
	assert_int_equal(accounted(), 0xc000);
	free(e.kinds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_silence, setup),
		cmocka_unit_test_setup(test_child, setup),
		cmocka_unit_test_setup(test_pins, setup),
		cmocka_unit_test_setup(test_tops, setup),
		cmocka_unit_test_setup(test_dynamic, setup),
		cmocka_unit_test_setup(test_huge, setup),
		cmocka_unit_test_setup(test_caches, setup),
		cmocka_unit_test_setup(test_crumbs, setup),
		cmocka_unit_test_setup(test_trim_little, setup),
		cmocka_unit_test_setup(test_python, setup),
		cmocka_unit_test_setup(test_ways, setup),
		cmocka_unit_test_setup(test_arenas, setup),
		cmocka_unit_test_setup(test_trust, setup),
		cmocka_unit_test_setup(test_nonsense, setup),
		cmocka_unit_test(test_bar),
		cmocka_unit_test_setup(test_accounts, setup),
		cmocka_unit_test_setup(test_accounts_alone, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
