/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What top has workers do, in which order, and how much of it. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "ctl/top.h"

/*
 * Looks on our own account may take 0.3 % of a CPU, and 60 ms beforehand. What
 * somebody asked for is paid for too, but not refused. While a glance is due it is
 * for glances, else for counting what they have left out, which has a purse of its
 * own, so that a costly count doesn't keep glances waiting.
 */
#define BUDGET_PERMILLE 3
#define BUDGET_MAX_US 60000
#define BUDGET_KEEP_US 20000 /* stays for glances: two or three */
#define DEBT_MAX_US 1000000 /* or who looked at a giant would see nothing else for long */
#define COUNTS_DEBT_US 2000000 /* more than a count may take: each is paid for, and glances don't wait for that */
#define COUNT_US 1000000ull /* of our own accord; whom somebody has asked for has more time */
#define COUNT_ASKED_US 10000000ull
#define QUIET_US 3000000ull /* longer than an interval: its size is known anew */
#define MESSAGE_US 15000000ull
#define GLANCES_US 200000

void top_done(struct top *t)
{
	if (t->detail.e)
		explanation_done(t->detail.e);
	free(t->detail.e);
	t->detail.e = NULL;
	top_view_done(&t->view);
	top_model_done(&t->model);
	canvas_done(&t->canvas);
	canvas_done(&t->sheet);
}

void top_say(struct top *t, enum style style, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->message, sizeof(t->message), fmt, ap);
	va_end(ap);
	t->message_style = style;
	t->message_until_us = clock_us(CLOCK_BOOTTIME) + MESSAGE_US;
	t->redraw = true;
}

/* ---------------------------------------------------------------- what to do */

static void budget_fill(struct top *t, uint64_t now_us)
{
	const uint64_t passed = MIN(now_us - t->budget_at_us, 3600000000ull);
	const int64_t keep = top_model_due(&t->model, now_us) ? BUDGET_MAX_US : BUDGET_KEEP_US;

	if (t->budget_at_us)
		t->budget_us += (int64_t)(passed * BUDGET_PERMILLE / 1000);
	else
		t->budget_us = BUDGET_MAX_US;
	if (t->budget_us > keep) {
		t->counts_us = MIN(t->counts_us + t->budget_us - keep, (int64_t)BUDGET_MAX_US);
		t->budget_us = keep;
	}
	/* What was too short to count isn't lost. */
	if (!t->budget_at_us || passed * BUDGET_PERMILLE >= 1000)
		t->budget_at_us = now_us;
}

static struct top_proc *hiding(const struct top *t, uint64_t now_us)
{
	return top_model_hiding(&t->model, now_us, t->deep ? 1 : TOP_HIDDEN_MIN, t->unlimited ? 0 : QUIET_US);
}

static struct top_proc *queued(const struct top *t)
{
	for (size_t i = 0; i < t->model.n; i++)
		if (t->model.v[i]->given.state == TOP_TRIM_QUEUED)
			return t->model.v[i];
	return NULL;
}

static void begin(struct top *t, enum top_job_kind kind, struct top_proc *p)
{
	int r = top_job_start(t->job, kind, p);

	if (r < 0 && r != -EBUSY)
		top_say(t, STYLE_BAD, "failed to start a thread: %s", strerror(-r));
}

static void begin_detail(struct top *t)
{
	struct top_proc *p = top_model_alive(&t->model, t->detail.pid, t->detail.start_time);

	t->detail.wanted = false;
	t->detail.gone = !p;
	if (p)
		begin(t, TOP_JOB_EXPLAIN, p);
}

/* Somebody has asked to have one counted, or it is of our own account. */
static void begin_count(struct top *t, struct top_proc *p)
{
	t->asked = p->wanted;
	t->made_way = p->wanted = false;
	t->job->count_us = t->asked || t->deep ? COUNT_ASKED_US : COUNT_US;
	begin(t, TOP_JOB_COUNT, p);
}

