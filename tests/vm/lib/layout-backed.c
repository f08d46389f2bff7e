// SPDX-License-Identifier: GPL-2.0-or-later
/* Mappings of files and shared memory, and pages that are swapped out or merged */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layout-kinds.h"
#include "machine.h"

/* A new file of @size bytes with something in it; its name goes away with the machine. */
static int file_of(const char *folder, const char *name, size_t size)
{
	char path[128], page[PAGE];
	int fd;

	snprintf(path, sizeof(path), "%s/%s-%d", folder, name, getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	memset(page, 'x', sizeof(page));
	for (size_t i = 0; fd >= 0 && i < size; i += PAGE)
		if (write(fd, page, PAGE) != PAGE)
			return -1;
	return fd;
}

static char *map_file(char *at, const char *folder, const char *name, int prot, int flags)
{
	int fd = file_of(folder, name, MIB);
	char *p = fd < 0 ? NULL : layout_map(at, MIB, prot, flags, fd, 0);

	if (fd >= 0)
		close(fd);
	return p;
}

static int cow(char *at, const char *folder)
{
	char *p = map_file(at, folder, "cow", RW, MAP_PRIVATE);

	layout_read(p, MIB / 2);
	if (p)
		touch(p + MIB / 4, MIB / 2, 2 * PAGE);
	return layout_ended(p, 0);
}

int layout_cow_ramfs(char *at)
{
	return cow(at, RAMFS);
}

int layout_cow_tmpfs(char *at)
{
	return cow(at, "/tmp");
}

static int shared(char *at, const char *folder)
{
	char *p = map_file(at, folder, "shared", RW, MAP_SHARED);

	layout_read(p, MIB / 2);
	if (p)
		touch(p + MIB / 4, MIB / 4, 2 * PAGE);
	return layout_ended(p, 0);
}

int layout_shared_ramfs(char *at)
{
	return shared(at, RAMFS);
}

int layout_shared_tmpfs(char *at)
{
	return shared(at, "/tmp");
}

int layout_code(char *at)
{
	char *p = map_file(at, RAMFS, "code", PROT_READ | PROT_EXEC, MAP_PRIVATE);

	layout_read(p, MIB / 2);
	return layout_ended(p, 0);
}

int layout_shared_anon(char *at)
{
	char *p = layout_map(at, 2 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p)
		touch(p, MIB, 2 * PAGE);
	return layout_ended(p, 0);
}

int layout_dev_zero(char *at)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	char *p = fd < 0 ? NULL : layout_map(at, MIB, RW, MAP_PRIVATE, fd, 0);

	if (p)
		touch(p, MIB / 2, PAGE);
	close(fd);
	return layout_ended(p, 0);
}

int layout_sysv(char *at)
{
	int id = shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600);
	char *p = id < 0 ? (void *)-1 : shmat(id, at, 0);

	shmctl(id, IPC_RMID, NULL);
	if (p == (void *)-1)
		return -errno;
	touch(p, MIB / 2, PAGE);
	return 0;
}

static char *shmem_huge(char *at, size_t size, off_t offset)
{
	int fd = memfd_create("huge", MFD_CLOEXEC);
	char *p = NULL;

	if (fd >= 0 && ftruncate(fd, size + offset) == 0)
		p = layout_map(at, size, RW, MAP_SHARED, fd, offset);
	close(fd);
	if (p && madvise(p, size, MADV_HUGEPAGE) < 0)
		return NULL;
	return p;
}

int layout_shmem_huge(char *at)
{
	char *p = shmem_huge(at, 2 * HUGE, 0);

	if (p)
		touch(p, 2 * HUGE, PAGE);
	return layout_ended(p, 0);
}

/* A huge page of which only a part is mapped, and that by small entries */
int layout_shmem_huge_part(char *at)
{
	char *p = shmem_huge(at, HUGE + HUGE / 2, HUGE / 2);

	if (p)
		touch(p, HUGE, PAGE);
	return layout_ended(p, 0);
}

int layout_hugetlb(char *at)
{
	char *p = layout_map(at, 2 * HUGE, RW, PRIVATE | MAP_HUGETLB, -1, 0);

	if (p)
		touch(p, HUGE, PAGE);
	return layout_ended(p, 0);
}

int layout_swapped(char *at)
{
	char *p = layout_small(at, 2 * MIB);

	if (!p)
		return -errno;
	touch(p, 2 * MIB, PAGE);
	return layout_ended(p, madvise(p, MIB, MADV_PAGEOUT));
}

int layout_swapped_stripes(char *at)
{
	char *p = layout_small(at, 2 * MIB);
	int r = 0;

	if (!p)
		return -errno;
	touch(p, 2 * MIB, PAGE);
	for (size_t i = 0; i < 2 * MIB; i += 8 * PAGE)
		r |= madvise(p + i, 3 * PAGE, MADV_PAGEOUT);
	return layout_ended(p, r);
}

