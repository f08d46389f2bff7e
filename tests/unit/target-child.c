// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target-child.h"

void child_begin(void (*what)(void), struct inject_target *ret)
{
	const pid_t pid = fork();
	char path[32];

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		what();
		_exit(0);
	}
	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	*ret = (struct inject_target){ .pid = pid, .mem_fd = -1 };
	ret->piddir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(ret->piddir >= 0);
}

void child_end(struct inject_target *target)
{
	assert_int_equal(waitpid(target->pid, NULL, WNOHANG), 0);
	assert_int_equal(kill(target->pid, SIGKILL), 0);
	(void)waitpid(target->pid, NULL, 0);
	if (target->piddir >= 0)
		(void)close(target->piddir);
	target->piddir = -1;
}