/* On our own account: glances first, then what they have left out. */
static void begin_look(struct top *t, uint64_t now_us)
{
	struct top_proc *p = t->unlimited || t->budget_us > 0 ? top_model_due(&t->model, now_us) : NULL;

	if (p) {
		begin(t, TOP_JOB_GLANCE, p);
		return;
	}
	p = t->unlimited || t->counts_us > 0 ? hiding(t, now_us) : NULL;
	if (p)
		begin_count(t, p);
}

void top_work(struct top *t, uint64_t now_us)
{
	struct top_proc *p;

	budget_fill(t, now_us);
	p = queued(t);
	/* Nobody waits for what can be done later as well. */
	if (t->job->kind == TOP_JOB_COUNT && !t->made_way &&
	    (p || t->detail.wanted || (!t->asked && top_model_wanted(&t->model)))) {
		t->made_way = true;
		top_job_cancel(t->job);
	}
	if (t->job->kind != TOP_JOB_NONE)
		return;
	if (p) {
		begin(t, p->given.dry ? TOP_JOB_DRY_RUN : TOP_JOB_TRIM, p);
		p->given.state = t->job->kind == TOP_JOB_NONE ? TOP_TRIM_NONE : TOP_TRIM_RUNNING;
		t->redraw = true;
		return;
	}
	if (t->detail.wanted) {
		begin_detail(t);
		return;
	}
	p = top_model_wanted(&t->model);
	if (p)
		begin_count(t, p);
	else
		begin_look(t, now_us);
}

bool top_work_pending(const struct top *t, uint64_t now_us)
{
	return t->job->kind != TOP_JOB_NONE || top_model_due(&t->model, now_us) || hiding(t, now_us);
}

/* ---------------------------------------------------------------- what came of it */

/* An explanation holds all that a glance would have told. */
static void look_from_explanation(struct top *t, struct top_proc *p, const struct explanation *e, uint64_t now_us)
{
	struct top_look look = { .seen = TOP_SEEN_INSIDE };

	if (!explanation_looked(e))
		return;
	look.allocator = explain_allocator_name(e->answer.head.allocator);
	look.runtime = explain_runtime_name(e->answer.head.runtime);
	top_inside_fill(&e->answer.head, &look.inside);
	look.inside.whole = true;
	top_model_take_look(p, &look, true, now_us);
	p->look.rss = e->proc.rss;
	top_model_recount(&t->model);
}

static void take_explanation(struct top *t, struct top_proc *p, uint64_t now_us)
{
	struct top_detail *d = &t->detail;
	struct explanation *e = TAKE_PTR(t->job->explanation);

	if (p && e)
		look_from_explanation(t, p, e, now_us);
	if (d->pid == t->job->pid && d->start_time == t->job->start_time) {
		d->gone = !e;
		/* Of one that has gone, what was known last is of more use than nothing. */
		if (e) {
			struct explanation *old = d->e;

			d->e = e;
			e = old;
			d->at_us = now_us;
		}
	}
	if (e)
		explanation_done(e);
	free(e);
}

static void say_trim(struct top *t, const struct top_proc *p)
{
	const struct top_given *g = &p->given;
	char comm[300], size[24], stopped[24], reason[WORKER_TEXT_MAX * 4];

	escape_text(p->p.comm, comm, sizeof(comm));
	escape_text(g->reason, reason, sizeof(reason));
	if (g->dry && (g->outcome == WORKER_WOULD || g->outcome == WORKER_NOTHING))
		top_say(t, STYLE_PLAIN, "%d (%s): would give back about %s; nothing was done", p->p.pid, comm,
			format_size(g->predicted, size, sizeof(size)));
	else if (g->outcome == WORKER_RECLAIMED)
		top_say(t, STYLE_GOOD, "%d (%s): %s given back, stopped for %s at most", p->p.pid, comm,
			format_size(g->freed > 0 ? (uint64_t)g->freed : 0, size, sizeof(size)),
			format_time_us(g->stopped_us, stopped, sizeof(stopped)));
	else if (g->outcome == WORKER_NOTHING)
		top_say(t, STYLE_PLAIN, "%d (%s): nothing to give back%s%.200s", p->p.pid, comm, *reason ? ": " : "",
			reason);
	else
		top_say(t, g->outcome == WORKER_REFUSED ? STYLE_WARN : STYLE_BAD, "%d (%s): %s: %.250s", p->p.pid, comm,
			g->outcome == WORKER_REFUSED ? "refused" : "failed", reason);
}

