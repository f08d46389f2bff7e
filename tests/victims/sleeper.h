/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the case tables of the sleepers program share. */
#ifndef TESTS_SLEEPER_H
#define TESTS_SLEEPER_H

#include "victim.h"

/*
 * How long the call may last when somebody stopped the thread meanwhile:
 * EVENT and ABS until the event or the absolute time, exactly as undisturbed;
 * REL has a relative timeout that may start again: up to twice as long.
 */
enum sleep_class { EVENT, ABS, REL };

struct sleep_case {
	const char *name;
	enum sleep_class class;
	void (*setup)(void); /* before the helper is forked */
	void (*hold)(void); /* in the helper, before the call */
	long (*call)(void);
	void (*wake)(void); /* in the helper, at the set time */
	long want;
	int want_errno;
	int never_restarts; /* the kernel itself returns EINTR for a mere stop */
};

/* the set time: when the event comes, or the timeout ends */
static unsigned long sleep_ms;

static UNUSED struct timespec rel_ts(unsigned long ms)
{
	return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
}

static UNUSED struct timespec abs_ts(clockid_t clock, unsigned long ms)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

static UNUSED struct timeval rel_tv(unsigned long ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000 };
}

static UNUSED void must(int ok, const char *what)
{
	if (!ok)
		die(what);
}

static UNUSED void on_usr1_count(int sig)
{
	(void)sig;
	vs->handler_runs++;
}

static UNUSED void wake_usr1(void)
{
	must(!kill(getppid(), SIGUSR1), "kill");
}

static UNUSED void setup_handler(void)
{
	struct sigaction sa = { .sa_handler = on_usr1_count };

	must(!sigaction(SIGUSR1, &sa, NULL), "sigaction");
}

#endif
