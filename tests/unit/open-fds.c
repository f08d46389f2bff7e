// SPDX-License-Identifier: GPL-2.0-or-later
#include "open-fds.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -1; /* the folder's own */

	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}
