// SPDX-License-Identifier: GPL-2.0-or-later
/* The injector's half of purge: round after round, until nothing is left or time is up. */
#include "remedy/purge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/text.h"
#include "remedy/attempt.h"
#include "remedy/purge-plan.h"

#define PURGE_STOP_NS 2000000ull /* for which a lock is held, unless --max-stop says otherwise */
#define PURGE_STOP_MIN_NS 200000ull
#define PURGE_BYTES_FIRST (4ull << 20) /* dropped in the first round; then as the time that it took allows */
#define PURGE_BYTES_MIN (256ull << 10)
#define PURGE_BYTES_MAX (64ull << 20)
#define PURGE_SEARCH_NS 2000000000ull
#define PURGE_OTHERS_NS 20000000ull
#define PURGE_REST_NS 60000000
#define PURGE_LOCK_NS 300000000ull /* how long we wait for the thread to get the lock */
#define PURGE_END_NS 2000000000ull
#define PURGE_FAILURES_MAX 12 /* in a row */
#define PURGE_SKIPPED_MAX 4 /* locks that can't be had */
#define PURGE_WAITS_MAX 4 /* for Python's, in a row */
#define PURGE_PAUSE_NS 3000000 /* after a round that came to nothing; on a busy machine up to 64 times as long */
#define USER_TOP (1ull << 47)
#define PURGE_CHANGING "its allocator could not be told: it keeps changing"

struct purge_run {
	const struct remedy_site *site;
	const struct remedy_plan *plan;
	struct purge_lists *lists;
	struct purge_ask ask;
	struct inject_search search;
	uint64_t stop_ns;
	unsigned int failures; /* in a row */
	pid_t waiter; /* the thread that has been left waiting for Python's lock, or 0 */
	unsigned int waits; /* in a row, that were of no use */
	uint64_t rested_ns; /* when a thread whose timeouts begin anew was last left alone */
	/* the account */
	uint64_t rounds, given_up, ranges;
	struct inject_stops stops;
	uint64_t longest_hold_ns;
	uint64_t skipped; /* arenas that were given up, or the interpreter */
	uint32_t passed; /* by the reader, see purge_round */
};

enum purge_step {
	PURGE_GO_ON,
	PURGE_AGAIN, /* came to nothing, may do the next time */
	PURGE_END,
};

static bool purge_is_range(const struct purge_range *r)
{
	return r->addr && !(r->addr % 4096) && r->len && !(r->len % 4096) && r->addr < USER_TOP &&
	       r->len <= USER_TOP - r->addr;
}

/* The reader may be under the control of what it read: nothing beyond the bounds is believed. */
static int purge_accept(const struct purge_run *run, struct lease_write *writes, struct lease_range *ranges)
{
	const struct purge_lists *l = run->lists;

	if (l->nranges > run->ask.max_ranges || l->nwrites > run->ask.max_writes || l->nvalues > run->ask.max_values)
		return -EBADMSG;
	for (uint32_t i = 0; i < l->nranges; i++) {
		if (!purge_is_range(&l->ranges[i]))
			return -EBADMSG;
		ranges[i] = (struct lease_range){ .addr = l->ranges[i].addr, .len = l->ranges[i].len };
	}
	for (uint32_t i = 0; i < l->nwrites; i++) {
		const struct purge_write *w = &l->writes[i];

		if (!w->len || w->offset > l->nvalues || w->len > l->nvalues - w->offset ||
		    w->addr >= USER_TOP - w->len)
			return -EBADMSG;
		writes[i] = (struct lease_write){ .addr = w->addr, .len = w->len, .bytes = l->values + w->offset };
	}
	return 0;
}

