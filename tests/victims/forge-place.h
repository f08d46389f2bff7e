/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where forged pointers lead: to nothing, to what can't be, and to memory that never answers. */
#ifndef TESTS_FORGE_PLACE_H
#define TESTS_FORGE_PLACE_H

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "victim.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define MIB (1ul << 20)

static const char *file;

static void *map_anon(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* Pages whose faults nobody ever resolves. */
static void *map_unresolved(size_t size)
{
	long fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *p = map_anon(size);

	if (fd < 0)
		fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	/* The last pages are there: a stack begins in them. */
	memset((char *)p + size - 2 * 4096, 0, 2 * 4096);
	reg.range.start = (uintptr_t)p;
	reg.range.len = size;
	if (fd < 0 || ioctl((int)fd, UFFDIO_API, &api) || ioctl((int)fd, UFFDIO_REGISTER, &reg))
		die("userfaultfd");
	return p;
}

static void *map_file(int prot)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		die(file);
	p = mmap(NULL, (size_t)st.st_size, prot, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		die("mmap of the file");
	return p;
}

static uint64_t place_named(const char *name)
{
	static const struct {
		const char *name;
		uint64_t addr;
	} places[] = {
		{ "null", 0 },
		{ "low", 0x10 },
		{ "unmapped", 0x10000 },
		{ "odd", 0x7fffdeadbee1 },
		{ "highest", 0x7ffffffff000 },
		{ "noncanonical", 0x0080000000000000 },
		{ "kernel", 0xffff888000000000 },
		{ "last", 0xfffffffffffffff0 },
	};

	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!strcmp(places[i].name, name))
			return places[i].addr;
	if (!strcmp(name, "unresolved"))
		return (uint64_t)map_unresolved(16 * MIB) + 4096;
	if (!strcmp(name, "file"))
		return (uint64_t)map_file(PROT_READ | PROT_WRITE) + 4096 * 64;
	die("no such place");
	return 0;
}

#endif
