/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/machine.h"

#include <string.h>

#include "base/procfs.h"
#include "base/scan.h"

#define MEMINFO_SIZE 8192 /* five times what Linux 6.18 writes */

/* The line that begins with @key: a number of kB. */
static uint64_t meminfo_bytes(const char *text, const char *key)
{
	const size_t len = strlen(key);
	uint64_t kb;

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, key, len) || p[len] != ':')
			continue;
		p += len + 1;
		scan_blanks(&p);
		return scan_u64(&p, &kb) && kb <= UINT64_MAX / 2048 ? kb * 1024 : MACHINE_UNKNOWN;
	}
	return MACHINE_UNKNOWN;
}

/* "12.34", in hundredths. The kernel always writes two digits. */
static bool scan_average(const char **p, const char *name, uint32_t *ret)
{
	const char *at = strstr(*p, name);
	uint64_t whole, part;

	if (!at)
		return false;
	at += strlen(name);
	if (!scan_u64(&at, &whole) || !scan_char(&at, '.') || !scan_u64(&at, &part) || whole > 100 || part > 99)
		return false;
	*p = at;
	*ret = (uint32_t)(whole * 100 + part);
	return true;
}

static void read_stall(const char *text, const char *who, struct machine_stall *ret)
{
	const char *p = strstr(text, who);
	struct machine_stall s = { .known = true };

	if (p && scan_average(&p, "avg10=", &s.avg10) && scan_average(&p, "avg60=", &s.avg60) &&
	    scan_average(&p, "avg300=", &s.avg300))
		*ret = s;
}

void machine_read(int proc, struct machine *ret)
{
	char text[MEMINFO_SIZE];

	*ret = (struct machine){ MACHINE_UNKNOWN, MACHINE_UNKNOWN,    MACHINE_UNKNOWN,
				 MACHINE_UNKNOWN, { .known = false }, { .known = false } };
	if (procfs_read(proc, "meminfo", text, sizeof(text)) > 0) {
		ret->total = meminfo_bytes(text, "MemTotal");
		ret->available = meminfo_bytes(text, "MemAvailable");
		ret->swap_total = meminfo_bytes(text, "SwapTotal");
		ret->swap_free = meminfo_bytes(text, "SwapFree");
	}
	if (procfs_read(proc, "pressure/memory", text, sizeof(text)) > 0) {
		read_stall(text, "some ", &ret->some);
		read_stall(text, "full ", &ret->full);
	}
}
