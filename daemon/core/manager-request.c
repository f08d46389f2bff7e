/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What others want done. Whether they may is for whoever asks here to know. */
#include <string.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "base/text.h"
#include "core/manager-private.h"

/* Of an explanation: what to tell, and to whom. */
struct asked {
	struct manager *m;
	manager_done_fn fn;
	void *arg;
};

int manager_owner(struct manager *m, pid_t pid, uid_t *ret_uid, uint64_t *ret_start_time)
{
	_cleanup_close_ int dir = procfs_open_pid(m->proc, pid);
	struct pstat st;
	uid_t owner;

	if (dir < 0 || candidate_owner(dir, &owner) < 0 || pstat_read(dir, &st) < 0)
		return -ESRCH;
	*ret_uid = owner;
	*ret_start_time = st.start_time;
	return 0;
}

static void candidate_freep(struct candidate **c)
{
	candidate_free(*c);
}

/* The process as it is now, whether it is large or not. */
static int find(struct manager *m, const struct manager_request *req, struct candidate **ret)
{
	_cleanup_(candidate_freep) struct candidate *c = NULL;
	_cleanup_(proc_done) struct proc p = { 0 };
	int r = proc_read(m->proc, req->pid, PROC_BASIC, &p);

	if (r < 0)
		return r;
	if (req->start_time && req->start_time != p.start_time)
		return -ESRCH;
	c = candidate_new(&p);
	if (!c)
		return -ENOMEM;
	r = candidate_refresh(c, m->proc, MANAGER_PASSWD, true, manager_awake_us());
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

/* -EBUSY in its cooldown, or while it is being acted on; -EAGAIN when no worker is free. */
static int admit(struct manager *m, const struct candidate *c, bool acts)
{
	const struct track *known = memory_of_process(&m->memory, c->pid, c->start_time);

	if (m->stopping)
		return -ESHUTDOWN;
	if (task_find(&m->tasks, c->pid) || (acts && known->not_before_us > manager_now()))
		return -EBUSY;
	return budget_take_look(&m->settings, &m->budget, m->ncpus) ? 0 : -EAGAIN;
}

static void refuse(int error, struct manager_result *ret)
{
	const char *why = error == -EBUSY  ? "it has been acted on a moment ago, or is being looked at" :
			  error == -EAGAIN ? "as many workers as may be are at work: try again" :
			  error == -ESRCH  ? "no such process" :
					     strerror(-error);

	*ret = (struct manager_result){ .error = error };
	text_format(ret->why, sizeof(ret->why), "%s", why);
}

static struct worker_request request_of(const struct manager_request *req, const struct candidate *c,
					const struct thresholds *limits)
{
	return (struct worker_request){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = c->pid,
		.start_time = c->start_time,
		.flags = req->flags,
		.remedies = req->remedies,
		.timeout_us = req->timeout_us ? req->timeout_us : limits->timeout_us,
		.max_stop_us = req->max_stop_us ? req->max_stop_us : limits->max_stop_us,
		.owner = req->owner,
	};
}

/* By all that is known of it now, other than manager_limits(). */
static void limits_of(const struct manager *m, const struct candidate *c, struct thresholds *ret)
{
	static const struct track none;
	struct subject subject;
	struct decision d;

	candidate_subject(c, manager_awake_us(), &subject);
	policy_screen(&m->settings, &subject, &none, &none, URGENCY_NONE, manager_now(), &d);
	*ret = d.limits;
}

static struct action *action_new(struct manager *m, const struct candidate *c, const struct manager_request *req)
{
	struct action *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->m = m;
	a->rec = manager_record(m, LEDGER_BEGIN, c);
	a->asked = true;
	a->dry_run = req->flags & WORKER_F_DRY_RUN;
	limits_of(m, c, &a->limits);
	text_format(a->rec.reason, sizeof(a->rec.reason), "asked");
	text_format(a->rec.words, sizeof(a->rec.words), "asked for by the user %u", req->asked_by);
	return a;
}

/* By what has been seen of it so far: @c was made for this request. */
static void prove_idle(struct manager *m, const struct candidate *c, const struct thresholds *limits,
		       struct worker_request *ask)
{
	const struct candidate *known = candidates_find(&m->candidates, c->pid, c->start_time);

	ask->max_bytes = m->settings.pageout_per_minute;
	manager_idle_prove(m, known ? known : c, limits, true, ask);
}

int manager_trim(struct manager *m, const struct manager_request *req, manager_done_fn fn, void *arg)
{
	_cleanup_(candidate_freep) struct candidate *c = NULL;
	_cleanup_free_ struct action *a = NULL;
	struct worker_request ask;
	struct manager_result no;
	int r = find(m, req, &c);

	if (r == 0) {
		a = action_new(m, c, req);
		r = a ? admit(m, c, !a->dry_run) : -ENOMEM;
	}
	if (r == 0) {
		ask = request_of(req, c, &a->limits);
		if (ask.remedies & POLICY_MOVES)
			prove_idle(m, c, &a->limits, &ask);
		a->fn = fn;
		a->arg = arg;
		r = manager_act(m, a, &ask);
		if (r < 0)
			budget_give(&m->settings, &m->budget, 0, manager_now());
	}
	if (r == 0) {
		a = NULL;
		return 0;
	}
	refuse(r, &no);
	fn(arg, &no);
	return 0;
}

static void on_explained(struct task *t, void *arg)
{
	_cleanup_free_ struct asked *asked = arg;
	const struct manager_result result = { .facts = &t->facts };
	struct manager *m = asked->m;

	budget_give(&m->settings, &m->budget, 0, manager_now());
	if (asked->fn)
		asked->fn(asked->arg, &result);
	if (!m->stopping)
		manager_dispatch(m);
}

static int explain(struct manager *m, const struct candidate *c, const struct manager_request *req, struct asked *asked)
{
	struct worker_request ask;
	struct thresholds limits;
	int r;

	limits_of(m, c, &limits);
	ask = request_of(req, c, &limits);
	ask.op = WORKER_OP_EXPLAIN;
	ask.remedies = 0;
	ask.flags = WORKER_F_OUTSIDE;
	ask.max_stop_us = 0;
	r = admit(m, c, false);
	if (r < 0)
		return r;
	r = task_start(&m->tasks, &ask, TASK_FACTS, on_explained, asked);
	if (r < 0)
		budget_give(&m->settings, &m->budget, 0, manager_now());
	return r;
}

int manager_explain(struct manager *m, const struct manager_request *req, manager_done_fn fn, void *arg)
{
	_cleanup_(candidate_freep) struct candidate *c = NULL;
	_cleanup_free_ struct asked *asked = calloc(1, sizeof(*asked));
	struct manager_result no;
	int r = asked ? find(m, req, &c) : -ENOMEM;

	if (r == 0) {
		*asked = (struct asked){ .m = m, .fn = fn, .arg = arg };
		r = explain(m, c, req, asked);
	}
	if (r == 0) {
		asked = NULL;
		return 0;
	}
	refuse(r, &no);
	fn(arg, &no);
	return 0;
}

void manager_forget(struct manager *m, void *arg)
{
	for (struct task *t = m->tasks.first; t; t = t->next) {
		/* It has been told: what it was for is gone. */
		if (!t->fn)
			continue;
		/* Those of our own have the manager for an argument, or an action without an asker. */
		if (t->want == TASK_ACT && ((struct action *)t->arg)->arg == arg)
			((struct action *)t->arg)->fn = NULL;
		else if (t->want == TASK_FACTS && ((struct asked *)t->arg)->arg == arg)
			((struct asked *)t->arg)->fn = NULL;
	}
}
