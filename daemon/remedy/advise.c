// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/advise.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "base/text.h"
#include "inject/fault.h"
#include "inspect/huge.h"

#define CALL_MIN HUGE_PAGE /* bytes of address space in one call: a part of a huge page would be split off */
#define CALL_MAX (8 * HUGE_PAGE)
#define CALL_NS 4000000ull /* for which a call may hold the target's mmap lock */
#define PAUSE_MIN_NS 200000ull
#define END_NS 50000000ull /* before the deadline: to measure and to tell */

#define result_set(res, code, ...) \
	((res)->outcome = (code), text_format((res)->reason, sizeof((res)->reason), __VA_ARGS__))

/* ---- in the reader ---- */

static int compare_addresses(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Where threads keep what they need first. An address that one of them has made up spares what is there, no more. */
static size_t thread_stacks(const struct target *t, uint64_t *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_threads; i++) {
		const struct map *m = maps_find(&t->maps, t->threads[i].robust);

		if (t->threads[i].robust && m && m->kind == MAP_KIND_ANON)
			ret[n++] = t->threads[i].robust;
	}
	qsort(ret, n, sizeof(*ret), compare_addresses);
	return n;
}

static int find_pageable(struct remedy_facts *facts)
{
	struct target *t = facts->target;
	const bool ages = facts->idle && facts->idle->kind == REMEDY_IDLE_AGES;
	_cleanup_free_ uint64_t *stacks = calloc(t->n_threads + 1, sizeof(*stacks));
	struct pageable_ask ask = {
		.smaps_fd = t->smaps_fd,
		.pagemap_fd = t->fds.pagemap_fd,
		.idle = ages ? facts->idle->spans : NULL,
		.nidle = ages ? facts->idle->nspans : 0,
		.stacks = stacks,
	};

	if (!stacks)
		return -ENOMEM;
	if (t->smaps_fd < 0 || t->fds.pagemap_fd < 0)
		return -EACCES;
	/* By its age a stack is as idle as anything else. */
	ask.nstacks = ages ? 0 : thread_stacks(t, stacks);
	pageable_done(facts->pageable);
	if (lseek(t->smaps_fd, 0, SEEK_SET) < 0)
		return -errno;
	return pageable_find(&ask, facts->pageable);
}

bool advise_plan(struct remedy_facts *facts, struct remedy_plan *ret)
{
	const bool ages = facts->idle && facts->idle->kind == REMEDY_IDLE_AGES;
	int r = 0;

	if (ages && !facts->idle->nspans) {
		text_format(ret->reason, sizeof(ret->reason), "none of its memory has been idle for long enough");
		return false;
	}
	/* An explanation asks for all remedies at one moment. */
	if (!facts->pageable || !facts->looks) {
		if (!facts->pageable)
			facts->pageable = calloc(1, sizeof(*facts->pageable));
		r = facts->pageable ? find_pageable(facts) : -ENOMEM;
	}
	if (r < 0) {
		/* Half of it is nothing for the next one to go on with. */
		if (facts->pageable)
			pageable_done(facts->pageable);
		free(facts->pageable);
		facts->pageable = NULL;
		text_format(ret->reason, sizeof(ret->reason), "what may be moved of its memory can't be read: %s",
			    r == -ESRCH ? "it has exited" : strerror(-r));
		return false;
	}
	if (facts->pageable->bytes)
		return true;
	pageable_why_none(facts->pageable, ages, ret->reason, sizeof(ret->reason));
	return false;
}

void advise_next(struct remedy_facts *facts, struct advise_round *ret)
{
	struct pageable_range v[ADVISE_RANGES_MAX];

	*ret = (struct advise_round){ .n = 0 };
	if (!facts->pageable)
		return;
	ret->n = pageable_next(facts->pageable, v, ARRAY_SIZE(v));
	for (size_t i = 0; i < ret->n; i++) {
		ret->v[i] = (struct pageable_span){ v[i].lo, v[i].hi };
		ret->bytes += v[i].bytes;
	}
}

/* ---- in the injector ---- */

struct advising {
	const struct remedy_site *site;
	const struct advise *a;
	struct remedy_result *ret;
	int pidfd, maps_fd;
	uint64_t call; /* bytes of address space for one call */
	uint64_t advised, moved; /* advised: bytes of address space */
	uint64_t longest_ns;
	unsigned int calls, passed_over;
	const char *end; /* why it ends before all is done, or NULL */
};

