// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/attempt.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/pstatus.h"
#include "base/text.h"

#define SEARCH_NS (2 * 1000000000ull) /* looking for a safe point costs the target a little each time */
#define TRIES_MAX 20 /* threads that were found and then could not be used */
#define TRIES_PAUSE_NS 5000000

#define result_set(res, code, ...) \
	((res)->outcome = (code), text_format((res)->reason, sizeof((res)->reason), __VA_ARGS__))

/* What people are told: @before, the name of what was called when it is @named, @after. */
struct failure {
	int error;
	enum remedy_outcome outcome;
	const char *before;
	bool named;
	const char *after;
};

/* Of inject_pick(). */
static const struct failure pick_failures[] = {
	{ -EBUSY, REMEDY_REFUSED, "it is stopped by a signal", false, "" },
	{ -EALREADY, REMEDY_REFUSED, "one of its threads is being traced by somebody else", false, "" },
	{ -ETIMEDOUT, REMEDY_REFUSED, "a thread of it would not stop (uninterruptible sleep)", false, "" },
	{ -ETIME, REMEDY_REFUSED, "the proof of a safe point took too long: the machine is too busy", false, "" },
	{ -EPIPE, REMEDY_FAILED, "the reader failed on its stack", false, "" },
	{ -EPERM, REMEDY_DENIED, "tracing it needs root, or the same user and a process that allows it", false, "" },
	{ -EACCES, REMEDY_DENIED, "tracing it needs root, or the same user and a process that allows it", false, "" },
	{ -ESRCH, REMEDY_GONE, "it has exited", false, "" },
	{ -ESTALE, REMEDY_GONE, "it ran another program meanwhile", false, "" },
};

/* Of inject_call(). */
static const struct failure call_failures[] = {
	{ -EINPROGRESS, REMEDY_TIMEOUT, "", true, " had not returned in time; it finishes by itself" },
	{ -EBUSY, REMEDY_TIMEOUT, "it was stopped by a signal meanwhile; ", true, " ends when it is continued" },
	{ -EFAULT, REMEDY_FAILED, "", true, " faulted; the thread was put back, its memory is damaged" },
	{ -ESRCH, REMEDY_GONE, "it exited or ran another program meanwhile", false, "" },
	{ -EAGAIN, REMEDY_REFUSED, "it is in a restartable sequence", false, "" },
	{ -EDEADLK, REMEDY_REFUSED, "another of its threads holds a lock that ", true, " needs, and does not let go" },
	{ -ENOSPC, REMEDY_REFUSED, "not enough room on the stack of the thread", false, "" },
	{ -ETIME, REMEDY_REFUSED, "looking at its memory took too long: the machine is too busy", false, "" },
	{ -EPIPE, REMEDY_FAILED, "the reader failed on its memory", false, "" },
	{ -ESTALE, REMEDY_REFUSED, "its code changed while it was looked at", false, "" },
};

static void attempt_failed(int r, const struct failure *table, size_t n, const char *what, struct remedy_result *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (table[i].error == r) {
			result_set(ret, table[i].outcome, "%s%s%s", table[i].before, table[i].named ? what : "",
				   table[i].after);
			return;
		}
	}
	result_set(ret, REMEDY_FAILED, "the injection failed: %s", strerror(-r));
}

/* A container's runtime may forbid ptrace() to everybody in it, root too. */
static bool attempt_is_filtered(const struct remedy_site *site)
{
	_cleanup_close_ int dir = procfs_open_pid(site->proc, getpid());
	struct pstatus st;

	return dir >= 0 && pstatus_read(dir, &st) == 0 && st.seccomp;
}

void attempt_pick_failed(const struct remedy_site *site, int r, const struct inject_found *found,
			 struct remedy_result *ret)
{
	const char *why = found->why	    ? found->why :
			  *site->unsafe_why ? site->unsafe_why :
					      "no thread sleeps in a call that is known to be safe";

	if (r == -EAGAIN)
		result_set(ret, REMEDY_REFUSED, "no safe point in time (%llu looks): %s",
			   (unsigned long long)found->looks, why);
	else if ((r == -EPERM || r == -ENOSYS) && attempt_is_filtered(site))
		result_set(ret, REMEDY_DENIED,
			   "tracing it failed (%s); this command is under a seccomp filter, which may forbid it",
			   strerror(-r));
	else
		attempt_failed(r, pick_failures, ARRAY_SIZE(pick_failures), "", ret);
}

void attempt_call_failed(int r, const char *why, const char *what, struct remedy_result *ret)
{
	if (why)
		result_set(ret, REMEDY_REFUSED, "%s", why);
	else
		attempt_failed(r, call_failures, ARRAY_SIZE(call_failures), what, ret);
}

bool attempt_calls(const struct remedy_site *site, const struct attempt *a, struct remedy_result *ret)
{
	struct inject_search search = {
		.deadline_ns = MIN(site->deadline_ns, clock_ns() + SEARCH_NS),
		.data_lo = a->data_lo,
		.data_hi = a->data_hi,
	};
	struct inject_found found = { .inj = NULL };
	struct inject_times times = { 0 };
	const struct timespec pause = { .tv_nsec = TRIES_PAUSE_NS };
	const char *why = NULL;
	int r, called = 0;

	for (unsigned int tries = 0;; tries++) {
		r = inject_pick(site->target, site->prover, &search, &found);
		inject_stops_join(&ret->stops, &found.stops);
		if (r < 0)
			break;
		why = NULL;
		r = inject_call(found.inj, a->code, &found.stack, a->calls, a->ncalls, site->deadline_ns, &times, &why);
		/* Also one that was stopped in vain, or called back and asked again. */
		inject_stops_add(&ret->stops, inject_stopped_ns(found.inj));
		inject_close(found.inj);
		called = r;
		/* malloc_trim goes from arena to arena. */
		ret->begun |= r == -EDEADLK;
		if ((r != -EAGAIN && r != -EDEADLK) || tries >= TRIES_MAX || clock_ns() >= search.deadline_ns)
			break;
		if (r == -EAGAIN && found.asleep && search.navoid < INJECT_AVOID_MAX)
			search.avoid[search.navoid++] = found.tid;
		(void)nanosleep(&pause, NULL);
	}
	ret->call_ns = times.call_ns;
	if (called < 0) {
		attempt_call_failed(called, why, a->what, ret);
		return false;
	}
	if (r < 0) {
		attempt_pick_failed(site, r, &found, ret);
		return false;
	}
	ret->outcome = REMEDY_DONE;
	text_format(ret->detail, sizeof(ret->detail), "thread %d in %s; %llu look%s; %llu us outside the call",
		    found.tid, found.where, (unsigned long long)found.looks, found.looks == 1 ? "" : "s",
		    (unsigned long long)(times.stopped_ns - times.call_ns) / 1000);
	return true;
}
