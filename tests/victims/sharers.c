/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that another one shares its memory with: sharers --mode=NAME. The result is the pid of the other one,
 * which makes nothing but system calls, since the heap, and even errno, are ours too.
 */
#include <sched.h>
#include <sys/wait.h>

#include "victim.h"

static struct block *keep[16];
static int ends[2]; /* a pipe: the other one ends when nobody can write any more, however we have ended */

static int wait_for_end(void *arg)
{
	char c;

	(void)arg;
	vs->result = syscall(SYS_getpid);
	syscall(SYS_close, ends[1]);
	syscall(SYS_read, ends[0], &c, 1);
	syscall(SYS_exit_group, 0);
	return 0;
}

static void start(int (*run)(void *), int flags)
{
	static char stacks[2][65536] __attribute__((aligned(64)));
	static unsigned int used;

	/* from its upper end */
	if (clone(run, stacks[used++] + sizeof(stacks[0]), flags, NULL) < 0)
		die("clone");
}

/* Its parent will be init, or whoever takes orphans. */
static int bear_orphan(void *arg)
{
	(void)arg;
	start(wait_for_end, CLONE_VM | SIGCHLD);
	syscall(SYS_exit_group, 0);
	return 0;
}

/* Its first thread has ended and shows no memory, its second goes on. */
static int go_on_headless(void *arg)
{
	(void)arg;
	start(wait_for_end, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND);
	syscall(SYS_exit, 0);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void *);
	int flags;
} modes[] = {
	{ "child", wait_for_end, CLONE_VM | SIGCHLD },
	{ "sibling", wait_for_end, CLONE_VM | CLONE_PARENT | SIGCHLD },
	{ "orphan", bear_orphan, CLONE_VM | SIGCHLD },
	{ "headless", go_on_headless, CLONE_VM | CLONE_PARENT | SIGCHLD },
	{ "fork", wait_for_end, SIGCHLD }, /* the same places, but memory of its own */
};

int main(int argc, char **argv)
{
	const char *mode = opt(argc, argv, "mode", "child");
	size_t i = 0;

	vstat_open(argc, argv);
	while (i < sizeof(modes) / sizeof(*modes) && strcmp(mode, modes[i].name) != 0)
		i++;
	if (i == sizeof(modes) / sizeof(*modes) || pipe(ends))
		die(mode);
	start(modes[i].run, modes[i].flags);
	while (!vs->result)
		sched_yield();
	bloat_make(4096, keep, 16);
	vs->ready = 1;
	idle_until_stop();
	close(ends[1]);
	bloat_check(keep, 16);
	return vstat_finish();
}
