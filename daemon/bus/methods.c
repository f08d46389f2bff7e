/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each method takes and does. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "bus/request.h"
#include "bus/shape.h"
#include "core/worker-client.h"
#include "reclaim/bus.h"
#include "reclaim/worker.h"

#define TIME_MIN_US 1000ull
#define TIME_MAX_US 3600000000ull
#define TIME_MAX_USER_US 30000000ull /* of who isn't root: a worker isn't theirs for an hour */
#define HISTORY_DEFAULT 256
#define HISTORY_MAX 4096
#define HISTORY_MAX_USER 512
#define HISTORY_AMONG (1u << 16) /* records that are looked at for it: nobody else is served meanwhile */
#define EVERYBODY ((uid_t)-1)

/* ---------------------------------------------------------------- arguments */

struct options {
	uint32_t everyone, dry_run, depth, advice, remedies, last;
	uint64_t timeout_us, max_stop_us, start_time, since_real_us;
	int32_t pid;
	uint32_t kinds;
	char unit[LEDGER_NAME], exe[LEDGER_NAME];
};

static const uint32_t depth_flags[] = { 0, WORKER_F_NORMAL, WORKER_F_DEEP };
static const uint32_t advice_flags[] = { 0, WORKER_F_ADVICE_FREE };

static const char *depth_name(uint32_t v)
{
	static const char *const names[ARRAY_SIZE(depth_flags)] = { "auto", "normal", "deep" };

	return names[v];
}

static const char *advice_name(uint32_t v)
{
	static const char *const names[ARRAY_SIZE(advice_flags)] = { "dontneed", "free" };

	return names[v];
}

static const char *kind_name(uint32_t v)
{
	return v ? ledger_kind_name((enum ledger_kind)v) : NULL;
}

#define OPTION(k, how, member, ...)                                                                      \
	{                                                                                                \
		.key = (k), .kind = (how), .offset = offsetof(struct options, member), ##__VA_ARGS__ \
	}
#define EVERYONE OPTION("everyone", SHAPE_FLAG, everyone)
#define TIMEOUT OPTION("timeout_us", SHAPE_U64, timeout_us)
#define START_TIME OPTION("start_time", SHAPE_U64, start_time)
#define OPTIONS(table)                                                               \
	{                                                                            \
		.v = (table), .n = ARRAY_SIZE(table), .size = sizeof(struct options) \
	}

static const struct shape_member list_members[] = { EVERYONE };
static const struct shape list_options = OPTIONS(list_members);

static const struct shape_member explain_members[] = { TIMEOUT, START_TIME };
static const struct shape explain_options = OPTIONS(explain_members);

static const struct shape_member trim_members[] = {
	TIMEOUT,
	START_TIME,
	OPTION("max_stop_us", SHAPE_U64, max_stop_us),
	OPTION("dry_run", SHAPE_FLAG, dry_run),
	OPTION("remedies", SHAPE_BITS, remedies, .n = SHAPE_REMEDIES, .name = shape_remedy_name),
	OPTION("depth", SHAPE_NAME, depth, .n = ARRAY_SIZE(depth_flags), .name = depth_name),
	OPTION("advice", SHAPE_NAME, advice, .n = ARRAY_SIZE(advice_flags), .name = advice_name),
};
static const struct shape trim_options = OPTIONS(trim_members);

static const struct shape_member history_members[] = {
	EVERYONE,
	OPTION("pid", SHAPE_I32, pid),
	OPTION("unit", SHAPE_CHARS, unit, .n = LEDGER_NAME),
	OPTION("exe", SHAPE_CHARS, exe, .n = LEDGER_NAME),
	OPTION("since_real_us", SHAPE_U64, since_real_us),
	OPTION("kinds", SHAPE_BITS, kinds, .n = LEDGER_KINDS, .name = kind_name),
	OPTION("last", SHAPE_U32, last),
};
static const struct shape history_options = OPTIONS(history_members);

static uint64_t given_or_0(uint64_t v)
{
	return v == UINT64_MAX ? 0 : v;
}

static int parse_list(struct request *q, sd_bus_message *m, sd_bus_error *error)
{
	struct options o = { .pid = 0 };
	int r = shape_read_strict(m, &list_options, &o, error);

	q->everyone = o.everyone;
	return r;
}

/* "(i)a{sv}" of Explain and Trim. */
static int parse_target(struct request *q, sd_bus_message *m, const struct shape *s, struct options *o,
			sd_bus_error *error)
{
	int32_t pid;
	int r = sd_bus_message_read_basic(m, 'i', &pid);

	if (r >= 0)
		r = shape_read_strict(m, s, o, error);
	if (r < 0)
		return r;
	if (pid <= 0)
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "%d is no process", pid);
	if (o->timeout_us != UINT64_MAX && (o->timeout_us < TIME_MIN_US || o->timeout_us > TIME_MAX_US))
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "timeout_us must be between 1000 and 3600000000");
	q->want.pid = pid;
	q->want.start_time = given_or_0(o->start_time);
	q->want.timeout_us = given_or_0(o->timeout_us);
	return 0;
}

