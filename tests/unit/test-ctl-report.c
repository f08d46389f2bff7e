// SPDX-License-Identifier: GPL-2.0-or-later
/* What record marks and spends, and what report makes of a recording. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/record.h"
#include "ctl/report.h"

#define MIB (1ull << 20)
#define SECOND 1000000ull
#define HOSTILE "</script><script>alert(1)</script>\"'&<!--\x1b[31m\xff\xe2\x80\xae"

/* ---- marks ---- */

static struct recording_sample counted(uint64_t rss, uint64_t swap)
{
	struct recording_sample s = { .looked = false };

	for (size_t i = 0; i < RECORDED_N; i++)
		s.v[i] = i < RECORDED_COUNTED ? 0 : RECORDING_UNKNOWN;
	s.v[RECORDED_RSS] = rss;
	s.v[RECORDED_ANON] = rss;
	s.v[RECORDED_SWAP] = swap;
	return s;
}

/* All of it in glibc's heap, @held of that free. */
static struct recording_sample looked(uint64_t rss, uint64_t held)
{
	struct recording_sample s = counted(rss, 0);

	s.looked = true;
	for (size_t i = RECORDED_COUNTED; i < RECORDED_N; i++)
		s.v[i] = 0;
	s.v[RECORDED_ACCOUNT + ACCOUNT_GLIBC_HEAP] = rss;
	s.v[RECORDED_GLIBC_FREE_RESIDENT] = held;
	s.v[RECORDED_GLIBC_IN_USE] = rss - held;
	s.v[RECORDED_OFFER] = held;
	return s;
}

static int mark(struct record_marks *m, struct recording_sample s, int64_t *ret_bytes)
{
	struct recording_event e = { .kind = 0 };
	const bool moved = record_marks_moved(m, &s, 16 * MIB);

	assert_int_equal(record_marks_take(m, &s, 16 * MIB, &e), moved);
	*ret_bytes = e.bytes;
	return moved ? (int)e.kind : 0;
}

static void test_marks(void **state)
{
	struct record_marks m = { .begun = false };
	int64_t bytes;

	(void)state;
	assert_int_equal(mark(&m, counted(100 * MIB, 0), &bytes), 0);
	assert_int_equal(mark(&m, counted(115 * MIB, 0), &bytes), 0);
	/* From the lowest point on, however slowly. */
	assert_int_equal(mark(&m, counted(90 * MIB, 0), &bytes), RECORDING_DROP);
	assert_int_equal(bytes, -25 * (int64_t)MIB);
	for (uint64_t i = 91; i < 106; i++)
		assert_int_equal(mark(&m, counted(i * MIB, 0), &bytes), 0);
	assert_int_equal(mark(&m, counted(106 * MIB, 0), &bytes), RECORDING_GROWTH);
	assert_int_equal(bytes, 16 * MIB);
	/* And no second one for the same. */
	assert_int_equal(mark(&m, counted(107 * MIB, 0), &bytes), 0);
	assert_int_equal(mark(&m, counted(RECORDING_UNKNOWN, 0), &bytes), 0);
	/* Of a giant it takes more. */
	assert_int_equal(mark(&m, counted(8000 * MIB, 0), &bytes), RECORDING_GROWTH);
	assert_int_equal(mark(&m, counted(8900 * MIB, 0), &bytes), 0);
	assert_int_equal(mark(&m, counted(9000 * MIB, 0), &bytes), RECORDING_GROWTH);
	/* What was marked otherwise isn't marked again. */
	record_marks_reset(&m);
	assert_int_equal(mark(&m, counted(10 * MIB, 0), &bytes), 0);
	assert_false(record_marks_moved(&m, &(struct recording_sample){ .v = { 900 * MIB } }, 0));
}

static void test_kinds_of_drops(void **state)
{
	struct record_marks m = { .begun = false };
	int64_t bytes;

	(void)state;
	(void)mark(&m, looked(200 * MIB, 100 * MIB), &bytes);
	/* A look that shows it as free again, then one without. */
	assert_int_equal(mark(&m, looked(200 * MIB, 90 * MIB), &bytes), 0);
	assert_int_equal(mark(&m, looked(110 * MIB, 5 * MIB), &bytes), RECORDING_RETURNED);
	assert_int_equal(bytes, -90 * (int64_t)MIB);
	assert_int_equal(mark(&m, looked(50 * MIB, 5 * MIB), &bytes), RECORDING_DROP);
	(void)mark(&m, counted(200 * MIB, MIB), &bytes);
	assert_int_equal(mark(&m, counted(100 * MIB, 90 * MIB), &bytes), RECORDING_SWAPPED);
	/* Nobody looked: nobody knows. */
	assert_int_equal(mark(&m, counted(20 * MIB, 90 * MIB), &bytes), RECORDING_DROP);
}

/* ---- budget ---- */

