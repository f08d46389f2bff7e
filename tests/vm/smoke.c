// SPDX-License-Identifier: GPL-2.0-or-later
/* The machine is what the other tests take for granted. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tap.h"

static bool file_has(const char *path, const char *text)
{
	char buf[65536];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return false;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = 0;
	return strstr(buf, text);
}

int main(void)
{
	struct utsname name;
	void *p;

	tap(uname(&name) == 0, "kernel %s", name.release);
	tap(getpid() != 1 && geteuid() == 0, "runs as root, not as the first process");
	tap(get_nprocs() >= 1, "%d processors", get_nprocs());
	tap(access("/proc/self/smaps", R_OK) == 0, "smaps can be read");
	tap(file_has("/sys/fs/cgroup/cgroup.controllers", "memory"), "the memory controller is there");
	tap(file_has("/sys/kernel/mm/transparent_hugepage/enabled", "[madvise]"), "huge pages where asked for");
	tap(access("/sys/kernel/mm/ksm/run", W_OK) == 0, "same-page merging");
	tap(access("/sys/block/zram0/disksize", W_OK) == 0, "a device to swap to");
	p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	tap(p != MAP_FAILED && madvise(p, 4 << 20, MADV_HUGEPAGE) == 0, "madvise for huge pages");
	tap(file_has("/proc/filesystems", "hugetlbfs"), "hugetlbfs");
	return tap_end();
}