/* While the thread holds the lock. Whatever fails here, the lock must be let go at once. */
static int purge_under_lock(struct purge_run *run, struct lease *lease, bool *ret_something)
{
	struct lease_write writes[PURGE_WRITES_MAX];
	struct lease_range ranges[PURGE_RANGES_MAX];
	const struct lease_room *room = lease_room(lease);
	struct purge_ask ask = run->ask;
	int r, unlock;

	ask.max_ranges = (uint32_t)MIN((size_t)ask.max_ranges, room->ranges);
	ask.max_writes = (uint32_t)MIN((size_t)ask.max_writes, room->writes);
	ask.max_values = (uint32_t)MIN((size_t)ask.max_values, room->write_bytes);
	ask.budget_ns = MIN(run->stop_ns / 2, lease_left_ns(lease) / 2);
	*ret_something = false;
	r = run->site->purge->check(run->site->purge->ctx, &ask, run->lists);
	/* What the reader couldn't read; of the thread it would mean a fault. */
	if (r == -EFAULT)
		r = -EBADMSG;
	if (r == 0)
		r = purge_accept(run, writes, ranges);
	if (r == 0 && run->lists->nranges + run->lists->nwrites > 0) {
		r = lease_commit(lease, writes, run->lists->nwrites, ranges, run->lists->nranges);
		*ret_something = r == 0;
		if (r == 0)
			return 0;
	}
	unlock = lease_commit(lease, NULL, 0, NULL, 0);
	return r < 0 ? r : unlock;
}

/*
 * Towards rounds of half the time that is allowed: the rest is for a thread that
 * isn't scheduled at once. Less at once, more by and by: a round that was stretched
 * by somebody else says little of how many bytes fit.
 */
static uint64_t purge_next_bytes(const struct purge_run *run, uint64_t hold_ns)
{
	uint64_t bytes = run->ask.max_bytes, aim = run->stop_ns / 2;

	if (hold_ns > aim)
		bytes -= bytes / 4 * MIN((hold_ns - aim) * 4 / aim, 2);
	else
		bytes += bytes / 8 * ((aim - hold_ns) * 8 / aim);
	return MIN(MAX(bytes, PURGE_BYTES_MIN), PURGE_BYTES_MAX);
}

static void purge_count(struct purge_run *run, const struct lease_times *t, bool applied)
{
	inject_stops_add(&run->stops, t->total_ns);
	run->longest_hold_ns = MAX(run->longest_hold_ns, t->hold_ns);
	if (!applied)
		return;
	run->rounds++;
	run->ranges += run->lists->nranges;
	run->ask.max_bytes = purge_next_bytes(run, t->hold_ns);
}

/* *ret_counted: whether its stops are in the account. */
static int purge_hold(struct purge_run *run, struct lease *lease, bool *ret_counted)
{
	struct lease_times times = { 0 };
	bool something = false, applied = false;
	int r = lease_wait_held(lease, MIN(run->site->deadline_ns, clock_ns() + PURGE_LOCK_NS)), end;

	if (r < 0)
		return r;
	r = purge_under_lock(run, lease, &something);
	end = lease_end(lease, clock_ns() + PURGE_END_NS, &times, &applied);
	applied &= something;
	*ret_counted = end == 0;
	if (end == 0)
		purge_count(run, &times, applied);
	if (end < 0 || r < 0)
		return end < 0 ? end : r;
	return applied ? 0 : -EAGAIN;
}

/* May the thread still be waiting for Python's lock? Not when it has ended. */
static bool purge_is_waited_for(const struct purge_run *run)
{
	char path[sizeof("task/-2147483648")];

	(void)snprintf(path, sizeof(path), "task/%d", run->waiter);
	return faccessat(run->site->target->piddir, path, F_OK, 0) == 0 || errno != ENOENT;
}

/* A thread for the next round. -EUSERS: there is none in reasonable time. */
static int purge_find(struct purge_run *run, bool gil, struct inject_found *ret_found, struct remedy_result *ret)
{
	const struct remedy_site *site = run->site;
	const bool others = run->search.navoid > 0;
	uint64_t now = clock_ns(), left = site->deadline_ns > now ? site->deadline_ns - now : 0;
	int r;

	/* One that may still be waiting for Python's lock, whoever holds it: no other one must join it. */
	run->search.only = gil && run->waiter && purge_is_waited_for(run) ? run->waiter : 0;
	/* For another thread than the one that was of no use: not for long. Nor for Python's all of the time. */
	run->search.deadline_ns =
		now + (others ? MIN(left, PURGE_OTHERS_NS) : MIN(left / (gil ? 4 : 1), PURGE_SEARCH_NS));
	r = inject_pick(site->target, gil ? site->python_prover : site->prover, &run->search, ret_found);
	inject_stops_join(&run->stops, &ret_found->stops);
	run->search.navoid = 0;
	if (r == -EAGAIN && others)
		return r;
	if (r < 0)
		attempt_pick_failed(site, r, ret_found, ret);
	return r == -EAGAIN ? -EUSERS : r;
}

