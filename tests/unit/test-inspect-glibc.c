// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The glibc reader. Without arguments: the tests. With a pid: prints what the
 * reader sees of that process as JSON, for tests/live/test_glibc_reader.py:
 *
 *   test-inspect-glibc PID [look N|cheap N|check MAX PIECE|stale MAX PIECE|record FILE]
 *
 * check sets the arenas' locks in the target, which must be asleep, and drops
 * nothing. stale waits for a line on standard input between the prescan and
 * the proof under the lock. record writes an image of a sleeping target's heaps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "inspect/glibc-marks.h"
#include "inspect/glibc.h"

#include "glibc-image.h"

/* ---- the reader as a program ---- */

struct seen {
	uint64_t ranges, bytes, resident, binned_resident, top_resident, cached_resident, bad;
	uint64_t last;
};

static int seen_range(void *ctx, const struct glibc_range *range)
{
	struct seen *s = ctx;

	s->ranges++;
	s->bytes += range->hi - range->lo;
	s->resident += range->resident;
	if (range->lo >= range->hi || range->lo % 4096 || range->hi % 4096 || range->lo < range->chunk + 16 ||
	    range->resident > range->hi - range->lo)
		s->bad++;
	switch (range->kind) {
	case GLIBC_BINNED:
		s->binned_resident += range->resident;
		break;
	case GLIBC_TOP:
		s->top_resident += range->resident;
		break;
	case GLIBC_CACHED:
		s->cached_resident += range->resident;
		break;
	}
	return 0;
}

static void print_u64(const char *name, uint64_t v)
{
	printf("\"%s\":%" PRIu64 ",", name, v);
}

static void print_arena(const struct glibc_arena *a)
{
	uint64_t in_runs = 0;

	for (size_t i = 0; i < PAGE_RUNS_LOGS; i++)
		in_runs += a->runs.bytes[i];
	printf("{\"address\":\"%#" PRIx64 "\",", a->address);
	print_u64("system", a->system);
	print_u64("in_use", a->in_use);
	print_u64("cached", a->cached);
	print_u64("free", a->free);
	print_u64("free_resident", a->free_resident);
	print_u64("in_runs", in_runs);
	print_u64("kept_by_little", a->pinned.free_resident);
	print_u64("unknown", a->unknown);
	print_u64("foreign", a->foreign);
	print_u64("fastbins", a->fastbins);
	print_u64("tcaches", a->tcaches);
	print_u64("top", a->top);
	print_u64("top_resident", a->top_resident);
	print_u64("trim", a->trim);
	print_u64("live_blocks", a->live_blocks);
	print_u64("live_smallest", a->live_smallest);
	print_u64("free_blocks", a->free_blocks);
	print_u64("attached_threads", a->attached_threads);
	print_u64("heaps", a->heaps);
	printf("\"is_main\":%s,\"torn\":%s}", a->is_main ? "true" : "false", a->torn ? "true" : "false");
}

static void print_facts(const struct glibc *g, const struct glibc_facts *f, const struct seen *s, uint64_t ns)
{
	uint64_t pinned = 0, stretches = 0;

	printf("{\"version\":\"%u.%u\",\"locks\":%d,\"unused\":%d,\"lock_wait\":\"%#" PRIx64 "\",\"has_tls\":%d,",
	       g->major, g->minor, (int)g->locks, g->unused, g->lock_wait, g->has_tls);
	print_u64("ns", ns);
	print_u64("system", f->system);
	print_u64("in_use", f->in_use);
	print_u64("cached", f->cached);
	print_u64("free", f->free);
	print_u64("free_resident", f->free_resident);
	print_u64("unknown", f->unknown);
	print_u64("foreign", f->foreign);
	print_u64("fastbins", f->fastbins);
	print_u64("tcaches", f->tcaches);
	print_u64("live_blocks", f->live_blocks);
	print_u64("free_blocks", f->free_blocks);
	print_u64("mmapped", f->mmapped);
	print_u64("mmapped_blocks", f->mmapped_blocks);
	print_u64("trim_threshold", f->trim_threshold);
	print_u64("mmap_threshold", f->mmap_threshold);
	print_u64("thp_pagesize", f->thp_pagesize);
	print_u64("threads", f->threads);
	print_u64("threads_read", f->threads_read);
	print_u64("trim", f->trim);
	print_u64("trim_lower", f->trim_lower);
	print_u64("trim_upper", f->trim_upper);
	print_u64("ranges", s->ranges);
	print_u64("ranges_bytes", s->bytes);
	print_u64("ranges_resident", s->resident);
	print_u64("binned_resident", s->binned_resident);
	print_u64("top_resident", s->top_resident);
	print_u64("cached_resident", s->cached_resident);
	print_u64("ranges_bad", s->bad);
	for (size_t i = 0; i < GLIBC_PINS; i++) {
		pinned += f->pins[i].free_resident;
		stretches += f->pins[i].stretches;
	}
	print_u64("pinned", pinned);
	print_u64("stretches", stretches);
	printf("\"dynamic\":%s,\"torn\":%s,\"partial\":%s,\"arenas\":[", f->dynamic ? "true" : "false",
	       f->torn ? "true" : "false", f->partial ? "true" : "false");
	for (size_t i = 0; i < f->n_arenas; i++) {
		printf(i ? "," : "");
		print_arena(&f->arenas[i]);
	}
	printf("]}\n");
	fflush(stdout);
}

