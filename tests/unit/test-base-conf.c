// SPDX-License-Identifier: GPL-2.0-or-later
/* Which files are read, in which order, and what their lines become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/conf.h"
#include "conf-tree.h"

/* What was read, as "ORIGIN [SECTION] KEY=VALUE", one per line; "!" before what was wrong. */
static int on_set(void *arg, const char *section, const char *key, const char *value, const char *origin)
{
	struct conf_tree *t = arg;

	if (key)
		conf_tree_log(t, "%s [%s] %s=%s\n", conf_tree_short(t, origin), section, key, value);
	else
		conf_tree_log(t, "%s [%s]\n", conf_tree_short(t, origin), section);
	return 0;
}

static int on_bad(void *arg, const char *origin, const char *what)
{
	struct conf_tree *t = arg;

	conf_tree_log(t, "! %s %s\n", conf_tree_short(t, origin), what);
	return 0;
}

static void reads(struct conf_tree *t, const char *want)
{
	const struct conf_handler h = { on_set, on_bad, t };

	*t->log = '\0';
	assert_int_equal(conf_read(t->dirs, "x.conf", &h), 0);
	assert_string_equal(t->log, want);
}

static void parses(const char *text, const char *want)
{
	struct conf_tree t = { .log = "" };
	const struct conf_handler h = { on_set, on_bad, &t };
	_cleanup_free_ char *exact = malloc(strlen(text) + 1);

	/* Exactly as long as it is, so that a sanitizer sees what is read beyond it. */
	memcpy(exact, text, strlen(text));
	assert_int_equal(conf_parse("f", exact, strlen(text), &h), 0);
	assert_string_equal(t.log, want);
}

static void test_lines(void **state)
{
	(void)state;
	parses("", "");
	parses("\n\n# c\n;c\n  # c\n", "");
	parses("[A]\nk=v\n", "f:1 [A]\nf:2 [A] k=v\n");
	parses("[A]\nk=v", "f:1 [A]\nf:2 [A] k=v\n");
	parses("\xef\xbb\xbf[A]\r\n k = v w \r\n", "f:1 [A]\nf:2 [A] k=v w\n");
	parses("[ A b ]\nk=", "f:1 [A b]\nf:2 [A b] k=\n");
	parses("[A]\nk=a=b\nk=#no;comment\n", "f:1 [A]\nf:2 [A] k=a=b\nf:3 [A] k=#no;comment\n");
	parses("[A]\n\tk\t=\tv\t\n", "f:1 [A]\nf:2 [A] k=v\n");
}

static void test_going_on(void **state)
{
	(void)state;
	parses("[A]\nk=a\\\nb\nl=1\n", "f:1 [A]\nf:2 [A] k=a b\nf:4 [A] l=1\n");
	parses("[A]\nk=a \\\n# c\n;c\\\n  b\n", "f:1 [A]\nf:2 [A] k=a    b\n");
	parses("[A]\nk=a\\\r\nb\n", "f:1 [A]\nf:2 [A] k=a b\n");
	/* At the end there is nothing to go on with. */
	parses("[A]\nk=a\\", "f:1 [A]\nf:2 [A] k=a\n");
	parses("[A]\nk=a\\\n", "f:1 [A]\nf:2 [A] k=a\n");
	parses("\\\n\\\n[A]\nk=v\n", "f:1 [A]\nf:4 [A] k=v\n");
	/* A comment doesn't go on. */
	parses("[A]\n# c\\\nk=v\n", "f:1 [A]\nf:3 [A] k=v\n");
}

static void test_wrong_lines(void **state)
{
	(void)state;
	parses("k=v\n", "! f:1 an assignment before any section's head, or below one that was wrong\n");
	parses("[A\nk=v\n", "! f:1 a section's head has to end with ']'\n"
			    "! f:2 an assignment before any section's head, or below one that was wrong\n");
	parses("[", "! f:1 a section's head has to end with ']'\n");
	parses("[A] x\n", "! f:1 a section's head has to end with ']'\n");
	parses("[A]\nk\n=v\n =\n", "f:1 [A]\n! f:2 neither a section's head nor Key=Value: '=' is missing\n"
				   "! f:3 there is no key before '='\n! f:4 there is no key before '='\n");
	parses("[A]\nk=\xff\n", "f:1 [A]\n! f:2 not valid UTF-8\n");
	parses("[A]\nk=\xc0\xaf\n", "f:1 [A]\n! f:2 not valid UTF-8\n");
	parses("[A]\nk=\xe4\xb8\xad\n", "f:1 [A]\nf:2 [A] k=\xe4\xb8\xad\n");
}

