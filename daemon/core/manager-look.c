/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What would come back, and is it worth it? The target is never stopped for that. */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "core/log.h"
#include "core/look.h"
#include "core/manager-private.h"

#define MINUTE_US 60000000ull

/* Worth it, but perhaps not now: for so long nothing has to be looked at again. */
static void plan(struct manager *m, struct candidate *c, uint64_t now_us)
{
	c->plan = (struct plan){
		.wanted = true,
		.remedies = c->decision.remedies,
		.by_ages = c->decision.by_ages,
		.predicted = c->decision.predicted,
		.until_us = now_us + MAX(2 * m->settings.interval_us, MINUTE_US),
		.limits = c->decision.limits,
	};
}

static void announce(struct manager *m, const struct candidate *c)
{
	struct manager_process p;

	if (m->settings.mode == MODE_OBSERVE || !m->listener.bloated)
		return;
	manager_describe(m, c, &p);
	m->listener.bloated(m->listener.arg, &p);
}

static void write_down(struct manager *m, const struct candidate *c, enum ledger_kind kind, uint64_t duration_us)
{
	struct ledger_record rec = manager_record(m, kind, c);

	rec.predicted = c->promised == POLICY_UNKNOWN ? LEDGER_UNKNOWN : c->promised;
	rec.remedies = c->decision.remedies;
	rec.duration_us = duration_us;
	text_format(rec.reason, sizeof(rec.reason), "%s", policy_reason_name(c->decision.reason));
	/* What would be done is said by the figures. */
	if (c->decision.verdict == VERDICT_LEAVE || c->decision.verdict == VERDICT_WAIT)
		text_format(rec.words, sizeof(rec.words), "%s", c->decision.words);
	(void)manager_write(m, &rec, false);
}

static void conclude(struct manager *m, struct candidate *c, uint64_t now_us)
{
	switch (c->decision.verdict) {
	case VERDICT_ACT:
		plan(m, c, now_us);
		announce(m, c);
		break;
	case VERDICT_WOULD:
		m->state.would++;
		write_down(m, c, LEDGER_WOULD, 0);
		announce(m, c);
		break;
	case VERDICT_LEAVE:
	case VERDICT_WAIT:
	case VERDICT_LOOK:
		manager_leave(m, c);
		break;
	}
}

/* The most that one of those that free something would bring; policy says what all chosen ones would. */
static uint64_t promised(const struct decision *d, const struct prospect *found)
{
	uint64_t most = POLICY_UNKNOWN;

	if (d->remedies)
		return d->predicted;
	for (size_t i = 0; i < found->n; i++)
		if (!(found->v[i].remedy & POLICY_MOVES) && found->v[i].possible &&
		    found->v[i].predicted != POLICY_UNKNOWN && (most == POLICY_UNKNOWN || found->v[i].predicted > most))
			most = found->v[i].predicted;
	return most;
}

static void take_facts(struct manager *m, struct candidate *c, const struct task *t)
{
	const struct explain_head *head = &t->facts.head;
	struct memory_process *process = memory_process(&m->memory, c->pid, c->start_time);
	struct memory_program *program = memory_program(&m->memory, c->exe ? c->exe : "", c->uid);
	const uint64_t now_us = manager_now();
	struct prospect found;
	struct subject subject;

	c->allocator = look_allocator(head);
	c->runtime = look_runtime(head);
	look_prospect(head, c->decision.limits.depth, &found);
	candidate_subject(c, manager_awake_us(), &subject);
	if (t->req.flags & WORKER_F_OUTSIDE)
		manager_idle_facts(m, c, &c->decision.limits, &subject);
	policy_decide(&m->settings, &subject, &found, &process->track, &program->track, manager_urgency(m, now_us),
		      now_us, &c->decision);
	c->promised = promised(&c->decision, &found);
	policy_learn_look(&m->settings, &process->track, &program->track,
			  c->promised == POLICY_UNKNOWN ? 0 : c->promised, now_us);
	m->state.looks++;
	write_down(m, c, LEDGER_LOOK, now_us - t->began_us);
	conclude(m, c, now_us);
}

static void on_looked(struct task *t, void *arg)
{
	struct manager *m = arg;
	struct candidate *c = candidates_find(&m->candidates, t->req.pid, t->req.start_time);

	budget_give(&m->settings, &m->budget, 0, manager_now());
	if (m->stopping)
		return;
	if (c)
		c->wants_look = false;
	if (c && t->facts.head.outcome != WORKER_GONE)
		take_facts(m, c, t);
	manager_dispatch(m);
}

int manager_look(struct manager *m, struct candidate *c)
{
	const bool may_move = (c->decision.limits.remedies & POLICY_MOVES) &&
			      manager_urgency(m, manager_now()) == URGENCY_PRESSURE;
	const struct worker_request req = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = c->pid,
		.start_time = c->start_time,
		.op = WORKER_OP_EXPLAIN,
		/* What it costs the target, it costs when memory is short only. */
		.flags = may_move ? WORKER_F_OUTSIDE : 0,
		.timeout_us = c->decision.limits.timeout_us,
		.owner = WORKER_OWNER_ANY,
	};
	int r;

	if (!budget_take_look(&m->settings, &m->budget, m->ncpus))
		return -EAGAIN;
	/* GLANCE would be cheaper, but says nothing of remedies. */
	r = task_start(&m->tasks, &req, TASK_HEAD, on_looked, m);
	if (r < 0)
		budget_give(&m->settings, &m->budget, 0, manager_now());
	return r;
}
