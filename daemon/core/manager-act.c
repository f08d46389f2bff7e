/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doing it. What is begun is on disk before, so that nobody does it again who doesn't know how it ended. */
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "base/pstatus.h"
#include "base/text.h"
#include "core/log.h"
#include "core/manager-private.h"

#define PLAN_LATE_US 60000000ull /* for which a plan holds once it may be carried out */

static const char *outcome_name(uint32_t outcome)
{
	static const char *const names[] = {
		[WORKER_RECLAIMED] = "reclaimed", [WORKER_NOTHING] = "nothing", [WORKER_REFUSED] = "refused",
		[WORKER_FAILED] = "failed",	  [WORKER_TIMEOUT] = "timeout", [WORKER_DENIED] = "denied",
		[WORKER_GONE] = "gone",		  [WORKER_WOULD] = "would",
	};

	return outcome < ARRAY_SIZE(names) && names[outcome] ? names[outcome] : "failed";
}

static bool is_done(const struct worker_result *res)
{
	return res->outcome == WORKER_RECLAIMED || res->outcome == WORKER_NOTHING;
}

/*
 * Also what was given back before it failed or time was up: by us, and not by the program itself while a thread was
 * searched for. A refusal changes nothing.
 */
static bool has_acted(const struct worker_result *res)
{
	bool called = false;

	for (uint32_t i = 0; i < res->nsteps; i++)
		called |= res->steps[i].call_us || (res->steps[i].remedy & POLICY_MOVES);
	return is_done(res) || (res->outcome != WORKER_REFUSED && called && res->freed > 0);
}

static uint64_t stopped_us(const struct worker_result *res)
{
	/* Of what was refused there may be no step. */
	uint64_t sum = 0, longest = MIN(res->stopped_us_max, WORKER_TIMEOUT_MAX_US);

	/* Figures of another program: they may be nonsense. */
	for (uint32_t i = 0; i < res->nsteps; i++)
		sum += MIN(res->steps[i].stopped_us, WORKER_TIMEOUT_MAX_US);
	return MAX(sum, longest);
}

/* By the worker, just before it did it. Where it did several things, what they return is for the most part the same. */
static uint64_t promised(const struct worker_result *res)
{
	uint64_t most = LEDGER_UNKNOWN;

	for (uint32_t i = 0; i < res->nsteps; i++)
		if (res->steps[i].has_predicted)
			most = most == LEDGER_UNKNOWN ? res->steps[i].predicted : MAX(most, res->steps[i].predicted);
	return most;
}

/* How much of the process is in swap since then; and by what its page faults are compared later. */
static void put_swap(const struct manager *m, const struct worker_result *res, struct ledger_record *rec)
{
	_cleanup_close_ int dir = procfs_open_pid(m->proc, rec->pid);
	struct pstatus status;
	struct pstat stat;
	int64_t swapped = 0;

	for (uint32_t i = 0; i < res->nsteps; i++)
		if (res->steps[i].remedy & WORKER_REMEDY_PAGEOUT)
			swapped = MIN(MAX(res->steps[i].swapped, 0), INT64_MAX / WORKER_STEPS_MAX);
	if (!swapped || dir < 0 || pstat_read(dir, &stat) < 0 || stat.start_time != rec->start_time ||
	    pstatus_read(dir, &status) < 0)
		return;
	rec->swapped = (uint64_t)swapped;
	rec->swap = status.vm_swap;
	rec->faults = stat.major_faults;
}

static void put_result(const struct worker_result *res, uint64_t began_us, struct ledger_record *rec)
{
	rec->kind = LEDGER_ACTION;
	rec->real_us = clock_us(CLOCK_REALTIME);
	rec->boot_us = manager_now();
	rec->duration_us = rec->boot_us - began_us;
	rec->stopped_us = stopped_us(res);
	text_format(rec->reason, sizeof(rec->reason), "%s", outcome_name(res->outcome));
	rec->words[0] = 0;
	(void)escape_text(res->reason, rec->words, sizeof(rec->words));
	if (!has_acted(res))
		return;
	rec->remedies = 0;
	for (uint32_t i = 0; i < res->nsteps; i++)
		rec->remedies |= res->steps[i].remedy;
	if (rec->predicted == LEDGER_UNKNOWN)
		rec->predicted = promised(res);
	rec->rss_before = res->rss_before;
	rec->rss_after = res->rss_after;
	rec->freed = res->freed;
}

/* Where nothing but memory that is in use was touched, none was freed. */
static bool is_cold(uint32_t remedies)
{
	return remedies == WORKER_REMEDY_COLD;
}

static void count(struct manager *m, const struct ledger_record *rec, const struct worker_result *res)
{
	struct manager_state *s = &m->state;

	s->stopped_us += rec->stopped_us;
	s->swapped += rec->swapped;
	if (res->outcome == WORKER_REFUSED)
		s->refused++;
	else if (is_done(res))
		s->actions++;
	else
		s->failed++;
	if (!has_acted(res))
		return;
	s->freed += ledger_not_swapped(rec, (uint64_t)MAX(rec->freed, 0));
	s->predicted += rec->predicted == LEDGER_UNKNOWN ? 0 : ledger_not_swapped(rec, rec->predicted);
}

