// SPDX-License-Identifier: GPL-2.0-or-later
#include "murder.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define BEGIN_NS (60 * 1000000000ull)
#define SPIN_NS 50000
#define GAVE_UP "an injector has given up by itself"

/* Shared with the injector. */
struct murder_stage {
	_Atomic uint64_t began; /* strikes */
	_Atomic uint64_t ended;
	_Atomic uint64_t calls;
	_Atomic int over; /* it has given up, see why */
	enum remedy_outcome outcome; /* with which */
	char why[REMEDY_TEXT_MAX];
};

const char *const murder_spoils[MURDER_NSPOILS] = { "", "abort", "fail", "hang" };

static void murder_pause(uint64_t ns)
{
	const struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	(void)nanosleep(&ts, NULL);
}

static void murder_give_up(struct murder_stage *stage, enum remedy_outcome outcome, const char *why)
{
	stage->outcome = outcome;
	text_format(stage->why, sizeof(stage->why), "%s", why);
	atomic_store(&stage->over, 1);
	_exit(0);
}

static void murder_go_wrong(struct murder_stage *stage, enum murder_spoil spoil)
{
	if (spoil == SPOIL_ABORT) {
		(void)prctl(PR_SET_DUMPABLE, 0);
		abort();
	}
	while (spoil == SPOIL_HANG)
		(void)pause();
	if (spoil == SPOIL_FAIL)
		murder_give_up(stage, REMEDY_FAILED, "on purpose");
}

/* Works until it is killed, or its reader is. */
static void murder_victim(pid_t pid, enum strike_kind kind, uint64_t timeout_ns, struct murder_stage *stage,
			  enum murder_spoil spoil, pid_t parent)
{
	static struct strike s;
	struct strike_result result;
	int r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	r = strike_open(pid, timeout_ns, &s);
	if (r < 0)
		murder_give_up(stage, REMEDY_FAILED, strerror(-r));
	if (!strike_warm(&s, kind, &result))
		murder_give_up(stage, result.outcome, result.reason);
	for (;;) {
		atomic_fetch_add(&stage->began, 1);
		murder_go_wrong(stage, spoil);
		strike_once(&s, kind, &result);
		atomic_fetch_add(&stage->calls, result.calls);
		atomic_fetch_add(&stage->ended, 1);
		if (result.outcome == REMEDY_FAILED || result.outcome == REMEDY_GONE)
			murder_give_up(stage, result.outcome, result.reason);
	}
}

/* Its one child, 0 when it has none now. */
static pid_t murder_reader_of(pid_t injector)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64];
	int pid = 0;

	text_format(path, sizeof(path), "/proc/%d/task/%d/children", injector, injector);
	f = fopen(path, "re");
	return f && fscanf(f, "%d", &pid) == 1 ? pid : 0;
}

static bool murder_is_dead(pid_t child)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

static void murder_harm(struct murder *m, const char *what, const char *why)
{
	if (!*m->harm)
		text_format(m->harm, sizeof(m->harm), "%s%s%s", what, *why ? ": " : "", why);
}

static bool murder_await(pid_t child, const struct murder_stage *stage, struct murder *m)
{
	const uint64_t until = clock_ns() + BEGIN_NS;

	while (!atomic_load(&stage->began)) {
		if (atomic_load(&stage->over) || murder_is_dead(child))
			return false;
		if (clock_ns() > until) {
			murder_harm(m, "an injector hangs before its first strike", "");
			return false;
		}
		murder_pause(SPIN_NS);
	}
	return true;
}

/* Without its reader an injector finds that out by itself: it ends, or has another one for its next strike. */
static void murder_let_end(pid_t child, const struct murder_stage *stage, struct murder *m)
{
	const uint64_t until = clock_ns() + m->end_ns, ended = atomic_load(&stage->ended);

	while (atomic_load(&stage->ended) < ended + 2 && !murder_is_dead(child)) {
		if (clock_ns() > until) {
			murder_harm(m, "an injector hangs since its reader was killed", "");
			return;
		}
		murder_pause(SPIN_NS);
	}
	m->spent = atomic_load(&stage->over);
}

static void murder_commit(pid_t child, struct murder_stage *stage, struct murder *m)
{
	const pid_t reader = m->who == MURDER_INJECTOR ? 0 : murder_reader_of(child);

	m->at_work = atomic_load(&stage->began) > atomic_load(&stage->ended) && !murder_is_dead(child);
	if (atomic_load(&stage->over))
		murder_harm(m, GAVE_UP, stage->why);
	/* Between two readers there is none to kill. */
	if (reader <= 0)
		m->who = MURDER_INJECTOR;
	/* The parent may have changed its reader meanwhile: then it is nobody's, and gone. */
	if (reader > 0)
		(void)kill(reader, SIGKILL);
	if (m->who == MURDER_READER)
		murder_let_end(child, stage, m);
}

/* How it has ended: @early, before our hand was at it. */
static void murder_judge_end(int status, bool early, enum strike_kind kind, const struct murder_stage *stage,
			     struct murder *m)
{
	char how[64];

	if (WIFEXITED(status) && !WEXITSTATUS(status) && atomic_load(&stage->over)) {
		/* Since our last look. */
		if (atomic_load(&stage->began) && m->who == MURDER_INJECTOR)
			murder_harm(m, GAVE_UP, stage->why);
		return;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		m->guarded = early && kind == STRIKE_PURGE;
		if (!early || m->guarded)
			return;
	}
	text_format(how, sizeof(how), "%s %d", WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	murder_harm(m, "an injector has ended by itself", how);
}

/* One that never began: refused, as it may be, or not? */
static int murder_judge_begin(const struct murder_stage *stage, struct murder *m)
{
	if (atomic_load(&stage->over) && stage->outcome != REMEDY_REFUSED)
		murder_harm(m, "an injector could not begin", stage->why);
	return -ENOENT;
}

int murder_once(pid_t pid, enum strike_kind kind, uint64_t timeout_ns, struct murder *m)
{
	struct murder_stage *stage =
		mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const pid_t parent = getpid();
	int status = 0, r = 0;
	pid_t child;
	bool early;

	if (stage == MAP_FAILED)
		return -errno;
	child = fork();
	if (child == 0)
		murder_victim(pid, kind, timeout_ns, stage, m->spoil, parent);
	if (child < 0) {
		r = -errno;
	} else if (murder_await(child, stage, m)) {
		murder_pause(m->delay_us * 1000);
		murder_commit(child, stage, m);
	} else {
		r = murder_judge_begin(stage, m);
	}
	if (child > 0) {
		early = murder_is_dead(child);
		(void)kill(child, SIGKILL);
		(void)waitpid(child, &status, 0);
		murder_judge_end(status, early, kind, stage, m);
	}
	m->calls = atomic_load(&stage->calls);
	text_format(m->why, sizeof(m->why), "%s", stage->why);
	(void)munmap(stage, sizeof(*stage));
	return r;
}
