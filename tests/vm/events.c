// SPDX-License-Identifier: GPL-2.0-or-later
/* What the daemon's own reader of events makes of them: heard in time, told when some were lost, not for everybody. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/machine.h"
#include "sense/bloat.h"
#include "sense/source.h"
#include "tap.h"

#define INTERVAL_MS 500
#define LIMIT (16 * MIB)
#define SMALL (512UL << 10)
#define MANY 100

static volatile int *go;

static int nothing(void *data)
{
	(void)data;
	return 0;
}

static void grow(void *data)
{
	const size_t size = *(const size_t *)data;
	char *p = map_anon(size);

	while (!*go)
		sleep_ms(5);
	touch(p, size, PAGE);
}

/* Waits until @pid is heard of. */
static bool hear(struct bloat *b, pid_t pid, struct bloat_event *ret)
{
	const uint64_t end = now_us() + 20ULL * INTERVAL_MS * 1000;

	while (now_us() < end) {
		bool resync;
		int r = bloat_next(b, INTERVAL_MS, ret, &resync);

		if (r < 0)
			return false;
		if (r > 0 && ret->proc.pid == pid)
			return true;
		if (r > 0)
			proc_done(&ret->proc);
	}
	return false;
}

static void test_one(void)
{
	size_t size = 2 * LIMIT;
	struct bloat *b = NULL;
	struct bloat_event e;
	bool resync = true;
	pid_t pid;
	int r;

	r = bloat_open(&b);
	if (!tap(r == 0, "listen: %d", r))
		return;
	*go = 0;
	pid = child_start(nothing, grow, &size);
	r = bloat_next(b, 0, &e, &resync);
	tap(r == 0 && !resync, "nothing to be heard without waiting: %d", r);
	*go = 1;
	if (tap(hear(b, pid, &e), "a process that grows is heard of")) {
		tap(e.reason == BLOAT_ANON && e.proc.start_time == start_time_of(pid), "its reason and start time");
		tap(e.proc.anon != PROC_UNKNOWN && e.proc.anon >= LIMIT, "its size, %" PRIu64, e.proc.anon);
		tap(e.proc.tracer == -1 && !e.proc.state && e.proc.exe && !*e.proc.exe,
		    "and nothing that events don't tell");
		proc_done(&e.proc);
	}
	child_end(pid);
	bloat_close(&b);
	tap(!b, "closed");
}

static int count(struct bloat *b, bool *resync)
{
	struct bloat_event e;
	int n = 0, r;
	bool lost;

	while ((r = bloat_next(b, 100, &e, &lost)) > 0 || (r == 0 && lost)) {
		*resync |= lost;
		if (r > 0)
			proc_done(&e.proc);
		n += r;
	}
	return r < 0 ? r : n;
}

static void test_lost(void)
{
	const struct proc_filter filter = { .min_anon = SMALL };
	_cleanup_(proc_list_done) struct proc_list list = { 0 };
	_cleanup_(source_close) struct source s = { .module = NULL };
	_cleanup_close_ int root = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t size = 2 * SMALL;
	int tiny = 4096, n = 0, heard, found = 0;
	struct bloat *b = NULL;
	bool resync = false;
	pid_t pids[MANY];
	char why[200];

	tunable_set("bloat_anon_kb", SMALL >> 10);
	*go = 0;
	while (n < MANY && (pids[n] = child_start(nothing, grow, &size)) > 0)
		n++;
	if (!tap(n == MANY && bloat_open(&b) == 0, "many processes"))
		return;
	setsockopt(bloat_fd(b), SOL_SOCKET, SO_RCVBUFFORCE, &tiny, sizeof(tiny));
	*go = 1;
	sleep_ms(8 * INTERVAL_MS);
	heard = count(b, &resync);
	tap(heard >= 0 && heard < MANY && resync, "who hears %d of them is told to look again", heard);
	resync = false;
	tap(count(b, &resync) >= 0 && !resync, "once");
	tap(source_open(root, SOURCE_NETLINK, &s, why, sizeof(why)) == 0 &&
		    source_list(&s, &filter, PROC_COUNTERS, &list) == 0,
	    "looks again");
	for (size_t i = 0; i < list.n; i++)
		for (int k = 0; k < n; k++)
			found += list.v[i].pid == pids[k];
	tap(found == MANY, "and finds all: %d of %zu", found, list.n);
	for (int i = 0; i < n; i++)
		child_end(pids[i]);
	bloat_close(&b);
}

static void test_nobody(void)
{
	struct bloat *b = NULL;
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(setuid(65534) < 0 ? 99 : -bloat_open(&b));
	waitpid(pid, &status, 0);
	tap(WIFEXITED(status) && WEXITSTATUS(status) == EPERM && !b, "not for everybody: error %d",
	    WEXITSTATUS(status));
}

int main(void)
{
	go = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tap(tunable_set("scan_interval_ms", INTERVAL_MS) == 0 && tunable_set("scan_cpu_permille", 500) == 0 &&
		    tunable_set("min_anon_kb", 256) == 0 && tunable_set("bloat_anon_kb", LIMIT >> 10) == 0 &&
		    tunable_set("bloat_heap_kb", 0) == 0 && tunable_set("bloat_growth_kb", 0) == 0,
	    "an interval of %d ms", INTERVAL_MS);
	test_one();
	test_lost();
	test_nobody();
	return tap_end();
}
