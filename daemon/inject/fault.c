// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/fault.h"

#ifdef RECLAIM_FAULT

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long fault_count;

static void fault_report(void)
{
	const char *path = getenv("RECLAIM_FAULT_COUNT");
	FILE *f = path ? fopen(path, "we") : NULL;

	if (!f)
		return;
	(void)fprintf(f, "%lu\n", fault_count);
	(void)fclose(f);
}

static void fault_die_if(const char *prefix)
{
	const char *spec = getenv("RECLAIM_FAULT");
	size_t len = strlen(prefix);

	if (spec && !strncmp(spec, prefix, len) && strtoul(spec + len, NULL, 10) == fault_count)
		(void)kill(getpid(), SIGKILL);
}

void fault_before(void)
{
	if (!fault_count++)
		(void)atexit(fault_report);
	fault_die_if("kill:");
}

void fault_after(void)
{
	fault_die_if("kill-after:");
}

#endif
