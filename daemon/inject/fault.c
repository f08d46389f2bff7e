// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/fault.h"

#ifdef RECLAIM_FAULT

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long fault_count;

static void fault_signal_if(const char *prefix, int sig)
{
	const char *spec = getenv("RECLAIM_FAULT");
	size_t len = strlen(prefix);

	if (spec && !strncmp(spec, prefix, len) && strtoul(spec + len, NULL, 10) == fault_count)
		(void)kill(getpid(), sig);
}

static void fault_log(const char *name)
{
	static int fd = -1;
	const char *path = getenv("RECLAIM_FAULT_LOG");

	if (path && fd < 0)
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)!dprintf(fd, "%s\n", name);
}

void fault_before(const char *name)
{
	fault_count++;
	fault_log(name);
	fault_signal_if("kill:", SIGKILL);
	fault_signal_if("pause:", SIGSTOP);
}

void fault_after(void)
{
	fault_signal_if("kill-after:", SIGKILL);
	fault_signal_if("pause-after:", SIGSTOP);
}

#endif
