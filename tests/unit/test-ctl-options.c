// SPDX-License-Identifier: GPL-2.0-or-later
/* Options, suggestions, process ids and columns as users type them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/options.h"
#include "ctl/pids.h"
#include "ctl/ps-columns.h"
#include "ctl/suggest.h"

struct fields {
	bool flag, other;
	const char *text;
	struct opt_number size, time;
	int choice;
};

static const char *const choices[] = { "auto", "always", "never", NULL };

#define AT(f) offsetof(struct fields, f)

static const struct option_spec global[] = {
	{ "flag", 'f', NULL, "", option_flag, AT(flag), NULL, NULL },
	{ "color", 0, "WHEN", "", option_choice, AT(choice), NULL, choices },
};
static const struct option_spec local[] = {
	{ "other", 0, NULL, "", option_flag, AT(other), NULL, NULL },
	{ "text", 't', "TEXT", "", option_text, AT(text), "text", NULL },
	{ "size", 0, "SIZE", "", option_size, AT(size), "a size such as 64M", NULL },
	{ "time", 0, "TIME", "", option_time, AT(time), "a time such as 2ms", NULL },
};

#define WORDS_MAX 16

struct parsed {
	struct fields f;
	const char *args[WORDS_MAX];
	size_t nargs, nplain;
	char why[256];
};

/* Parses a line of words that are separated by single blanks; "." stands for an empty word. */
static int parse(const char *line, struct parsed *p)
{
	static char copy[512];
	char *words[WORDS_MAX], *save = NULL;
	struct option_args args = { .v = p->args };
	size_t n = 0;
	int r;

	memset(p, 0, sizeof(*p));
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(n < WORDS_MAX);
		words[n++] = strcmp(w, ".") ? w : w + 1;
	}

	const struct option_group groups[] = {
		{ global, ARRAY_SIZE(global), &p->f },
		{ local, ARRAY_SIZE(local), &p->f },
	};

	r = options_parse(groups, ARRAY_SIZE(groups), words, n, &args, p->why, sizeof(p->why));
	p->nargs = args.n;
	p->nplain = args.nplain;
	return r;
}

static void test_forms(void **state)
{
	struct parsed p;

	(void)state;
	assert_int_equal(parse("a --flag b --text x --size=1.5G --time=2ms c", &p), 0);
	assert_true(p.f.flag);
	assert_false(p.f.other);
	assert_string_equal(p.f.text, "x");
	assert_true(p.f.size.given && p.f.size.value == 3ull << 29);
	assert_true(p.f.time.given && p.f.time.value == 2000);
	assert_int_equal(p.nargs, 3);
	assert_int_equal(p.nplain, 3);
	assert_string_equal(p.args[0], "a");
	assert_string_equal(p.args[1], "b");
	assert_string_equal(p.args[2], "c");

	assert_int_equal(parse("-f -tabc --color=never", &p), 0);
	assert_true(p.f.flag);
	assert_string_equal(p.f.text, "abc");
	assert_int_equal(p.f.choice, 3);
	assert_int_equal(parse("-t --flag", &p), 0);
	assert_string_equal(p.f.text, "--flag");
	assert_false(p.f.flag);

	assert_int_equal(parse("-- --flag -f -- -", &p), 0);
	assert_false(p.f.flag);
	assert_int_equal(p.nargs, 4);
	assert_int_equal(p.nplain, 0);
	assert_int_equal(parse("a --text -- b -- c --", &p), 0);
	assert_string_equal(p.f.text, "--");
	assert_int_equal(p.nargs, 4);
	assert_int_equal(p.nplain, 2);
	assert_int_equal(parse("- .", &p), 0);
	assert_int_equal(p.nargs, 2);
	assert_int_equal(parse("", &p), 0);
	assert_int_equal(p.nargs, 0);
}