static int parse_explain(struct request *q, sd_bus_message *m, sd_bus_error *error)
{
	struct options o = { .pid = 0 };

	return parse_target(q, m, &explain_options, &o, error);
}

static int parse_trim(struct request *q, sd_bus_message *m, sd_bus_error *error)
{
	struct options o = { .pid = 0 };
	int r = parse_target(q, m, &trim_options, &o, error);

	if (r < 0)
		return r;
	if (!o.max_stop_us)
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "max_stop_us must be more than 0");
	q->want.max_stop_us = given_or_0(o.max_stop_us);
	q->want.flags = (o.dry_run ? WORKER_F_DRY_RUN : 0) | (o.remedies ? 0 : WORKER_F_AUTO) | depth_flags[o.depth] |
			advice_flags[o.advice];
	q->want.remedies = o.remedies ? o.remedies :
					WORKER_REMEDY_COLLECT | WORKER_REMEDY_TRIM | WORKER_REMEDY_PURGE;
	return 0;
}

static int parse_history(struct request *q, sd_bus_message *m, sd_bus_error *error)
{
	struct options o = { .pid = 0 };
	int r = shape_read_strict(m, &history_options, &o, error);

	if (r < 0)
		return r;
	if (o.pid < 0)
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "%d is no process", o.pid);
	if (o.last > HISTORY_MAX)
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "last is at most %d", HISTORY_MAX);
	memcpy(q->unit, o.unit, sizeof(q->unit));
	memcpy(q->exe, o.exe, sizeof(q->exe));
	q->everyone = o.everyone;
	q->filter = (struct ledger_filter){
		.pid = o.pid,
		.unit = *q->unit ? q->unit : NULL,
		.exe = *q->exe ? q->exe : NULL,
		.since_real_us = given_or_0(o.since_real_us),
		.kinds = o.kinds,
		.last = o.last ? o.last : HISTORY_DEFAULT,
		.among = HISTORY_AMONG,
	};
	return 0;
}

/* ---------------------------------------------------------------- whose */

/* Root means everybody's without saying so. */
static int look_at_everyone(struct request *q)
{
	if (q->uid)
		q->filter.last = MIN(q->filter.last, HISTORY_MAX_USER);
	q->everyone |= q->uid == 0;
	q->own = !q->everyone;
	return 0;
}

/* There is one answer only, about everybody's. */
static int look_at_all(struct request *q)
{
	q->everyone = true;
	return 0;
}

static int look_at_pid(struct request *q)
{
	struct manager_request *w = &q->want;
	uint64_t start_time;
	uid_t owner;
	int r = manager_owner(q->bus->manager, w->pid, &owner, &start_time);

	if (r < 0)
		return r;
	if (w->start_time && w->start_time != start_time)
		return -ESRCH;
	if (q->uid)
		w->timeout_us = MIN(w->timeout_us, TIME_MAX_USER_US);
	w->start_time = start_time;
	w->asked_by = q->uid;
	q->own = owner == q->uid;
	/* Root, and who has been allowed others', may trim it whatever becomes of it meanwhile. */
	w->owner = q->own && q->uid ? q->uid : EVERYBODY;
	return 0;
}

/* A process may become another user's while it is worked on, by a set-user-id program. */
static bool still_own(const struct request *q)
{
	uint64_t start_time;
	uid_t owner;

	if (!q->own || !q->uid)
		return true;
	/* Of one that has gone meanwhile nobody knows what it had become. */
	return manager_owner(q->bus->manager, q->want.pid, &owner, &start_time) == 0 &&
	       start_time == q->want.start_time && owner == q->uid;
}

/* ---------------------------------------------------------------- acts */

/* An answer that is a list of dictionaries. */
struct list {
	sd_bus_message *m;
	const struct shape *shape;
};

static int list_begin(struct request *q, const struct shape *s, struct list *ret)
{
	int r = sd_bus_message_new_method_return(q->call, &ret->m);

	ret->shape = s;
	return r < 0 ? r : sd_bus_message_open_container(ret->m, 'a', "a{sv}");
}

static int list_end(struct request *q, struct list *l)
{
	int r = sd_bus_message_close_container(l->m);

	if (r >= 0)
		request_answer(q, TAKE_PTR(l->m));
	return MIN(r, 0);
}

static void list_donep(struct list *l)
{
	sd_bus_message_unref(l->m);
}

