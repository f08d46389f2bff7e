// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/text.h"
#include "ctl/interrupt.h"
#include "ctl/record.h"

#define ENDING_TRIES 50

uint64_t record_cpu_us(const struct rusage *ru)
{
	return (uint64_t)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec);
}

/*
 * In the child. What main() has changed for us isn't the command's; nor is a
 * handler of ours, which would swallow a ^C that comes before exec: it has come
 * when the signals are let in.
 */
static _Noreturn void become(const char *const *argv, const sigset_t *mask, int tell)
{
	int error;
	ssize_t r;

	(void)signal(SIGPIPE, SIG_DFL);
	interrupt_forget();
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], (char *const *)argv);
	error = errno;
	r = write(tell, &error, sizeof(error));
	_exit(r == sizeof(error) ? 127 : 126);
}

int record_command_start(const char *const *argv, pid_t *ret)
{
	int pipe_fds[2], error = 0;
	sigset_t all, mask;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &mask);
	pid = fork();
	if (pid == 0)
		become(argv, &mask, pipe_fds[1]);
	if (pid < 0)
		error = errno;
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	closep(&pipe_fds[1]);
	/* Closed by exec, or it says why not. */
	do
		n = pid < 0 ? 0 : read(pipe_fds[0], &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	closep(&pipe_fds[0]);
	if (error) {
		if (pid > 0)
			(void)waitpid(pid, NULL, 0);
		return -error;
	}
	*ret = pid;
	return 0;
}

bool record_command_wait(pid_t pid, uint64_t *ret_cpu_us, char *ret, size_t size)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	struct rusage ru = { 0 };
	int status;
	pid_t r;

	ret[0] = '\0';
	/* Not for ever: what looks ended may be a first thread that has left the others alone. */
	for (unsigned int i = 0; (r = wait4(pid, &status, WNOHANG, &ru)) == 0 && i < ENDING_TRIES; i++)
		(void)nanosleep(&pause, NULL);
	if (r == 0)
		return false;
	if (r == pid && WIFEXITED(status))
		text_format(ret, size, "status %d", WEXITSTATUS(status));
	else if (r == pid && WIFSIGNALED(status))
		text_format(ret, size, "killed by signal %d", WTERMSIG(status));
	*ret_cpu_us = record_cpu_us(&ru);
	return true;
}