static void learn(struct manager *m, const struct action *a, const struct worker_result *res)
{
	struct memory_process *process = memory_process(&m->memory, a->rec.pid, a->rec.start_time);
	struct memory_program *program = memory_program(&m->memory, a->rec.exe, a->rec.real_uid);
	const struct outcome what = {
		.acted = has_acted(res),
		.refused = res->outcome == WORKER_REFUSED,
		.predicted = a->rec.predicted == LEDGER_UNKNOWN ? POLICY_UNKNOWN : a->rec.predicted,
		.stopped_us = res->stopped_us_max,
		.rss_after = res->rss_after,
		.freed = res->freed,
		.moved = a->rec.swapped,
		.moves = !(a->rec.remedies & ~POLICY_MOVES),
		.cold = is_cold(a->rec.remedies),
	};

	process->told = REASON_NONE;
	policy_learn_action(&m->settings, &a->limits, &process->track, &program->track, &what, a->rec.boot_us);
	if (!what.acted || what.cold)
		return;
	checks_add(&m->checks, &a->rec);
	manager_check_plan(m);
}

/* How it ended, for the ledger and for memory. */
static void settle(struct manager *m, struct action *a, const struct worker_result *res, uint64_t began_us)
{
	put_result(res, began_us, &a->rec);
	put_swap(m, res, &a->rec);
	/* Killed by ourselves in the middle of it: how far it got isn't known. */
	if (m->stopping && res->outcome == WORKER_FAILED)
		text_format(a->rec.reason, sizeof(a->rec.reason), "%s", MANAGER_INTERRUPTED);
	if (a->dry_run)
		return;
	count(m, &a->rec, res);
	learn(m, a, res);
	(void)manager_write(m, &a->rec, true);
}

/* Of a CPU, that the process has used so far. 0 or -errno. */
static int read_ticks(const struct manager *m, const struct ledger_record *rec, uint64_t *ret)
{
	_cleanup_close_ int dir = procfs_open_pid(m->proc, rec->pid);
	struct pstat stat;
	int r = dir < 0 ? dir : pstat_read(dir, &stat);

	if (r == 0 && stat.start_time != rec->start_time)
		r = -ESRCH;
	if (r == 0)
		*ret = stat.utime + stat.stime;
	return r;
}

/* What its threads did for us is counted as theirs. Nobody looks meanwhile how busy it is. */
static void discount(struct manager *m, const struct action *a)
{
	struct candidate *c = candidates_find(&m->candidates, a->rec.pid, a->rec.start_time);
	uint64_t now;

	if (c && a->timed && read_ticks(m, &a->rec, &now) == 0 && now > a->ticks)
		activity_discount(&c->activity, now - a->ticks);
}

static void on_acted(struct task *t, void *arg)
{
	_cleanup_free_ struct action *a = arg;
	struct manager *m = a->m;

	discount(m, a);
	settle(m, a, &t->result, t->began_us);
	manager_idle_touched(m, &t->req, &t->result);
	budget_give_pageout(&m->budget, a->pageout, a->rec.swapped);
	budget_give(&m->settings, &m->budget, a->asked || a->dry_run ? 0 : a->rec.stopped_us, manager_now());
	if (a->fn) {
		const struct manager_result result = { .worker = &t->result };

		a->fn(a->arg, &result);
	}
	if (!m->stopping)
		manager_dispatch(m);
}

int manager_act(struct manager *m, struct action *a, const struct worker_request *req)
{
	struct worker_result res = { .outcome = WORKER_FAILED };
	int r;

	a->rec.kind = LEDGER_BEGIN;
	a->rec.remedies = req->remedies;
	if (task_find(&m->tasks, req->pid))
		return -EBUSY;
	r = a->dry_run ? 0 : manager_write(m, &a->rec, true);
	if (r < 0)
		return r;
	a->timed = read_ticks(m, &a->rec, &a->ticks) == 0;
	r = task_start(&m->tasks, req, TASK_ACT, on_acted, a);
	if (r < 0) {
		text_format(res.reason, sizeof(res.reason), "the worker can't be started: %s", strerror(-r));
		settle(m, a, &res, manager_now());
	}
	return r;
}

static uint32_t flags_of(const struct plan *plan)
{
	static const uint32_t depths[] = {
		[DEPTH_AUTO] = 0, [DEPTH_NORMAL] = WORKER_F_NORMAL, [DEPTH_DEEP] = WORKER_F_DEEP
	};

	/* Auto leaves out what no longer pays, a collection always. */
	return depths[plan->limits.depth] | (plan->remedies & (POLICY_COLLECT | POLICY_MOVES) ? 0 : WORKER_F_AUTO);
}

