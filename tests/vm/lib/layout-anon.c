// SPDX-License-Identifier: GPL-2.0-or-later
/* Mappings without a file */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "layout-kinds.h"
#include "machine.h"

char *layout_map(char *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	char *p = mmap(at, size, prot, flags | MAP_FIXED_NOREPLACE, fd, offset);

	return p == MAP_FAILED ? NULL : p;
}

/* Small pages, however eager the kernel is to make huge ones */
char *layout_small(char *at, size_t size)
{
	char *p = layout_map(at, size, RW, PRIVATE, -1, 0);

	return p && madvise(p, size, MADV_NOHUGEPAGE) == 0 ? p : NULL;
}

char *layout_huge(char *at, size_t size)
{
	char *p = layout_map(at, size, RW, PRIVATE, -1, 0);

	return p && madvise(p, size, MADV_HUGEPAGE) == 0 ? p : NULL;
}

int layout_ended(const void *p, int r)
{
	return p && r == 0 ? 0 : -(errno ?: EIO);
}

int layout_sparse(char *at)
{
	char *p = layout_small(at, 4 * MIB);

	if (p)
		touch(p, 4 * MIB, 3 * PAGE);
	return layout_ended(p, 0);
}

int layout_dense(char *at)
{
	char *p = layout_small(at, 8 * MIB);

	if (p)
		touch(p, 8 * MIB, PAGE);
	return layout_ended(p, 0);
}

int layout_single(char *at)
{
	char *p = layout_small(at, PAGE);

	if (p)
		touch(p, PAGE, PAGE);
	return layout_ended(p, 0);
}

int layout_across(char *at)
{
	char *p = layout_small(at + HUGE - 3 * PAGE, 7 * PAGE);

	if (p)
		touch(p, 7 * PAGE, PAGE);
	return layout_ended(p, 0);
}

int layout_untouched(char *at)
{
	return layout_ended(layout_map(at, 4 * MIB, RW, PRIVATE | MAP_NORESERVE, -1, 0), 0);
}

int layout_populated(char *at)
{
	return layout_ended(layout_map(at, MIB, RW, PRIVATE | MAP_POPULATE, -1, 0), 0);
}

int layout_grows_down(char *at)
{
	char *p = layout_map(at + MIB, 64 * PAGE, RW, PRIVATE | MAP_GROWSDOWN, -1, 0);

	if (p)
		touch(p, 64 * PAGE, 2 * PAGE);
	return layout_ended(p, 0);
}

int layout_whole_huge(char *at)
{
	char *p = layout_huge(at, 4 * HUGE);

	if (p)
		touch(p, 4 * HUGE, PAGE);
	return layout_ended(p, 0);
}

int layout_huge_one_byte(char *at)
{
	char *p = layout_huge(at, 2 * HUGE);

	if (p)
		touch(p, 2 * HUGE, HUGE);
	return layout_ended(p, 0);
}

int layout_huge_with_hole(char *at)
{
	char *p = layout_huge(at, 2 * HUGE);

	if (!p)
		return -errno;
	touch(p, 2 * HUGE, PAGE);
	return layout_ended(p, madvise(p + 16 * PAGE, 16 * PAGE, MADV_DONTNEED));
}

int layout_huge_cut(char *at)
{
	char *p = layout_huge(at, 2 * HUGE);

	if (!p)
		return -errno;
	touch(p, 2 * HUGE, PAGE);
	return layout_ended(p, munmap(p + HUGE / 2, HUGE));
}

int layout_huge_half_readonly(char *at)
{
	char *p = layout_huge(at, 2 * HUGE);

	if (!p)
		return -errno;
	touch(p, 2 * HUGE, PAGE);
	return layout_ended(p, mprotect(p + HUGE + HUGE / 2, HUGE / 2, PROT_READ));
}

int layout_collapsed(char *at)
{
	char *p = layout_small(at, 2 * HUGE);

	if (!p)
		return -errno;
	touch(p, HUGE, PAGE);
	madvise(p, 2 * HUGE, MADV_HUGEPAGE);
	return layout_ended(p, madvise(p, HUGE, MADV_COLLAPSE));
}

/* Folios larger than a page and smaller than a PMD, since 6.8 */
int layout_medium_folios(char *at)
{
	char *p;

	if (file_write(THP "hugepages-64kB/enabled", "always") < 0)
		return 1;
	p = layout_map(at, 4 * MIB, RW, PRIVATE, -1, 0);
	if (p)
		touch(p, 3 * MIB, 5 * PAGE);
	file_write(THP "hugepages-64kB/enabled", "never");
	return layout_ended(p, p ? madvise(p + 32 * PAGE, 4 * PAGE, MADV_DONTNEED) : 0);
}

int layout_read(char *p, size_t size)
{
	unsigned int sum = 0;

	for (size_t i = 0; p && i < size; i += PAGE)
		sum += ((volatile char *)p)[i];
	return sum != 0;
}

