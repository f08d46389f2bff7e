// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ages that begin anew: of a part of a process, or of all of it, and how they go
 * on from there. Of processes that don't run meanwhile, so that nothing else
 * makes them young, and the sampler would rather not look.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/facts.h"
#include "lib/machine.h"
#include "tap.h"

#define SIZE (32 * MIB)
#define INTERVAL_MS 500
#define IDLE_INTERVALS 4
/* Libraries, stacks, and what else isn't ours */
#define SLACK MIB

struct sleeper {
	bool huge;
	char *memory;
};

static int fill(void *data)
{
	struct sleeper *s = data;

	s->memory = map_aligned(SIZE, HUGE);
	if (madvise(s->memory, SIZE, s->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0)
		return -1;
	touch(s->memory, SIZE, PAGE);
	return 0;
}

static void put_range(struct genl_request *req, uint64_t start, uint64_t end)
{
	struct {
		struct nlattr start_attr;
		uint32_t start[2];
		struct nlattr end_attr;
		uint32_t end[2];
	} range = {
		{ 12, RECLAIM_A_RANGE_START }, { (uint32_t)start, start >> 32 },
		{ 12, RECLAIM_A_RANGE_END },   { (uint32_t)end, end >> 32 },
	};

	genl_put(req, RECLAIM_A_RANGE | NLA_F_NESTED, &range, sizeof(range));
}

static void begin(struct genl *g, struct genl_request *req, pid_t pid)
{
	genl_begin(g, req, RECLAIM_CMD_AGE_RESET, 0);
	genl_put_u32(req, RECLAIM_A_PID, pid);
}

static int reset(struct genl *g, pid_t pid, const char *start, size_t size)
{
	struct genl_request req;

	begin(g, &req, pid);
	genl_put_u64(&req, RECLAIM_A_START_TIME, start_time_of(pid));
	if (size)
		put_range(&req, (uintptr_t)start, (uintptr_t)start + size);
	return genl_call(g, &req, NULL, NULL);
}

/* Whether so much is idle, sooner or later; what was seen last in @ret */
static bool becomes_idle(struct genl *g, pid_t pid, uint64_t low, uint64_t high, uint64_t *ret)
{
	for (int i = 0; i < 100 * IDLE_INTERVALS; i++) {
		struct proc p;

		if (proc_get(g, pid, false, &p) < 0)
			return false;
		*ret = p.value[RECLAIM_A_IDLE];
		if (p.has[RECLAIM_A_IDLE] && *ret >= low && *ret <= high)
			return true;
		sleep_ms(INTERVAL_MS / 10);
	}
	return false;
}

static void test_ages(struct genl *g, struct sleeper *s)
{
	const char *name = s->huge ? "huge pages" : "small pages";
	/* Half of it, but for a page: its granule is meant too. Of a huge page any part is all of it. */
	const size_t part = SIZE / 2 - PAGE;
	pid_t pid = child_start(fill, NULL, s);
	uint64_t idle = 0;
	bool good;

	if (!tap(pid > 0, "%s: %lu MiB", name, SIZE / MIB))
		return;
	good = becomes_idle(g, pid, SIZE - SLACK, UINT64_MAX, &idle);
	tap(good, "%s: idle: %" PRIu64 " KiB", name, idle / 1024);
	good = reset(g, pid, s->memory, part) == 0 && becomes_idle(g, pid, SIZE / 2 - SLACK, SIZE / 2 + SLACK, &idle);
	tap(good, "%s: the other half is idle: %" PRIu64 " KiB", name, idle / 1024);
	good = becomes_idle(g, pid, SIZE - SLACK, UINT64_MAX, &idle);
	tap(good, "%s: idle again: %" PRIu64 " KiB", name, idle / 1024);
	good = reset(g, pid, NULL, 0) == 0 && becomes_idle(g, pid, 0, SLACK, &idle);
	tap(good, "%s: nothing is idle: %" PRIu64 " KiB", name, idle / 1024);
	good = becomes_idle(g, pid, SIZE - SLACK, UINT64_MAX, &idle);
	tap(good, "%s: idle at last: %" PRIu64 " KiB", name, idle / 1024);
	child_end(pid);
}

static void expect(struct genl *g, struct genl_request *req, const char *what, int error)
{
	int r = genl_call(g, req, NULL, NULL);

	tap(r == error && (!error || g->message[0]), "%s: error %d, \"%s\"", what, -r, g->message);
}

static void test_requests(struct genl *g)
{
	struct genl_request req;

	begin(g, &req, getpid());
	put_range(&req, 0, UINT64_MAX);
	put_range(&req, 1, 2);
	expect(g, &req, "of a process that has no ages", 0);
	begin(g, &req, getpid());
	put_range(&req, 0, PAGE);
	put_range(&req, PAGE, PAGE);
	expect(g, &req, "a range of nothing", -ERANGE);
	begin(g, &req, getpid());
	genl_put(&req, RECLAIM_A_RANGE | NLA_F_NESTED, NULL, 0);
	expect(g, &req, "a range without an end", -EINVAL);
	begin(g, &req, getpid());
	genl_put_u64(&req, RECLAIM_A_START_TIME, start_time_of(getpid()) + 1);
	expect(g, &req, "somebody else's start time", -ESRCH);
	begin(g, &req, 2);
	expect(g, &req, "of a kernel thread", -ESRCH);
	begin(g, &req, getpid());
	genl_put_flag(&req, RECLAIM_A_FRESH);
	expect(g, &req, "what another operation wants", -EINVAL);
}

int main(void)
{
	struct sleeper *s = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct genl g;

	tap(tunable_set("scan_interval_ms", INTERVAL_MS) == 0 && tunable_set("scan_cpu_permille", 500) == 0 &&
		    tunable_set("idle_after_ms", IDLE_INTERVALS * INTERVAL_MS) == 0 &&
		    tunable_set("min_anon_kb", 16 << 10) == 0,
	    "an interval of %d ms, idle after %d of them", INTERVAL_MS, IDLE_INTERVALS);
	if (!tap(genl_open(&g) == 0, "find the family"))
		return tap_end();
	test_requests(&g);
	test_ages(&g, s);
	s->huge = true;
	test_ages(&g, s);
	genl_close(&g);
	return tap_end();
}
