/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/rollup.h"

#include <string.h>

#include "base/procfs.h"
#include "base/scan.h"

#define ROLLUP_MAX 4096
#define KEY "\nAnonHugePages:"

uint64_t rollup_huge(int piddir)
{
	char text[ROLLUP_MAX];
	const char *p;
	uint64_t kb;

	if (procfs_read(piddir, "smaps_rollup", text, sizeof(text)) < 0)
		return ROLLUP_UNKNOWN;
	p = strstr(text, KEY);
	if (!p)
		return ROLLUP_UNKNOWN;
	p += strlen(KEY);
	scan_blanks(&p);
	return scan_u64(&p, &kb) && !strncmp(p, " kB\n", 4) && kb <= ROLLUP_UNKNOWN / 2048 ? kb * 1024 : ROLLUP_UNKNOWN;
}
