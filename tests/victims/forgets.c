/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LDLIBS: -lpthread */
/*
 * A thread sets signals that nobody handles to their default again and again,
 * so the kernel throws away whatever of them is queued for any thread.
 * forgets --mode=epoll|cond: what the main thread sleeps in meanwhile.
 */
#include <pthread.h>
#include <sys/epoll.h>

#include "victim.h"

#define KEEP 30000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond[2] = { PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER };
static unsigned int posted[2];
static struct block *keep[KEEP];

static void spin_us(uint64_t us)
{
	uint64_t end = now_us() + us;

	while (now_us() < end)
		;
}

static void *forget(void *arg)
{
	while (!vs->stop) {
		spin_us(50);
		signal(SIGURG, SIG_DFL);
		signal(SIGWINCH, SIG_DFL);
		signal(SIGCHLD, SIG_DFL);
	}
	return arg;
}

static void *post(void *arg)
{
	for (unsigned int i = 0; !vs->stop; i ^= 1) {
		usleep(7000);
		pthread_mutex_lock(&mutex);
		posted[i]++;
		pthread_cond_signal(&cond[i]);
		pthread_mutex_unlock(&mutex);
	}
	return arg;
}

static void await(unsigned int i)
{
	pthread_mutex_lock(&mutex);
	while (!posted[i] && !vs->stop)
		pthread_cond_wait(&cond[i], &mutex);
	if (posted[i])
		posted[i]--;
	pthread_mutex_unlock(&mutex);
}

/* Each sleep with other registers, and at another depth. */
static __attribute__((noinline)) unsigned int deep(unsigned int depth, unsigned int i)
{
	volatile unsigned int canary = depth * 3 + i;

	if (depth)
		deep(depth - 1, i);
	else
		await(i);
	if (canary != depth * 3 + i)
		complain("stack damaged");
	return canary;
}

/* So many holes that each malloc_trim() takes some 10 ms, the tenth too. */
static void bore(void)
{
	void **holes = calloc(KEEP * 4, sizeof(*holes));

	if (!holes)
		die("calloc");
	for (size_t i = 0; i < KEEP * 5; i++) {
		struct block *b = malloc(1000);

		if (!b)
			die("malloc");
		block_fill(b, 1000, i + 1);
		if (i % 5)
			holes[i / 5 * 4 + i % 5 - 1] = b;
		else
			keep[i / 5] = b;
	}
	for (size_t i = 0; i < KEEP * 4; i++)
		free(holes[i]);
	free(holes);
}

static void run_cond(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, post, NULL))
		die("pthread_create");
	vs->ready = 1;
	for (unsigned int i = 0; !vs->stop; i++) {
		deep(1 + i % 37, i & 1);
		vs->rounds++;
	}
}

static void run_epoll(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, 0, &ev))
		die("epoll");
	vs->ready = 1;
	while (epoll_wait(fd, &ev, 1, -1) < 0)
		count_eintr("epoll_wait");
}

int main(int argc, char **argv)
{
	const char *mode = opt(argc, argv, "mode", "");
	pthread_t t;

	vstat_open(argc, argv);
	bore();
	if (pthread_create(&t, NULL, forget, NULL))
		die("pthread_create");
	if (!strcmp(mode, "cond"))
		run_cond();
	else
		run_epoll();
	bloat_check(keep, KEEP);
	return vstat_finish();
}
