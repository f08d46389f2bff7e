// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/parse.h"
#include "base/procfs.h"

#define TARGET_MAPS_MAX 262144 /* vm.max_map_count is 65530 by default */
#define TARGET_READS_MAX 40000000ull /* of its memory, in one operation */
#define TARGET_BYTES_MAX (64ull << 30) /* read of its memory, in one operation */
#define AUXV_MAX 4096

static int target_read_auxv(int piddir, struct target *t)
{
	union {
		char text[AUXV_MAX];
		Elf64_auxv_t v[AUXV_MAX / sizeof(Elf64_auxv_t)];
	} buf;
	ssize_t n = procfs_read(piddir, "auxv", buf.text, sizeof(buf.text));

	if (n < 0)
		return (int)n;
	for (size_t i = 0; i < (size_t)n / sizeof(buf.v[0]) && buf.v[i].a_type != AT_NULL; i++) {
		if (buf.v[i].a_type == AT_BASE)
			t->at_base = buf.v[i].a_un.a_val;
		else if (buf.v[i].a_type == AT_ENTRY)
			t->at_entry = buf.v[i].a_un.a_val;
	}
	return 0;
}

static int target_add_thread(struct target *t, size_t *room, pid_t tid)
{
	void *head = NULL;
	size_t len;

	if (t->n_threads == *room) {
		size_t n = *room ? *room * 2 : 16;
		struct target_thread *v = reallocarray(t->threads, n, sizeof(*v));

		if (!v)
			return -ENOMEM;
		t->threads = v;
		*room = n;
	}
	if (syscall(SYS_get_robust_list, tid, &head, &len) < 0)
		head = NULL;
	t->threads[t->n_threads++] = (struct target_thread){ .tid = tid, .robust = (uint64_t)(uintptr_t)head };
	return 0;
}

/* Nothing depends on all of them being there: they come and go. */
static int target_list_threads(int piddir, struct target *t)
{
	int fd = openat(piddir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;
	size_t room = 0;

	if (!dir) {
		int r = errno == ENOENT ? -ESRCH : -errno;

		closep(&fd);
		return r;
	}
	while (t->n_threads < TARGET_THREADS_MAX && (errno = 0, de = readdir(dir)) != NULL) {
		pid_t tid;
		int r = 0;

		if (parse_pid(de->d_name, &tid) == 0)
			r = target_add_thread(t, &room, tid);
		if (r < 0)
			return r;
	}
	return t->n_threads < TARGET_THREADS_MAX ? -errno : 0;
}

/* A program is a regular file that somebody has executed; what it is now is looked at before it is opened. */
static int target_open_exe(int piddir)
{
	_cleanup_close_ int path = openat(piddir, "exe", O_PATH | O_CLOEXEC);
	struct stat st;

	if (path < 0 || fstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	return MAX(procfs_reopen(path, O_RDONLY | O_NONBLOCK | O_NOCTTY), -1);
}

/*
 * A reader that waits for a file system in user space which never answers can't
 * be killed (fs/fuse/dev.c, request_wait_answer()). So that no more and more of
 * them hang in one target, each holds a lock for as long as it lives, of which
 * there are a few: those of files that only who may trace the target can open.
 */
static int target_take_turn(int piddir, int *ret)
{
	static const char *const turns[] = { "mem", "pagemap", "auxv", "environ" };
	bool taken = false;

	for (size_t i = 0; i < ARRAY_SIZE(turns); i++) {
		_cleanup_close_ int fd = openat(piddir, turns[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		/* Where such files can't be locked, there is nothing to wait for. */
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
			*ret = TAKE_FD(fd);
			return 0;
		}
		taken = true;
	}
	return taken ? -EBUSY : 0;
}

int target_open(int piddir, struct target *ret)
{
	_cleanup_(target_close) struct target t = TARGET_CLOSED;
	int r;

	/* Permission is checked here, at open, for the memory of this moment: after an exec reads return nothing. */
	t.fds.mem_fd = openat(piddir, "mem", O_RDONLY | O_CLOEXEC);
	if (t.fds.mem_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	/* Before anything that may hang. */
	r = target_take_turn(piddir, &t.turn_fd);
	if (r < 0)
		return r;
	/* Without it no heap can be read, but a stack can. */
	t.fds.pagemap_fd = openat(piddir, "pagemap", O_RDONLY | O_CLOEXEC);
	t.smaps_fd = openat(piddir, "smaps", O_RDONLY | O_CLOEXEC);
	t.exe_fd = target_open_exe(piddir);
	r = maps_read(piddir, TARGET_MAPS_MAX, &t.maps);
	if (r == 0)
		r = target_read_auxv(piddir, &t);
	if (r == 0)
		r = modules_open(piddir, &t.maps, &t.mods);
	if (r == 0)
		r = target_list_threads(piddir, &t);
	if (r < 0)
		return r;
	*ret = t;
	t = (struct target)TARGET_CLOSED;
	remote_from_fds(&ret->fds, TARGET_READS_MAX, TARGET_BYTES_MAX, &ret->mem);
	return 0;
}

void target_close(struct target *t)
{
	modules_close(&t->mods);
	maps_done(&t->maps);
	closep(&t->fds.mem_fd);
	closep(&t->fds.pagemap_fd);
	closep(&t->smaps_fd);
	closep(&t->exe_fd);
	closep(&t->turn_fd);
	free(t->threads);
	t->threads = NULL;
	t->n_threads = 0;
}

struct module *target_program(const struct target *t)
{
	return modules_find(&t->mods, t->at_entry);
}

struct module *target_linker(const struct target *t)
{
	for (size_t i = 0; i < t->mods.n; i++) {
		struct module *mod = &t->mods.v[i];

		if (t->at_base && module_load(mod) == 0 && mod->bias == t->at_base)
			return mod;
	}
	return NULL;
}