/*
 * A sleep with a relative timeout begins anew after each round, and would not
 * end before the purge does. So that the timeouts of event loops come, such a
 * thread is left alone for as long as it was kept busy.
 */
static void purge_rest(struct purge_run *run, const struct inject_found *found)
{
	const struct timespec rest = { .tv_nsec = PURGE_REST_NS };
	uint64_t now = clock_ns();

	if (!found->restarts || !run->rested_ns || now - run->rested_ns > 4 * PURGE_REST_NS) {
		run->rested_ns = now;
		return;
	}
	if (now - run->rested_ns < PURGE_REST_NS)
		return;
	(void)nanosleep(&rest, NULL);
	run->rested_ns = clock_ns();
}

/* What a round can fail of, beyond what a call can. */
static void purge_round_failed(int r, const char *why, bool gil, struct remedy_result *ret)
{
	if (!why && r == -EAGAIN)
		why = "what was free had been used again";
	else if (!why && r == -ETIMEDOUT)
		why = gil ? "Python's global lock could not be had in time" : "malloc's lock could not be had in time";
	else if (!why && r == -ETIME)
		why = "the machine is too busy: the lock had been let go of before all was ready";
	else if (!why && r == -EBADMSG)
		why = PURGE_CHANGING;
	attempt_call_failed(r, why, "a purge", ret);
}

/* One thread, one lock, one list. 0 when there is nothing more to say about it; else why not. */
static int purge_round(struct purge_run *run, const struct purge_round *round, struct remedy_result *ret)
{
	_cleanup_lease_ struct lease *lease = NULL;
	const bool gil = round->kind == PURGE_GIL;
	const struct lease_request req = {
		.kind = gil ? LEASE_GIL : LEASE_ARENA,
		.drop = lease_vector_possible() ? LEASE_DROP_VECTOR : LEASE_DROP_SINGLE,
		.lock_addr = round->lock,
		.advice = run->site->advice,
		.want_ranges = MAX(MIN(round->ranges, run->ask.max_ranges), (uint32_t)LEASE_RANGES_MIN),
		.want_writes = MIN(round->writes, run->ask.max_writes),
		.want_write_bytes = MIN(round->values, run->ask.max_values),
	};
	struct inject_found found = { .inj = NULL };
	const char *why = NULL;
	bool counted = false;
	uint64_t since;
	int r = purge_find(run, gil, &found, ret);

	if (r < 0)
		return r;
	since = clock_ns() - inject_stopped_ns(found.inj);
	r = lease_begin(found.inj, gil ? &run->plan->gil : &run->plan->arena, &found.stack, &req, &lease, &why);
	inject_close(found.inj);
	if (r == 0)
		run->waiter = 0;
	/* Of no use now, perhaps later: the others first. */
	if (r < 0 && found.asleep)
		run->search.avoid[run->search.navoid++] = found.tid;
	if (r == 0)
		r = purge_hold(run, lease, &counted);
	if (gil && lease && r == -ETIMEDOUT)
		run->waiter = found.tid;
	/* No account of its own: all of it, until the thread was let go at the latest. */
	if (!counted)
		inject_stops_add(&run->stops, clock_ns() - since);
	if (r < 0)
		purge_round_failed(r, why, gil, ret);
	/* It may not have come to the stop yet that it is called back by: nobody must stand while we rest. */
	lease_close(TAKE_PTR(lease));
	purge_rest(run, &found);
	return r;
}

/* This lock can't be had: perhaps the next one can. */
static enum purge_step purge_skip(struct purge_run *run)
{
	if (++run->skipped > PURGE_SKIPPED_MAX)
		return PURGE_END;
	run->failures = 0;
	run->ask.again = 0;
	run->ask.skip = 1;
	return PURGE_AGAIN;
}

/* What a failed round means for the next one. */
static enum purge_step purge_judge(struct purge_run *run, bool gil, int r)
{
	/* A machine too busy to answer within a round is so for longer than a moment. */
	const struct timespec pause = { .tv_nsec = PURGE_PAUSE_NS << (r == -ETIME ? MIN(run->failures, 6u) : 0) };

