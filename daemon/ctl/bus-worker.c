/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trims and looks by the daemon's worker instead of our own. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "bus/shape.h"
#include "ctl/bus-call.h"
#include "reclaim/bus.h"
#include "reclaim/explain-check.h"

#define GRACE_US 75000000ull /* beyond the worker's own time: polkit may ask somebody for a password */

/* ---------------------------------------------------------------- asking */

static int append_u64(sd_bus_message *m, const char *key, uint64_t v)
{
	return v ? sd_bus_message_append(m, "{sv}", key, "t", v) : 0;
}

/* The options of Trim. */
static int append_how(sd_bus_message *m, const struct worker_request *req)
{
	static const struct {
		uint32_t flag;
		const char *key, *value;
	} rows[] = {
		{ WORKER_F_ADVICE_FREE, "advice", "free" },
		{ WORKER_F_NORMAL, "depth", "normal" },
		{ WORKER_F_DEEP, "depth", "deep" },
	};
	int r = append_u64(m, "max_stop_us", req->max_stop_us);

	if (r >= 0 && req->flags & WORKER_F_DRY_RUN)
		r = sd_bus_message_append(m, "{sv}", "dry_run", "b", 1);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rows); i++)
		if (req->flags & rows[i].flag)
			r = sd_bus_message_append(m, "{sv}", rows[i].key, "s", rows[i].value);
	if (r >= 0 && !(req->flags & WORKER_F_AUTO))
		r = bus_append_bits(m, "remedies", req->remedies, SHAPE_REMEDIES, shape_remedy_name);
	return r;
}

static int new_request(struct bus_client *c, const struct worker_request *req, sd_bus_message **ret)
{
	const bool trim = req->op == WORKER_OP_RECLAIM;
	int r = bus_client_new(c, BUS_INTERFACE, trim ? "Trim" : "Explain", ret);

	if (r >= 0)
		r = sd_bus_message_append(*ret, "i", req->pid);
	if (r >= 0)
		r = sd_bus_message_open_container(*ret, 'a', "{sv}");
	if (r >= 0)
		r = append_u64(*ret, "start_time", req->start_time);
	if (r >= 0)
		r = append_u64(*ret, "timeout_us", req->timeout_us);
	if (r >= 0 && trim)
		r = append_how(*ret, req);
	return r < 0 ? r : sd_bus_message_close_container(*ret);
}

/* ---------------------------------------------------------------- waiting */

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)error;
	*(sd_bus_message **)userdata = sd_bus_message_ref(m);
	return 1;
}

/* Until there is something to process, or @cancel_fd is readable: -ECANCELED. */
static int wait_more(sd_bus *bus, int cancel_fd)
{
	struct pollfd fds[2] = { { .fd = sd_bus_get_fd(bus) }, { .fd = cancel_fd, .events = POLLIN } };
	const int events = sd_bus_get_events(bus);
	uint64_t until_us = 0, now_us = clock_ns() / 1000;
	int r = sd_bus_get_timeout(bus, &until_us);

	if (r < 0 || events < 0 || fds[0].fd < 0)
		return r < 0 ? r : events < 0 ? events : fds[0].fd;
	fds[0].events = (short)events;
	until_us = until_us > now_us ? MIN(until_us - now_us, 3600000000ull) : 0;
	if (poll(fds, 2, (int)((until_us + 999) / 1000)) < 0 && errno != EINTR)
		return -errno;
	return fds[1].revents ? -ECANCELED : 0;
}

static int call_cancel(struct bus_client *c, sd_bus_message *m, uint64_t timeout_us, int cancel_fd,
		       sd_bus_message **ret)
{
	_cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
	sd_bus_message *reply = NULL;
	int r = sd_bus_call_async(c->bus, &slot, m, on_reply, &reply, timeout_us);

	while (r >= 0 && !reply) {
		r = sd_bus_process(c->bus, NULL);
		if (r == 0)
			r = wait_more(c->bus, cancel_fd);
	}
	if (reply)
		*ret = reply;
	return MIN(r, 0);
}

/*
 * The reply, or what stands for it: WORKER_NOTHING when there is one, else an outcome with c->why. -ENOTCONN when
 * nobody is there to ask; -errno.
 */