int layout_zero_pages(char *at)
{
	char *p = layout_small(at, MIB);

	layout_read(p, MIB / 2);
	return layout_ended(p, 0);
}

int layout_huge_zero_page(char *at)
{
	char *p = layout_huge(at, 2 * HUGE);

	layout_read(p, 2 * HUGE);
	return layout_ended(p, 0);
}

int layout_zero_then_written(char *at)
{
	char *p = layout_huge(at, 2 * HUGE);

	layout_read(p, 2 * HUGE);
	if (p)
		touch(p, HUGE / 2, PAGE);
	return layout_ended(p, 0);
}

int layout_lazyfree(char *at)
{
	char *p = layout_small(at, 2 * MIB);

	if (!p)
		return -errno;
	touch(p, 2 * MIB, PAGE);
	return layout_ended(p, madvise(p, 2 * MIB, MADV_FREE));
}

int layout_lazyfree_rewritten(char *at)
{
	char *p = layout_small(at, 2 * MIB);

	if (!p)
		return -errno;
	touch(p, 2 * MIB, PAGE);
	if (madvise(p + MIB / 2, MIB, MADV_FREE) < 0)
		return -errno;
	touch(p + MIB / 2, MIB / 2, 3 * PAGE);
	layout_read(p + MIB, MIB / 4);
	return 0;
}

int layout_lazyfree_huge(char *at)
{
	char *p = layout_huge(at, 3 * HUGE);

	if (!p)
		return -errno;
	touch(p, 3 * HUGE, PAGE);
	if (madvise(p + HUGE, 2 * HUGE, MADV_FREE) < 0)
		return -errno;
	touch(p + 2 * HUGE, PAGE, PAGE);
	return 0;
}

int layout_dropped_in_part(char *at)
{
	char *p = layout_small(at, 2 * MIB);

	if (!p)
		return -errno;
	touch(p, 2 * MIB, PAGE);
	return layout_ended(p, madvise(p + MIB / 4, MIB, MADV_DONTNEED));
}

int layout_never_accessible(char *at)
{
	return layout_ended(layout_map(at, 4 * MIB, PROT_NONE, PRIVATE, -1, 0), 0);
}

int layout_made_inaccessible(char *at)
{
	char *p = layout_small(at, MIB);

	if (!p)
		return -errno;
	touch(p, MIB, 2 * PAGE);
	return layout_ended(p, mprotect(p, MIB, PROT_NONE));
}

int layout_striped(char *at)
{
	char *p = layout_small(at, 16 * 8 * PAGE);
	int r = 0;

	if (!p)
		return -errno;
	touch(p, 16 * 8 * PAGE, PAGE);
	for (int i = 0; i < 16; i += 2)
		r |= mprotect(p + i * 8 * PAGE, 8 * PAGE, PROT_READ);
	return layout_ended(p, r);
}

int layout_locked_in_half(char *at)
{
	char *p = layout_small(at, MIB);

	if (!p)
		return -errno;
	touch(p, MIB / 4, PAGE);
	return layout_ended(p, mlock(p, MIB / 2));
}

int layout_moved(char *at)
{
	char *p = layout_small(at, MIB);

	if (!p)
		return -errno;
	touch(p, MIB, 2 * PAGE);
	p = mremap(p, MIB, 2 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, at + 16 * MIB);
	return layout_ended(p == MAP_FAILED ? NULL : p, 0);
}

int layout_guarded(char *at)
{
	char *p = layout_small(at, MIB);

	if (!p)
		return -errno;
	touch(p, MIB, PAGE);
	return madvise(p + 8 * PAGE, 8 * PAGE, MADV_GUARD_INSTALL) < 0 ? 1 : 0;
}

int layout_on_the_stack(char *at)
{
	volatile char deep[300 * PAGE];

	(void)at;
	touch((void *)deep, sizeof(deep), PAGE);
	return 0;
}

int layout_in_the_heap(char *at)
{
	char *p = sbrk(3 * MIB);

	(void)at;
	if (p == (void *)-1)
		return -errno;
	touch(p, MIB, PAGE);
	touch(p + MIB, MIB, 4 * PAGE);
	return 0;
}

/* A child that only holds what it got. It goes with us. */
int layout_fork(char *p)
{
	pid_t pid;

	if (!p)
		return -errno;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid < 0 ? -errno : 0;
}

int layout_forked(char *at)
{
	char *p = layout_small(at, MIB);
	int r;

	if (p)
		touch(p, MIB, PAGE);
	r = layout_fork(p);
	if (r == 0)
		touch(p, MIB / 4, PAGE);
	return r;
}

int layout_forked_huge(char *at)
{
	char *p = layout_huge(at, 2 * HUGE);
	int r;

	if (p)
		touch(p, 2 * HUGE, PAGE);
	r = layout_fork(p);
	if (r == 0)
		touch(p, PAGE, PAGE);
	return r;
}
