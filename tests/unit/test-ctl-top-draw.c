/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "top" draws at which size, and what its keys do, without a terminal. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <wctype.h>

#include <cmocka.h>

#include "base/clock.h"
#include "ctl/top-columns.h"
#include "ctl/top-keys.h"
#include "top-world.h"

static const struct top_seed seeds[] = {
	{ 10, "a\033[2J\x9b\xff\nb", "r\033]0;x\a", "u\033c.service", "/s\033c/u", 100 * MIB, 90 * MIB, 50 * MIB },
	{ 20, "\xe5\xa4\xa7\xe5\xad\x97\xe5\x9e\x8b", "joe", "db.service", "/db.service", 300 * MIB, 200 * MIB,
	  20 * MIB },
	{ 30, "plain", "root", "", "/", 50 * MIB, 40 * MIB, PROC_UNKNOWN },
};

static void begin(struct top *t, int width, int height)
{
	top_world_begin(t, seeds, ARRAY_SIZE(seeds));
	assert_int_equal(canvas_resize(&t->canvas, width, height), 0);
}

static void draw(struct top *t)
{
	assert_int_equal(top_draw(t), 0);
	for (int i = 0; i < t->canvas.width * t->canvas.height; i++)
		if (t->canvas.v[i].c && !iswprint((wint_t)t->canvas.v[i].c))
			fail_msg("U+%04X at %d", (unsigned int)t->canvas.v[i].c, i);
}

static bool shows(const struct top *t, const char *text)
{
	char line[TOP_LINE];

	for (int y = 0; y < t->canvas.height; y++)
		if (strstr(top_world_line(&t->canvas, y, line), text))
			return true;
	return false;
}

static void test_layout(void **state)
{
	struct top_view v = { .lines = NULL };
	struct top_place p[TOP_COLUMNS_MAX];

	(void)state;
	for (int width = 1; width <= CANVAS_MAX; width++) {
		const size_t n = top_layout(&v, width, true, p);

		for (size_t i = 0; i < n; i++) {
			assert_true(p[i].x == (i ? p[i - 1].x + p[i - 1].width + 1 : 0));
			if (width >= 36)
				assert_true(p[i].x + p[i].width <= width);
		}
		/* The rest takes the rest. */
		if (width >= 36)
			assert_true(p[n - 1].x + p[n - 1].width == width && p[n - 1].width >= 8);
	}
	assert_int_equal(top_layout(&v, 80, false, p), 5);
	assert_true(p[3].column->kind == TOP_COLUMN_BAR && p[3].width >= 19 && p[4].width >= 32);
	assert_int_equal(top_layout(&v, 200, true, p), top_ncolumns);
	/* Groups say it already. */
	v.by = TOP_BY_UNIT;
	assert_int_equal(top_layout(&v, 200, true, p), top_ncolumns - 1);
}

