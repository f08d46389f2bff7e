/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is there, and what does policy say of them? Once per interval, and when
 * memory gets short, and when the module says so.
 */
#include <malloc.h>
#include <string.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/text.h"
#include "core/log.h"
#include "core/manager-private.h"

#define SECOND_US 1000000ull
#define URGENT_US (10 * SECOND_US) /* for so long after the kernel's last word, at least */
#define RESYNC_US SECOND_US /* between a sweep and one for something that was missed */

enum urgency manager_urgency(const struct manager *m, uint64_t now_us)
{
	return m->urgent_until_us > now_us ? URGENCY_PRESSURE : URGENCY_NONE;
}

static void screen(struct manager *m, const struct candidate *c, uint64_t now_us, struct decision *ret)
{
	const struct track *process = memory_of_process(&m->memory, c->pid, c->start_time);
	const struct track *program = memory_of_program(&m->memory, c->exe ? c->exe : "", c->uid);
	struct subject subject;

	candidate_subject(c, manager_awake_us(), &subject);
	subject.idle_age_us = m->senses.idle_age_us;
	policy_screen(&m->settings, &subject, process, program, manager_urgency(m, now_us), now_us, ret);
}

/*
 * All of /proc has to be read for it: once for a sweep, and for what the module announces until the next one. Who has
 * begun to trace meanwhile is found before anything is done: then it is read anew (@fresh).
 */
static bool is_tracer(struct manager *m, int dir, pid_t pid, bool fresh, uint64_t now_us)
{
	if (!m->tracers_us || m->tracers_us < (fresh ? now_us : m->last_sweep_us)) {
		tracers_done(&m->tracers);
		m->tracers_us = 0;
		/* Not known is as good as yes: then nobody is touched. */
		if (tracers_read(m->proc, &m->tracers) < 0)
			return true;
		m->tracers_us = now_us;
	}
	return tracers_have(&m->tracers, dir, pid);
}

static void read_traits(struct manager *m, struct candidate *c, bool fresh, uint64_t now_us)
{
	_cleanup_close_ int dir = procfs_open_pid(m->proc, c->pid);

	if (dir < 0)
		return;
	traits_read(dir, m->cgroups, c->cgroup ? c->cgroup : "", &c->traits);
	c->tracer = is_tracer(m, dir, c->pid, fresh, now_us);
}

static bool says_yes(const struct decision *d)
{
	return d->verdict == VERDICT_LOOK || d->reason == REASON_LOOKED;
}

bool manager_plan_holds(const struct candidate *c, const struct decision *d)
{
	return says_yes(d) && !(d->moves_only && (c->plan.remedies & ~POLICY_MOVES));
}

void manager_screen(struct manager *m, struct candidate *c, bool fresh, uint64_t now_us, struct decision *ret)
{
	c->traits = (struct traits){ 0 };
	c->tracer = false;
	screen(m, c, now_us, ret);
	if (!says_yes(ret))
		return;
	read_traits(m, c, fresh, now_us);
	screen(m, c, now_us, ret);
}

/* Steps on the way of every process, and limits of all together, are no reason that anybody asks for. */
static bool is_news(enum reason reason)
{
	switch (reason) {
	case REASON_NONE:
	case REASON_NOT_IDLE_YET:
	case REASON_COOLDOWN:
	case REASON_LOOKED:
	case REASON_RATE:
	case REASON_STOP_BUDGET:
	case REASON_WORKERS:
	case REASON_WORTH_IT:
	case REASON_MODE:
		return false;
	default:
		return true;
	}
}

void manager_leave(struct manager *m, struct candidate *c)
{
	const struct memory_process *known = memory_find(&m->memory, c->pid, c->start_time);
	struct ledger_record rec;

	if (!is_news(c->decision.reason) || (known && known->told == c->decision.reason))
		return;
	memory_process(&m->memory, c->pid, c->start_time)->told = c->decision.reason;
	rec = manager_record(m, LEDGER_LEAVE, c);
	rec.predicted = c->promised == POLICY_UNKNOWN ? LEDGER_UNKNOWN : c->promised;
	text_format(rec.reason, sizeof(rec.reason), "%s", policy_reason_name(c->decision.reason));
	text_format(rec.words, sizeof(rec.words), "%s", c->decision.words);
	(void)manager_write(m, &rec, false);
}

