// SPDX-License-Identifier: GPL-2.0-or-later
/* Workers that misbehave in every way we could think of. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "fake-worker.h"
#include "reclaim/worker.h"

static struct worker_request request;
static struct worker_result result;

static void answer(size_t size)
{
	static char buf[2 * sizeof(result)];

	memcpy(buf, &result, sizeof(result));
	if (send(WORKER_FD, buf, size, MSG_NOSIGNAL) != (ssize_t)size)
		_exit(99);
}

static void well(void)
{
	answer(sizeof(result));
}

static void say_short(void)
{
	answer(sizeof(result) - 1);
}

static void say_long(void)
{
	answer(sizeof(result) + 1);
}

static void say_nothing(void)
{
	_exit(7);
}

static void bad_magic(void)
{
	result.magic++;
	well();
}

static void bad_version(void)
{
	result.version++;
	well();
}

static void other_pid(void)
{
	result.pid++;
	well();
}

static void other_start(void)
{
	result.start_time++;
	well();
}

static void gone_start(void)
{
	result.start_time++;
	result.outcome = WORKER_GONE;
	well();
}

static void outcome_low(void)
{
	result.outcome = 0;
	well();
}

static void outcome_high(void)
{
	result.outcome = WORKER_WOULD + 1;
	well();
}

static void many_steps(void)
{
	result.nsteps = WORKER_STEPS_MAX + 1;
	well();
}

static void two_remedies(void)
{
	result.nsteps = 1;
	result.steps[0].remedy = WORKER_REMEDY_TRIM | WORKER_REMEDY_COLD;
	well();
}

static void no_remedy(void)
{
	result.nsteps = 1;
	well();
}

/* Only the NUL that the receiver puts there itself ends these. */
static void endless_texts(void)
{
	memset(result.comm, 'c', sizeof(result.comm));
	memset(result.reason, 'r', sizeof(result.reason));
	result.nsteps = WORKER_STEPS_MAX;
	for (size_t i = 0; i < WORKER_STEPS_MAX; i++) {
		result.steps[i].remedy = WORKER_REMEDY_TRIM;
		memset(result.steps[i].detail, 'd', sizeof(result.steps[i].detail));
	}
	well();
}

static void die(void)
{
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGSEGV, SIG_DFL);
	(void)raise(SIGSEGV);
}

static void hang(void)
{
	(void)signal(SIGTERM, SIG_IGN);
	for (;;)
		pause();
}

/* Looks like one in an uninterruptible sleep to everything but SIGKILL. */
static void stopped(void)
{
	for (;;)
		(void)raise(SIGSTOP);
}

/*
 * Stands in for one that SIGKILL doesn't end: while somebody else traces it,
 * its parent can't wait for it. The tracer goes away by itself.
 */
static void hold_back(void)
{
	const struct timespec held = { .tv_sec = HELD_BACK_S };
	pid_t worker = getpid();
	int fds[2];
	char c = 0;

	if (pipe2(fds, O_CLOEXEC) < 0)
		_exit(95);
	if (!fork()) {
		/* Out of the group that is killed with the worker. */
		if (setsid() < 0 || ptrace(PTRACE_SEIZE, worker, 0, 0) < 0 || write(fds[1], "y", 1) != 1)
			_exit(1);
		(void)nanosleep(&held, NULL);
		_exit(0);
	}
	(void)close(fds[1]);
	if (read(fds[0], &c, 1) != 1 || c != 'y')
		_exit(94);
	hang();
}

static void hang_deaf(void)
{
	(void)close(WORKER_FD);
	hang();
}

static void answer_and_hang(void)
{
	well();
	hang();
}

/* A child that keeps the socket open: its pid comes back as the answer of a file. */
static void leave_child(void)
{
	pid_t pid = fork();

	if (!pid)
		hang();
	result.freed = pid;
	well();
}

static void leave_child_silently(void)
{
	if (!fork())
		hang();
	_exit(3);
}

