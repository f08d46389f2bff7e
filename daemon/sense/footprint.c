/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/footprint.h"

#include <errno.h>
#include <string.h>

#include "base/procfs.h"
#include "base/pstat.h"
#include "base/pstatus.h"
#include "base/rollup.h"
#include "base/scan.h"
#include "sense/thp.h"

#define HUGE_PAGE (2ull << 20)
#define VMSTAT_MAX ((size_t)64 << 10)

/* The number behind @key at the beginning of a line. */
static uint64_t number_of(const char *text, const char *key)
{
	const char *p = text;
	uint64_t v;

	while ((p = strstr(p, key)) && p != text && p[-1] != '\n')
		p++;
	if (!p)
		return FOOTPRINT_UNKNOWN;
	p += strlen(key);
	scan_blanks(&p);
	return scan_u64(&p, &v) ? v : FOOTPRINT_UNKNOWN;
}

static uint64_t read_huge_faults(int root)
{
	_cleanup_free_ char *text = NULL;

	if (procfs_read_alloc(root, "proc/vmstat", VMSTAT_MAX, &text) < 0)
		return FOOTPRINT_UNKNOWN;
	return number_of(text, "thp_fault_alloc ");
}

int footprint_read(int root, int piddir, struct footprint *ret)
{
	struct pstatus status = { 0 };
	struct pstat stat;
	struct thp thp;
	int r = pstat_read(piddir, &stat);

	if (r == 0)
		r = pstatus_read(piddir, &status);
	if (r < 0)
		return r;
	/* A zombie: its memory is gone. */
	if (!status.vm_size)
		return -ESRCH;
	thp_read(root, &thp);
	*ret = (struct footprint){
		.rss = status.rss_anon + status.rss_file + status.rss_shmem,
		.anon = status.rss_anon,
		.swap = status.vm_swap,
		.huge = rollup_huge(piddir),
		.minor_faults = stat.minor_faults,
		.major_faults = stat.major_faults,
		.collapsed = thp.collapsed,
		.huge_faults = read_huge_faults(root),
	};
	return 0;
}

/* How much a counter has gone on; FOOTPRINT_UNKNOWN when either is. */
static uint64_t advance(uint64_t before, uint64_t after)
{
	if (before == FOOTPRINT_UNKNOWN || after == FOOTPRINT_UNKNOWN)
		return FOOTPRINT_UNKNOWN;
	return after - MIN(before, after);
}

static uint64_t huge_bytes(uint64_t pages)
{
	return pages > UINT64_MAX / HUGE_PAGE ? UINT64_MAX : pages * HUGE_PAGE;
}

static uint64_t by_khugepaged(const struct footprint *before, const struct footprint *after, uint64_t faults)
{
	const uint64_t huge = advance(before->huge, after->huge), grown = advance(before->anon, after->anon);
	const uint64_t collapsed = advance(before->collapsed, after->collapsed);
	/* Unknown is the largest number: then each fault may have been one. */
	const uint64_t faulted = huge_bytes(MIN(faults, advance(before->huge_faults, after->huge_faults)));

	if (huge == FOOTPRINT_UNKNOWN || collapsed == FOOTPRINT_UNKNOWN)
		return FOOTPRINT_UNKNOWN;
	return MIN(MIN(grown, huge_bytes(collapsed)), huge - MIN(huge, faulted));
}

void regrowth_between(const struct footprint *before, const struct footprint *after, struct regrowth *ret)
{
	const uint64_t minor = advance(before->minor_faults, after->minor_faults);
	const uint64_t major = advance(before->major_faults, after->major_faults);
	const uint64_t faults = minor > UINT64_MAX - major ? UINT64_MAX : minor + major;

	*ret = (struct regrowth){
		.anon = (int64_t)(after->anon - before->anon),
		.huge = (int64_t)(after->huge - before->huge),
		.faults = faults,
		.by_khugepaged = by_khugepaged(before, after, faults),
	};
}
