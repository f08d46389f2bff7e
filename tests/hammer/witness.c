// SPDX-License-Identifier: GPL-2.0-or-later
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstatus.h"
#include "base/text.h"

#define PATIENCE_NS (60 * 1000000000ull) /* only a failure takes so long */
#define PAUSE_NS 300000
#define PAGE_SIZE 4096
#define PASSING "storm" /* the name of threads that come and go */

/* Words of the page, as tests/judge.py knows them too. */
enum { PAGE_STOP = 3, PAGE_ERRORS = 4, PAGE_ROUNDS = 5, PAGE_EINTR = 10, PAGE_PROGRESS = 12, PAGE_NOTE = 32 };

static uint64_t witness_word(const struct witness *w, unsigned int n)
{
	return w->page ? atomic_load(&w->page[n]) : 0;
}

static void witness_pause(void)
{
	const struct timespec ts = { .tv_nsec = PAUSE_NS };

	(void)nanosleep(&ts, NULL);
}

static int witness_thread(const struct witness *w, pid_t tid, struct pstatus *ret)
{
	_cleanup_close_ int dir = -1;
	char path[sizeof("task/-2147483648")];

	text_format(path, sizeof(path), "task/%d", tid);
	dir = openat(w->piddir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -ESRCH : pstatus_read(dir, ret);
}

static int witness_list(struct witness *w)
{
	_cleanup_close_ int fd = openat(w->piddir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de;

	if (!dir)
		return -errno;
	(void)TAKE_FD(fd);
	while (w->n < WITNESS_THREADS_MAX && (de = readdir(dir))) {
		struct pstatus st;
		pid_t tid;

		if (parse_pid(de->d_name, &tid) < 0 || witness_thread(w, tid, &st) < 0 || !strcmp(st.name, PASSING))
			continue;
		w->threads[w->n++] = (struct witness_thread){ .tid = tid, .mask = st.sig_blk };
	}
	return w->n ? 0 : -ESRCH;
}

static int witness_map(const char *path, const _Atomic uint64_t **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *page;

	if (fd < 0)
		return -errno;
	page = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	*ret = page;
	return 0;
}

int witness_open(pid_t pid, const char *page, struct witness *ret)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	int r = root < 0 ? root : 0;

	*ret = (struct witness){ .pid = pid, .piddir = -1 };
	if (r == 0)
		r = ret->piddir = procfs_open_pid(root, pid);
	if (r >= 0)
		r = witness_list(ret);
	if (r == 0 && page)
		r = witness_map(page, &ret->page);
	if (r < 0)
		witness_close(ret);
	return r;
}

void witness_close(struct witness *w)
{
	if (w->page)
		(void)munmap((void *)(uintptr_t)w->page, PAGE_SIZE);
	w->page = NULL;
	closep(&w->piddir);
}

static bool witness_says(struct witness *w, const char *what, long long value)
{
	text_format(w->why, sizeof(w->why), "%s (%lld)", what, value);
	return false;
}

static bool witness_state(struct witness *w, const struct pstatus *st)
{
	if (st->tracer)
		return witness_says(w, "a thread of it is traced", st->pid);
	if (strchr("tTZX", st->state))
		return witness_says(w, "a thread of it is stopped, or dead", st->pid);
	return true;
}

bool witness_glance(struct witness *w)
{
	struct pstatus st;

	if (pstatus_read(w->piddir, &st) < 0)
		return witness_says(w, "it is gone", w->pid);
	if (!witness_state(w, &st))
		return false;
	if (witness_word(w, PAGE_ERRORS)) {
		text_format(w->why, sizeof(w->why), "it says: %.200s", (const char *)(uintptr_t)&w->page[PAGE_NOTE]);
		return false;
	}
	return true;
}

/* 1: all is as it was; 0: not yet; -1: never. */
static int witness_compare(struct witness *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct witness_thread *t = &w->threads[i];
		struct pstatus st;

		if (witness_thread(w, t->tid, &st) < 0) {
			if (t->tid != w->pid)
				continue; /* it had an end of its own */
			(void)witness_says(w, "it is gone", t->tid);
			return -1;
		}
		if (!witness_state(w, &st))
			return -1;
		if (st.sig_blk != t->mask) {
			text_format(w->why, sizeof(w->why), "thread %d blocks %llx, was %llx", t->tid,
				    (unsigned long long)st.sig_blk, (unsigned long long)t->mask);
			return 0;
		}
	}
	return 1;
}

bool witness_look(struct witness *w)
{
	const uint64_t until = clock_ns() + PATIENCE_NS;
	int r;

	if (!witness_glance(w))
		return false;
	while ((r = witness_compare(w)) == 0 && clock_ns() < until)
		witness_pause();
	return r == 1;
}

static bool witness_all_moved(struct witness *w, const uint64_t before[WITNESS_PROGRESS], uint64_t rounds)
{
	bool counts = false;

	for (unsigned int i = 0; i < WITNESS_PROGRESS; i++) {
		if (!before[i])
			continue;
		counts = true;
		if (witness_word(w, PAGE_PROGRESS + i) == before[i])
			return witness_says(w, "a thread of it does not move on", i);
	}
	return counts || witness_word(w, PAGE_ROUNDS) != rounds || witness_says(w, "it does not move on", w->pid);
}

bool witness_moves(struct witness *w)
{
	const uint64_t until = clock_ns() + PATIENCE_NS, rounds = witness_word(w, PAGE_ROUNDS);
	uint64_t before[WITNESS_PROGRESS];
	bool counts = false;

	if (!w->page)
		return true;
	for (unsigned int i = 0; i < WITNESS_PROGRESS; i++)
		counts |= (before[i] = witness_word(w, PAGE_PROGRESS + i)) != 0;
	/* There are those that only sleep, and are asked at their end. */
	if (!counts && !rounds)
		return true;
	while (!witness_all_moved(w, before, rounds)) {
		/* Nor do they count who have ended their work. */
		if (witness_is_over(w))
			return true;
		if (clock_ns() > until)
			return false;
		witness_pause();
	}
	return true;
}

uint64_t witness_eintr(const struct witness *w)
{
	return witness_word(w, PAGE_EINTR);
}

bool witness_is_over(const struct witness *w)
{
	return witness_word(w, PAGE_STOP);
}
