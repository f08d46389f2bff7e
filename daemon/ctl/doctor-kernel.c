/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of what the kernel and our place in it let us see. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/maps.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstatus.h"
#include "ctl/doctor.h"

/* Linux 6.7; the headers of the oldest system that this is built on don't have it. */
#ifndef PAGEMAP_SCAN
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_PRESENT (1 << 3)
#endif

#define USER_NS_INIT_INO 0xeffffffdu
#define PID_NS_INIT_INO 0xeffffffcu
#define MAPS_MAX 65536

static void check_proc(struct doctor *d, struct finding *ret)
{
	_cleanup_close_ int fd = openat(d->root, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : procfs_check(fd);

	if (r >= 0) {
		found(ret, HEALTH_OK, "/proc is mounted");
		return;
	}
	if (r == -ENODEV || r == -ENOENT || r == -ENOTDIR)
		found(ret, HEALTH_FAIL, "/proc is not mounted (or not a procfs): no process can be seen");
	else
		found(ret, HEALTH_FAIL, "/proc can't be opened: %s", strerror(-r));
	mend(ret, "mount -t proc proc /proc");
}

static void check_seccomp(struct doctor *d, struct finding *ret)
{
	_cleanup_close_ int dir = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pstatus st = { 0 };
	int r;

	(void)d;
	r = dir < 0 ? -ENOENT : pstatus_read(dir, &st);
	if (r < 0) {
		found(ret, HEALTH_WARN, "/proc/self/status can't be read: %s", strerror(-r));
		return;
	}
	if (!st.seccomp) {
		found(ret, HEALTH_OK, "we are under no seccomp filter");
		return;
	}
	found(ret, HEALTH_WARN, "we run under a seccomp filter: targets that have one will be refused");
	mend(ret, "run outside of the container, or with --security-opt seccomp=unconfined");
}

static void check_namespace(const char *path, unsigned int init_ino, const char *name, const char *limit,
			    struct finding *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		found(ret, HEALTH_WARN, "%s can't be read: %s", path, strerror(errno));
	else if (st.st_ino == init_ino)
		found(ret, HEALTH_OK, "the initial %s namespace", name);
	else
		found(ret, HEALTH_INFO, "inside a %s namespace: %s", name, limit);
}

bool doctor_initial_user_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) == 0 && st.st_ino == USER_NS_INIT_INO;
}

static void check_user_ns(struct doctor *d, struct finding *ret)
{
	(void)d;
	check_namespace("/proc/self/ns/user", USER_NS_INIT_INO, "user",
			"processes outside of it can't be attached to, and capabilities count inside only", ret);
}

static void check_pid_ns(struct doctor *d, struct finding *ret)
{
	(void)d;
	check_namespace("/proc/self/ns/pid", PID_NS_INIT_INO, "pid", "processes outside of it are not seen", ret);
}

/* Opens the first mapped file of the child through map_files. 0 or -errno. */
static int open_map_file(int dir)
{
	_cleanup_(maps_done) struct maps maps = { 0 };
	_cleanup_close_ int fd = -1;
	char name[64];
	int r;

	r = maps_read(dir, MAPS_MAX, &maps);
	if (r < 0)
		return r;
	for (size_t i = 0; i < maps.n; i++) {
		if (maps.v[i].kind != MAP_KIND_FILE)
			continue;
		snprintf(name, sizeof(name), "map_files/%jx-%jx", (uintmax_t)maps.v[i].start, (uintmax_t)maps.v[i].end);
		fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : 0;
	}
	return -ENOENT;
}

static void check_map_files(struct doctor *d, struct finding *ret)
{
	_cleanup_close_ int proc = procfs_open_root("/proc"), dir = -1;
	int r = proc;

	if (r >= 0)
		r = dir = procfs_open_pid(proc, d->child);
	if (r >= 0)
		r = open_map_file(dir);
	if (r >= 0) {
		found(ret, HEALTH_OK,
		      "/proc/PID/map_files can be opened: replaced and deleted libraries are read exactly");
		return;
	}
	found(ret, HEALTH_WARN, "/proc/PID/map_files: %s: a target whose libc was replaced on disk may be refused",
	      strerror(-r));
	mend(ret, "needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE in the initial user namespace");
}

