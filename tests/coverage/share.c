// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The counters of a coverage build live in a file, which all processes of that program
 * share for as long as the tests run: gcc's own way, each process adding its counters to
 * files when it exits, loses those of whoever is killed, as workers are, and of the reader,
 * which may not open a file any more. Once all is done, the program started with
 * RECLAIM_COVERAGE_DUMP writes what gcov reads, and does nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <gcov.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* tests/coverage/counters.ld */
extern char coverage_begin[], coverage_end[];

void __wrap___gcov_exit(void);

/* At each exit nothing is to be added to any file. */
void __wrap___gcov_exit(void)
{
}

/*
 * What is counted belongs to the file that runs, whatever it was called by: a test's own
 * worker is told that its name is reclaim-worker, and would take the place of that one's counters.
 */
static const char *coverage_program(char exe[PATH_MAX])
{
	const ssize_t n = readlink("/proc/self/exe", exe, PATH_MAX - 1);
	const char *slash;

	if (n <= 0)
		return program_invocation_short_name;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	return slash ? slash + 1 : exe;
}

/* Of the right size, for whoever the program becomes, or -1. */
static int coverage_open(size_t len)
{
	char path[PATH_MAX + sizeof(COVERAGE_DIR)], exe[PATH_MAX];
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", COVERAGE_DIR, coverage_program(exe));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return -1;
	(void)fchmod(fd, 0666);
	if (fstat(fd, &st) == 0 && (st.st_size == (off_t)len || (!st.st_size && ftruncate(fd, (off_t)len) == 0)))
		return fd;
	(void)close(fd);
	return -1;
}

/* After the constructors of gcc's own, which are of priority 100. */
__attribute__((constructor(101))) static void coverage_share(void)
{
	const size_t len = (size_t)(coverage_end - coverage_begin);
	int fd = len ? coverage_open(len) : -1;

	if (fd >= 0) {
		(void)!mmap(coverage_begin, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
		(void)close(fd);
	}
	if (getenv("RECLAIM_COVERAGE_DUMP")) {
		__gcov_dump();
		_exit(0);
	}
}