static void test_order(void **state)
{
	struct conf_tree t;

	(void)state;
	conf_tree_init(&t);
	reads(&t, "");
	conf_tree_put(&t, "usr/x.conf", "[A]\nk=usr\n");
	reads(&t, "usr/x.conf:1 [A]\nusr/x.conf:2 [A] k=usr\n");
	conf_tree_put(&t, "etc/x.conf.d/20-b.conf", "[A]\nk=20\n");
	conf_tree_put(&t, "usr/x.conf.d/30-c.conf", "[A]\nk=30\n");
	conf_tree_put(&t, "usr/x.conf.d/10-a.conf", "[A]\nk=10\n");
	reads(&t, "usr/x.conf:1 [A]\nusr/x.conf:2 [A] k=usr\n"
		  "usr/x.conf.d/10-a.conf:1 [A]\nusr/x.conf.d/10-a.conf:2 [A] k=10\n"
		  "etc/x.conf.d/20-b.conf:1 [A]\netc/x.conf.d/20-b.conf:2 [A] k=20\n"
		  "usr/x.conf.d/30-c.conf:1 [A]\nusr/x.conf.d/30-c.conf:2 [A] k=30\n");
	/* The main file and drop-ins of one name: the stronger folder's alone. */
	conf_tree_put(&t, "etc/x.conf", "[B]\n");
	conf_tree_put(&t, "etc/x.conf.d/10-a.conf", "[C]\n");
	conf_tree_link(&t, "etc/x.conf.d/30-c.conf", "/dev/null");
	reads(&t, "etc/x.conf:1 [B]\netc/x.conf.d/10-a.conf:1 [C]\n"
		  "etc/x.conf.d/20-b.conf:1 [A]\netc/x.conf.d/20-b.conf:2 [A] k=20\n");
	/* An empty one masks too. */
	conf_tree_put(&t, "etc/x.conf", "");
	conf_tree_put(&t, "etc/x.conf.d/10-a.conf", "");
	conf_tree_put(&t, "etc/x.conf.d/20-b.conf", "");
	reads(&t, "");
	conf_tree_done(&t);
}

static void test_names(void **state)
{
	struct conf_tree t;

	(void)state;
	conf_tree_init(&t);
	conf_tree_put(&t, "etc/x.conf.d/.hidden.conf", "[A]\n");
	conf_tree_put(&t, "etc/x.conf.d/.conf", "[A]\n");
	conf_tree_put(&t, "etc/x.conf.d/a.conf~", "[A]\n");
	conf_tree_put(&t, "etc/x.conf.d/a.conf.bak", "[A]\n");
	conf_tree_put(&t, "etc/x.conf.d/README", "[A]\n");
	conf_tree_put(&t, "etc/y.conf", "[A]\n");
	reads(&t, "");
	conf_tree_put(&t, "etc/x.conf.d/a.conf", "[A]\n");
	/* A link to a file elsewhere counts by its own name; one to nothing as if it weren't there. */
	conf_tree_link(&t, "etc/x.conf.d/b.conf", "../y.conf");
	conf_tree_put(&t, "usr/x.conf.d/c.conf", "[C]\n");
	conf_tree_link(&t, "etc/x.conf.d/c.conf", "/nowhere");
	reads(&t, "etc/x.conf.d/a.conf:1 [A]\netc/x.conf.d/b.conf:1 [A]\nusr/x.conf.d/c.conf:1 [C]\n");
	conf_tree_done(&t);
}

static void test_no_files(void **state)
{
	_cleanup_free_ char *big = malloc(CONF_FILE_MAX + 1), *fifo = NULL;
	struct conf_tree t;

	(void)state;
	conf_tree_init(&t);
	memset(big, '\n', CONF_FILE_MAX + 1);
	free(conf_tree_path(&t, "etc/x.conf/inside"));
	conf_tree_write(&t, "etc/x.conf.d/big.conf", big, CONF_FILE_MAX + 1);
	conf_tree_write(&t, "etc/x.conf.d/large.conf", big, CONF_FILE_MAX);
	conf_tree_write(&t, "etc/x.conf.d/nul.conf", "[A]\n\0k=v\n", 9);
	fifo = conf_tree_path(&t, "etc/x.conf.d/pipe.conf");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	conf_tree_link(&t, "etc/x.conf.d/self.conf", "self.conf");
	reads(&t, "! etc/x.conf not a regular file\n! etc/x.conf.d/big.conf too large: more than 1 MiB\n"
		  "! etc/x.conf.d/nul.conf:1 holds a NUL byte: no text file\n"
		  "! etc/x.conf.d/pipe.conf not a regular file\n"
		  "! etc/x.conf.d/self.conf Too many levels of symbolic links\n");
	conf_tree_done(&t);
}

static void test_too_many(void **state)
{
	struct conf_tree t;
	char name[64];

	(void)state;
	conf_tree_init(&t);
	for (unsigned int i = 0; i <= CONF_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "etc/x.conf.d/%03u.conf", i);
		conf_tree_put(&t, name, "");
		if (i == CONF_FILES_MAX - 1)
			reads(&t, "");
	}
	reads(&t, "! etc/x.conf.d/ too many files: more than 256 drop-ins\n");
	conf_tree_done(&t);
}

static int stop_at_k(void *arg, const char *section, const char *key, const char *value, const char *origin)
{
	(void)section;
	(void)value;
	(void)origin;
	*(unsigned int *)arg += 1;
	return key ? -ECANCELED : 0;
}

static int stop(void *arg, const char *origin, const char *what)
{
	(void)arg;
	(void)origin;
	(void)what;
	return -EBADMSG;
}

/* Who reads can end it. */
static void test_end(void **state)
{
	unsigned int n = 0;
	const struct conf_handler h = { stop_at_k, stop, &n };
	struct conf_tree t;

	(void)state;
	conf_tree_init(&t);
	conf_tree_put(&t, "etc/x.conf", "[A]\nk=1\nk=2\n");
	assert_int_equal(conf_read(t.dirs, "x.conf", &h), -ECANCELED);
	assert_int_equal(n, 2);
	conf_tree_put(&t, "etc/x.conf", "nonsense\n[A]\nk=1\n");
	assert_int_equal(conf_read(t.dirs, "x.conf", &h), -EBADMSG);
	assert_int_equal(n, 2);
	conf_tree_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	 cmocka_unit_test(test_going_on), cmocka_unit_test(test_wrong_lines),
		cmocka_unit_test(test_order),	 cmocka_unit_test(test_names),	  cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_too_many), cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
