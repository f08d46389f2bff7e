// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/text.h"

#define TRIES 16

static int outfile_check(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return S_ISREG(st.st_mode) ? 0 : -EEXIST;
}

static int outfile_create(struct outfile *o)
{
	for (unsigned int i = 0; i < TRIES; i++) {
		uint64_t number;
		int fd;

		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -EIO;
		snprintf(o->temporary, sizeof(o->temporary), ".reclaim-%016llx", (unsigned long long)number);
		fd = openat(o->dir, o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0) {
			const int error = -errno;

			o->temporary[0] = '\0';
			if (error == -EEXIST)
				continue;
			return error;
		}
		o->f = fdopen(fd, "w");
		if (o->f)
			return 0;
		closep(&fd);
		return -ENOMEM;
	}
	return -EEXIST;
}

/* The folder that @path is in, and its name there. NULL: no memory. */
static char *outfile_split(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	*ret_name = slash ? slash + 1 : path;
	return slash ? strndup(path, MAX((size_t)(slash - path), (size_t)1)) : strdup(".");
}

bool outfile_is_stdout(const char *path)
{
	return !strcmp(path, "-");
}

/* Would the one take the place of the other, however both are spelled? */
static bool outfile_same(const char *a, const char *b)
{
	const char *name_a, *name_b;
	_cleanup_free_ char *folder_a = outfile_split(a, &name_a), *folder_b = outfile_split(b, &name_b);
	struct stat st_a, st_b;

	if (!strcmp(a, b) || outfile_is_stdout(a) || outfile_is_stdout(b))
		return !strcmp(a, b);
	/* What isn't there can't be written to either: that is said when it is opened. */
	return folder_a && folder_b && !strcmp(name_a, name_b) && stat(folder_a, &st_a) == 0 &&
	       stat(folder_b, &st_b) == 0 && st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

const char *outfile_conflict(const char *html, const char *svg, bool json)
{
	if (html && svg && outfile_same(html, svg))
		return "--html and --svg are two files";
	if (json && ((html && outfile_is_stdout(html)) || (svg && outfile_is_stdout(svg))))
		return "standard output is for the document of --json; name a file";
	return NULL;
}

/* A stream of its own, which may be closed. */
static int outfile_open_stdout(struct outfile *ret)
{
	_cleanup_close_ int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	FILE *f;

	if (fd < 0)
		return -errno;
	f = fdopen(fd, "w");
	/* Closed by who started us, it is there, but not for writing. */
	if (!f)
		return errno == EINVAL ? -EBADF : -errno;
	(void)TAKE_FD(fd);
	*ret = (struct outfile)OUTFILE_NONE;
	ret->f = f;
	return 0;
}

int outfile_open(const char *path, struct outfile *ret)
{
	_cleanup_(outfile_done) struct outfile o = OUTFILE_NONE;
	const char *base;
	_cleanup_free_ char *folder = outfile_split(path, &base);
	int r;

	if (outfile_is_stdout(path))
		return outfile_open_stdout(ret);
	o.name = strdup(base);
	if (!folder || !o.name)
		return -ENOMEM;
	if (!*base || !strcmp(base, ".") || !strcmp(base, ".."))
		return -EISDIR;
	o.dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o.dir < 0)
		return -errno;
	r = outfile_check(o.dir, o.name);
	if (r == 0)
		r = outfile_create(&o);
	if (r < 0)
		return r;
	*ret = o;
	o = (struct outfile)OUTFILE_NONE;
	return 0;
}

int outfile_commit(struct outfile *o)
{
	int r;

	errno = 0;
	if (fflush(o->f) || ferror(o->f))
		return errno > 0 ? -errno : -EIO;
	if (!o->name)
		return 0;
	if (fsync(fileno(o->f)) < 0 && errno != EINVAL)
		return -errno;
	/* Once more: rename() replaces whatever is there by now, but no link is followed. */
	r = outfile_check(o->dir, o->name);
	if (r < 0)
		return r;
	if (renameat(o->dir, o->temporary, o->dir, o->name) < 0)
		return -errno;
	o->temporary[0] = '\0';
	return 0;
}

void outfile_done(struct outfile *o)
{
	if (o->f)
		(void)fclose(o->f);
	if (o->temporary[0])
		(void)unlinkat(o->dir, o->temporary, 0);
	closep(&o->dir);
	free(o->name);
	*o = (struct outfile)OUTFILE_NONE;
}

void outfile_explain(const char *path, int error, char *why, size_t size)
{
	char shown[512];

	text_format(why, size, "%s: %s",
		    outfile_is_stdout(path) ? "standard output" : escape_text(path, shown, sizeof(shown)),
		    error == -EEXIST ? "something is there that isn't a regular file, and is left alone: "
				       "name another file" :
		    error == -EIO    ? "not all of it could be written" :
				       strerror(-error));
}
