/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread idle in epoll_wait beside threads that allocate and free without
 * a pause, every block with canaries. Each thread counts its rounds, so that a
 * judge sees a single stuck one.
 *
 *   --arenas=N  that many at most
 *   --fifo=PATH --then=exit|exec   what one more thread does when somebody opens that for writing; after
 *               an exec it is all there again, and helper_ready counts how often
 *   --no-idle   nobody sleeps, and all of them, the first thread too, are in one arena: whoever
 *               is made to trim meets its lock in the hands of the others
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "victim.h"

#define SLOTS 512

static unsigned long throttle_us;

static void *worker(void *arg)
{
	struct block *slot[SLOTS] = { NULL };
	uintptr_t id = (uintptr_t)arg;
	uint64_t s = id * 104729 + 17;
	struct self self;

	self_save(&self);
	while (!vs->stop) {
		for (int i = 0; i < 200; i++) {
			uint64_t r = rnd(&s);
			size_t size = BLOCK_MIN + (r >> 20) % (r % 64 ? 3000 : 200000);

			slot_renew(&slot[(r >> 8) % SLOTS], &s, size);
		}
		/* let a large piece go now and then, so that there is something to trim */
		if (!(vs->progress[id] % 64))
			for (int i = 0; i < SLOTS / 2; i++) {
				if (slot[i] && block_bad(slot[i]))
					complain("block %p damaged", (void *)slot[i]);
				free(slot[i]);
				slot[i] = NULL;
			}
		if (errno != ERRNO_CANARY)
			complain("worker: errno is %d", errno);
		if (!(vs->progress[id] % 32))
			self_check(&self, "worker");
		vs->progress[id]++;
		if (throttle_us)
			usleep(throttle_us);
		errno = ERRNO_CANARY;
	}
	bloat_check(slot, SLOTS);
	return NULL;
}

static int idle_open(int efd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, efd, &ev))
		die("epoll");
	return ep;
}

static void idle(int ep, int efd)
{
	struct epoll_event ev;
	uint64_t v;

	for (;;) {
		struct self self;
		int r, e;

		self_save(&self);
		r = epoll_wait(ep, &ev, 1, -1);
		e = errno;
		if (r == 1) {
			if (read(efd, &v, 8) != 8)
				complain("eventfd: errno %d", errno);
			errno = ERRNO_CANARY;
			self_check(&self, "idle");
			vs->rounds++;
			if (vs->stop)
				return;
			continue;
		}
		if (r < 0 && e == EINTR)
			count_eintr("epoll_wait");
		else
			complain("epoll_wait: %d, errno %d", r, e);
	}
}

/* Wakes the idle thread every 250 ms: it must go on living, not only sleep. */
static void *ticker(void *arg)
{
	int efd = *(int *)arg;
	uint64_t one = 1;

	while (!vs->stop) {
		struct timespec ts = { .tv_nsec = 250000000 };

		if (nanosleep(&ts, NULL))
			complain("nanosleep: errno %d", errno);
		if (write(efd, &one, 8) != 8)
			complain("write eventfd: errno %d", errno);
	}
	if (write(efd, &one, 8) != 8)
		complain("write eventfd: errno %d", errno);
	return NULL;
}

static struct {
	const char *fifo;
	bool exec;
	char **argv;
} told;

/* In open(), where nobody touches it: whichever thread is stopped, it isn't this one. */
static void *obey(void *arg)
{
	int fd = open(told.fifo, O_RDONLY | O_CLOEXEC);

	(void)arg;
	if (fd < 0)
		die(told.fifo);
	if (told.exec)
		execv("/proc/self/exe", told.argv);
	_exit(0);
}

static void obey_start(int argc, char **argv)
{
	pthread_t t;

	told.fifo = opt(argc, argv, "fifo", NULL);
	told.exec = !strcmp(opt(argc, argv, "then", "exit"), "exec");
	told.argv = argv;
	if (told.fifo && pthread_create(&t, NULL, obey, NULL))
		die("pthread_create");
}

/* @first to @n: the numbers of the workers that get a thread of their own. */
static void workers_start(pthread_t *t, uintptr_t first, uintptr_t n)
{
	for (uintptr_t i = first; i < n; i++)
		if (pthread_create(&t[i], NULL, worker, (void *)i))
			die("pthread_create");
}

static int nobody_idle(unsigned long n)
{
	pthread_t t[VSTAT_THREADS];

	workers_start(t, 1, n);
	vs->progress[0] = 1;
	threads_await(n);
	vs->ready = 1;
	worker((void *)0);
	for (uintptr_t i = 1; i < n; i++)
		pthread_join(t[i], NULL);
	return vstat_finish();
}

int main(int argc, char **argv)
{
	unsigned long n = opt_num(argc, argv, "threads", 3);
	bool idle_one = !opt(argc, argv, "no-idle", NULL);
	int arenas = (int)opt_num(argc, argv, "arenas", idle_one ? 0 : 1);
	int efd = eventfd(0, EFD_CLOEXEC), ep;
	pthread_t t[VSTAT_THREADS + 1];

	vstat_open(argc, argv);
	throttle_us = opt_num(argc, argv, "throttle-us", 0);
	if (efd < 0 || n > VSTAT_THREADS || (arenas && !mallopt(M_ARENA_MAX, arenas)))
		die("start");
	if (!idle_one)
		return nobody_idle(n);
	workers_start(t, 0, n);
	if (pthread_create(&t[n], NULL, ticker, &efd))
		die("pthread_create");
	vs->sleeper_tid = getpid();
	threads_await(n);
	obey_start(argc, argv);
	ep = idle_open(efd);
	vs->helper_ready++;
	vs->ready = 1;
	idle(ep, efd);
	for (uintptr_t i = 0; i <= n; i++)
		pthread_join(t[i], NULL);
	return vstat_finish();
}
