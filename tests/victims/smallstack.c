/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LDLIBS: -Wl,-z,now */
/*
 * The main thread waits in tee(), which nobody may interrupt; another one sleeps in read() on the smallest stack that
 * there is, or the pages that this takes:
 *   smallstack --spare=BYTES [--state]    so deep that no more is left of it; and room for the processor's state
 * Bound at the start: the dynamic linker takes more stack than that.
 */
#include <alloca.h>
#include <cpuid.h>
#include <limits.h>
#include <pthread.h>

#include "victim.h"

#define OWN 8192 /* of the stack for struct pthread, thread-local storage, the first frames */

static size_t spare;
static int in[2], out[2];

/* Of all that the kernel has enabled, which is what it gives to tracers: kilobytes, with AMX eleven. */
static size_t state_size(void)
{
	unsigned int a, size, c, d;

	__cpuid_count(0xd, 0, a, size, c, d);
	return size;
}

static __attribute__((noinline)) void sleep_deep(char *lo)
{
	char *here = __builtin_frame_address(0);
	volatile char *deep = NULL;

	if (here < lo + spare + 64)
		die("the stack is too small already");
	deep = alloca((size_t)(here - lo) - spare);
	*deep = 0x5a;
	vs->ready = 1;
	idle_until_stop();
	if (*deep != 0x5a)
		complain("stack damaged: %x", *deep);
}

static void *sleeper(void *arg)
{
	pthread_attr_t a;
	void *lo = NULL;
	size_t size;

	if (pthread_getattr_np(pthread_self(), &a) || pthread_attr_getstack(&a, &lo, &size))
		die("pthread_getattr_np");
	vs->sleeper_tid = gettid();
	sleep_deep(lo);
	if (write(in[1], "x", 1) != 1)
		die("write");
	return arg;
}

int main(int argc, char **argv)
{
	struct block *keep[16];
	const size_t least = PTHREAD_STACK_MIN;
	size_t size;
	pthread_attr_t a;
	pthread_t t = 0;
	ssize_t n;

	vstat_open(argc, argv);
	spare = opt_num(argc, argv, "spare", 0) + (opt(argc, argv, "state", NULL) ? state_size() : 0);
	size = (spare + OWN + 4095) & ~4095ul;
	bloat_make(4096, keep, 16);
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		die("pipe");
	if (pthread_attr_init(&a) || pthread_attr_setstacksize(&a, size > least ? size : least) ||
	    pthread_create(&t, &a, sleeper, NULL))
		die("pthread_create");
	n = tee(in[0], out[1], 1, 0);
	if (n != 1)
		complain("tee: %zd, errno %d", n, errno);
	pthread_join(t, NULL);
	bloat_check(keep, 16);
	return vstat_finish();
}