/* Looks of @cost whenever they are allowed, for an hour at ten chances a second: what they cost in all. */
static uint64_t spent_in_an_hour(uint32_t percent, uint64_t cost)
{
	struct record_budget b;
	uint64_t sum = 0;

	record_budget_begin(&b, percent, 5);
	for (uint64_t now = 5; now < 3600 * SECOND; now += SECOND / 10) {
		if (!record_budget_allows(&b, now, false))
			continue;
		record_budget_spend(&b, cost);
		sum += cost;
	}
	return sum;
}

static void test_budget(void **state)
{
	struct record_budget b;

	(void)state;
	/* A share of an hour, and what is begun may be finished. */
	assert_in_range(spent_in_an_hour(1, 2000), 35 * SECOND, 36 * SECOND + 30000);
	assert_in_range(spent_in_an_hour(1, 300000), 35 * SECOND, 36 * SECOND + 330000);
	assert_in_range(spent_in_an_hour(20, 300000), 715 * SECOND, 720 * SECOND + 330000);
	assert_int_equal(spent_in_an_hour(1, 50 * SECOND), 50 * SECOND);
	/* Something has just happened: on credit, but not without end. */
	record_budget_begin(&b, 1, 0);
	record_budget_spend(&b, 100000);
	assert_false(record_budget_allows(&b, 0, false));
	assert_true(record_budget_allows(&b, 0, true));
	record_budget_spend(&b, 1000000);
	assert_false(record_budget_allows(&b, 0, true));
	/* A clock that goes back is no windfall. */
	assert_false(record_budget_allows(&b, 0, true));
	assert_int_equal(record_budget_pause(&b, SECOND, 1000), SECOND);
	assert_int_equal(record_budget_pause(&b, SECOND, 50000), 5 * SECOND);
}

/* ---- sums ---- */

static void test_split(void **state)
{
	struct recording_sample s = looked(100 * MIB, 60 * MIB);
	uint64_t v[REPORT_LAYERS], sum = 0;

	(void)state;
	s.v[RECORDED_GLIBC_CACHED] = 50 * MIB; /* of another moment: more than is left */
	s.v[RECORDED_ACCOUNT + ACCOUNT_PYMALLOC] = 7 * MIB;
	s.v[RECORDED_PYTHON_FREE_RESIDENT] = RECORDING_UNKNOWN;
	s.v[RECORDED_ACCOUNT + ACCOUNT_FILE] = s.v[RECORDED_ACCOUNT + ACCOUNT_SPECIAL] = MIB;
	report_split(&s, v);
	assert_int_equal(v[REPORT_GLIBC_FREE], 60 * MIB);
	assert_int_equal(v[REPORT_GLIBC_CACHED], 40 * MIB);
	assert_int_equal(v[REPORT_GLIBC_USED], 0);
	assert_int_equal(v[REPORT_PYTHON_USED], 7 * MIB);
	for (size_t i = 0; i < REPORT_LAYERS; i++)
		sum += v[i];
	assert_int_equal(sum, 109 * MIB);
	s = counted(9 * MIB, 0);
	report_split(&s, v);
	assert_int_equal(v[REPORT_OTHER], 9 * MIB);
}

static void test_growth(void **state)
{
	struct report_row r = { .n = 0 };
	char text[24];
	double v;

	(void)state;
	for (uint64_t i = 0; i < 600; i++)
		report_row_add(&r, i * SECOND, 50 * MIB + i * MIB / 60 + (i % 2) * MIB);
	report_row_add(&r, 600 * SECOND, RECORDING_UNKNOWN);
	assert_true(report_row_growth(&r, 600 * SECOND, &v));
	assert_true(v > 59 * (double)MIB && v < 61 * (double)MIB);
	assert_int_equal(r.first, 50 * MIB);
	assert_int_equal(r.peak_at_us, 599 * SECOND);
	assert_false(report_row_growth(&r, 10 * SECOND, &v));
	/* All at one time. */
	r = (struct report_row){ .n = 0 };
	for (size_t i = 0; i < 10; i++)
		report_row_add(&r, 0, i * MIB);
	assert_false(report_row_growth(&r, 600 * SECOND, &v));
	assert_string_equal(report_growth(-1.5 * (double)MIB, text, sizeof(text)), "-1.5MiB");
	assert_string_equal(report_growth(0, text, sizeof(text)), "0B");
	assert_string_equal(report_growth(3 * (double)MIB, text, sizeof(text)), "+3.0MiB");
}