static void check_pagemap(struct doctor *d, struct finding *ret)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t page = (uint64_t)(uintptr_t)&d->probe & ~0xfffull;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = page,
		.end = page + 0x1000,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};

	if (fd < 0) {
		found(ret, HEALTH_WARN, "/proc/PID/pagemap: %s: residency is known per mapping only", strerror(errno));
		mend(ret, "needs CONFIG_PROC_PAGE_MONITOR");
	} else if (ioctl(fd, PAGEMAP_SCAN, &arg) < 0) {
		found(ret, HEALTH_INFO, "pagemap can be read; PAGEMAP_SCAN: %s (Linux 6.7 and later)", strerror(errno));
	} else {
		found(ret, HEALTH_OK, "pagemap and PAGEMAP_SCAN work");
	}
}

static void check_pidfd(struct doctor *d, struct finding *ret)
{
	_cleanup_close_ int fd = pidfd_open(d->child, 0);

	if (fd >= 0) {
		found(ret, HEALTH_OK, "pidfd_open works");
		return;
	}
	found(ret, HEALTH_FAIL, "pidfd_open failed: %s", strerror(errno));
	mend(ret, "needs Linux 5.3, and no seccomp filter that forbids it");
}

static void check_kcmp(struct doctor *d, struct finding *ret)
{
	if (syscall(SYS_kcmp, getpid(), d->child, KCMP_VM, 0ul, 0ul) >= 0) {
		found(ret, HEALTH_OK, "kcmp works");
		return;
	}
	found(ret, HEALTH_WARN, "kcmp: %s: processes that could share their memory with another will be refused",
	      strerror(errno));
	mend(ret, "needs CONFIG_KCMP, and no seccomp filter that forbids it; in a container add --cap-add=SYS_PTRACE");
}

/* The options of the mount of /proc, from the line "proc /proc proc rw,...". */
static void check_hidepid(struct doctor *d, struct finding *ret)
{
	char mounts[65536], *line, *save, *hidden;

	if (doctor_read(d, "proc/self/mounts", mounts, sizeof(mounts)) < 0) {
		found(ret, HEALTH_WARN, "/proc/self/mounts can't be read");
		return;
	}
	for (line = strtok_r(mounts, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strstr(line, " /proc proc "))
			continue;
		hidden = strstr(line, "hidepid=");
		if (!hidden || !strncmp(hidden + 8, "0", 1) || !strncmp(hidden + 8, "off", 3))
			continue;
		if (doctor_capable(d, CAP_SYS_PTRACE)) {
			found(ret, HEALTH_OK, "/proc is mounted with hidepid, and CAP_SYS_PTRACE lets us pass");
			return;
		}
		found(ret, HEALTH_WARN, "/proc is mounted with hidepid: processes of other users are not seen");
		mend(ret, "be root, or: mount -o remount,hidepid=0 /proc");
		return;
	}
	found(ret, HEALTH_OK, "/proc shows all processes");
}

const struct check doctor_first_checks[] = { { "proc", check_proc } };
const size_t doctor_n_first_checks = ARRAY_SIZE(doctor_first_checks);

const struct check doctor_kernel_checks[] = {
	{ "seccomp", check_seccomp },	   { "user-namespace", check_user_ns },
	{ "pid-namespace", check_pid_ns }, { "map-files", check_map_files },
	{ "pagemap", check_pagemap },	   { "pidfd", check_pidfd },
	{ "hidepid", check_hidepid },	   { "kcmp", check_kcmp },
};
const size_t doctor_n_kernel_checks = ARRAY_SIZE(doctor_kernel_checks);
