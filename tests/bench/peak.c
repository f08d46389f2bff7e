/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a command, and tells how much memory its largest process had at most:
 *
 *	peak FILE COMMAND...
 *
 * KiB, as a number, into FILE. The kernel remembers what a process held before it
 * executed something else: who asks for this from a large interpreter would
 * be told of that one's memory. Here it is the child of a small program, which also
 * inherits whoever nobody else waits for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	struct rusage usage;
	int status, ended = 1;
	long most = 0;
	FILE *out;
	pid_t pid;

	if (argc < 3)
		return 2;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) < 0)
		return 1;
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid) {
		execvp(argv[2], argv + 2);
		fprintf(stderr, "peak: %s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	for (pid_t who; (who = wait4(-1, &status, 0, &usage)) > 0;) {
		most = usage.ru_maxrss > most ? usage.ru_maxrss : most;
		if (who == pid && WIFEXITED(status))
			ended = WEXITSTATUS(status);
	}
	out = fopen(argv[1], "w");
	if (!out || fprintf(out, "%ld\n", most) < 0 || fclose(out))
		return 1;
	return ended;
}