static void test_few_points(void **state)
{
	_cleanup_free_ struct report_point *owned = NULL;
	struct report_line l = { .n = 0 };
	uint64_t most = 0, last = 0;

	(void)state;
	for (uint64_t i = 0; i < 100003; i++) {
		const struct report_point p = { .at_us = i, .rss = i == 77777 ? 1000000 : i % 100 };

		assert_int_equal(report_line_add(&l, &p), 0);
		owned = l.v;
		assert_true(l.n <= 2 * REPORT_POINTS);
	}
	/* In order, and the one peak is among them. */
	for (size_t i = 0; i < l.n; i++) {
		assert_true(!i || l.v[i].at_us > last);
		last = l.v[i].at_us;
		most = l.v[i].rss > most ? l.v[i].rss : most;
	}
	assert_int_equal(most, 1000000);
	assert_true(l.n > REPORT_POINTS / 2);
}

/* ---- a whole recording ---- */

static unsigned char file[1 << 20];
static size_t file_size;
static struct recording_state encoder;

static void put(struct recording_block b)
{
	assert_true(file_size + RECORDING_BLOCK + 7 < sizeof(file));
	file_size += recording_encode(&encoder, &b, file + file_size);
}

static void begin(void)
{
	const struct recording_head head = { .real_us = 1800000000 * SECOND, .interval_us = SECOND };
	struct recording_block b = { .type = RECORDING_BLOCK_TARGET, .about = { .pid = 4711, .comm = HOSTILE } };

	memset(&encoder, 0, sizeof(encoder));
	recording_encode_head(&head, file);
	file_size = RECORDING_HEAD;
	snprintf(b.about.exe, sizeof(b.about.exe), "/bin/%s", HOSTILE);
	put(b);
}

static void put_sample(uint64_t at_us, struct recording_sample s)
{
	put((struct recording_block){ .type = RECORDING_BLOCK_SAMPLE, .at_us = at_us, .sample = s });
}

static void put_event(uint64_t at_us, enum recording_event_kind kind)
{
	struct recording_block b = { .type = RECORDING_BLOCK_EVENT, .at_us = at_us, .event = { .kind = kind } };

	b.event.bytes = 5 * (int64_t)MIB;
	snprintf(b.event.words, sizeof(b.event.words), "%s", HOSTILE);
	put(b);
}

static void read_back(struct report *ret)
{
	FILE *f = fmemopen(file, file_size, "r");

	assert_non_null(f);
	assert_int_equal(report_read(f, "file", ret), 0);
	(void)fclose(f);
}

static char *drawn(int (*draw)(FILE *f, const struct report *r), const struct report *r)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	assert_int_equal(draw(f, r), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void assert_harmless(const char *text)
{
	assert_null(strstr(text, "<script>alert"));
	assert_null(strchr(text, '\x1b'));
	assert_null(strchr(text, '\xff'));
	assert_non_null(strstr(text, "&lt;/script&gt;"));
}

static void test_leak(void **state)
{
	_cleanup_(report_done) struct report r = { .path = NULL };
	_cleanup_free_ char *svg = NULL, *html = NULL;
	char verdict[320];

	(void)state;
	begin();
	for (uint64_t i = 0; i < 3600; i += 10)
		put_sample(i * SECOND, i % 20 ? counted((50 + i / 60) * MIB, 0) : looked((50 + i / 60) * MIB, MIB));
	put_event(1800 * SECOND, RECORDING_GROWTH);
	read_back(&r);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.ending, RECORDING_CUT);
	assert_int_equal(r.t[0].samples, 360);
	assert_int_equal(r.t[0].looks, 180);
	assert_int_equal(r.t[0].rss.peak, 109 * MIB);
	report_verdict(&r.t[0], verdict, sizeof(verdict));
	assert_non_null(strstr(verdict, "MiB an hour, most of it C library, in use"));
	assert_non_null(strstr(verdict, "a trim doesn't stop it."));
	assert_null(strstr(verdict, "reclaimctl trim"));
	svg = drawn(report_svg, &r);
	html = drawn(report_html, &r);
	assert_harmless(svg);
	assert_harmless(html);
	assert_non_null(strstr(svg, "data-layer=\"glibc-in-use\""));
	assert_non_null(strstr(html, "data-event=\"growth\""));
	assert_int_equal(report_top(&r.t[0]), 112 * MIB);
}

static void test_held(void **state)
{
	_cleanup_(report_done) struct report r = { .path = NULL };
	char verdict[320];

	(void)state;
	begin();
	for (uint64_t i = 0; i < 3600; i += 10)
		put_sample(i * SECOND, looked((50 + i / 60) * MIB, (10 + i / 60) * MIB));
	put((struct recording_block){ .type = RECORDING_BLOCK_END, .at_us = 3600 * SECOND });
	read_back(&r);
	assert_int_equal(r.ending, RECORDING_ENDED);
	assert_int_equal(r.length_us, 3600 * SECOND);
	report_verdict(&r.t[0], verdict, sizeof(verdict));
	assert_non_null(strstr(verdict, "most of it C library, free, still held"));
	assert_non_null(strstr(verdict, "see reclaimctl trim"));
}

