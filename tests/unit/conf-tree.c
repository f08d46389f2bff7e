// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/text.h"
#include "conf-tree.h"

void conf_tree_init(struct conf_tree *t)
{
	memset(t, 0, sizeof(*t));
	text_format(t->top, sizeof(t->top), "/tmp/reclaim-conf-XXXXXX");
	assert_non_null(mkdtemp(t->top));
	text_format(t->paths[0], sizeof(t->paths[0]), "%s/usr", t->top);
	text_format(t->paths[1], sizeof(t->paths[1]), "%s/etc", t->top);
	t->dirs[0] = t->paths[0];
	t->dirs[1] = t->paths[1];
}

static int drop(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void conf_tree_done(struct conf_tree *t)
{
	assert_int_equal(nftw(t->top, drop, 8, FTW_DEPTH | FTW_PHYS), 0);
}

char *conf_tree_path(const struct conf_tree *t, const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", t->top, name) > 0);
	for (char *p = path + strlen(t->top) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
		*p = '/';
	}
	return path;
}

void conf_tree_write(struct conf_tree *t, const char *name, const char *text, size_t len)
{
	_cleanup_free_ char *path = conf_tree_path(t, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
}

void conf_tree_put(struct conf_tree *t, const char *name, const char *text)
{
	conf_tree_write(t, name, text, strlen(text));
}

void conf_tree_link(struct conf_tree *t, const char *name, const char *target)
{
	_cleanup_free_ char *path = conf_tree_path(t, name);

	assert_int_equal(symlink(target, path), 0);
}

const char *conf_tree_short(const struct conf_tree *t, const char *origin)
{
	size_t len = strlen(t->top);

	return !len || strncmp(origin, t->top, len) ? origin : origin + len + 1;
}

void conf_tree_log(struct conf_tree *t, const char *format, ...)
{
	size_t used = strlen(t->log);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(t->log + used, sizeof(t->log) - used, format, ap);
	va_end(ap);
}

void conf_tree_report(void *arg, bool error, const char *origin, const char *what)
{
	struct conf_tree *t = arg;

	*(error ? &t->errors : &t->warnings) += 1;
	conf_tree_log(t, "%s%s%s\n", conf_tree_short(t, origin), *origin ? ": " : "", what);
}