/* Our own processor time: others may be at work on the machine. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static int open_target(const char *pid, struct target *t)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	_cleanup_close_ int dir = root < 0 ? -1 : procfs_open_pid(root, atoi(pid));

	return dir < 0 ? dir : target_open(dir, t);
}

static int print_failure(const char *what, int r, const char *why)
{
	printf("{\"error\":\"%s\",\"errno\":%d,\"why\":\"%s\"}\n", what, -r, why);
	fflush(stdout);
	return 1;
}

struct reader {
	struct target t;
	struct allocator_info info;
	struct glibc g;
};

static int reader_open(const char *pid, struct reader *rd)
{
	char why[200] = "";
	uint64_t began, middle;
	int r = open_target(pid, &rd->t);

	if (r < 0)
		return print_failure("target_open", r, "");
	began = clock_ns();
	r = allocator_detect(&rd->t, &rd->info);
	if (r < 0)
		return print_failure("allocator_detect", r, "");
	middle = clock_ns();
	r = glibc_locate(&rd->t, &rd->info, &rd->g, why, sizeof(why));
	if (r < 0)
		return print_failure("glibc_locate", r, why);
	fprintf(stderr, "detect %" PRIu64 " us, locate %" PRIu64 " us\n", (middle - began) / 1000,
		(clock_ns() - middle) / 1000);
	return 0;
}

static int reader_look(struct reader *rd, unsigned int flags, unsigned long times)
{
	int failed = 0;

	for (unsigned long i = 0; i < times; i++) {
		struct seen s = { .ranges = 0 };
		struct glibc_visitor v = { .range = seen_range, .ctx = &s };
		struct glibc_facts f = { .system = 0 };
		uint64_t began = cpu_ns();
		int r = glibc_look(&rd->t, &rd->g, flags, flags & GLIBC_CHEAP ? NULL : &v, &f);

		if (r < 0) {
			failed = print_failure("glibc_look", r, "");
			continue;
		}
		print_facts(&rd->g, &f, &s, cpu_ns() - began);
		glibc_facts_done(&f);
	}
	return failed;
}

/* ---- candidates and their proof ---- */

#define RANGES 400000

struct truth {
	struct glibc_range *v;
	size_t n;
};

static int truth_range(void *ctx, const struct glibc_range *range)
{
	struct truth *t = ctx;

	if (t->n == RANGES)
		return -ENOMEM;
	t->v[t->n++] = *range;
	return 0;
}

static int range_compare(const void *a, const void *b)
{
	const struct glibc_range *x = a, *y = b;

	return (x->chunk > y->chunk) - (x->chunk < y->chunk);
}

/* Is @range part of what a look at the sleeping target calls free? */
static bool truth_has(const struct truth *t, const struct glibc_range *range)
{
	const struct glibc_range *hit = bsearch(range, t->v, t->n, sizeof(*t->v), range_compare);

	return hit && hit->kind == range->kind && range->lo >= hit->lo && range->hi <= hit->hi && range->lo < range->hi;
}

struct checked {
	uint64_t rounds, candidates, good, resident, wrong, ns, unlocked;
};

/* The lock of a sleeping target, taken and let go from outside: tests only. */
static void set_lock(const char *pid, uint64_t arena, uint32_t value)
{
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	f = fopen(path, "r+");
	if (!f || fseek(f, (long)arena, SEEK_SET) || fwrite(&value, sizeof(value), 1, f) != 1)
		abort();
	(void)fclose(f);
}

static int check_arena(struct reader *rd, const char *pid, uint64_t arena, struct glibc_range *v, size_t n, size_t max,
		       const struct truth *truth, struct checked *c)
{
	struct glibc_check limits = { .max_ranges = max };
	size_t good, used, at = 0;
	int r;

	if (glibc_check_ranges(&rd->t, &rd->g, arena, v, n, &limits, v, &good, &used) == -EAGAIN)
		c->unlocked++;
	while (at < n) {
		uint64_t began;

		set_lock(pid, arena, 1);
		began = cpu_ns();
		r = glibc_check_ranges(&rd->t, &rd->g, arena, v + at, n - at, &limits, v + at, &good, &used);
		c->ns += cpu_ns() - began;
		set_lock(pid, arena, 0);
		if (r < 0 || !used)
			return r < 0 ? r : -EIO;
		for (size_t i = 0; i < good; i++) {
			c->resident += v[at + i].resident;
			c->wrong += !truth_has(truth, &v[at + i]);
		}
		c->good += good;
		c->rounds++;
		at += used;
	}
	return 0;
}

