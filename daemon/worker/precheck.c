// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/precheck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "base/text.h"
#include "worker/sharer.h"

#define ANCESTORS_MAX 1024
#define D_STATE_LOOKS 20
#define D_STATE_PAUSE_NS 10000000

int subject_open(const struct worker_request *req, struct subject *ret)
{
	_cleanup_(subject_close) struct subject s = { .root = -1, .piddir = -1 };
	int r;

	s.root = procfs_open_root("/proc");
	if (s.root < 0)
		return s.root;
	s.piddir = procfs_open_pid(s.root, req->pid);
	if (s.piddir < 0)
		return s.piddir;
	r = pstat_read(s.piddir, &s.stat);
	if (r == 0)
		r = pstatus_read(s.piddir, &s.status);
	if (r < 0)
		return r;
	if (req->start_time && req->start_time != s.stat.start_time)
		return -ESRCH;
	/* /proc/TID of a thread that isn't a leader opens too, but isn't a process. */
	if (s.status.tgid != req->pid)
		return -ESRCH;
	*ret = s;
	s = (struct subject){ .root = -1, .piddir = -1 };
	return 0;
}

void subject_close(struct subject *s)
{
	closep(&s->root);
	closep(&s->piddir);
}

bool subject_is_owned(const struct subject *s, uint32_t owner)
{
	struct pstatus now;
	struct stat mem;

	if (owner == WORKER_OWNER_ANY)
		return true;
	/* fs/proc/base.c, pid_getattr(): asked each time, not remembered. */
	if (fstatat(s->piddir, "mem", &mem, 0) < 0 || pstatus_read(s->piddir, &now) < 0)
		return false;
	return mem.st_uid == owner && now.uid == owner && now.euid == owner && now.suid == owner;
}

/* Stopping whoever waits for us could stop ourselves. */
static bool precheck_kin(const struct subject *s, char *why, size_t size)
{
	pid_t pid = getpid();

	for (unsigned int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		_cleanup_close_ int dir = procfs_open_pid(s->root, pid);
		struct pstatus st;
		int r;

		if (pid == s->stat.pid) {
			text_format(why, size, "%s",
				    i ? "it is an ancestor of this command" : "it is this command itself");
			return false;
		}
		r = dir < 0 ? dir : pstatus_read(dir, &st);
		if (r == -ESRCH || r == -ENOENT || r == -EPERM || r == -EACCES)
			return true; /* an ancestor outside our pid namespace, or hidden from us (hidepid) */
		if (r < 0) {
			text_format(why, size, "whether it is an ancestor of this command can't be told: %s",
				    strerror(-r));
			return false;
		}
		if (st.tracer == s->stat.pid) {
			text_format(why, size, "it traces this command: each would wait for the other");
			return false;
		}
		pid = st.ppid;
	}
	return true;
}

/* Everybody is in D for a moment now and then, on a page fault or a disk: only who stays there is refused. */
static char precheck_settled_state(const struct subject *s)
{
	const struct timespec pause = { .tv_nsec = D_STATE_PAUSE_NS };
	char state = s->status.state;

	for (unsigned int i = 0; state == 'D' && i < D_STATE_LOOKS; i++) {
		struct pstat now;

		(void)nanosleep(&pause, NULL);
		if (pstat_read(s->piddir, &now) < 0)
			return 'X';
		state = now.state;
	}
	return state;
}

/*
 * A frozen control group (cgroup.freeze) shows as S. Its threads let themselves
 * be stopped, but what they are sent to do only freezes halfway. Nobody else
 * sleeps in get_signal(), into which compilers put do_freezer_trap().
 */
static bool precheck_frozen(const struct subject *s)
{
	char text[64];

	return s->status.state == 'S' && procfs_read(s->piddir, "wchan", text, sizeof(text)) > 0 &&
	       (!strcmp(text, "get_signal") || !strcmp(text, "do_freezer_trap"));
}

static bool precheck_state(const struct subject *s, char *why, size_t size)
{
	const char state = precheck_settled_state(s);
	static const struct {
		char state;
		const char *why;
	} states[] = {
		{ 'Z', "it is a zombie (or its main thread has exited)" }, { 'X', "it is dead" },
		{ 'T', "it is stopped (state T): continue it first" },	   { 't', "it is stopped by a tracer" },
		{ 'D', "it is in uninterruptible sleep (state D)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (state == states[i].state) {
			text_format(why, size, "%s", states[i].why);
			return false;
		}
	}
	if (precheck_frozen(s)) {
		text_format(why, size, "it is frozen (cgroup.freeze): thaw it first");
		return false;
	}
	return true;
}

/* What we do in one of two processes that share their memory happens to the other, which may be in the allocator. */
static bool precheck_shared(const struct subject *s, char *why, size_t size)
{
	pid_t other;
	int r = sharer_find(s->root, &s->stat, &other);

	if (r == 0)
		return true;
	if (r > 0)
		text_format(why, size, "it shares its memory with process %d (vfork?)", other);
	else if (other)
		text_format(why, size, "whether it shares its memory with process %d can't be told (%s)", other,
			    strerror(-r));
	else
		text_format(why, size, "whether it shares its memory can't be told (%s)", strerror(-r));
	return false;
}

static bool precheck_kind(const struct subject *s, uint32_t flags, char *why, size_t size)
{
	if (pstat_is_kthread(&s->stat)) {
		text_format(why, size, "it is a kernel thread");
		return false;
	}
	if (s->stat.pid == 1 && !(flags & WORKER_F_FORCE)) {
		text_format(why, size, "it is pid 1, on which everything depends (--force to do it all the same)");
		return false;
	}
	return true;
}

bool precheck_outside(const struct subject *s, uint32_t flags, char *why, size_t size)
{
	if (!precheck_kind(s, flags, why, size))
		return false;
	if (!s->status.vm_size) {
		text_format(why, size, "it is a zombie (or its main thread has exited)");
		return false;
	}
	/* Who shares its memory may be at work while it sleeps. */
	return precheck_shared(s, why, size);
}

bool precheck(const struct subject *s, uint32_t flags, char *why, size_t size)
{
	if (!precheck_kind(s, flags, why, size))
		return false;
	/* Traced by a debugger: state t comes and goes, the tracer stays. */
	if (s->status.tracer) {
		text_format(why, size, "it is already traced by process %d", s->status.tracer);
		return false;
	}
	if (!precheck_kin(s, why, size) || !precheck_state(s, why, size))
		return false;
	if (s->status.shstk) {
		text_format(why, size, "it has a shadow stack, which forbids forged returns");
		return false;
	}
	if (s->status.seccomp == 1) {
		text_format(why, size, "it is in seccomp strict mode");
		return false;
	}
	return precheck_shared(s, why, size);
}