static int ask(struct bus_client *c, const struct worker_request *req, int cancel_fd, sd_bus_message **ret)
{
	static const uint32_t outcomes[] = {
		[CTL_FAILED] = WORKER_FAILED,
		[CTL_USAGE] = WORKER_FAILED,
		[CTL_DENIED] = WORKER_DENIED,
		[CTL_GONE] = WORKER_GONE,
	};
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	const sd_bus_error *e;
	int r = new_request(c, req, &m);

	if (r >= 0)
		r = call_cancel(c, m, req->timeout_us + GRACE_US, cancel_fd, &reply);
	if (r == -ECANCELED) {
		text_format(c->why, sizeof(c->why), "interrupted");
		return WORKER_FAILED;
	}
	if (r < 0)
		return r;
	e = sd_bus_message_get_error(reply);
	if (!e) {
		*ret = TAKE_PTR(reply);
		return WORKER_NOTHING;
	}
	if (sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
	    sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
		return -ENOTCONN;
	return (int)outcomes[bus_failure(c, e, 0)];
}

/* ---------------------------------------------------------------- answers */

int bus_client_trim(struct bus_client *c, const struct worker_request *req, int cancel_fd, struct worker_result *ret)
{
	struct worker_result res = { .magic = WORKER_MAGIC, .version = WORKER_VERSION };
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int outcome = ask(c, req, cancel_fd, &reply), r;
	const char *fault;

	if (outcome < 0)
		return outcome;
	if (!reply) {
		*ret = (struct worker_result){
			.magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = req->pid, .outcome = (uint32_t)outcome
		};
		text_format(ret->reason, sizeof(ret->reason), "reclaimd: %s", c->why);
		return 0;
	}
	r = shape_read(reply, &shape_result, &res);
	for (uint32_t i = 0; r >= 0 && i < res.nsteps; i++) {
		res.steps[i].has_predicted = res.steps[i].predicted != UINT64_MAX;
		if (!res.steps[i].has_predicted)
			res.steps[i].predicted = 0;
	}
	if (r >= 0)
		r = worker_result_check(&res, sizeof(res), req, &fault);
	if (r >= 0)
		*ret = res;
	return r;
}

/* As the worker's parts are checked, part by part. */
static bool entries_ok(const struct explain_answer *a, uint32_t kind, uint32_t n)
{
	const uint32_t most = kind == EXPLAIN_ARENAS ? EXPLAIN_PART_ARENAS : EXPLAIN_PART_RANGES;
	_cleanup_free_ struct explain_part *p = calloc(1, sizeof(*p));
	struct explain_progress progress = { .narenas = kind == EXPLAIN_ARENAS ? 0 : a->head.narenas };

	if (!p)
		return false;
	for (uint32_t at = 0; at < n; at += p->n) {
		*p = (struct explain_part){ .magic = EXPLAIN_MAGIC, .kind = kind, .first = at, .n = MIN(most, n - at) };
		if (kind == EXPLAIN_ARENAS)
			memcpy(p->arenas, a->arenas + at, p->n * sizeof(*p->arenas));
		else
			memcpy(p->ranges, a->ranges + at, p->n * sizeof(*p->ranges));
		if (explain_part_fault(p, explain_part_size(kind, p->n), &a->head, &progress))
			return false;
	}
	return true;
}

int bus_client_explain(struct bus_client *c, const struct worker_request *req, struct explain_answer *ret)
{
	_cleanup_(explain_answer_done) struct explain_answer a = { .arenas = NULL };
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int outcome = ask(c, req, -1, &reply), r = 0;

	if (outcome < 0)
		return outcome;
	if (reply)
		r = shape_read(reply, &shape_facts, &a);
	else
		text_format(a.head.reason, sizeof(a.head.reason), "reclaimd: %s", c->why);
	if (r < 0)
		return r;
	a.head.magic = EXPLAIN_MAGIC;
	a.head.version = EXPLAIN_VERSION;
	if (!reply) {
		a.head.pid = req->pid;
		a.head.outcome = (uint32_t)outcome;
	}
	if (explain_head_fault(&a.head, sizeof(a.head), req) || !entries_ok(&a, EXPLAIN_ARENAS, a.head.narenas) ||
	    !entries_ok(&a, EXPLAIN_RANGES, a.head.nranges))
		return -EBADMSG;
	*ret = a;
	a = (struct explain_answer){ .arenas = NULL };
	return 0;
}