/* Has it used the CPUs since it was said to be asleep? */
static const char *woken_up(const struct remedy_site *site)
{
	struct pstat now;
	int r;

	if (site->idle->kind != REMEDY_IDLE_QUIET)
		return NULL;
	r = pstat_read(site->target->piddir, &now);
	if (r < 0)
		return r == -ESRCH ? "it has exited" : "whether it still sleeps can't be told";
	return now.utime + now.stime > site->idle->cpu_ticks ? "it has woken up" : NULL;
}

bool advise_settle(const struct remedy_site *site, bool by_ages_only, struct remedy_plan *plan)
{
	const struct remedy_idle *idle = site->idle;
	const char *why = NULL;

	if (idle->kind == REMEDY_IDLE_UNKNOWN || !idle->idle_us)
		why = "nobody can tell for how long its memory has been idle";
	else if (by_ages_only && idle->kind != REMEDY_IDLE_AGES)
		why = "only the kernel module can tell which of its memory is idle, and it isn't loaded";
	else
		why = woken_up(site);
	if (!why)
		return true;
	plan->possible = 0;
	text_format(plan->reason, sizeof(plan->reason), "%s", why);
	return false;
}

/* Does the memory still exist that was looked at? After an exec the same addresses are another program's. */
static const char *still_fits(const struct advising *ad)
{
	static const char gone[] = "it exited or ran another program meanwhile";

	if (procfs_still_mapped(ad->maps_fd) == 0)
		return woken_up(ad->site);
	/* What it has now is no measure of what was given back. */
	result_set(ad->ret, REMEDY_GONE, "%s", gone);
	return gone;
}

/* 0, or -errno of what can't become better. */
static int call_kernel(struct advising *ad, const struct iovec *iov, size_t n)
{
	for (size_t at = 0; at < n;) {
		const uint64_t start = clock_ns();
		size_t done;
		uint64_t took;
		int error;
		long r;

		fault_before("advise");
		r = syscall(SYS_process_madvise, ad->pidfd, iov + at, n - at, ad->a->advice, 0);
		error = r < 0 ? errno : 0;
		fault_after();
		took = clock_ns() - start;
		done = r > 0 ? (size_t)r : 0;
		ad->calls++;
		ad->longest_ns = MAX(ad->longest_ns, took);
		if (took > CALL_NS)
			ad->call = MAX(CALL_MIN, ad->call / 2);
		else if (took < CALL_NS / 4)
			ad->call = MIN(CALL_MAX, ad->call * 2);
		ad->advised += done;
		while (at < n && done >= iov[at].iov_len)
			done -= iov[at++].iov_len;
		if (at == n)
			break;
		/* Not about this range: not known here, not allowed, gone, or we are told to end. */
		if (error && error != ENOMEM && error != EINVAL && error != EAGAIN)
			return -error;
		/* It was mapped otherwise meanwhile. */
		ad->passed_over++;
		at++;
	}
	return 0;
}

static void fail(struct advising *ad, int error)
{
	if (error == -EPERM)
		result_set(ad->ret, REMEDY_DENIED, "advice on another process's memory needs root (CAP_SYS_NICE)");
	else if (error == -ESRCH)
		result_set(ad->ret, REMEDY_GONE, "it has exited");
	else if (error == -ENOSYS)
		result_set(ad->ret, REMEDY_REFUSED,
			   "this kernel has no process_madvise(2): it is there since Linux 5.10");
	else
		result_set(ad->ret, REMEDY_FAILED, "process_madvise failed: %s", strerror(-error));
}

/* As long as the last call took, at least: whoever waited for the lock has it. */
static void pause_between(uint64_t took_ns)
{
	const uint64_t ns = MAX(took_ns, PAUSE_MIN_NS);
	const struct timespec pause = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	(void)nanosleep(&pause, NULL);
}

/* One call's ranges. false: it is over, one way or the other. */
static bool advise_some(struct advising *ad, const struct iovec *iov, size_t n)
{
	const uint64_t start = clock_ns();
	int r;

	ad->end = still_fits(ad);
	if (!ad->end && start + END_NS >= ad->site->deadline_ns)
		ad->end = "the deadline came";
	if (ad->end)
		return false;
	r = call_kernel(ad, iov, n);
	if (r < 0) {
		fail(ad, r);
		return false;
	}
	pause_between(clock_ns() - start);
	if (ad->a->watch)
		ad->end = ad->a->watch(ad->a->ctx, ad->advised, &ad->moved);
	if (!ad->end && ad->a->max_bytes && ad->moved >= ad->a->max_bytes)
		ad->end = "that is as much as may be moved at a time";
	return !ad->end;
}

