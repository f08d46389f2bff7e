// SPDX-License-Identifier: GPL-2.0-or-later
#include "murder.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"

#define BEGIN_NS (60 * 1000000000ull)
#define END_NS (30 * 1000000000ull)
#define SPIN_NS 50000

/* Shared with the injector. */
struct murder_stage {
	_Atomic uint64_t began; /* strikes */
	_Atomic uint64_t ended;
	_Atomic uint64_t calls;
	_Atomic int over; /* it has given up, see why */
	char why[REMEDY_TEXT_MAX];
};

static void murder_pause(uint64_t ns)
{
	const struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	(void)nanosleep(&ts, NULL);
}

static void murder_give_up(struct murder_stage *stage, const char *why)
{
	text_format(stage->why, sizeof(stage->why), "%s", why);
	atomic_store(&stage->over, 1);
	_exit(0);
}

/* Works until it is killed, or its reader is. */
static void murder_victim(pid_t pid, enum strike_kind kind, uint64_t timeout_ns, struct murder_stage *stage,
			  pid_t parent)
{
	static struct strike s;
	struct strike_result result;
	int r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	r = strike_open(pid, timeout_ns, &s);
	if (r < 0)
		murder_give_up(stage, strerror(-r));
	if (!strike_warm(&s, kind, &result))
		murder_give_up(stage, result.reason);
	for (;;) {
		atomic_fetch_add(&stage->began, 1);
		strike_once(&s, kind, &result);
		atomic_fetch_add(&stage->calls, result.calls);
		atomic_fetch_add(&stage->ended, 1);
		if (result.outcome == REMEDY_FAILED || result.outcome == REMEDY_GONE)
			murder_give_up(stage, result.reason);
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

static bool murder_await(pid_t child, const struct murder_stage *stage)
{
	const uint64_t until = clock_ns() + BEGIN_NS;

	while (!atomic_load(&stage->began)) {
		siginfo_t info = { .si_pid = 0 };

		if (atomic_load(&stage->over) || clock_ns() > until)
			return false;
		if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid)
			return false;
		murder_pause(SPIN_NS);
	}
	return true;
}

/* Without its reader an injector finds that out by itself: it ends, or has another one for its next strike. */
static void murder_let_end(pid_t child, const struct murder_stage *stage)
{
	const uint64_t until = clock_ns() + END_NS, ended = atomic_load(&stage->ended);
	siginfo_t info = { .si_pid = 0 };

	while (clock_ns() < until && atomic_load(&stage->ended) < ended + 2 &&
	       waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid)
		murder_pause(SPIN_NS);
}

static void murder_commit(pid_t child, struct murder_stage *stage, struct murder *m)
{
	const pid_t reader = m->who == MURDER_INJECTOR ? 0 : murder_reader_of(child);

	m->at_work = atomic_load(&stage->began) > atomic_load(&stage->ended);
	m->spent = atomic_load(&stage->over);
	/* The parent may have changed its reader meanwhile: then it is nobody's, and gone. */
	if (reader > 0)
		(void)kill(reader, SIGKILL);
	if (m->who == MURDER_READER && reader > 0)
		murder_let_end(child, stage);
	(void)kill(child, SIGKILL);
}

int murder_once(pid_t pid, enum strike_kind kind, uint64_t timeout_ns, struct murder *m)
{
	struct murder_stage *stage =
		mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const pid_t parent = getpid();
	int status, r = 0;
	pid_t child;

	if (stage == MAP_FAILED)
		return -errno;
	child = fork();
	if (child == 0)
		murder_victim(pid, kind, timeout_ns, stage, parent);
	if (child < 0) {
		r = -errno;
	} else if (murder_await(child, stage)) {
		murder_pause(m->delay_us * 1000);
		murder_commit(child, stage, m);
	} else {
		(void)kill(child, SIGKILL);
		r = -ENOENT;
	}
	if (child > 0)
		(void)waitpid(child, &status, 0);
	m->calls = atomic_load(&stage->calls);
	text_format(m->why, sizeof(m->why), "%s", stage->why);
	(void)munmap(stage, sizeof(*stage));
	return r;
}
