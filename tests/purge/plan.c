// SPDX-License-Identifier: GPL-2.0-or-later
/* The planner for apply.c: plan PID, its requests on standard input, lists to standard output. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "inspect/pypurge.h"
#include "wire.h"

static int get(void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(STDIN_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int put(const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int round_put(const struct pypurge_lists *l)
{
	const struct wire_round head = { .n_writes = l->n_writes, .n_ranges = l->n_ranges, .n_values = l->n_values };
	char done;

	_Static_assert(sizeof(struct wire_write) == sizeof(struct pypurge_write) &&
			       sizeof(struct wire_range) == sizeof(struct pypurge_range),
		       "sent as they are");
	if (put(&head, sizeof(head)) < 0 || put(l->writes, l->n_writes * sizeof(l->writes[0])) < 0 ||
	    put(l->ranges, l->n_ranges * sizeof(l->ranges[0])) < 0 || put(l->values, l->n_values) < 0)
		return -EPIPE;
	return get(&done, 1) < 0 ? -EPIPE : 0;
}

static void mem_budget(struct target *t, uint64_t ns)
{
	t->mem.reads_left = t->mem.bytes_left = UINT64_MAX;
	t->mem.deadline_ns = ns ? clock_ns() + ns : 0;
	remote_forget(&t->mem);
}

static int sweep(struct target *t, struct pypurge *p, const struct wire_ask *ask, const struct pypurge_limits *limits,
		 uint64_t *figures)
{
	static struct pypurge_lists lists;
	struct pypurge_round round;

	pypurge_restart(p);
	for (uint32_t n = 0; !ask->max_rounds || n < ask->max_rounds; n++) {
		uint64_t t0 = clock_ns(), t1, us;
		int r;

		mem_budget(t, 0);
		r = pypurge_scan(p, &t->mem, limits, &round);
		if (r <= 0)
			return r;
		mem_budget(t, ask->budget_ns);
		t1 = clock_ns();
		r = pypurge_check(p, &t->mem, limits, &lists);
		us = (clock_ns() - t1) / 1000;
		figures[WIRE_SCAN_US] += (t1 - t0) / 1000;
		figures[WIRE_CHECK_US_SUM] += us;
		figures[WIRE_CHECK_US_MAX] = MAX(figures[WIRE_CHECK_US_MAX], us);
		figures[WIRE_WRITES_SUM] += lists.n_writes;
		figures[WIRE_RANGES_SUM] += lists.n_ranges;
		figures[WIRE_VALUES_SUM] += lists.n_values;
		figures[WIRE_EMPTY] += !lists.n_writes && !lists.n_ranges;
		if (r == -ETIME) {
			pypurge_failed(p, 10);
			continue;
		}
		if (r < 0)
			return r;
		r = round_put(&lists);
		if (r < 0)
			return r;
		pypurge_applied(p, &lists);
	}
	return 0;
}

static int serve(struct target *t, struct pypurge *p, const struct wire_ask *ask, struct wire_round *ret)
{
	const struct pypurge_limits limits = {
		.deep = ask->deep,
		.reserve = ask->reserve,
		.max_retired = ask->max_retired,
		.max_writes = ask->max_writes,
		.max_ranges = ask->max_ranges,
		.max_values = ask->max_values,
		.max_bytes = ask->max_bytes,
		.max_reads = ask->max_reads,
		.budget_ns = ask->budget_ns,
	};
	struct pypurge_prediction facts = { 0 };
	const struct pypurge_stats *stats;
	int r;

	if (ask->op == WIRE_SWEEP) {
		r = sweep(t, p, ask, &limits, ret->figures);
		stats = pypurge_sweep_stats(p);
		ret->figures[WIRE_ROUNDS] = stats->rounds;
		ret->figures[WIRE_ARENAS] = stats->arenas;
		ret->figures[WIRE_TORN] = stats->torn;
		ret->figures[WIRE_RESIDENT] = stats->resident;
		ret->figures[WIRE_TOUCHED] = stats->touched;
		ret->figures[WIRE_LISTS_TORN] = stats->lists_torn;
		return r;
	}
	mem_budget(t, 0);
	r = pypurge_predict(p, &t->mem, &limits, &facts);
	ret->figures[WIRE_NORMAL] = facts.normal;
	ret->figures[WIRE_DEEP] = facts.deep;
	ret->figures[WIRE_FREE_POOLS] = facts.free_pools;
	ret->figures[WIRE_RETIRED_POOLS] = facts.retired_pools;
	ret->figures[WIRE_UNKNOWN] = facts.unknown;
	return r;
}

static int start(const char *pid, struct target *t, struct cpython *py)
{
	char path[64], why[CPYTHON_TEXT_MAX] = "";
	int dir, r;

	snprintf(path, sizeof(path), "/proc/%s", pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	r = target_open(dir, t);
	(void)close(dir);
	if (r < 0)
		return r;
	mem_budget(t, 0);
	r = cpython_locate(t, py, why);
	if (r < 0)
		fprintf(stderr, "plan: %s\n", why);
	if (r == 0)
		r = cpython_locate_lists(t, py);
	return r;
}

int main(int argc, char *argv[])
{
	struct target t = TARGET_CLOSED;
	struct cpython py = { 0 };
	struct pypurge *p = NULL;
	struct wire_ask ask;

	if (argc != 2)
		return 2;
	/* Only a process that asks is a Python already. */
	while (get(&ask, sizeof(ask)) == 0) {
		struct wire_round ret = { .last = 1 };

		if (!p)
			ret.error = start(argv[1], &t, &py);
		if (!p && !ret.error)
			ret.error = pypurge_new(&py, &p);
		if (p)
			ret.error = serve(&t, p, &ask, &ret);
		if (put(&ret, sizeof(ret)) < 0)
			break;
	}
	pypurge_free(p);
	target_close(&t);
	return 0;
}