/* The part of @s, from its beginning on, that lies in idle memory: the reader isn't trusted with more. */
static struct pageable_span clamp(const struct remedy_idle *idle, struct pageable_span s)
{
	if (idle->kind != REMEDY_IDLE_AGES)
		return s;
	for (size_t i = 0; i < idle->nspans; i++) {
		const uint64_t lo = MAX(s.lo, idle->spans[i].lo), hi = MIN(s.hi, idle->spans[i].hi);

		if (lo < hi)
			return (struct pageable_span){ lo, hi };
	}
	return (struct pageable_span){ s.hi, s.hi };
}

/* How much of the next call's may be taken now: up to the end of a huge page. */
static uint64_t slice_end(const struct advising *ad, uint64_t lo, uint64_t hi, uint64_t room)
{
	uint64_t most = room;

	if (ad->a->max_bytes)
		most = MIN(most, MAX(CALL_MIN, ad->a->max_bytes - MIN(ad->a->max_bytes, ad->moved)));
	if (hi - lo <= most)
		return hi;
	return MAX((lo + most) & ~(HUGE_PAGE - 1), MIN(hi, (lo & ~(HUGE_PAGE - 1)) + HUGE_PAGE));
}

/* All ranges of a round, a call at a time. */
static bool advise_ranges(struct advising *ad, const struct advise_round *round)
{
	struct iovec iov[ADVISE_RANGES_MAX];
	uint64_t length = 0;
	size_t n = 0;

	for (size_t i = 0; i < round->n; i++) {
		struct pageable_span s = clamp(ad->site->idle, round->v[i]);

		while (s.lo < s.hi) {
			const uint64_t end = slice_end(ad, s.lo, s.hi, ad->call - MIN(length, ad->call - CALL_MIN));

			iov[n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)s.lo, .iov_len = end - s.lo };
			length += end - s.lo;
			s.lo = end;
			if (length < ad->call && n < ADVISE_RANGES_MAX)
				continue;
			if (!advise_some(ad, iov, n))
				return false;
			n = length = 0;
		}
	}
	return !n || advise_some(ad, iov, n);
}

static bool open_target(struct advising *ad)
{
	const struct inject_target *t = ad->site->target;

	ad->maps_fd = procfs_open(t->piddir, "maps");
	ad->pidfd = ad->maps_fd < 0 ? ad->maps_fd : pstat_pidfd(t->piddir, t->pid);
	if (ad->pidfd >= 0)
		return true;
	fail(ad, ad->pidfd == -EACCES ? -EPERM : ad->pidfd);
	return false;
}

static void tell(const struct advising *ad, uint64_t bytes)
{
	struct remedy_result *ret = ad->ret;
	char size[16], time[24];

	ret->outcome = REMEDY_DONE;
	text_format(ret->detail, sizeof(ret->detail), "%s %s; %u calls, the longest took %s",
		    format_size(bytes, size, sizeof(size)), ad->a->moved, ad->calls,
		    format_time_us(ad->longest_ns / 1000, time, sizeof(time)));
	if (ad->end)
		text_append(ret->detail, sizeof(ret->detail), "; not all: %s", ad->end);
	if (ad->passed_over)
		text_append(ret->detail, sizeof(ret->detail), "; %u ranges had changed", ad->passed_over);
}

void advise_run(const struct remedy_site *site, const struct advise *a, struct remedy_result *ret)
{
	struct advising ad = { .site = site, .a = a, .ret = ret, .pidfd = -1, .maps_fd = -1, .call = CALL_MIN };
	_cleanup_close_ int maps_fd = -1, pidfd = -1;
	struct advise_round round;
	uint64_t bytes = 0;
	bool going = open_target(&ad);

	maps_fd = ad.maps_fd;
	pidfd = ad.pidfd;
	if (!going)
		return;
	ret->outcome = REMEDY_DONE;
	while (going) {
		int r = site->advise->next(site->advise->ctx, &round);

		if (r < 0)
			ad.end = r == -ETIME ? "looking for more took too long" : "the reader failed";
		if (r < 0 || !round.n)
			break;
		/* Without a better measure what was advised is what there was. */
		going = advise_ranges(&ad, &round);
		bytes += going ? round.bytes : 0;
		if (going && !a->watch) {
			ad.moved = bytes;
			if (a->max_bytes && bytes >= a->max_bytes) {
				ad.end = "that is as much as may be moved at a time";
				break;
			}
		}
	}
	if (ret->outcome != REMEDY_DONE)
		return;
	if (!ad.calls && ad.end)
		result_set(ret, REMEDY_REFUSED, "%s", ad.end);
	else
		tell(&ad, ad.moved);
}