	if (r < 0 && inject_is_late())
		return PURGE_END;
	switch (r) {
	case 0:
		run->failures = run->waits = 0;
		run->ask.again = 0;
		run->ask.applied = 1;
		return PURGE_GO_ON;
	case -EAGAIN:
	case -ETIME:
	case -EDEADLK:
	case -ENOSPC:
	case -EBADMSG:
		break;
	case -ETIMEDOUT:
		if (gil && ++run->waits >= PURGE_WAITS_MAX) {
			run->given_up++;
			run->ask.applied = 0;
			return purge_skip(run);
		}
		break;
	case -EUSERS:
		/* Without a thread for malloc's lock there is none for any lock. */
		run->ask.applied = 0;
		return gil ? purge_skip(run) : PURGE_END;
	default:
		return PURGE_END;
	}
	run->given_up++;
	/* Says nothing of what was to be done under the lock. */
	run->ask.again = r != -ETIMEDOUT;
	run->ask.applied = 0;
	if (++run->failures < PURGE_FAILURES_MAX) {
		(void)nanosleep(&pause, NULL);
		return PURGE_AGAIN;
	}
	return purge_skip(run);
}

static void purge_scan_failed(int r, struct remedy_result *ret)
{
	static const struct {
		int error;
		enum remedy_outcome outcome;
		const char *text;
	} known[] = {
		{ -ETIME, REMEDY_TIMEOUT, "time was up before all of it was read" },
		{ -EDQUOT, REMEDY_TIMEOUT, "its allocator takes too long to be read" },
		{ -ESRCH, REMEDY_GONE, "it has exited, or ran another program" },
		{ -EFAULT, REMEDY_REFUSED, PURGE_CHANGING },
		{ -EBADMSG, REMEDY_REFUSED, PURGE_CHANGING },
		{ -EAGAIN, REMEDY_REFUSED, PURGE_CHANGING },
	};

	ret->outcome = REMEDY_FAILED;
	text_format(ret->reason, sizeof(ret->reason), "reading its allocator failed: %s", strerror(-r));
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].error == r) {
			ret->outcome = known[i].outcome;
			text_format(ret->reason, sizeof(ret->reason), "%s", known[i].text);
		}
}

static int purge_rounds(struct purge_run *run, struct remedy_result *ret)
{
	for (;;) {
		struct purge_round round = { .passed = 0 };
		int r;

		if (clock_ns() >= run->site->deadline_ns) {
			ret->outcome = REMEDY_TIMEOUT;
			text_format(ret->reason, sizeof(ret->reason), "time was up before all of it was purged");
			return -ETIMEDOUT;
		}
		r = run->site->purge->scan(run->site->purge->ctx, &run->ask, &round);
		run->ask.skip = 0;
		run->passed = round.passed;
		/* To the reader it looks like one whose memory changes. */
		if ((r < 0 || (round.kind == PURGE_DONE && run->passed)) && inject_is_over(run->site->target))
			r = -ESRCH;
		if (r < 0) {
			purge_scan_failed(r, ret);
			return r;
		}
		if (round.kind == PURGE_DONE)
			return 0;
		r = purge_round(run, &round, ret);
		if (purge_judge(run, round.kind == PURGE_GIL, r) == PURGE_END)
			return r;
	}
}

static void purge_tell(const struct purge_run *run, struct remedy_result *ret)
{
	char hold[32];

	text_format(ret->detail, sizeof(ret->detail), "%llu round%s, %llu ranges; a lock was held %s at most",
		    (unsigned long long)run->rounds, run->rounds == 1 ? "" : "s", (unsigned long long)run->ranges,
		    format_time_us(run->longest_hold_ns / 1000, hold, sizeof(hold)));
	if (run->given_up && !run->skipped)
		text_append(ret->detail, sizeof(ret->detail), "; %llu given up (last: %s)",
			    (unsigned long long)run->given_up, *ret->reason ? ret->reason : "nothing held any more");
	if (run->skipped)
		text_append(ret->detail, sizeof(ret->detail), "; %llu of its locks could not be had: %s",
			    (unsigned long long)run->skipped, ret->reason);
	if (run->ranges && run->site->advice == MADV_FREE)
		text_append(ret->detail, sizeof(ret->detail),
			    "; resident until the kernel needs memory (--advice=free)");
	if (*run->plan->note)
		text_append(ret->detail, sizeof(ret->detail), "; %s", run->plan->note);
}

