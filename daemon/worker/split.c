// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/split.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/pstat.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

static int split_ask(const struct reader *reader, enum reader_huge what, uint64_t deadline_ns)
{
	const struct reader_request req = { .magic = READER_MAGIC, .op = READER_HUGE, .arg = what };
	struct reader_reply reply;
	int r = reader_ask(reader, &req, deadline_ns, &reply);

	return r < 0 ? r : reply.error;
}

bool split_prepare(const struct reader *reader, uint64_t deadline_ns)
{
	return split_ask(reader, READER_HUGE_NOTE, deadline_ns) == 0 && reader->lists->nranges > 0;
}

/* A pidfd of the very process that @piddir is about. */
static int split_open(pid_t pid, int piddir)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pstat st;

	if (fd < 0)
		return -errno;
	/* It was there before the number could be given to another, and still is. */
	return pstat_read(piddir, &st) < 0 ? -ESRCH : TAKE_FD(fd);
}

/* As many pages as can be told of in one call. 0 when no more are left, or -errno. */
static int split_some(const struct reader *reader, int pidfd, uint64_t deadline_ns, bool *failed)
{
	struct iovec iov[PURGE_RANGES_MAX];
	uint32_t n;
	int r = split_ask(reader, READER_HUGE_TORN, deadline_ns);

	if (r < 0)
		return r;
	n = MIN(reader->lists->nranges, (uint32_t)PURGE_RANGES_MAX);
	for (uint32_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)reader->lists->ranges[i].addr,
					 .iov_len = REMOTE_PAGE };
	/* Whatever addresses these are: advice that takes nothing away, to one process. */
	if (n && syscall(SYS_process_madvise, pidfd, iov, n, MADV_COLD, 0) != (long)(n * REMOTE_PAGE))
		*failed = true;
	return (int)n;
}

size_t split_run(const struct reader *reader, pid_t pid, int piddir, uint64_t deadline_ns, bool *ret_failed)
{
	_cleanup_close_ int pidfd = split_open(pid, piddir);
	size_t total = 0;
	int n;

	*ret_failed = pidfd < 0;
	/* The reader isn't trusted to come to an end. */
	while (pidfd >= 0 && clock_ns() < deadline_ns && (n = split_some(reader, pidfd, deadline_ns, ret_failed)) > 0)
		total += (size_t)n;
	return total;
}
