// SPDX-License-Identifier: GPL-2.0-or-later
/* The layout of accuracy.c is what it is meant to be: seen by smaps alone, without the module. */
#include <inttypes.h>
#include <string.h>

#include "lib/layout.h"
#include "lib/machine.h"
#include "lib/smaps.h"
#include "tap.h"

static struct smap sum_of(const struct smap *s, int n, const char *kind)
{
	struct smap sum = { 0 };

	for (int i = 0; i < n; i++) {
		const struct layout_kind *k = layout_at(s[i].start);

		if (!k || strcmp(k->name, kind))
			continue;
		sum.rss += s[i].rss;
		sum.anon += s[i].anon;
		sum.swap += s[i].swap;
		sum.lazyfree += s[i].lazyfree;
		sum.anon_huge += s[i].anon_huge;
		sum.shmem_huge += s[i].shmem_huge;
	}
	return sum;
}

int main(void)
{
	static struct smap s[512];
	pid_t pid;
	int n;

	if (!tap(layout_prepare() == 0, "prepare swap, huge pages, merging"))
		return tap_end();
	pid = child_start(layout_make, NULL, NULL);
	n = pid > 0 ? smaps_read(pid, s, 512) : pid;
	if (!tap(n >= 60, "%d mappings", n))
		return tap_end();
	tap(sum_of(s, n, "dense").rss == 8 * MIB, "dense: resident");
	tap(sum_of(s, n, "whole_huge").anon_huge == 4 * HUGE, "whole_huge: huge");
	tap(sum_of(s, n, "huge_with_hole").anon_huge == HUGE, "huge_with_hole: split");
	tap(sum_of(s, n, "collapsed").anon_huge == HUGE, "collapsed: huge");
	tap(sum_of(s, n, "zero_pages").rss == 0, "zero_pages: not resident");
	tap(sum_of(s, n, "huge_zero_page").rss == 0, "huge_zero_page: not resident");
	tap(sum_of(s, n, "lazyfree").lazyfree == 2 * MIB, "lazyfree: lazily freed");
	tap(sum_of(s, n, "lazyfree_huge").lazyfree >= HUGE, "lazyfree_huge: lazily freed");
	tap(sum_of(s, n, "shmem_huge").shmem_huge == 2 * HUGE, "shmem_huge: huge");
	tap(sum_of(s, n, "shmem_huge_part").shmem_huge == 0, "shmem_huge_part: small");
	tap(sum_of(s, n, "shmem_huge_part").rss == HUGE, "shmem_huge_part: resident");
	tap(sum_of(s, n, "swapped").swap == MIB, "swapped: %" PRIu64, sum_of(s, n, "swapped").swap);
	tap(sum_of(s, n, "swapped_huge").swap == 2 * HUGE, "swapped_huge: %" PRIu64, sum_of(s, n, "swapped_huge").swap);
	tap(sum_of(s, n, "swapped_shmem").swap == MIB, "swapped_shmem: %" PRIu64, sum_of(s, n, "swapped_shmem").swap);
	tap(sum_of(s, n, "swapped_shmem_part").swap, "swapped_shmem_part");
	tap(sum_of(s, n, "swapped_tmpfs_private").swap, "swapped_tmpfs_private");
	tap(sum_of(s, n, "swapped_tmpfs_readonly").swap, "swapped_tmpfs_readonly");
	tap(sum_of(s, n, "swapped_and_back").swap == MIB / 2, "swapped_and_back");
	tap(sum_of(s, n, "cow_tmpfs").anon == MIB / 4, "cow_tmpfs: anonymous in part");
	tap(file_number("/sys/kernel/mm/ksm/pages_sharing", 0) > 100, "merged pages");
	tap(sum_of(s, n, "forked_huge").rss >= HUGE, "forked_huge: resident");
	child_end(pid);
	return tap_end();
}