int layout_swapped_huge(char *at)
{
	char *p = layout_huge(at, 3 * HUGE);

	if (!p)
		return -errno;
	touch(p, 3 * HUGE, PAGE);
	return layout_ended(p, madvise(p, 2 * HUGE, MADV_PAGEOUT));
}

int layout_swapped_shmem(char *at)
{
	char *p = layout_map(at, 2 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!p)
		return -errno;
	touch(p, 2 * MIB, PAGE);
	return layout_ended(p, madvise(p, MIB, MADV_PAGEOUT));
}

/* The mapping sees only a part of what is swapped out. */
int layout_swapped_shmem_part(char *at)
{
	int fd = memfd_create("part", MFD_CLOEXEC);
	char *p = NULL;

	if (fd < 0 || ftruncate(fd, 2 * MIB) < 0)
		return -errno;
	p = layout_map(at, 2 * MIB, RW, MAP_SHARED, fd, 0);
	if (!p)
		return -errno;
	touch(p, 2 * MIB, PAGE);
	if (madvise(p, MIB + 64 * PAGE, MADV_PAGEOUT) < 0 || munmap(p, 2 * MIB) < 0)
		return -errno;
	p = layout_map(at, MIB, RW, MAP_SHARED, fd, MIB);
	close(fd);
	layout_read(p, 16 * PAGE);
	return layout_ended(p, 0);
}

static int swapped_tmpfs(char *at, int prot, bool write_some)
{
	int fd = file_of("/tmp", "swapped", MIB);
	char *p;

	if (fd < 0)
		return -errno;
	p = layout_map(at, MIB, RW, MAP_SHARED, fd, 0);
	if (!p || layout_read(p, MIB) < 0 || madvise(p, MIB, MADV_PAGEOUT) < 0 || munmap(p, MIB) < 0)
		return -errno;
	p = layout_map(at, MIB, prot, MAP_PRIVATE, fd, 0);
	close(fd);
	layout_read(p, 16 * PAGE);
	if (p && write_some)
		touch(p + MIB / 2, 32 * PAGE, 2 * PAGE);
	return layout_ended(p, 0);
}

int layout_swapped_tmpfs_private(char *at)
{
	return swapped_tmpfs(at, RW, true);
}

int layout_swapped_tmpfs_readonly(char *at)
{
	return swapped_tmpfs(at, PROT_READ, false);
}

int layout_swapped_and_back(char *at)
{
	int r = layout_swapped(at);

	if (r == 0)
		layout_read(at, MIB / 2);
	return r;
}

int layout_lazyfree_paged_out(char *at)
{
	int r = layout_lazyfree_rewritten(at);

	return r ?: layout_ended(at, madvise(at, MIB, MADV_PAGEOUT));
}

int layout_cold(char *at)
{
	int r = layout_dense(at);

	return r ?: layout_ended(at, madvise(at, 4 * MIB, MADV_COLD));
}

static int merge(char *at, int value)
{
	char *p = layout_small(at, MIB);

	if (!p)
		return -errno;
	memset(p, value, MIB / 2);
	touch(p + MIB / 2, MIB / 4, PAGE);
	return madvise(p, MIB, MADV_MERGEABLE) < 0 ? -errno : 0;
}

/* Runs the merger until it has gone around some more times. */
static int merge_now(void)
{
	uint64_t end = now_us() + 30000000, goal = file_number(KSM "full_scans", 0) + 4;
	int r;

	file_write(KSM "pages_to_scan", "20000");
	file_write(KSM "sleep_millisecs", "10");
	r = file_write(KSM "run", "1");
	while (r == 0 && file_number(KSM "full_scans", 0) < goal && now_us() < end)
		sleep_ms(20);
	return r ?: file_write(KSM "run", "0");
}

int layout_merged(char *at)
{
	return merge(at, 'm') ?: merge_now();
}

int layout_merged_zero(char *at)
{
	int r = file_write(KSM "use_zero_pages", "1");

	r = r ?: merge(at, 0);
	r = r ?: merge_now();
	return r ?: file_write(KSM "use_zero_pages", "0");
}

/* Write protection by userfaultfd leaves entries that are neither pages nor swap, since 5.19. */
int layout_write_protected(char *at)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	char *p = layout_map(at, MIB, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = { .range = { (uintptr_t)p, MIB }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .range = { (uintptr_t)p, MIB }, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	if (!p)
		return -errno;
	touch(p, MIB / 2, PAGE);
	/* Never closed: that would undo it. */
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &reg) < 0 ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &wp) < 0)
		return 1;
	return layout_ended(p, madvise(p, MIB / 4, MADV_DONTNEED));
}