static int reader_check(struct reader *rd, const char *pid, bool stale, size_t max, uint64_t piece)
{
	struct truth truth = { .v = calloc(RANGES, sizeof(*truth.v)) };
	struct glibc_range *v = calloc(RANGES, sizeof(*v));
	struct glibc_visitor visit = { .range = truth_range, .ctx = &truth };
	struct glibc_facts f = { .system = 0 };
	struct checked c = { .rounds = 0 };
	uint64_t began, prescan_ns = 0;
	size_t *ends, n = 0;
	int r = glibc_look(&rd->t, &rd->g, GLIBC_CHEAP, NULL, &f);

	if (r < 0)
		return print_failure("glibc_look", r, "");
	ends = calloc(f.n_arenas, sizeof(*ends));
	began = cpu_ns();
	for (size_t i = 0; i < f.n_arenas; i++) {
		struct glibc_cursor cursor = { .heap = 0 };

		while (!cursor.end) {
			size_t some = 0;

			r = glibc_prescan(&rd->t, &rd->g, f.arenas[i].address, &cursor, v + n,
					  stale ? RANGES - n : MIN(max, RANGES - n), piece, &some);
			if (r < 0 || n + some >= RANGES)
				return print_failure("glibc_prescan", r, "");
			n += some;
		}
		ends[i] = n;
	}
	prescan_ns = cpu_ns() - began;
	if (stale) {
		printf("go\n");
		fflush(stdout);
		(void)getchar();
	}
	glibc_facts_done(&f);
	r = glibc_look(&rd->t, &rd->g, 0, &visit, &f);
	if (r < 0)
		return print_failure("glibc_look", r, "");
	qsort(truth.v, truth.n, sizeof(*truth.v), range_compare);
	c.candidates = n;
	for (size_t i = 0, from = 0; i < f.n_arenas && r == 0; from = ends[i++])
		r = check_arena(rd, pid, f.arenas[i].address, v + from, ends[i] - from, max, &truth, &c);
	if (r < 0)
		return print_failure("glibc_check_ranges", r, "");
	printf("{\"free_resident\":%" PRIu64 ",\"rounds\":%" PRIu64 ",\"candidates\":%" PRIu64 ",\"good\":%" PRIu64
	       ",\"resident\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"check_ns\":%" PRIu64 ",\"prescan_ns\":%" PRIu64
	       ",\"unlocked\":%" PRIu64 "}\n",
	       f.free_resident, c.rounds, c.candidates, c.good, c.resident, c.wrong, c.ns, prescan_ns, c.unlocked);
	glibc_facts_done(&f);
	free(ends);
	free(v);
	free(truth.v);
	return 0;
}

static int reader_record(struct reader *rd, const char *pid, const char *path)
{
	_cleanup_fclose_ FILE *out = fopen(path, "w");
	char name[64];
	_cleanup_fclose_ FILE *maps = NULL;
	static char text[1 << 16];
	size_t len = 0;
	int r;

	(void)snprintf(name, sizeof(name), "/proc/%s/maps", pid);
	maps = fopen(name, "r");
	if (!out || !maps)
		return print_failure("record", -errno, "");
	/* Names of files are nobody's business. */
	while (fgets(text + len, (int)(sizeof(text) - len), maps)) {
		text[len + strcspn(text + len, "/\n")] = '\n';
		len += strcspn(text + len, "\n") + 1;
		text[len] = '\0';
	}
	r = glibc_image_record(&rd->t, &rd->g, text, out);
	return r < 0 ? print_failure("glibc_image_record", r, "") : 0;
}

static int reader_main(int argc, char **argv)
{
	struct reader rd = { .t = TARGET_CLOSED };
	const char *verb = argc > 2 ? argv[2] : "look";
	unsigned long a = argc > 3 ? strtoul(argv[3], NULL, 10) : 1, b = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	int r = reader_open(argv[1], &rd);

	if (r == 0 && (!strcmp(verb, "check") || !strcmp(verb, "stale")))
		r = reader_check(&rd, argv[1], !strcmp(verb, "stale"), a, b);
	else if (r == 0 && !strcmp(verb, "record"))
		r = argc > 3 ? reader_record(&rd, argv[1], argv[3]) : 2;
	else if (r == 0)
		r = reader_look(&rd, !strcmp(verb, "cheap") ? GLIBC_CHEAP : 0, a);
	target_close(&rd.t);
	return r;
}

static void test_marks(void **state)
{
	struct glibc_marks m = { .n = 0 };

	(void)state;
	assert_false(glibc_marks_has(&m, 0x10000000));
	for (uint64_t i = 0; i < 300; i++)
		assert_int_equal(glibc_marks_set(&m, 0x10000000 + i * 0x123450), 0);
	for (uint64_t i = 0; i < 300; i++) {
		assert_true(glibc_marks_has(&m, 0x10000000 + i * 0x123450));
		assert_false(glibc_marks_has(&m, 0x10000000 + i * 0x123450 + 16));
	}
	assert_false(glibc_marks_has(&m, 0x7f0000000000));
	glibc_marks_done(&m);
	glibc_marks_done(&m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks),
	};

	if (argc > 1)
		return reader_main(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
