// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager-world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "open-fds.h"
#include "reclaim/explain.h"

#define WAIT_NS 10000000000ull
#define PROMISED (100 * MIB)

static const char common[] = "[Daemon]\nSource=procfs\nActionsPerMinute=6000\nIntervalSec=1h\n"
			     "[Pressure]\nStallSec=0\n[Reclaim]\nIdleSec=0\n";

static int fds_before;

void manager_world_configure(struct manager_world *w, const char *more)
{
	char text[1024];

	text_format(text, sizeof(text), "%s%s", common, more);
	conf_tree_put(&w->tree, "etc/reclaimd.conf", text);
}

void manager_world_init(struct manager_world *w, const char *more)
{
	static char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	self[n] = '\0';
	assert_int_equal(setenv("RECLAIM_WORKER", self, 1), 0);
	assert_int_equal(setenv("FAKE_MANAGER_WORKER", "1", 1), 0);
	fds_before = count_fds();
	memset(w, 0, sizeof(*w));
	conf_tree_init(&w->tree);
	proc_tree_init(&w->tree, MANAGER_WORLD_BOOT "\n");
	conf_tree_put(&w->tree, "state/.made", "");
	text_format(w->state, sizeof(w->state), "%s/state", w->tree.top);
	manager_world_configure(w, more);
	assert_true(sd_event_new(&w->event) >= 0);
}

static void on_record(void *arg, const struct ledger_record *rec)
{
	struct manager_world *w = arg;

	if (w->n < ARRAY_SIZE(w->seen))
		w->seen[w->n++] = *rec;
}

void manager_world_open(struct manager_world *w)
{
	const struct manager_listener listener = { .record = on_record, .arg = w };
	char proc[80], why[256] = "";
	const struct manager_options how = { .conf_dirs = w->tree.dirs, .state_dir = w->state, .proc = proc };

	text_format(proc, sizeof(proc), "%s/proc", w->tree.top);
	if (manager_open(w->event, &how, &w->m, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	manager_listen(w->m, &listener);
}

void manager_world_close(struct manager_world *w)
{
	manager_close(&w->m);
	assert_null(w->m);
}

void manager_world_done(struct manager_world *w)
{
	manager_world_close(w);
	sd_event_unref(w->event);
	conf_tree_done(&w->tree);
	assert_int_equal(count_fds(), fds_before);
}

struct proc_tree_process manager_world_process(int number, uid_t uid)
{
	return (struct proc_tree_process){
		.pid = PROC_TREE_PID + number,
		.start_time = 1000 + (uint64_t)number,
		.uid = uid,
		.comm = "big",
		.exe = "/usr/bin/big",
		.cgroup = "/back.slice/back-data.slice/big.service",
		.anon = 300 * MIB,
	};
}

size_t manager_world_count(const struct manager_world *w, enum ledger_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->seen[i].kind == kind;
	return n;
}

const struct ledger_record *manager_world_wait(struct manager_world *w, enum ledger_kind kind, size_t n)
{
	const uint64_t until = clock_ns() + WAIT_NS;
	const struct ledger_record *last = NULL;

	while (manager_world_count(w, kind) < n && clock_ns() < until)
		assert_true(sd_event_run(w->event, SECOND / 10) >= 0);
	assert_int_equal(manager_world_count(w, kind), n);
	for (size_t i = 0; i < w->n; i++)
		if (w->seen[i].kind == kind)
			last = &w->seen[i];
	return last;
}

void manager_world_rest(struct manager_world *w)
{
	/* Longer than a timer may be late. */
	for (int quiet = 0; quiet < 2;) {
		int r = sd_event_run(w->event, 30000);

		assert_true(r >= 0);
		quiet = r ? 0 : quiet + 1;
	}
}

static int say(const void *what, size_t size)
{
	return send(WORKER_FD, what, size, MSG_NOSIGNAL) == (ssize_t)size ? 0 : 99;
}

int manager_world_worker(void)
{
	static struct explain_head head = {
		.magic = EXPLAIN_MAGIC,
		.version = EXPLAIN_VERSION,
		.outcome = WORKER_NOTHING,
		.allocator = EXPLAIN_ALLOC_GLIBC,
		.nremedies = 2,
		.remedies = { { .remedy = WORKER_REMEDY_TRIM, .possible = 1, .predicted = PROMISED },
			      { .remedy = WORKER_REMEDY_PAGEOUT, .possible = 1, .predicted = PROMISED } },
	};
	static struct worker_result result = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.outcome = WORKER_RECLAIMED,
		.rss_before = 300 * MIB,
		.rss_after = 200 * MIB,
		.freed = PROMISED,
		.nsteps = 1,
		.steps = { { .remedy = WORKER_REMEDY_TRIM, .has_predicted = 1, .predicted = PROMISED } },
	};
	const char *outcome = getenv("FAKE_MANAGER_OUTCOME");
	struct worker_request req;

	result.steps[0].call_us = 800;
	if (outcome)
		result.outcome = (uint32_t)atoi(outcome);

	if (recv(WORKER_FD, &req, sizeof(req), MSG_TRUNC) != (ssize_t)sizeof(req) || req.version != WORKER_VERSION)
		return 97;
	if (req.remedies & WORKER_REMEDY_PAGEOUT) {
		result.steps[0].remedy = WORKER_REMEDY_PAGEOUT;
		result.steps[0].swapped = PROMISED;
	}
	head.pid = result.pid = req.pid;
	head.start_time = result.start_time = req.start_time;
	return req.op == WORKER_OP_RECLAIM ? say(&result, sizeof(result)) : say(&head, sizeof(head));
}