static int carry_out(struct manager *m, struct candidate *c, uint64_t pageout)
{
	_cleanup_free_ struct action *a = calloc(1, sizeof(*a));
	struct worker_request req = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = c->pid,
		.start_time = c->start_time,
		.flags = flags_of(&c->plan),
		.remedies = c->plan.remedies,
		.timeout_us = c->plan.limits.timeout_us,
		.max_stop_us = c->plan.limits.max_stop_us,
		.owner = WORKER_OWNER_ANY,
	};
	int r;

	if (!a)
		return -ENOMEM;
	if (c->plan.remedies & POLICY_MOVES)
		manager_idle_prove(m, c, &c->plan.limits, c->plan.by_ages, &req);
	req.max_bytes = pageout;
	a->m = m;
	a->limits = c->plan.limits;
	a->pageout = pageout;
	a->rec = manager_record(m, LEDGER_BEGIN, c);
	a->rec.predicted = c->plan.predicted == POLICY_UNKNOWN ? LEDGER_UNKNOWN : c->plan.predicted;
	text_format(a->rec.reason, sizeof(a->rec.reason), "%s", policy_reason_name(REASON_WORTH_IT));
	r = manager_act(m, a, &req);
	if (r == 0)
		a = NULL;
	return r;
}

/* Is what was seen before the look still so? It may have woken up, or somebody traces it now. */
static bool still_wanted(struct manager *m, struct candidate *c, uint64_t now_us)
{
	struct decision d;

	if (now_us > c->plan.until_us || candidate_refresh(c, m->proc, MANAGER_PASSWD, true, manager_awake_us()) < 0)
		return false;
	manager_screen(m, c, true, now_us, &d);
	if (manager_plan_holds(c, &d))
		return true;
	c->decision = d;
	manager_leave(m, c);
	return false;
}

/* What was found stays true for as long as the limits of all together make it wait. */
static void put_off(struct candidate *c, enum reason reason)
{
	static const char *const words[REASON_N] = {
		[REASON_RATE] = "worth it, but as much as may be done in a minute has been done",
		[REASON_STOP_BUDGET] = "worth it, but programs have been stopped for as long as may be in a minute",
		[REASON_WORKERS] = "worth it, but as many workers as may be are at work",
	};

	c->decision.verdict = VERDICT_WAIT;
	c->decision.reason = reason;
	c->decision.not_before_us = c->plan.not_before_us;
	text_format(c->decision.words, sizeof(c->decision.words), "%s", words[reason] ? words[reason] : "");
	if (reason != REASON_WORKERS)
		c->plan.until_us = MAX(c->plan.until_us, c->plan.not_before_us + PLAN_LATE_US);
}

/* What all together may move in a minute. */
static bool take_pageout(struct manager *m, struct candidate *c, uint64_t now_us, uint64_t *ret)
{
	if (!(c->plan.remedies & POLICY_PAGEOUT))
		return true;
	*ret = budget_take_pageout(&m->settings, &m->budget, c->plan.predicted, c->plan.limits.min_reclaim, now_us,
				   &c->plan.not_before_us);
	return *ret > 0;
}

/* -EAGAIN: no worker is free. */
static int act(struct manager *m, struct candidate *c)
{
	const uint64_t now_us = manager_now();
	uint64_t pageout = 0;
	enum reason reason;
	int r;

	if (!still_wanted(m, c, now_us)) {
		c->plan.wanted = false;
		return 0;
	}
	if (!take_pageout(m, c, now_us, &pageout)) {
		put_off(c, REASON_RATE);
		return 0;
	}
	if (!budget_take(&m->settings, &m->budget, m->ncpus, now_us, &reason, &c->plan.not_before_us)) {
		budget_give_pageout(&m->budget, pageout, 0);
		put_off(c, reason);
		if (reason != REASON_WORKERS)
			return 0;
		c->plan.not_before_us = 0;
		return -EAGAIN;
	}
	c->plan.wanted = false;
	r = carry_out(m, c, pageout);
	if (r < 0) {
		budget_give_pageout(&m->budget, pageout, 0);
		budget_give(&m->settings, &m->budget, 0, now_us);
	}
	return 0;
}

/* Actions before looks, large ones before small ones. NULL: nothing to do now. */
static struct candidate *next(const struct manager *m, uint64_t now_us)
{
	struct candidate *best = NULL;

	for (size_t i = 0; i < m->candidates.n; i++) {
		struct candidate *c = m->candidates.v[i];
		const bool ready = c->plan.wanted && c->plan.not_before_us <= now_us;

		if ((!ready && (!c->wants_look || c->plan.wanted)) || task_find(&m->tasks, c->pid))
			continue;
		if (!best || ready > best->plan.wanted || (ready == best->plan.wanted && c->anon > best->anon))
			best = c;
	}
	return best;
}

void manager_dispatch(struct manager *m)
{
	struct candidate *c;

	while ((c = next(m, manager_now())) != NULL) {
		const bool looks = !c->plan.wanted;
		int r = looks ? manager_look(m, c) : act(m, c);

		if (r == -EAGAIN)
			return;
		/* A worker that can't be started: the next sweep tries again. */
		c->wants_look = false;
		if (r < 0 && !m->start_failed)
			log_error("%s can't be started: %s; trying again every time", m->worker_path, strerror(-r));
		m->start_failed = r < 0;
	}
}
