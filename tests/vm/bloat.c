// SPDX-License-Identifier: GPL-2.0-or-later
/* Who crosses a threshold is announced in time and once; who listens too slowly loses no state. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/facts.h"
#include "lib/machine.h"
#include "tap.h"

#define INTERVAL_MS 1000
#define LIMIT_KB (32 << 10)
#define MANY 1000
#define MANY_KB 512

/* What the children are told to do, by turns, and how many have done so. They sleep meanwhile: there may be many. */
static volatile int *order;

static int nothing(void *data)
{
	(void)data;
	return 0;
}

static void wait_for(int what)
{
	int now;

	while ((now = *order) < what)
		syscall(SYS_futex, order, FUTEX_WAIT, now, NULL, NULL, 0);
}

static void tell(int what)
{
	*order = what;
	syscall(SYS_futex, order, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void grow_mmap(void *data)
{
	char *p = map_anon(2 * LIMIT_KB * 1024UL);

	(void)data;
	touch(p, LIMIT_KB * 1024UL * 3 / 4, PAGE);
	wait_for(1);
	touch(p, LIMIT_KB * 1024UL * 3 / 2, PAGE);
}

static void grow_later(void *data)
{
	char *p = map_anon(LIMIT_KB * 1024UL);

	(void)data;
	/* Large enough to be looked at, and grown by less than is worth a word */
	touch(p, 6 * MIB, PAGE);
	wait_for(1);
	touch(p, LIMIT_KB * 1024UL * 3 / 4, PAGE);
}

static void hover(void *data)
{
	char *p = map_anon(2 * LIMIT_KB * 1024UL);
	size_t low = (LIMIT_KB - 1024) * 1024UL;

	(void)data;
	touch(p, low, PAGE);
	for (;; sleep_ms(150)) {
		touch(p + low, 2 * MIB, PAGE);
		sleep_ms(150);
		madvise(p + low, 2 * MIB, MADV_DONTNEED);
	}
}

static void grow_heap(void *data)
{
	char *p = sbrk(LIMIT_KB * 1024L);

	(void)data;
	touch(p, LIMIT_KB * 1024UL * 3 / 4, PAGE);
}

static void grow_a_little(void *data)
{
	char *p = map_anon(MIB);

	(void)data;
	wait_for(1);
	touch(p, MANY_KB * 1024 * 5 / 4, PAGE);
	__atomic_add_fetch(&order[1], 1, __ATOMIC_RELAXED);
}

struct heard {
	pid_t pid; /* of interest */
	int count, others;
	uint64_t at_us;
	struct proc last;
};

static void hear(const struct genl_reply *reply, void *data)
{
	struct heard *h = data;

	if (reply->cmd != RECLAIM_CMD_PROC_BLOAT_NTF)
		return;
	if (h->pid && genl_u32(reply->attr[RECLAIM_A_PID]) != (uint32_t)h->pid) {
		h->others++;
		return;
	}
	if (!h->count++)
		h->at_us = now_us();
	proc_take(reply, &h->last);
}

/* Listens for so long, or until @pid was heard of. */
static int listen_to(struct genl *g, struct heard *h, pid_t pid, unsigned int ms, bool until)
{
	uint64_t end = now_us() + ms * 1000ULL;
	int r = 0;

	*h = (struct heard){ .pid = pid };
	while (r >= 0 && now_us() < end && !(until && h->count))
		r = genl_listen(g, 50, hear, h);
	return r;
}

static void limits(uint64_t anon_kb, uint64_t heap_kb, uint64_t growth_kb)
{
	bool good = tunable_set("bloat_anon_kb", anon_kb) == 0 && tunable_set("bloat_heap_kb", heap_kb) == 0 &&
		    tunable_set("bloat_growth_kb", growth_kb) == 0;

	if (!good)
		tap(false, "set limits");
}

static void test_crossing(struct genl *g)
{
	uint64_t began, took;
	struct heard h;
	pid_t pid;

	limits(LIMIT_KB, 0, 0);
	tell(0);
	pid = child_start(nothing, grow_mmap, NULL);
	listen_to(g, &h, pid, 3 * INTERVAL_MS, false);
	tap(h.count == 0, "nothing is said of a process below the limit");
	began = now_us();
	tell(1);
	listen_to(g, &h, pid, 6 * INTERVAL_MS, true);
	took = (h.at_us - began) / 1000;
	/* Half an interval more: the emulated processors are shared with others. */
	tap(h.count == 1 && took <= 2 * INTERVAL_MS + INTERVAL_MS / 2, "announced after %" PRIu64 " ms", took);
	tap(h.last.value[RECLAIM_A_REASON] == RECLAIM_REASON_ANON, "for its anonymous memory");
	tap(h.last.value[RECLAIM_A_START_TIME] == start_time_of(pid), "with its start time");
	tap(h.last.value[RECLAIM_A_RSS_ANON] >= LIMIT_KB * 1024UL, "with figures: %" PRIu64 " bytes",
	    h.last.value[RECLAIM_A_RSS_ANON]);
	listen_to(g, &h, pid, 3 * INTERVAL_MS, false);
	tap(h.count == 0, "and only once");
	child_end(pid);
}

static void test_hovering(struct genl *g)
{
	struct heard h;
	pid_t pid;

	limits(LIMIT_KB, 0, 0);
	pid = child_start(nothing, hover, NULL);
	listen_to(g, &h, pid, 8 * INTERVAL_MS, false);
	tap(h.count <= 1, "one that hovers around the limit is announced %d times", h.count);
	child_end(pid);
}

static void test_heap(struct genl *g)
{
	struct heard h;
	pid_t pid;

	limits(0, LIMIT_KB / 2, 0);
	pid = child_start(nothing, grow_heap, NULL);
	listen_to(g, &h, pid, 6 * INTERVAL_MS, true);
	tap(h.count == 1 && h.last.value[RECLAIM_A_REASON] == RECLAIM_REASON_HEAP, "a heap is announced");
	/* It isn't touched again. */
	listen_to(g, &h, pid, 10 * INTERVAL_MS, true);
	tap(h.count == 1 && h.last.value[RECLAIM_A_REASON] == RECLAIM_REASON_HEAP_IDLE, "and again when it is idle");
	child_end(pid);
}

static void test_growth(struct genl *g)
{
	struct heard h;
	pid_t pid;

	limits(0, 0, LIMIT_KB / 4);
	tell(0);
	pid = child_start(nothing, grow_later, NULL);
	listen_to(g, &h, pid, 3 * INTERVAL_MS, false);
	tap(h.count == 0, "nothing is said of a process that doesn't grow");
	tell(1);
	listen_to(g, &h, pid, 6 * INTERVAL_MS, true);
	tap(h.count == 1 && h.last.value[RECLAIM_A_REASON] == RECLAIM_REASON_GROWTH, "growth is announced");
	tap(h.last.value[RECLAIM_A_GROWTH] >= LIMIT_KB / 4 * 1024UL, "with its size: %" PRIu64,
	    h.last.value[RECLAIM_A_GROWTH]);
	child_end(pid);
}

struct found {
	pid_t *pids;
	int found;
};

static void find_pids(const struct genl_reply *reply, void *data)
{
	uint64_t anon = genl_u64(reply->attr[RECLAIM_A_RSS_ANON]);
	struct found *f = data;

	for (int i = 0; i < MANY; i++)
		if ((uint32_t)f->pids[i] == genl_u32(reply->attr[RECLAIM_A_PID]))
			f->found += anon >= MANY_KB * 1024UL;
}

static int listener(struct genl *g, int size)
{
	int r = genl_open(g);

	if (r == 0)
		setsockopt(g->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return r ?: genl_join(g);
}

static void test_many(struct genl *roomy)
{
	static pid_t pids[MANY];
	struct found f = { .pids = pids };
	struct genl narrow, asks;
	int n = 0, r, heard;
	struct heard h;
	uint64_t began;

	limits(MANY_KB, 0, 0);
	tell(0);
	while (n < MANY && (pids[n] = child_start(nothing, grow_a_little, NULL)) > 0)
		n++;
	tap(n == MANY, "%d processes", n);
	tap(listener(&narrow, 4096) == 0 && genl_open(&asks) == 0, "a listener with little room");
	listen_to(roomy, &h, 0, 2 * INTERVAL_MS, false);
	tell(1);
	for (int i = 0; i < 100 && order[1] < MANY; i++)
		sleep_ms(INTERVAL_MS);
	began = now_us();
	for (heard = 0; heard < MANY && now_us() - began < 60000000; heard += h.count)
		if (listen_to(roomy, &h, 0, INTERVAL_MS, false) < 0)
			break;
	h.count = heard;
	printf("# %" PRIu64 " ms after the last one has grown, %" PRIu64 " announced, %" PRIu64 " lost\n",
	       (now_us() - began) / 1000, tunable_get("stats/events"), tunable_get("stats/events_lost"));
	tap(h.count == MANY, "who has room hears of %d", h.count);
	r = listen_to(&narrow, &h, 0, 100, false);
	tap(r == -ENOBUFS, "the slow one is told so: error %d", -r);
	r = procs_dump(&asks, false, find_pids, &f);
	tap(r >= MANY && f.found == MANY, "and a dump has all of them: %d of %d", f.found, r);
	genl_close(&narrow);
	genl_close(&asks);
	for (int i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < n; i++)
		child_end(pids[i]);
}

int main(void)
{
	struct genl g;

	order = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	tap(tunable_set("scan_interval_ms", INTERVAL_MS) == 0 && tunable_set("idle_after_ms", 3 * INTERVAL_MS) == 0 &&
		    tunable_set("scan_cpu_permille", 500) == 0 && tunable_set("min_anon_kb", 4096) == 0,
	    "an interval of %d ms", INTERVAL_MS);
	if (!tap(listener(&g, 8 << 20) == 0, "listen"))
		return tap_end();
	test_crossing(&g);
	test_hovering(&g);
	test_heap(&g);
	test_growth(&g);
	test_many(&g);
	limits(1 << 20, 512 << 10, 256 << 10);
	genl_close(&g);
	return tap_end();
}