static int add_process(void *arg, const struct manager_process *p)
{
	const struct list *l = arg;

	return shape_write(l->m, l->shape, p);
}

static int act_list(struct request *q)
{
	_cleanup_(list_donep) struct list l = { 0 };
	int r = list_begin(q, &shape_process, &l);

	if (r >= 0)
		r = manager_processes(q->bus->manager, q->everyone ? EVERYBODY : q->uid, add_process, &l);
	return r < 0 ? r : list_end(q, &l);
}

static int add_record(void *arg, const struct ledger_record *rec)
{
	const struct list *l = arg;

	return shape_write(l->m, l->shape, rec);
}

static int act_history(struct request *q)
{
	_cleanup_(list_donep) struct list l = { 0 };
	int r = list_begin(q, &shape_record, &l);

	q->filter.uid = q->everyone ? EVERYBODY : q->uid;
	if (r >= 0)
		r = ledger_read(manager_state_dir(q->bus->manager), &q->filter, add_record, &l, NULL);
	return r < 0 ? r : list_end(q, &l);
}

static void answer_with(struct request *q, const struct shape *s, const void *from)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	if (!still_own(q)) {
		request_fail(q, -EACCES, "it has gone, or become another user's");
		return;
	}
	r = sd_bus_message_new_method_return(q->call, &m);
	if (r >= 0)
		r = shape_write(m, s, from);
	if (r < 0)
		request_fail(q, r, NULL);
	else
		request_answer(q, TAKE_PTR(m));
}

static void on_trimmed(void *arg, const struct manager_result *result)
{
	struct request *q = arg;
	struct worker_result res;

	if (!request_come_back(q))
		return;
	if (result->error < 0 || !result->worker) {
		request_fail(q, result->error < 0 ? result->error : -EIO, result->why);
		return;
	}
	res = *result->worker;
	for (uint32_t i = 0; i < MIN(res.nsteps, WORKER_STEPS_MAX); i++)
		if (!res.steps[i].has_predicted)
			res.steps[i].predicted = UINT64_MAX;
	answer_with(q, &shape_result, &res);
}

static void on_explained(void *arg, const struct manager_result *result)
{
	struct request *q = arg;

	if (!request_come_back(q))
		return;
	if (result->error < 0 || !result->facts)
		request_fail(q, result->error < 0 ? result->error : -EIO, result->why);
	else
		answer_with(q, &shape_facts, result->facts);
}

typedef int (*manager_fn)(struct manager *, const struct manager_request *, manager_done_fn, void *);

/* When it says 0, @q may be gone already. */
static int at_manager(struct request *q, manager_fn fn, manager_done_fn done)
{
	int r;

	q->at_manager = true;
	r = fn(q->bus->manager, &q->want, done, q);
	if (r < 0)
		q->at_manager = false;
	return r;
}

static int act_trim(struct request *q)
{
	return at_manager(q, manager_trim, on_trimmed);
}

static int act_explain(struct request *q)
{
	return at_manager(q, manager_explain, on_explained);
}

static int act_reload(struct request *q)
{
	char why[1024] = "";
	sd_bus_message *m = NULL;
	int r = manager_reload(q->bus->manager, why, sizeof(why));
	char shown[sizeof(why)];

	if (r < 0) {
		escape_text(*why ? why : strerror(-r), shown, sizeof(shown));
		request_error(q, BUS_E_CONFIGURATION, "%s; the old settings stay", shown);
		return 0;
	}
	(void)sd_bus_message_new_method_return(q->call, &m);
	request_answer(q, m);
	return 0;
}

static int act_metrics(struct request *q)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	_cleanup_free_ char *text = NULL;
	int r = manager_metrics(q->bus->manager, &text);

	if (r >= 0)
		r = sd_bus_message_new_method_return(q->call, &m);
	if (r >= 0)
		r = sd_bus_message_append(m, "s", text);
	if (r >= 0)
		request_answer(q, TAKE_PTR(m));
	return MIN(r, 0);
}

const struct method methods[] = {
	{ "ListProcesses", ACCESS_LIST, false, parse_list, look_at_everyone, act_list },
	{ "Explain", ACCESS_EXPLAIN, true, parse_explain, look_at_pid, act_explain },
	{ "Trim", ACCESS_TRIM, true, parse_trim, look_at_pid, act_trim },
	{ "History", ACCESS_HISTORY, false, parse_history, look_at_everyone, act_history },
	{ "Metrics", ACCESS_HISTORY, false, NULL, look_at_all, act_metrics },
	{ "Reload", ACCESS_RELOAD, false, NULL, NULL, act_reload },
};
const size_t nmethods = ARRAY_SIZE(methods);
