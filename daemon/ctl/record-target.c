// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/procfs.h"
#include "base/pstat.h"
#include "base/text.h"
#include "ctl/picture.h"
#include "ctl/record.h"

/* What the link of a program says when its file was replaced: it runs on all the same. */
static void strip_deleted(char *exe)
{
	static const char suffix[] = " (deleted)";
	const size_t n = strlen(exe), m = sizeof(suffix) - 1;

	if (n > m && !strcmp(exe + n - m, suffix))
		exe[n - m] = '\0';
}

static void read_exe(int dir, char *ret, size_t size)
{
	if (procfs_readlink(dir, "exe", ret, size) < 0)
		ret[0] = '\0';
	strip_deleted(ret);
}

static uint64_t read_stack(int dir)
{
	struct pstat st;

	return pstat_read(dir, &st) == 0 ? st.start_stack : 0;
}

int record_target_open(const struct ctl *ctl, pid_t pid, struct record_target *ret, char *why, size_t size)
{
	_cleanup_(proc_done) struct proc p = { .pid = 0 };
	_cleanup_close_ int dir = procfs_open_pid(ctl->proc, pid);
	struct record_target t = { .about = { .pid = pid }, .pidfd = -1 };
	int r = dir < 0 ? dir : proc_read(ctl->proc, pid, PROC_BASIC, &p);

	if (r == 0 && p.state == 'Z')
		r = -ESRCH;
	if (r < 0) {
		text_format(why, size, "%s", r == -ESRCH ? "no such process" : strerror(-r));
		return r;
	}
	if (p.kthread) {
		text_format(why, size, "a kernel thread: it has no memory of its own");
		return -ENOTSUP;
	}
	t.about.start_time = p.start_time;
	text_format(t.about.comm, sizeof(t.about.comm), "%s", p.comm);
	read_exe(dir, t.about.exe, sizeof(t.about.exe));
	t.start_stack = read_stack(dir);
	t.pidfd = pstat_pidfd(dir, pid);
	t.dir = TAKE_FD(dir);
	*ret = t;
	return 0;
}

void record_target_close(struct record_target *t)
{
	closep(&t->dir);
	closep(&t->pidfd);
}

static void fill_counted(const struct proc *p, struct recording_sample *ret)
{
	const uint64_t counted[RECORDED_COUNTED] = {
		[RECORDED_RSS] = p->rss,     [RECORDED_ANON] = p->anon, [RECORDED_FILE] = p->file,
		[RECORDED_SHMEM] = p->shmem, [RECORDED_SWAP] = p->swap,
	};

	ret->looked = false;
	for (size_t i = 0; i < RECORDED_N; i++)
		ret->v[i] = i < RECORDED_COUNTED ? counted[i] : RECORDING_UNKNOWN;
}

/* Of one that ends its memory is gone before it is. */
static bool is_it(const struct record_target *t, const struct proc *p)
{
	return p->start_time == t->about.start_time && p->state != 'Z' && p->state != 'X';
}

/* Its first thread may have ended before the others, and /proc may be hidden from us. */
bool record_target_lives(const struct record_target *t)
{
	struct pollfd pfd = { .fd = t->pidfd, .events = POLLIN };

	return t->pidfd >= 0 && poll(&pfd, 1, 0) == 0;
}

int record_target_count(const struct ctl *ctl, struct record_target *t, struct recording_sample *ret)
{
	_cleanup_(proc_done) struct proc p = { .pid = 0 };
	int r = proc_read(ctl->proc, t->about.pid, PROC_BASIC, &p);

	if (r < 0)
		return r;
	if (!is_it(t, &p))
		return -ESRCH;
	fill_counted(&p, ret);
	return 0;
}

static void fill_layers(const struct explanation *e, struct recording_sample *ret)
{
	const struct explain_glibc *g = &e->answer.head.glibc;
	const struct explain_python *py = &e->answer.head.python;
	uint64_t *v = ret->v;

	ret->looked = true;
	for (size_t i = 0; i < ACCOUNT_N; i++)
		v[RECORDED_ACCOUNT + i] = e->accounts[i].rss;
	if (explanation_has_glibc(e)) {
		v[RECORDED_GLIBC_IN_USE] = g->in_use;
		v[RECORDED_GLIBC_CACHED] = g->cached;
		v[RECORDED_GLIBC_FREE_RESIDENT] = g->free_resident;
		v[RECORDED_GLIBC_FREE] = g->free;
	}
	if (explanation_has_python(e)) {
		v[RECORDED_PYTHON_IN_USE] = py->in_use;
		v[RECORDED_PYTHON_FREE_RESIDENT] = py->free_resident;
		v[RECORDED_PYTHON_FREE] = py->free;
	}
	if (explanation_looked(e))
		v[RECORDED_OFFER] = picture_offer(e);
}

int record_target_look(const struct ctl *ctl, struct record_target *t, int cancel_fd, struct recording_sample *ret)
{
	_cleanup_(explanation_done) struct explanation e = { .proc = { .pid = 0 } };
	const struct explain_ask ask = { .cancel_fd = cancel_fd };
	const struct explain_head *h = &e.answer.head;
	char why[256];
	int r = explanation_read(ctl->proc, &ask, t->about.pid, &e, why, sizeof(why));

	if (r == -EACCES || r == -EPERM)
		return record_target_count(ctl, t, ret);
	if (r < 0)
		return r;
	if (!is_it(t, &e.proc))
		return -ESRCH;
	fill_counted(&e.proc, ret);
	if (h->outcome == WORKER_DENIED || e.regions_error == -EACCES || e.regions_error == -EPERM) {
		t->denied = true;
		text_format(t->why, sizeof(t->why), "%s",
			    h->outcome == WORKER_DENIED ? h->reason : "its mappings may not be read");
	}
	/* A single look that fails isn't a heap that has gone. */
	if (!e.has_regions || (t->inside && !explanation_looked(&e)))
		return 0;
	fill_layers(&e, ret);
	t->inside = explanation_looked(&e);
	return 0;
}

bool record_target_exec(const struct ctl *ctl, struct record_target *t)
{
	_cleanup_(proc_done) struct proc p = { .pid = 0 };
	const uint64_t stack = read_stack(t->dir);
	char exe[RECORDING_TEXT];
	bool other;

	read_exe(t->dir, exe, sizeof(exe));
	/* Exec gives it another stack at another place; where that is hidden or isn't random, there is its file. */
	other = (stack && t->start_stack && stack != t->start_stack) ||
		(*exe && *t->about.exe && strcmp(exe, t->about.exe) != 0);
	if (stack)
		t->start_stack = stack;
	if (*exe)
		text_format(t->about.exe, sizeof(t->about.exe), "%s", exe);
	if (!other)
		return false;
	if (proc_read(ctl->proc, t->about.pid, PROC_BASIC, &p) == 0 && is_it(t, &p))
		text_format(t->about.comm, sizeof(t->about.comm), "%s", p.comm);
	t->inside = false;
	return true;
}
