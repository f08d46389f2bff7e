/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One that lives by its signals: signalled --how=queued|setxid. queued: somebody outside queues them, each with
 * the next number, and each has to be handled, in order. setxid: a second thread changes the user again and
 * again, for which glibc signals the first one, and waits until it has answered: for ever, when that one gets lost.
 */
#include <pthread.h>

#include "victim.h"

#define PAUSE_US 200

static struct block *keep[16];

static void on_queued(int sig, siginfo_t *info, void *context)
{
	const int64_t number = info->si_value.sival_int;

	(void)sig;
	(void)context;
	if (number != vs->result + 1)
		complain("signal %lld comes after %lld", (long long)number, (long long)vs->result);
	vs->result = number;
	vs->handler_runs++;
}

static void how_queued(void)
{
	struct sigaction sa = { .sa_sigaction = on_queued, .sa_flags = SA_RESTART | SA_SIGINFO };

	if (sigaction(SIGRTMIN + 3, &sa, NULL))
		die("sigaction");
}

/* It never sleeps but in that wait: nobody takes it for the idle one. */
static void *change_user(void *arg)
{
	(void)arg;
	while (!vs->stop) {
		const uint64_t end = now_us() + PAUSE_US;

		if (setuid(getuid()))
			complain("setuid: errno %d", errno);
		vs->progress[0]++;
		while (now_us() < end)
			;
	}
	return NULL;
}

static void how_setxid(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, change_user, NULL))
		die("pthread_create");
	threads_await(1);
}

int main(int argc, char **argv)
{
	vstat_open(argc, argv);
	bloat_make(4096, keep, 16);
	if (!strcmp(opt(argc, argv, "how", "queued"), "queued"))
		how_queued();
	else
		how_setxid();
	vs->ready = 1;
	idle_until_stop();
	bloat_check(keep, 16);
	return vstat_finish();
}