static void purge_run(const struct remedy_site *site, const struct remedy_plan *plan, struct remedy_result *ret)
{
	_cleanup_free_ struct purge_lists *lists = calloc(1, sizeof(*lists));
	struct purge_run run = {
		.site = site,
		.plan = plan,
		.lists = lists,
		.ask = {
			.parts = plan->parts,
			.max_ranges = PURGE_RANGES_MAX,
			.max_writes = PURGE_WRITES_MAX,
			.max_values = PURGE_VALUES_MAX,
			.max_bytes = PURGE_BYTES_FIRST,
			.budget_ns = PURGE_STOP_NS / 2,
		},
		.search = { .data_lo = plan->data_lo, .data_hi = plan->data_hi },
		.stop_ns = site->max_stop_ns ? MAX(site->max_stop_ns, PURGE_STOP_MIN_NS) : PURGE_STOP_NS,
	};
	int r;

	if (!lists || !site->purge) {
		text_format(ret->reason, sizeof(ret->reason), "out of memory");
		return;
	}
	r = purge_rounds(&run, ret);
	ret->stops = run.stops;
	ret->call_ns = run.longest_hold_ns;
	/* What was given back counts, also where the rest could not be. */
	if ((r == 0 && !run.skipped) ||
	    (run.rounds && (r == 0 || ret->outcome == REMEDY_REFUSED || ret->outcome == REMEDY_TIMEOUT)))
		ret->outcome = REMEDY_DONE;
	purge_tell(&run, ret);
	if (r < 0 && ret->outcome == REMEDY_DONE)
		text_append(ret->detail, sizeof(ret->detail), "; ended early: %s", ret->reason);
	/* Of rounds that the next one made good. */
	if (r == 0 && !run.skipped && !run.passed)
		ret->reason[0] = '\0';
	else if (!*ret->reason)
		text_format(ret->reason, sizeof(ret->reason), "%s", PURGE_CHANGING);
}

/* Retired pools are paid for in address space: not where that is short, or charged for. */
static bool purge_may_grow(const struct remedy_site *site)
{
	/* The second counts private anonymous mappings since Linux 4.7. */
	static const char *const limits[] = { "\nMax address space", "\nMax data size" };
	char text[4096];

	if (procfs_read(site->target->piddir, "limits", text, sizeof(text)) <= 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const char *line = strstr(text, limits[i]);

		if (!line)
			return false;
		line += strlen(limits[i]);
		if (strncmp(line + strspn(line, " "), "unlimited", 9) != 0)
			return false;
	}
	/* 2: each mapping is charged for, whether it is used or not */
	return procfs_read(site->target->piddir, "../sys/vm/overcommit_memory", text, sizeof(text)) > 0 && *text != '2';
}

static void purge_settle(const struct remedy_site *site, struct remedy_plan *plan)
{
	const bool deep = site->depth == REMEDY_DEPTH_DEEP ||
			  (site->depth == REMEDY_DEPTH_AUTO && !(plan->parts & PURGE_BUSY));

	/* Locked pages can't be dropped, and one such range keeps those behind it. */
	if (site->locked > site->anon / 2) {
		plan->possible = 0;
		text_format(plan->reason, sizeof(plan->reason),
			    "its memory is locked (mlock), so pages can't be dropped");
		return;
	}
	plan->lower -= MIN(plan->lower, site->locked);
	if (site->locked)
		text_append(plan->note, sizeof(plan->note), "%spart of its memory is locked (mlock) and stays",
			    *plan->note ? "; " : "");
	if ((plan->parts & PURGE_DEEP) && !(deep && purge_may_grow(site)))
		plan->parts &= ~(uint32_t)PURGE_DEEP;
	if (!(plan->parts & PURGE_DEEP))
		return;
	plan->predicted += plan->deep;
	plan->lower += plan->deep;
	plan->upper += plan->deep;
}

const struct remedy remedy_purge = {
	.name = "purge",
	.plan = purge_plan,
	.settle = purge_settle,
	.run = purge_run,
};
