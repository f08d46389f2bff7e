// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "fake-manager.h"
#include "reclaim/worker.h"

#define TICK_US 5000ull
#define PENDING_MAX 512

struct pending {
	manager_done_fn fn;
	void *arg; /* NULL: free */
	struct manager_request req;
	uint64_t at_us; /* UINT64_MAX: never */
	bool explain;
};

struct manager {
	sd_event *event;
	sd_event_source *tick;
	const char *state_dir;
	struct fake_seen *seen;
	struct manager_listener listener;
	struct pending pending[PENDING_MAX];
	uint32_t owned_changes;
};

static const struct {
	pid_t pid;
	uid_t uid;
	const char *comm;
} processes[] = {
	{ FAKE_ROOTS, 0, "root's" },
	{ FAKE_ALICES, FAKE_ALICE, "al\"ice\\\n\xff" },
	{ FAKE_SLOW, FAKE_ALICE, "slow" },
	{ FAKE_NEVER, FAKE_ALICE, "never" },
	{ FAKE_BUSY, FAKE_ALICE, "busy" },
	{ FAKE_CHANGED, FAKE_ALICE, "changed" },
	{ FAKE_BOBS, FAKE_BOB, "bob" },
};

static struct manager_process process_at(size_t i)
{
	return (struct manager_process){
		.pid = processes[i].pid,
		.start_time = FAKE_START,
		.uid = processes[i].uid,
		.comm = processes[i].comm,
		.exe = "/usr/bin/thing",
		.unit = "",
		.allocator = NULL,
		.runtime = "",
		.rss = 100 << 20,
		.anon = 90 << 20,
		.swap = UINT64_MAX,
		.idle = UINT64_MAX,
		.predicted = 30 << 20,
		.verdict = "leave",
		.reason = "busy",
		.words = "it is busy",
	};
}

void fake_result(pid_t pid, struct worker_result *ret)
{
	*ret = (struct worker_result){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = pid,
		.outcome = WORKER_RECLAIMED,
		.start_time = FAKE_START,
		.rss_before = 100 << 20,
		.rss_after = 60 << 20,
		.freed = 40 << 20,
		.stopped_us_max = 900,
		.nsteps = 2,
		.huge_torn = 3,
		.comm = "al\"ice\\\n\xff",
		.steps = {
			{ .remedy = WORKER_REMEDY_TRIM, .has_predicted = 1, .predicted = 39 << 20, .freed = 41 << 20,
			  .stopped_us = 900, .duration_us = 1500, .call_us = 800, .detail = "called it" },
			{ .remedy = WORKER_REMEDY_PURGE, .freed = -(1 << 20), .zeroes = 4096, .duration_us = 7 },
		},
	};
}

void fake_answer(pid_t pid, struct explain_answer *ret)
{
	*ret = (struct explain_answer){
		.head = {
			.magic = EXPLAIN_MAGIC,
			.version = EXPLAIN_VERSION,
			.pid = pid,
			.outcome = WORKER_NOTHING,
			.start_time = FAKE_START,
			.allocator = EXPLAIN_ALLOC_GLIBC,
			.runtime = EXPLAIN_RUNTIME_CPYTHON,
			.nremedies = 2,
			.narenas = 2,
			.nranges = 3,
			.arenas_total = 2,
			.elapsed_us = 1234,
			.glibc = { .layer = EXPLAIN_READ,
				   .flags = EXPLAIN_G_DYNAMIC,
				   .major = 2,
				   .minor = 36,
				   .system = 1 << 20,
				   .in_use = 77,
				   .cached = UINT64_MAX,
				   .runs = { [3] = { 1, 2, 3 }, [47] = { 7, 8, 0 } },
				   .pins = { [0] = { 1, 0, 0, 9 } } },
			.python = { .layer = EXPLAIN_UNREADABLE, .version = 0x030b02f0, .arenas = UINT64_MAX,
				    .why = "it \\ is\tso" },
			.remedies = {
				{ .remedy = WORKER_REMEDY_COLLECT, .possible = 0, .predicted = UINT64_MAX,
				  .lower = UINT64_MAX, .upper = UINT64_MAX, .deep = UINT64_MAX, .reason = "no" },
				{ .remedy = WORKER_REMEDY_TRIM, .possible = 1, .predicted = 5, .lower = 4, .upper = 6 },
			},
		},
	};
	ret->arenas = calloc(2, sizeof(*ret->arenas));
	ret->ranges = calloc(3, sizeof(*ret->ranges));
	if (!ret->arenas || !ret->ranges)
		abort();
	ret->arenas[0] = (struct explain_arena){ .address = 0x7f00, .flags = EXPLAIN_A_MAIN, .heaps = 1, .system = 10,
						 .runs = { [15] = { 1, 2 } }, .pinned = { 1, 2, 3, 4 } };
	ret->arenas[1] = (struct explain_arena){ .address = 0x7f01, .flags = EXPLAIN_A_TORN, .free = UINT64_MAX };
	ret->ranges[0] = (struct explain_range){ .lo = 0, .hi = 4096, .owner = EXPLAIN_OWNER_GLIBC_HEAP };
	ret->ranges[1] = (struct explain_range){ .lo = 4096, .hi = 8192, .resident = 5,
						 .owner = EXPLAIN_OWNER_PYMALLOC };
	ret->ranges[2] = (struct explain_range){ .lo = 8192, .hi = 9000, .owner = EXPLAIN_OWNER_GLIBC_MMAP };
}

/* ---------------------------------------------------------------- requests */