/* -ESRCH: it has gone. */
static int judge(struct manager *m, struct candidate *c, uint64_t now_us)
{
	struct decision d;
	int r;

	/* Being looked at or acted on: what is seen now is our own doing. */
	if (task_find(&m->tasks, c->pid))
		return 0;
	r = candidate_refresh(c, m->proc, MANAGER_PASSWD, false, manager_awake_us());
	if (r < 0)
		return r;
	c->judged_us = now_us;
	manager_screen(m, c, false, now_us, &d);
	/* Looked at, and worth it: only its turn has not come. */
	if (c->plan.wanted && now_us < c->plan.not_before_us && manager_plan_holds(c, &d)) {
		c->wants_look = false;
		return 0;
	}
	c->decision = d;
	c->wants_look = c->decision.verdict == VERDICT_LOOK;
	if (!c->wants_look)
		manager_leave(m, c);
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;

	return (x->anon < y->anon) - (x->anon > y->anon);
}

static int by_pid(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* What forked children share counts for each of them: there may be more large processes than memory. */
static void keep_largest(struct proc_list *l)
{
	if (l->n <= CANDIDATES_MAX)
		return;
	qsort(l->v, l->n, sizeof(*l->v), by_size);
	while (l->n > CANDIDATES_MAX)
		proc_done(&l->v[--l->n]);
	qsort(l->v, l->n, sizeof(*l->v), by_pid);
}

static int list(struct manager *m)
{
	const struct proc_filter filter = { .min_anon = manager_smallest(m), .patient = true };
	_cleanup_(proc_list_done) struct proc_list l = { 0 };
	char why[MANAGER_WHY] = "";
	int r = senses_list(&m->senses, &filter, &l, why, sizeof(why));

	if (r < 0 && !m->list_failed)
		log_error("%s; trying again every time", why);
	m->list_failed = r < 0;
	m->state.source = senses_name(&m->senses);
	if (r < 0)
		return r;
	keep_largest(&l);
	return candidates_replace(&m->candidates, &l);
}

static void judge_all(struct manager *m, uint64_t now_us)
{
	uint64_t wanted = 0;

	for (size_t i = 0; i < m->candidates.n; i++) {
		struct candidate *c = m->candidates.v[i];

		if (judge(m, c, now_us) < 0)
			c->wants_look = c->plan.wanted = false;
		wanted += c->wants_look || c->plan.wanted;
	}
	m->state.processes = m->candidates.n;
	m->state.candidates = wanted;
}

static void sweep(struct manager *m)
{
	const uint64_t now_us = manager_now();

	m->last_sweep_us = now_us;
	m->state.last_sweep_us = clock_us(CLOCK_REALTIME);
	m->state.sweeps++;
	manager_sweep_soon(m, now_us + m->settings.interval_us);
	if (list(m) == 0)
		judge_all(m, now_us);
	manager_dispatch(m);
	manager_tell(m);
	/* A list of all processes was here, and is needed once per interval only. */
	(void)malloc_trim(0);
}

static int on_time(sd_event_source *source, uint64_t usec, void *arg)
{
	(void)source;
	(void)usec;
	sweep(arg);
	return 0;
}

void manager_sweep_soon(struct manager *m, uint64_t at_us)
{
	(void)sd_event_source_set_time(m->sweep_timer, at_us);
	(void)sd_event_source_set_enabled(m->sweep_timer, SD_EVENT_ONESHOT);
}

int manager_sweep_start(struct manager *m)
{
	int r = sd_event_add_time(m->event, &m->sweep_timer, CLOCK_BOOTTIME, manager_now(), SECOND_US / 100, on_time,
				  m);

	return r < 0 ? r : 0;
}

void manager_pressure(void *arg)
{
	struct manager *m = arg;
	const uint64_t now_us = manager_now(), window_us = m->settings.pressure_window_us;

	if (manager_urgency(m, now_us) == URGENCY_NONE) {
		struct ledger_record rec = manager_record(m, LEDGER_PRESSURE, NULL);

		text_format(rec.words, sizeof(rec.words), "programs wait for memory: everything is more urgent now");
		(void)manager_write(m, &rec, false);
	}
	m->urgent_until_us = now_us + MAX(URGENT_US, 2 * window_us);
	if (now_us - m->last_sweep_us >= MIN(window_us, m->settings.interval_us))
		sweep(m);
}

void manager_resync(void *arg)
{
	struct manager *m = arg;
	const uint64_t at_us = MIN(m->settings.interval_us, RESYNC_US);

	manager_sweep_soon(m, MAX(m->last_sweep_us + at_us, manager_now()));
}

void manager_bloated(void *arg, const struct bloat_event *e)
{
	struct manager *m = arg;
	const uint64_t now_us = manager_now();
	struct candidate *c;

	if (e->proc.anon != PROC_UNKNOWN && e->proc.anon < manager_smallest(m))
		return;
	/* The next sweep takes the largest. */
	if (m->candidates.n >= CANDIDATES_MAX)
		return;
	c = candidates_take(&m->candidates, &e->proc);
	if (!c || (c->judged_us && now_us - c->judged_us < SECOND_US))
		return;
	if (judge(m, c, now_us) == 0)
		manager_dispatch(m);
}
