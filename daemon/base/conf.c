// SPDX-License-Identifier: GPL-2.0-or-later
/* Which files make a configuration, and in which order. */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/conf.h"

struct conf_files {
	char *v[CONF_FILES_MAX]; /* names of drop-ins, sorted, each once */
	size_t n;
};

static void conf_files_done(struct conf_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i]);
}

static int complain(const struct conf_handler *h, const char *file, const char *what)
{
	return h->bad(h->arg, file, what);
}

static bool is_dropin(const char *name)
{
	static const char suffix[] = ".conf";
	size_t len = strlen(name);

	return *name != '.' && len >= sizeof(suffix) && !strcmp(name + len - (sizeof(suffix) - 1), suffix);
}

/* Keeps the order of the names; a name that is there already stays once. */
static int conf_files_add(struct conf_files *f, const char *name)
{
	size_t at = f->n;

	while (at && strcmp(f->v[at - 1], name) > 0)
		at--;
	if (at && !strcmp(f->v[at - 1], name))
		return 0;
	if (f->n == CONF_FILES_MAX)
		return -E2BIG;
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	memmove(f->v + at + 1, f->v + at, (f->n - at) * sizeof(*f->v));
	f->v[at] = copy;
	f->n++;
	return 0;
}

/* The names of the drop-ins of one folder. 0 or -errno of this program's own; the folder's go to bad(). */
static int conf_list(const char *dir, struct conf_files *f, const struct conf_handler *h)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *entry;
	int r;

	if (!d)
		return errno == ENOENT ? 0 : complain(h, dir, strerror(errno));
	for (;;) {
		errno = 0;
		entry = readdir(d);
		if (!entry)
			return errno ? complain(h, dir, strerror(errno)) : 0;
		if (!is_dropin(entry->d_name))
			continue;
		r = conf_files_add(f, entry->d_name);
		if (r == -E2BIG)
			return complain(h, dir, "too many files: more than 256 drop-ins");
		if (r < 0)
			return r;
	}
}

/* All of an open file, with one byte to spare. */
static int conf_slurp(int fd, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *text = malloc(CONF_FILE_MAX + 1);
	size_t len = 0;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	while (len <= CONF_FILE_MAX) {
		n = read(fd, text + len, CONF_FILE_MAX + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) {
			*ret = TAKE_PTR(text);
			*ret_len = len;
			return 0;
		}
		len += (size_t)n;
	}
	return -EFBIG;
}

static int conf_file(const char *path, int fd, const struct conf_handler *h)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = conf_slurp(fd, &text, &len);

	if (r == -ENOMEM)
		return r;
	if (r == -EFBIG)
		return complain(h, path, "too large: more than 1 MiB");
	return r < 0 ? complain(h, path, strerror(-r)) : conf_parse(path, text, len, h);
}

/* Of the files of that name the one in the strongest folder counts, also when it is empty or /dev/null. */
static int conf_strongest(const char *const *dirs, const char *sub, const char *name, const struct conf_handler *h)
{
	size_t n = 0;

	while (dirs[n])
		n++;
	while (n--) {
		_cleanup_free_ char *path = NULL;
		_cleanup_close_ int fd = -1;
		struct stat st;

		if (asprintf(&path, "%s/%s%s", dirs[n], sub, name) < 0)
			return -ENOMEM;
		/* Nobody is waited for at the other end of a FIFO. */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fstat(fd, &st) < 0)
			return complain(h, path, strerror(errno));
		if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
			return 0;
		if (!S_ISREG(st.st_mode))
			return complain(h, path, "not a regular file");
		return conf_file(path, fd, h);
	}
	return 0;
}

int conf_read(const char *const *dirs, const char *name, const struct conf_handler *h)
{
	_cleanup_(conf_files_done) struct conf_files dropins = { .n = 0 };
	_cleanup_free_ char *sub = NULL;
	int r;

	if (asprintf(&sub, "%s.d/", name) < 0)
		return -ENOMEM;
	r = conf_strongest(dirs, "", name, h);
	for (size_t i = 0; r == 0 && dirs[i]; i++) {
		_cleanup_free_ char *dir = NULL;

		if (asprintf(&dir, "%s/%s", dirs[i], sub) < 0)
			return -ENOMEM;
		r = conf_list(dir, &dropins, h);
	}
	for (size_t i = 0; r == 0 && i < dropins.n; i++)
		r = conf_strongest(dirs, sub, dropins.v[i], h);
	return r;
}