static void answer(struct pending *p)
{
	const struct pending was = *p;
	struct manager_result res = { .error = 0 };
	_cleanup_(explain_answer_done) struct explain_answer facts = { .arenas = NULL };
	struct worker_result worker;

	p->arg = NULL;
	if (was.req.pid == FAKE_BUSY) {
		res.error = -EBUSY;
		snprintf(res.why, sizeof(res.why), "in its cooldown for 5min");
	} else if (was.explain) {
		fake_answer(was.req.pid, &facts);
		res.facts = &facts;
	} else {
		fake_result(was.req.pid, &worker);
		res.worker = &worker;
	}
	was.fn(was.arg, &res);
}

static int request(struct manager *m, const struct manager_request *req, manager_done_fn fn, void *arg, bool explain)
{
	struct pending *p = NULL;
	uint64_t now;

	m->seen->last = *req;
	for (size_t i = 0; i < PENDING_MAX && !p; i++)
		if (!m->pending[i].arg)
			p = &m->pending[i];
	if (!p)
		return -EAGAIN;
	sd_event_now(m->event, CLOCK_MONOTONIC, &now);
	*p = (struct pending){ .fn = fn, .arg = arg, .req = *req, .explain = explain };
	p->at_us = req->pid == FAKE_NEVER ? UINT64_MAX : req->pid == FAKE_SLOW ? now + FAKE_SLOW_US : 0;
	if (!p->at_us)
		answer(p);
	return 0;
}

int manager_trim(struct manager *m, const struct manager_request *req, manager_done_fn fn, void *arg)
{
	m->seen->trims++;
	return request(m, req, fn, arg, false);
}

int manager_explain(struct manager *m, const struct manager_request *req, manager_done_fn fn, void *arg)
{
	m->seen->explains++;
	return request(m, req, fn, arg, true);
}

void manager_forget(struct manager *m, void *arg)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		if (m->pending[i].arg != arg)
			continue;
		m->pending[i].arg = NULL;
		m->seen->forgotten++;
	}
}

/* ---------------------------------------------------------------- questions */

void manager_state(const struct manager *m, struct manager_state *ret)
{
	*ret = (struct manager_state){ .mode = "enforce", .source = "procfs", .pressure = true, .interval_us = 60000000,
				       .actions = m->seen->trims, .running = 1, .freed = 1ull << 40 };
}

int manager_processes(const struct manager *m, uid_t uid, manager_process_fn fn, void *arg)
{
	int r = 0;

	(void)m;
	for (size_t i = 0; !r && i < ARRAY_SIZE(processes); i++) {
		const struct manager_process p = process_at(i);

		if (uid == (uid_t)-1 || uid == p.uid)
			r = fn(arg, &p);
	}
	return r;
}

int manager_owner(struct manager *m, pid_t pid, uid_t *ret_uid, uint64_t *ret_start_time)
{
	for (size_t i = 0; i < ARRAY_SIZE(processes); i++) {
		if (processes[i].pid != pid)
			continue;
		*ret_uid = processes[i].uid;
		*ret_start_time = FAKE_START;
		if (pid == FAKE_CHANGED && m->owned_changes++ % 2)
			*ret_uid = FAKE_BOB;
		return 0;
	}
	return -ESRCH;
}

int manager_reload(struct manager *m, char *why, size_t why_size)
{
	m->seen->reloads++;
	if (!m->seen->reload_fails)
		return 0;
	snprintf(why, why_size, "/etc/reclaim/reclaimd.conf:3: bad\nvalue");
	return -EINVAL;
}

const char *manager_state_dir(const struct manager *m)
{
	return m->state_dir;
}

int manager_config(const struct manager *m, char **ret)
{
	(void)m;
	*ret = strdup("[Daemon]\nMode=enforce\n");
	return *ret ? 0 : -ENOMEM;
}

int manager_metrics(const struct manager *m, char **ret)
{
	(void)m;
	*ret = strdup("reclaim_sweeps_total 2\n# EOF\n");
	return *ret ? 0 : -ENOMEM;
}

void manager_listen(struct manager *m, const struct manager_listener *l)
{
	m->listener = *l;
}

/* ---------------------------------------------------------------- its life */

static void announce(struct manager *m, pid_t pid)
{
	for (size_t i = 0; i < ARRAY_SIZE(processes); i++) {
		const struct manager_process p = process_at(i);
		struct ledger_record rec = { .seq = 1, .kind = LEDGER_ACTION, .pid = pid, .uid = p.uid, .freed = 7 };

		if (p.pid != pid)
			continue;
		m->listener.bloated(m->listener.arg, &p);
		m->listener.record(m->listener.arg, &rec);
	}
}

uint32_t fake_manager_pending(const struct manager *m)
{
	uint32_t n = 0;

	for (size_t i = 0; i < PENDING_MAX; i++)
		n += m->pending[i].arg != NULL;
	return n;
}

static int on_tick(sd_event_source *s, uint64_t now, void *userdata)
{
	struct manager *m = userdata;

	for (size_t i = 0; i < PENDING_MAX; i++)
		if (m->pending[i].arg && m->pending[i].at_us <= now)
			answer(&m->pending[i]);
	m->seen->pending = fake_manager_pending(m);
	if (m->seen->announce)
		announce(m, (pid_t)m->seen->announce);
	m->seen->announce = 0;
	(void)sd_event_source_set_time_relative(s, TICK_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

int fake_manager_new(sd_event *event, const char *state_dir, struct fake_seen *seen, struct manager **ret)
{
	struct manager *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->event = event;
	m->state_dir = state_dir;
	m->seen = seen;
	r = sd_event_add_time_relative(event, &m->tick, CLOCK_MONOTONIC, TICK_US, 1, on_tick, m);
	if (r < 0) {
		free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void fake_manager_free(struct manager *m)
{
	sd_event_source_disable_unref(m->tick);
	free(m);
}
