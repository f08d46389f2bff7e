// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

ssize_t file_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t r = 0;

	if (fd < 0)
		return -errno;
	while (n < size - 1 && (r = read(fd, buf + n, size - 1 - n)) > 0)
		n += r;
	if (r < 0)
		r = -errno;
	close(fd);
	if (r < 0)
		return r;
	if (n && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return n;
}

uint64_t file_number(const char *path, uint64_t otherwise)
{
	char buf[64];

	return file_read(path, buf, sizeof(buf)) > 0 ? strtoull(buf, NULL, 10) : otherwise;
}

int tunable_set(const char *name, uint64_t value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), TUNABLES "%s", name);
	snprintf(text, sizeof(text), "%" PRIu64 "\n", value);
	return file_write(path, text);
}

uint64_t tunable_get(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), TUNABLES "%s", name);
	return file_number(path, UINT64_MAX);
}

int module_load(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, parameters, 0) < 0)
		r = -errno;
	close(fd);
	return r;
}

int module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) < 0 ? -errno : 0;
}

bool module_loaded(void)
{
	return access("/sys/module/reclaim", F_OK) == 0;
}

uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

uint64_t cpu_of_us(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	return file_number(path, 0) / 1000;
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

pid_t child_start(int (*work)(void *data), void (*later)(void *data), void *data)
{
	int ready[2], r = -EPIPE;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		r = work(data);
		if (write(ready[1], &r, sizeof(r)) < 0)
			_exit(1);
		close(ready[1]);
		if (later)
			later(data);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &r, sizeof(r)) != sizeof(r))
		r = -EPIPE;
	close(ready[0]);
	if (pid > 0 && r < 0) {
		child_end(pid);
		return r;
	}
	return pid < 0 ? -errno : pid;
}

void child_end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int kernel_version(void)
{
	int major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) == 0)
		sscanf(name.release, "%d.%d", &major, &minor);
	return major * 100 + minor;
}

uint64_t start_time_of(pid_t pid)
{
	char path[64], buf[1024], *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (file_read(path, buf, sizeof(buf)) < 0)
		return 0;
	p = strrchr(buf, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

void *map_anon(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

void *map_aligned(size_t size, size_t align)
{
	char *p = map_anon(size + align);
	char *q = (char *)(((uintptr_t)p + align - 1) & -align);

	if (q > p)
		munmap(p, q - p);
	munmap(q + size, p + align - q);
	return q;
}

void touch(void *p, size_t size, size_t step)
{
	for (size_t i = 0; i < size; i += step)
		((volatile char *)p)[i] = i / step + 1;
}
