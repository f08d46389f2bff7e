/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/traits.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstatus.h"
#include "base/text.h"

/* Bounds what a process with very many threads or files can cost us. A virtual machine's are among its first. */
#define ENTRIES_MAX 4096
#define MARK "user.reclaim_avoid"

static DIR *open_dir(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d)
		(void)TAKE_FD(fd);
	return d;
}

static bool is_realtime(const char *name, int dir)
{
	pid_t tid;
	int policy;

	(void)dir;
	if (parse_pid(name, &tid) < 0)
		return false;
	policy = sched_getscheduler(tid);
	if (policy < 0)
		return false;
	policy &= ~SCHED_RESET_ON_FORK;
	return policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
}

static bool is_kvm(const char *name, int dir)
{
	char link[64];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);

	if (n < 0)
		return false;
	link[n] = 0;
	return !strcmp(link, "/dev/kvm") || !strncmp(link, "anon_inode:kvm-", strlen("anon_inode:kvm-"));
}

/*
 * What has gone doesn't matter; nor, for who isn't root, what may not be read:
 * we can't attach to it either. Root lacks a capability then, which its workers
 * may have. Of that and anything else (no more files, no memory) the worst is
 * thought.
 */
static bool is_unsure(int error)
{
	if (error == EACCES || error == EPERM)
		return !geteuid();
	return error != ENOENT && error != ENOTDIR && error != ESRCH;
}

/* Is @is true of one of the entries of @name below @piddir, or can't that be told? */
static bool any_entry(int piddir, const char *name, bool (*is)(const char *entry, int dir))
{
	_cleanup_closedir_ DIR *d = open_dir(piddir, name);
	const struct dirent *e;

	if (!d)
		return is_unsure(errno);
	for (size_t i = 0; i < ENTRIES_MAX && (e = readdir(d)) != NULL; i++)
		if (e->d_name[0] != '.' && is(e->d_name, dirfd(d)))
			return true;
	return false;
}

static bool is_marked(int cgroups, const char *name)
{
	_cleanup_close_ int fd = openat(cgroups, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char value[16];
	ssize_t n;

	if (fd < 0)
		return is_unsure(errno);
	n = fgetxattr(fd, MARK, value, sizeof(value));
	/* Longer than any 0. */
	if (n < 0)
		return errno == ERANGE;
	return !(n == 1 && value[0] == '0');
}

bool traits_avoided(int cgroups, const char *name)
{
	char path[4096];
	char *slash;

	if (cgroups < 0 || strlen(name) >= sizeof(path))
		return false;
	while (*name == '/')
		name++;
	text_format(path, sizeof(path), "%s", name);
	/* It may name what is outside of our own namespace ("/../..."): that isn't there for us. */
	for (;;) {
		if (*path && is_marked(cgroups, path))
			return true;
		slash = strrchr(path, '/');
		if (!slash)
			return false;
		*slash = 0;
	}
}

void traits_read(int piddir, int cgroups, const char *cgroup, struct traits *ret)
{
	*ret = (struct traits){
		.realtime = any_entry(piddir, "task", is_realtime),
		.vmm = any_entry(piddir, "fd", is_kvm),
		.avoid = traits_avoided(cgroups, cgroup),
	};
}

static int tracers_add(struct tracers *t, pid_t tracer)
{
	pid_t *v;

	/* Who traces many has them one behind the other. */
	if (t->n && t->v[t->n - 1] == tracer)
		return 0;
	v = reallocarray(t->v, t->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	t->v = v;
	t->v[t->n++] = tracer;
	return 0;
}

int tracers_read(int proc, struct tracers *ret)
{
	_cleanup_(tracers_done) struct tracers t = { 0 };
	_cleanup_closedir_ DIR *d = open_dir(proc, ".");
	const struct dirent *e;

	if (!d)
		return -errno;
	while ((errno = 0, e = readdir(d)) != NULL) {
		_cleanup_close_ int dir = -1;
		struct pstatus status;
		pid_t pid;
		int r = 0;

		if (parse_pid(e->d_name, &pid) < 0)
			continue;
		dir = procfs_open_pid(proc, pid);
		/* One that has gone traces nobody, and one that we may not read nobody of ours. */
		if (dir >= 0 && pstatus_read(dir, &status) == 0 && status.tracer > 0)
			r = tracers_add(&t, status.tracer);
		if (r < 0)
			return r;
	}
	if (errno)
		return -errno;
	*ret = t;
	t = (struct tracers){ 0 };
	return 0;
}

void tracers_done(struct tracers *t)
{
	free(t->v);
	*t = (struct tracers){ 0 };
}

bool tracers_have(const struct tracers *t, int piddir, pid_t pid)
{
	for (size_t i = 0; i < t->n; i++) {
		char name[sizeof("task/-2147483648")];

		/* The kernel names the thread that traces, not its process. */
		text_format(name, sizeof(name), "task/%d", t->v[i]);
		if (t->v[i] == pid || faccessat(piddir, name, F_OK, 0) == 0)
			return true;
	}
	return false;
}