/* It leaks, and holds much that is free besides. */
static void test_leak_and_held(void **state)
{
	_cleanup_(report_done) struct report r = { .path = NULL };
	char verdict[320];

	(void)state;
	begin();
	for (uint64_t i = 0; i < 3600; i += 10)
		put_sample(i * SECOND, looked((200 + i / 60) * MIB, 150 * MIB));
	read_back(&r);
	report_verdict(&r.t[0], verdict, sizeof(verdict));
	assert_non_null(strstr(verdict, "most of it C library, in use"));
	assert_non_null(
		strstr(verdict, "a trim doesn't stop it. 150.0MiB of it can be given back: see reclaimctl trim."));
}

static void test_steady(void **state)
{
	_cleanup_(report_done) struct report r = { .path = NULL };
	char verdict[320];

	(void)state;
	begin();
	for (uint64_t i = 0; i < 100; i++)
		put_sample(i * SECOND, looked(100 * MIB, 50 * MIB));
	read_back(&r);
	report_verdict(&r.t[0], verdict, sizeof(verdict));
	assert_string_equal(verdict,
			    "It doesn't grow; 50.0MiB of it are free, and still held. 50.0MiB of it can be given "
			    "back: see reclaimctl trim.");
	report_done(&r);
	/* What no remedy takes isn't promised. */
	begin();
	for (uint64_t i = 0; i < 100; i++) {
		struct recording_sample s = looked(100 * MIB, 50 * MIB);

		s.v[RECORDED_OFFER] = 0;
		put_sample(i * SECOND, s);
	}
	read_back(&r);
	report_verdict(&r.t[0], verdict, sizeof(verdict));
	assert_string_equal(verdict, "It doesn't grow; 50.0MiB of it are free, and still held.");
	report_done(&r);
	begin();
	for (uint64_t i = 0; i < 100; i++)
		put_sample(i * SECOND, counted(100 * MIB, 0));
	read_back(&r);
	report_verdict(&r.t[0], verdict, sizeof(verdict));
	assert_string_equal(verdict, "It doesn't grow; nobody could look inside.");
}

/* More than anybody wants to see; how it ended is among what is shown. */
static void test_many_events(void **state)
{
	_cleanup_(report_done) struct report r = { .path = NULL };
	_cleanup_free_ char *svg = NULL;

	(void)state;
	begin();
	for (uint64_t i = 0; i < REPORT_EVENTS + 100; i++)
		put_event(i, RECORDING_DROP);
	put_event(9999999, RECORDING_EXIT);
	read_back(&r);
	assert_int_equal(r.t[0].nevents, REPORT_EVENTS);
	assert_int_equal(r.t[0].events_seen, REPORT_EVENTS + 101);
	assert_int_equal(r.t[0].events[REPORT_EVENTS - 1].e.kind, RECORDING_EXIT);
	assert_true(r.t[0].gone);
	/* Without a single sample. */
	svg = drawn(report_svg, &r);
	assert_non_null(strstr(svg, "data-event=\"exit\""));
}

/* The largest and smallest that may be: all of it finite, and inside of the picture. */
static void test_extremes(void **state)
{
	static const uint64_t sizes[] = { 0, 1, RECORDING_SIZE_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_(report_done) struct report r = { .path = NULL };
		_cleanup_free_ char *svg = NULL, *html = NULL;
		struct recording_sample s = { .looked = true };

		for (size_t k = 0; k < RECORDED_N; k++)
			s.v[k] = sizes[i];
		begin();
		put_sample(0, s);
		put_sample(i * (RECORDING_TIME_MAX - 1) / 2, s);
		read_back(&r);
		svg = drawn(report_svg, &r);
		html = drawn(report_html, &r);
		assert_null(strstr(svg, "nan"));
		assert_null(strstr(svg, "inf"));
		assert_null(strstr(html, "x=\"-"));
		assert_true(strlen(svg) < 100000);
	}
}

static void test_empty(void **state)
{
	_cleanup_(report_done) struct report r = { .path = NULL };
	_cleanup_free_ char *svg = NULL, *html = NULL;

	(void)state;
	begin();
	file_size = RECORDING_HEAD;
	read_back(&r);
	assert_int_equal(r.n, 0);
	svg = drawn(report_svg, &r);
	html = drawn(report_html, &r);
	assert_non_null(strstr(html, "Nothing was recorded"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks),	    cmocka_unit_test(test_kinds_of_drops),
		cmocka_unit_test(test_budget),	    cmocka_unit_test(test_split),
		cmocka_unit_test(test_growth),	    cmocka_unit_test(test_few_points),
		cmocka_unit_test(test_leak),	    cmocka_unit_test(test_held),
		cmocka_unit_test(test_steady),	    cmocka_unit_test(test_leak_and_held),
		cmocka_unit_test(test_many_events), cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