static void take_trim(struct top *t, struct top_proc *p, uint64_t now_us)
{
	const struct worker_result *r = &t->job->result;

	if (!p) {
		top_say(t, STYLE_WARN, "%d has exited meanwhile", t->job->pid);
		return;
	}
	p->given = (struct top_given){
		.state = TOP_TRIM_DONE,
		.dry = p->given.dry,
		.outcome = r->outcome,
		.freed = r->freed,
		.stopped_us = r->stopped_us_max,
		.at_us = now_us,
	};
	text_format(p->given.reason, sizeof(p->given.reason), "%s%s", r->reason,
		    r->outcome == WORKER_DENIED ? "; see 'reclaimctl doctor'" : "");
	for (uint32_t i = 0; i < r->nsteps; i++)
		if (r->steps[i].has_predicted)
			p->given.predicted += MIN(r->steps[i].predicted, UINT64_MAX / 16);
	if (r->outcome == WORKER_RECLAIMED && r->freed > 0) {
		t->model.total.given += (uint64_t)r->freed;
		p->p.rss = r->rss_after;
		p->p.anon -= MIN(p->p.anon, (uint64_t)r->freed);
	}
	/* Seen anew at once, and told what it is now. */
	if (!p->given.dry)
		p->look.seen = TOP_SEEN_NEVER;
	if (t->detail.pid == p->p.pid && t->page == TOP_PAGE_DETAIL)
		t->detail.wanted = true;
	else
		p->wanted |= !p->given.dry;
	top_model_recount(&t->model);
	say_trim(t, p);
}

static void take_look(struct top *t, struct top_proc *p, bool counted, uint64_t now_us)
{
	const struct top_look *look = &t->job->look;

	/* What made way for something else is still to be done. */
	if (counted && t->made_way) {
		p->wanted |= t->asked;
		return;
	}
	if (counted && t->asked && p->look.seen != TOP_SEEN_NEVER && !look->inside.known && *look->why) {
		char why[EXPLAIN_TEXT_MAX * 4];

		top_say(t, STYLE_WARN, "%d: %.350s", p->p.pid, escape_text(look->why, why, sizeof(why)));
	}
	top_model_take_look(p, look, counted, now_us);
	top_model_recount(&t->model);
}

static void pay(struct top *t, enum top_job_kind kind)
{
	int64_t *purse = kind == TOP_JOB_COUNT ? &t->counts_us : &t->budget_us;
	const int64_t most = kind == TOP_JOB_COUNT ? COUNTS_DEBT_US : DEBT_MAX_US;

	*purse = MAX(*purse - (int64_t)MIN(t->job->cpu_us, (uint64_t)most), -most);
}

void top_work_take(struct top *t, uint64_t now_us)
{
	const enum top_job_kind kind = top_job_take(t->job);
	struct top_proc *p;

	if (kind == TOP_JOB_NONE)
		return;
	p = top_model_find(&t->model, t->job->pid, t->job->start_time);
	if (!t->unlimited)
		pay(t, kind);
	if (*t->job->why)
		top_say(t, STYLE_BAD, "%.380s", t->job->why);
	if (kind == TOP_JOB_EXPLAIN) {
		take_explanation(t, p, now_us);
	} else if (kind == TOP_JOB_TRIM || kind == TOP_JOB_DRY_RUN) {
		take_trim(t, p, now_us);
	} else if (p) {
		take_look(t, p, kind == TOP_JOB_COUNT, now_us);
	}
	/* Many glances come one after another, and each by itself isn't worth a drawing. */
	if (kind != TOP_JOB_GLANCE && kind != TOP_JOB_COUNT)
		t->redraw_at_us = now_us;
	else if (!t->redraw_at_us)
		t->redraw_at_us = now_us + GLANCES_US;
}