static void slow(void)
{
	const struct timespec t = { .tv_nsec = 300000000 };

	(void)nanosleep(&t, NULL);
	well();
}

static void noisy(void)
{
	if (write(STDOUT_FILENO, "noise", 5) != 5)
		_exit(98);
	well();
}

/* What a worker may rely on; the reason says what is not so. */
static void look_around(void)
{
	struct sigaction sa;
	struct stat st, null;
	sigset_t mask;

	for (int fd = WORKER_FD + 1; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			snprintf(result.reason, sizeof(result.reason), "fd %d is open", fd);
	if (fstat(STDIN_FILENO, &st) < 0 || stat("/dev/null", &null) < 0 || st.st_rdev != null.st_rdev)
		snprintf(result.reason, sizeof(result.reason), "stdin is not /dev/null");
	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (int s = 1; s < 32; s++) {
		if (sigismember(&mask, s))
			snprintf(result.reason, sizeof(result.reason), "signal %d is blocked", s);
		sigaction(s, NULL, &sa);
		/* Sanitizers install their own. */
		if (sa.sa_handler == SIG_IGN)
			snprintf(result.reason, sizeof(result.reason), "signal %d is ignored", s);
	}
	if (getpgrp() != getpid())
		snprintf(result.reason, sizeof(result.reason), "not in a group of its own");
	well();
}

const struct fake fakes[] = {
	{ "well", well, WORKER_RECLAIMED, NULL },
	{ "short", say_short, WORKER_FAILED, "wrong length" },
	{ "long", say_long, WORKER_FAILED, "wrong length" },
	{ "nothing", say_nothing, WORKER_FAILED, "status 7" },
	{ "magic", bad_magic, WORKER_FAILED, "another version" },
	{ "version", bad_version, WORKER_FAILED, "another version" },
	{ "pid", other_pid, WORKER_FAILED, "another process" },
	{ "start", other_start, WORKER_FAILED, "earlier or later process" },
	{ "gone", gone_start, WORKER_GONE, NULL },
	{ "outcome-low", outcome_low, WORKER_FAILED, "unknown outcome" },
	{ "outcome-high", outcome_high, WORKER_FAILED, "unknown outcome" },
	{ "steps", many_steps, WORKER_FAILED, "too many steps" },
	{ "remedies", two_remedies, WORKER_FAILED, "unknown remedy" },
	{ "remedy", no_remedy, WORKER_FAILED, "unknown remedy" },
	{ "die", die, WORKER_FAILED, "signal 11" },
	{ "noisy", noisy, WORKER_RECLAIMED, NULL },
	{ "look-around", look_around, WORKER_RECLAIMED, NULL },
	/* with tests of their own: */
	{ "endless", endless_texts, 0, NULL },
	{ "hang", hang, 0, NULL },
	{ "stopped", stopped, 0, NULL },
	{ "held-back", hold_back, 0, NULL },
	{ "hang-deaf", hang_deaf, 0, NULL },
	{ "answer-and-hang", answer_and_hang, 0, NULL },
	{ "leave-child", leave_child, 0, NULL },
	{ "leave-child-silently", leave_child_silently, 0, NULL },
	{ "slow", slow, 0, NULL },
};
const size_t nfakes = ARRAY_SIZE(fakes);

int fake_worker(const char *name)
{
	struct worker_request more;

	if (recv(WORKER_FD, &request, sizeof(request), MSG_TRUNC) != (ssize_t)sizeof(request) ||
	    request.magic != WORKER_MAGIC || recv(WORKER_FD, &more, sizeof(more), MSG_DONTWAIT) >= 0)
		return 97;
	result = (struct worker_result){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = request.pid,
		.outcome = WORKER_RECLAIMED,
		.start_time = request.start_time,
		.rss_before = 3 << 20,
		.rss_after = 1 << 20,
		.freed = 2 << 20,
	};
	for (size_t i = 0; i < ARRAY_SIZE(fakes); i++) {
		if (strcmp(fakes[i].name, name))
			continue;
		fakes[i].run();
		return 0;
	}
	return 96;
}
