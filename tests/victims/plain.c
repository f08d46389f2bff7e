/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bloated process that sleeps in read(): nothing but standard C and POSIX,
 * so that it can be built static, stripped, against musl, and be put anywhere.
 */
#include "victim.h"

int main(int argc, char **argv)
{
	struct block *keep[32];

	vstat_open(argc, argv);
	bloat_make(opt_num(argc, argv, "kib", 8192), keep, 32);
	if (opt(argc, argv, "nondumpable", NULL) && prctl(PR_SET_DUMPABLE, 0))
		die("PR_SET_DUMPABLE");
	vs->ready = 1;
	idle_until_stop();
	bloat_check(keep, 32);
	for (int i = 0; i < 32; i++)
		free(keep[i]);
	bloat_make(1024, keep, 32);
	bloat_check(keep, 32);
	return vstat_finish();
}