static void test_every_size(void **state)
{
	static const int sizes[][2] = { { 1, 1 },   { 1, 24 },	{ 80, 1 },   { 7, 6 },	  { 20, 10 },
					{ 79, 23 }, { 80, 24 }, { 200, 60 }, { 1000, 7 }, { 3, 1000 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (enum top_page page = TOP_PAGE_LIST; page <= TOP_PAGE_HELP; page++)
			for (enum top_prompt prompt = TOP_PROMPT_NONE; prompt <= TOP_PROMPT_TRIM; prompt++) {
				struct top t;

				begin(&t, sizes[i][0], sizes[i][1]);
				t.page = page;
				t.prompt = prompt;
				t.detail.pid = t.trim_pid = 10;
				t.detail.start_time = t.trim_start = 100;
				draw(&t);
				top_key(&t, TOP_KEY_END);
				draw(&t);
				top_world_end(&t);
			}
}

/* However low it is, the last line is that of the keys or of a question, and nothing shines through. */
static void test_low(void **state)
{
	char high[3][TOP_LINE], low[TOP_LINE];

	(void)state;
	for (int height = 24; height >= 1; height--)
		for (enum top_prompt prompt = TOP_PROMPT_NONE; prompt <= TOP_PROMPT_TRIM; prompt++) {
			struct top t;

			begin(&t, 30, height);
			t.prompt = prompt;
			t.trim_pid = 10;
			t.trim_start = 100;
			draw(&t);
			top_world_line(&t.canvas, height - 1, height == 24 ? high[prompt] : low);
			if (height < 24)
				assert_string_equal(low, high[prompt]);
			top_world_end(&t);
		}
}

static void test_list_at_80x24(void **state)
{
	char line[TOP_LINE];
	struct top t;

	(void)state;
	begin(&t, 80, 24);
	draw(&t);
	assert_string_equal(top_world_line(&t.canvas, 3, line),
			    "\xe2\x96\x88 in use  \xe2\x96\x93 cached  \xe2\x96\x91 free  \xe2\x96\x92 idle  "
			    "\xe2\x94\x81 other  \xe2\x95\x8d unseen\n");
	assert_string_equal(top_world_line(&t.canvas, 4, line),
			    "    PID       RSS     vFREE of the largest RSS  COMMAND\n");
	assert_string_equal(top_world_line(&t.canvas, 5, line),
			    "     10  100.0MiB   50.0MiB "
			    "\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88\xe2\x96\x91\xe2\x96\x91\xe2\x96\x91"
			    "              a\\x1b[2J\\x9b\\xff\\nb\n");
	/* Two columns each. */
	top_world_line(&t.canvas, 6, line);
	assert_non_null(strstr(line, "\xe5\xa4\xa7\xe5\xad\x97\xe5\x9e\x8b\n"));
	top_world_line(&t.canvas, 7, line);
	assert_non_null(strstr(line, "     30   50.0MiB         - "));
	assert_true(shows(&t, "? help") && shows(&t, "q quit"));
	/* The first line is where the cursor is; its bar keeps its own looks. */
	assert_int_equal(t.canvas.v[5 * 80 + 6].style, STYLE_CURSOR);
	assert_int_equal(t.canvas.v[5 * 80 + 28].style, STYLE_PART + TOP_IN_USE);
	assert_int_equal(t.canvas.v[6 * 80 + 6].style, STYLE_PLAIN);
	top_world_end(&t);
}

static void test_ascii(void **state)
{
	struct top t;
	char line[TOP_LINE];

	(void)state;
	begin(&t, 80, 24);
	t.blocks = false;
	draw(&t);
	top_world_line(&t.canvas, 5, line);
	assert_non_null(strstr(line, " ###... "));
	top_world_end(&t);
}

/* Each key means one thing on each page, has a name and is told in help. */
static void test_key_table(void **state)
{
	struct top t;

	(void)state;
	begin(&t, 120, 200);
	t.page = TOP_PAGE_HELP;
	draw(&t);
	for (size_t i = 0; i < top_nkey_rows; i++) {
		const struct top_key_row *a = &top_key_rows[i];

		assert_true(*a->name && *a->help && a->fn && a->pages && a->keys[0]);
		assert_true(shows(&t, a->name) && shows(&t, a->help));
		for (size_t k = 0; k < i; k++)
			for (size_t m = 0; m < 9; m++)
				if (a->keys[m / 3] && a->keys[m / 3] == top_key_rows[k].keys[m % 3])
					assert_false(a->pages & top_key_rows[k].pages);
	}
	top_world_end(&t);
}

static void test_every_key_on_every_page(void **state)
{
	(void)state;
	for (enum top_page page = TOP_PAGE_LIST; page <= TOP_PAGE_HELP; page++)
		for (size_t i = 0; i < top_nkey_rows; i++)
			for (int n = 0; n < 3 && top_key_rows[i].keys[n]; n++) {
				struct top t;

				begin(&t, 80, 24);
				t.view.by = TOP_BY_CGROUP;
				t.page = page;
				top_key(&t, top_key_rows[i].keys[n]);
				draw(&t);
				top_key(&t, top_key_rows[i].keys[n]);
				draw(&t);
				assert_int_equal(t.quit, page + 1 && top_key_rows[i].keys[0] == 'q');
				top_world_end(&t);
			}
}

static void test_filter_prompt(void **state)
{
	struct top t;

	(void)state;
	begin(&t, 80, 24);
	top_key(&t, '/');
	/* q is a letter here. */
	for (const char *k = "joeq"; *k; k++)
		top_key(&t, *k);
	top_key(&t, TOP_KEY_BACKSPACE);
	draw(&t);
	assert_true(shows(&t, "Filter: joe") && !t.quit);
	assert_int_equal(t.view.nlines, 1);
	top_key(&t, TOP_KEY_ENTER);
	draw(&t);
	assert_true(shows(&t, "filter: joe"));
	/* Changed, but then not. */
	top_key(&t, '/');
	top_key(&t, 'x');
	assert_int_equal(t.view.nlines, 0);
	draw(&t);
	assert_true(shows(&t, "No process matches the filter.\n"));
	/* What it says there is what the keys do. */
	top_key(&t, TOP_KEY_ENTER);
	draw(&t);
	assert_true(shows(&t, "the filter. Esc: no filter  a: among small ones too\n"));
	top_key(&t, 'a');
	assert_int_equal(t.view.nlines, 0);
	draw(&t);
	assert_true(shows(&t, "the filter. Esc: no filter\n"));
	top_key(&t, TOP_KEY_ESCAPE);
	assert_int_equal(t.view.nlines, 3);
	top_key(&t, 'a');
	top_key(&t, '/');
	for (const char *k = "joe"; *k; k++)
		top_key(&t, *k);
	top_key(&t, TOP_KEY_ENTER);
	top_key(&t, '/');
	top_key(&t, 'x');
	top_key(&t, TOP_KEY_ESCAPE);
	assert_string_equal(t.view.filter, "joe");
	top_key(&t, TOP_KEY_ESCAPE);
	assert_int_equal(t.view.nlines, 3);
	/* More than fits is not taken, and no half characters. */
	top_key(&t, '/');
	for (int i = 0; i < 100; i++)
		top_key(&t, 0x5927);
	assert_int_equal(strlen(t.view.filter), 63);
	draw(&t);
	top_world_end(&t);
}

/* Nothing is trimmed without a yes, and only whom it was asked about. */
static void test_trim_asks(void **state)
{
	struct top t;

	(void)state;
	begin(&t, 80, 24);
	top_key(&t, 't');
	draw(&t);
	assert_true(shows(&t, "Trim 10 (") && shows(&t, "50.0MiB or more"));
	for (const char *k = "tabcxz \t"; *k; k++)
		top_key(&t, *k);
	top_key(&t, TOP_KEY_ENTER);
	assert_int_equal(t.prompt, TOP_PROMPT_TRIM);
	top_key(&t, 'n');
	assert_int_equal(t.model.v[0]->given.state, TOP_TRIM_NONE);
	top_key(&t, 't');
	/* Another one is at the top meanwhile. */
	t.model.v[1]->look.inside.free = 100 * MIB;
	top_model_recount(&t.model);
	assert_int_equal(top_view_build(&t.view, &t.model), 0);
	top_key(&t, 'y');
	assert_int_equal(t.model.v[0]->given.state, TOP_TRIM_QUEUED);
	assert_int_equal(t.model.v[1]->given.state, TOP_TRIM_NONE);
	assert_false(t.model.v[0]->given.dry);
	draw(&t);
	assert_true(shows(&t, "waiting to be trimmed"));
	top_key(&t, 'x');
	assert_int_equal(t.model.v[0]->given.state, TOP_TRIM_NONE);
	/* The tagged ones; a dry run leaves them tagged. */
	top_key(&t, TOP_KEY_HOME);
	top_key(&t, ' ');
	top_key(&t, ' ');
	top_key(&t, 't');
	draw(&t);
	assert_true(shows(&t, "Trim 2 tagged"));
	top_key(&t, 'd');
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(t.model.v[i]->given.state, i < 2 ? TOP_TRIM_QUEUED : TOP_TRIM_NONE);
	assert_true(t.model.v[0]->given.dry && t.model.v[0]->tagged);
	top_world_end(&t);
}

static void test_result_in_place(void **state)
{
	struct top t;

	(void)state;
	begin(&t, 80, 24);
	t.model.v[2]->given = (struct top_given){ .state = TOP_TRIM_DONE,
						  .outcome = WORKER_RECLAIMED,
						  .freed = 534 * (int64_t)MIB,
						  .stopped_us = 3900,
						  .at_us = clock_us(CLOCK_BOOTTIME) };
	t.model.v[1]->given = (struct top_given){ .state = TOP_TRIM_DONE,
						  .outcome = WORKER_REFUSED,
						  .at_us = clock_us(CLOCK_BOOTTIME),
						  .reason = "\033]0;x" };
	draw(&t);
	assert_true(shows(&t, "plain freed 534.0MiB (3.9ms)"));
	assert_true(shows(&t, "refused: \\x1b]0;x"));
	top_world_end(&t);
}

/* How many bytes of a text go into a line, and what is left of it. */
static void test_fit(void **state)
{
	static const struct {
		const char *text;
		int width;
		size_t fits;
	} rows[] = {
		{ "", 5, 0 },
		{ "one", 5, 3 },
		{ "one two", 7, 7 },
		{ "one two", 6, 3 },
		{ "one two", 3, 3 },
		{ "one two", 2, 2 },
		{ "one  two", 4, 4 },
		{ " onetwo", 4, 4 },
		{ "\xe5\xa4\xa7x", 1, 3 },
		{ "\xe5\xa4\xa7x", 2, 3 },
		{ "x\xe5\xa4\xa7", 2, 1 },
		{ "\xff\xff", 1, 1 },
	};
	char longest[3 * CANVAS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (canvas_fit(rows[i].text, rows[i].width) != rows[i].fits)
			fail_msg("%zu: %zu", i, canvas_fit(rows[i].text, rows[i].width));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(canvas_fit(longest, 10000), CANVAS_MAX - 1);
}

#define REASON "tracing it needs root, or the same user and a process that allows it; see 'reclaimctl doctor'"

/* All of the screen as one text, however its lines are cut. */
static bool says(const struct top *t, const char *text)
{
	static char all[200 * TOP_LINE];
	char line[TOP_LINE];

	all[0] = '\0';
	for (int y = 0; y < t->canvas.height; y++)
		strcat(all, top_world_line(&t->canvas, y, line));
	for (char *p = all; (p = strchr(p, '\n')); p++)
		*p = ' ';
	return strstr(all, text) != NULL;
}

/* Why something wasn't done is to be read to its end. */
static void test_long_words(void **state)
{
	struct top t;

	(void)state;
	begin(&t, 80, 24);
	top_say(&t, STYLE_WARN, "%d (%s): failed: %s", 10, "plain", REASON);
	draw(&t);
	assert_true(says(&t, "10 (plain): failed: " REASON));
	assert_true(shows(&t, "plain") && shows(&t, "COMMAND"));
	top_world_end(&t);
	/* Where the list has no room for it, what is missing is seen to be. */
	begin(&t, 80, 7);
	top_say(&t, STYLE_WARN, "%d (%s): failed: %s", 10, "plain", REASON);
	draw(&t);
	assert_true(shows(&t, "10 (plain): failed: tracing it needs root") && shows(&t, ">\n"));
	assert_true(shows(&t, "COMMAND"));
	top_world_end(&t);
	begin(&t, 80, 24);
	t.page = TOP_PAGE_DETAIL;
	t.detail.pid = 10;
	t.detail.start_time = 100;
	t.model.v[0]->given = (struct top_given){ .state = TOP_TRIM_DONE, .outcome = WORKER_REFUSED, .reason = REASON };
	draw(&t);
	assert_true(says(&t, "Trim refused: " REASON));
	top_world_end(&t);
}

/* What can't be isn't offered: who has exited has nothing to give back, and without the module nobody is idle. */
static void test_offers(void **state)
{
	struct explanation *e = calloc(1, sizeof(*e));
	struct top t;

	(void)state;
	begin(&t, 80, 24);
	assert_non_null(e);
	e->proc.pid = 10;
	e->answer.head.outcome = WORKER_NOTHING;
	e->answer.head.nremedies = 1;
	e->answer.head.remedies[0] = (struct explain_remedy){ .remedy = WORKER_REMEDY_TRIM, .possible = true };
	t.page = TOP_PAGE_DETAIL;
	t.detail = (struct top_detail){ .pid = 10, .start_time = 100, .e = e };
	draw(&t);
	assert_true(shows(&t, "t trim") && shows(&t, "Remedies  key t: give it back"));
	t.detail.start_time++;
	draw(&t);
	assert_true(shows(&t, "It has exited") && shows(&t, "Remedies\n") && shows(&t, "? help"));
	assert_false(shows(&t, "t trim") || shows(&t, "key t"));
	top_key(&t, TOP_KEY_ESCAPE);
	draw(&t);
	assert_true(shows(&t, "t trim"));

	top_key(&t, 'M');
	top_key(&t, 'I');
	draw(&t);
	assert_int_equal(t.view.sort, TOP_SORT_RSS);
	assert_true(shows(&t, "only the kernel module knows what is idle"));
	for (size_t i = 1; i < TOP_SORTS; i++) {
		top_key(&t, 's');
		assert_int_not_equal(t.view.sort, TOP_SORT_IDLE);
	}
	assert_int_equal(t.view.sort, TOP_SORT_RSS);
	t.model.v[1]->p.idle = MIB;
	top_key(&t, 'I');
	assert_int_equal(t.view.sort, TOP_SORT_IDLE);
	top_world_end(&t);
}

static void test_click(void **state)
{
	struct top t;

	(void)state;
	begin(&t, 80, 24);
	draw(&t);
	top_click(&t, TOP_HEADER - 1, 12);
	assert_int_equal(t.view.sort, TOP_SORT_RSS);
	top_click(&t, TOP_HEADER + 1, 3);
	assert_int_equal(t.view.cursor, 1);
	assert_int_equal(t.page, TOP_PAGE_LIST);
	top_click(&t, TOP_HEADER + 1, 3);
	assert_int_equal(t.page, TOP_PAGE_DETAIL);
	top_click(&t, 1000, -5);
	top_key(&t, TOP_KEY_ESCAPE);
	top_click(&t, TOP_HEADER + 10, 3);
	top_click(&t, 1000, 1000);
	assert_int_equal(t.page, TOP_PAGE_LIST);
	top_world_end(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_low),
		cmocka_unit_test(test_list_at_80x24),
		cmocka_unit_test(test_ascii),
		cmocka_unit_test(test_key_table),
		cmocka_unit_test(test_every_key_on_every_page),
		cmocka_unit_test(test_filter_prompt),
		cmocka_unit_test(test_trim_asks),
		cmocka_unit_test(test_result_in_place),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_click),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
