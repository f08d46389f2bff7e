// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * EINTR without a handler, which is the kernel's own doing: nobody traces this process. A signal to the process, while
 * its main thread has it blocked as it has in a handler, wakes another thread (complete_signal()), which gives up its
 * epoll_wait(). When the main thread lets signals in before the other one has run, it takes this one, since their queue
 * is common (dequeue_signal()), and the other one returns EINTR for nothing.
 *
 *	--times=N    so many signals
 *	--apart      the other thread has the signal blocked: the same without the cause
 *
 * result: how often epoll_wait() was EINTR and no handler had run in that thread; eintr: how often one had.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>

#include "victim.h"

static _Thread_local volatile uint64_t mine;

static void on_signal(int sig)
{
	(void)sig;
	mine++;
	vs->handler_runs++;
}

/* One CPU for both; and who is woken doesn't push away who runs (SCHED_BATCH). */
static void *sleeper(void *arg)
{
	const struct sched_param none = { .sched_priority = 0 };
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (arg)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (fd < 0 || pthread_setschedparam(pthread_self(), SCHED_BATCH, &none))
		die("epoll");
	vs->helper_ready = 1;
	for (;;) {
		const uint64_t before = mine;
		int n = epoll_wait(fd, &ev, 1, -1);

		if (n < 0 && errno == EINTR && mine == before)
			vs->result++;
		else if (n < 0 && errno == EINTR)
			vs->eintr++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	const unsigned long times = opt_num(argc, argv, "times", 100);
	pthread_t thread;
	cpu_set_t one;
	sigset_t set;

	vstat_open(argc, argv);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) || sigaction(SIGUSR1, &sa, NULL) ||
	    pthread_create(&thread, NULL, sleeper, (void *)opt(argc, argv, "apart", NULL)))
		die("start");
	while (!vs->helper_ready)
		usleep(1000);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	vs->ready = 1;
	for (unsigned long i = 0; i < times; i++) {
		/* Asleep again by then. */
		usleep(2000);
		pthread_sigmask(SIG_BLOCK, &set, NULL);
		kill(getpid(), SIGUSR1);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	}
	for (int i = 0; vs->handler_runs < times && i < 5000; i++)
		usleep(1000);
	return vs->handler_runs != times;
}
