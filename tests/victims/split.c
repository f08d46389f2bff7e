/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that sleeps deep in a stack of pieces, as gcc -fsplit-stack makes
 * them: below the frame that it sleeps in is the end of a piece, and not of the
 * stack. The main thread waits in a call in which nobody is stopped.
 */
#include <pthread.h>

#include "victim.h"

#define DEPTH 200

static struct block *keep[16];

/* Another piece each few frames; each frame finds itself as it was on the way back. */
static __attribute__((noinline)) void deep(unsigned int n)
{
	volatile unsigned char frame[1024];

	for (unsigned int i = 0; i < sizeof(frame); i++)
		frame[i] = (unsigned char)(n + i);
	if (n)
		deep(n - 1);
	else
		idle_until_stop();
	for (unsigned int i = 0; i < sizeof(frame); i++)
		if (frame[i] != (unsigned char)(n + i))
			complain("frame %u damaged", n);
}

static void *sleeper(void *arg)
{
	char here;

	(void)arg;
	vs->result = (int64_t)(uintptr_t)&here;
	vs->sleeper_tid = (uint64_t)syscall(SYS_gettid);
	vs->ready = 1;
	deep(DEPTH);
	bloat_check(keep, 16);
	_exit(vstat_finish());
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;
	pthread_t t;
	int fds[2];

	vstat_open(argc, argv);
	bloat_make(4096, keep, 16);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, opt_num(argc, argv, "stack", 1 << 20));
	if (pipe(fds) || pthread_create(&t, &attr, sleeper, NULL))
		die("pthread_create");
	for (;;)
		(void)!write(fds[1], vs, 4096);
	return 0;
}