static void test_errors(void **state)
{
	static const struct {
		const char *line, *why;
	} rows[] = {
		{ "--flgx", "unknown option" },
		{ "--flagg", "did you mean '--flag'?" },
		{ "--tex=1", "did you mean '--text'?" },
		{ "-flag", "takes no value" },
		{ "-size", "did you mean '--size'?" },
		{ "--fla", "did you mean '--flag'?" },
		{ "-z", "unknown option '-z'" },
		{ "--zzzzzz", "unknown option '--zzzzzz'" },
		{ "--=x", "unknown option '--=x'" },
		{ "--flag=1", "takes no value" },
		{ "--text", "needs a value: --text=TEXT" },
		{ "-t", "needs a value" },
		{ "--text=", "expected text" },
		{ "--size=12Q", "not understood; expected a size such as 64M" },
		{ "--size=-1", "expected a size" },
		{ "--size=99999999999999999999G", "out of range" },
		{ "--time=fast", "expected a time such as 2ms" },
		{ "--color=pink", "expected one of auto, always, never" },
		{ "--color=", "expected one of" },
		{ "--a\033[31mb", "\\x1b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct parsed p;

		if (parse(rows[i].line, &p) != -EINVAL || !strstr(p.why, rows[i].why) || strchr(p.why, '\033'))
			fail_msg("'%s': '%s'", rows[i].line, p.why);
	}
}

static void test_long_words(void **state)
{
	char word[5000], *words[] = { word };
	const char *only[1];
	struct option_args args = { .v = only };
	char why[256];
	struct fields f;
	const struct option_group group = { local, ARRAY_SIZE(local), &f };

	(void)state;
	memset(word, 'x', sizeof(word));
	memcpy(word, "--", 2);
	word[sizeof(word) - 1] = 0;
	assert_int_equal(options_parse(&group, 1, words, 1, &args, why, sizeof(why)), -EINVAL);
	memcpy(word, "--size=", 7);
	assert_int_equal(options_parse(&group, 1, words, 1, &args, why, sizeof(why)), -EINVAL);
	assert_true(strlen(why) < sizeof(why));
}

static void test_suggest(void **state)
{
	static const char *const names[] = { "ps", "trim", "doctor", "help" };
	static const struct {
		const char *word, *near;
	} rows[] = {
		{ "pss", "ps" },
		{ "sp", "ps" },
		{ "tirm", "trim" },
		{ "trin", "trim" },
		{ "doc", "doctor" },
		{ "docotr", "doctor" },
		{ "dcotro", "doctor" },
		{ "hlep", "help" },
		{ "x", NULL },
		{ "", NULL },
		{ "explain", NULL },
		{ "regions", NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = suggest(rows[i].word, names, ARRAY_SIZE(names));

		if ((got ? strcmp(got, rows[i].near ? rows[i].near : "") : !!rows[i].near))
			fail_msg("'%s': %s", rows[i].word, got ? got : "none");
	}
}

static void test_pids(void **state)
{
	const char *const good[] = { "7", "3", "7", "2147483647", "3" }, *const bad[] = { "1", "0x10" };
	static const char *const wrong[] = { "", "0", "-1", "+1", " 1", "1 ", "1a", "2147483648", "\033[2J" };
	_cleanup_free_ pid_t *v = NULL;
	char why[128];
	size_t n;

	(void)state;
	assert_int_equal(pids_parse(good, ARRAY_SIZE(good), &v, &n, why, sizeof(why)), 0);
	assert_int_equal(n, 3);
	assert_int_equal(v[0], 7);
	assert_int_equal(v[1], 3);
	assert_int_equal(v[2], 2147483647);
	assert_int_equal(pids_parse(bad, 2, &v, &n, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "'0x10' is not a process id: 'reclaimctl ps' shows them");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (pids_parse(&wrong[i], 1, &v, &n, why, sizeof(why)) != -EINVAL || strchr(why, '\033'))
			fail_msg("'%s'", wrong[i]);
}

static void test_columns(void **state)
{
	static const char *const wrong[] = { "", ",", "pid,", ",pid", "pid,,rss", "pid,PID", "mmap,mmap_anon", "nope" };
	struct ps_selection s;
	char why[160];

	(void)state;
	assert_int_equal(ps_columns_parse("PID,rss,Unit,mmap_anon", &s, why, sizeof(why)), 0);
	assert_int_equal(s.n, 4);
	assert_string_equal(s.v[0]->c.key, "pid");
	assert_string_equal(s.v[2]->c.name, "UNIT");
	assert_string_equal(s.v[3]->c.name, "MMAP");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (ps_columns_parse(wrong[i], &s, why, sizeof(why)) != -EINVAL)
			fail_msg("'%s'", wrong[i]);
	assert_int_equal(s.n, 4);
	assert_int_equal(ps_columns_parse("ANOM", &s, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "unknown column 'ANOM': did you mean 'anon'?");
}

/* Headings and keys name one column each: -o and --sort take either. */
static void test_columns_unique(void **state)
{
	(void)state;
	for (size_t i = 0; i < ps_ncolumns; i++) {
		assert_ptr_equal(ps_column_find(ps_columns[i].c.name), &ps_columns[i]);
		assert_ptr_equal(ps_column_find(ps_columns[i].c.key), &ps_columns[i]);
	}
}

static int order(const char *sort, const struct ps_row *a, const struct ps_row *b)
{
	const struct ps_column *c;
	bool descending;
	char why[160];
	int ab, ba;

	assert_int_equal(ps_sort_parse(sort, &c, &descending, why, sizeof(why)), 0);
	ab = ps_compare(a, b, c, descending);
	ba = ps_compare(b, a, c, descending);
	assert_true((ab < 0) == (ba > 0));
	return ab < 0 ? -1 : ab > 0;
}

static void test_sort(void **state)
{
	struct ps_row a = { .proc = { .pid = 1, .rss = 10, .heap = PROC_UNKNOWN, .comm = "zsh", .uid = 4000000000u } };
	struct ps_row b = { .proc = { .pid = 2, .rss = UINT64_MAX - 1, .heap = 0, .comm = "awk" }, .user = "root" };
	const struct ps_column *c;
	bool descending;
	char why[160];

	(void)state;
	assert_int_equal(order("rss", &a, &b), 1);
	assert_int_equal(order("-rss", &a, &b), 1);
	assert_int_equal(order("+rss", &a, &b), -1);
	assert_int_equal(order("pid", &a, &b), -1);
	assert_int_equal(order("-pid", &a, &b), 1);
	assert_int_equal(order("comm", &a, &b), 1);
	assert_int_equal(order("uid", &a, &b), 1);
	/* Unknown comes last in both directions; ties go by pid. */
	assert_int_equal(order("heap", &a, &b), 1);
	assert_int_equal(order("+heap", &a, &b), 1);
	assert_int_equal(order("-user", &a, &b), 1);
	assert_int_equal(order("unit", &a, &b), -1);
	assert_int_equal(ps_sort_parse("", &c, &descending, why, sizeof(why)), -EINVAL);
	assert_int_equal(ps_sort_parse("-", &c, &descending, why, sizeof(why)), -EINVAL);
	assert_int_equal(ps_sort_parse("--rss", &c, &descending, why, sizeof(why)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	       cmocka_unit_test(test_errors), cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_suggest),	       cmocka_unit_test(test_pids),   cmocka_unit_test(test_columns),
		cmocka_unit_test(test_columns_unique), cmocka_unit_test(test_sort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
