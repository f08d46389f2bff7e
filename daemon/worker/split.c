// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/split.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/pstat.h"
#include "base/rollup.h"
#include "inspect/huge.h"

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

void split_prepare(const struct reader *reader, int piddir, uint64_t deadline_ns, struct split *ret)
{
	uint32_t n = 0;

	*ret = (struct split){ .sight = SPLIT_NONE };
	if (split_ask(reader, READER_HUGE_NOTE, deadline_ns) == 0)
		n = reader->lists->nranges;
	if (n == READER_HUGE_SEEN) {
		ret->sight = SPLIT_SEEN;
	} else if (n == READER_HUGE_GUESSED) {
		ret->huge = rollup_huge(piddir);
		ret->sight = ret->huge && ret->huge != ROLLUP_UNKNOWN ? SPLIT_GUESSED : SPLIT_NONE;
	}
}

/*
 * One that loses a part isn't mapped as a huge page any more (nor is one that
 * is gone altogether): there are at most so many.
 */
static size_t split_most(const struct split *s, int piddir)
{
	const uint64_t now = rollup_huge(piddir);

	return (s->huge - MIN(s->huge, now)) / HUGE_PAGE;
}

/*
 * Declares @n pages cold, and returns how many were. It ends at the first that
 * isn't there any more; the others are wanted all the same. *failed: some were not.
 */
static size_t split_advise(int pidfd, const struct iovec *iov, size_t n, bool *failed)
{
	size_t done = 0;

	for (size_t at = 0; at < n;) {
		/* Whatever addresses these are: advice that takes nothing away, to one process. */
		const long r = syscall(SYS_process_madvise, pidfd, iov + at, n - at, MADV_COLD, 0);
		const size_t some = r > 0 ? MIN((size_t)r / REMOTE_PAGE, n - at) : 0;

		done += some;
		at += some;
		if (at == n)
			break;
		*failed = true;
		/* Not about this page: no such call, or it isn't allowed. */
		if (r < 0 && errno != ENOMEM && errno != EINVAL)
			break;
		at++;
	}
	return done;
}

/* As many pages as can be told of in one call. 0 when no more are left, or -errno. */
static int split_some(const struct reader *reader, int pidfd, uint64_t deadline_ns, size_t *done, bool *failed)
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
	*done += split_advise(pidfd, iov, n, failed);
	return (int)n;
}

size_t split_run(const struct split *s, const struct reader *reader, pid_t pid, int piddir, uint64_t deadline_ns,
		 bool *ret_failed)
{
	_cleanup_close_ int pidfd = -1;
	size_t done = 0, most;

	*ret_failed = false;
	if (s->sight == SPLIT_NONE)
		return 0;
	most = s->sight == SPLIT_GUESSED ? split_most(s, piddir) : SIZE_MAX;
	if (!most)
		return 0;
	pidfd = pstat_pidfd(piddir, pid);
	*ret_failed = pidfd < 0;
	/* The reader isn't trusted to come to an end. */
	while (pidfd >= 0 && clock_ns() < deadline_ns && split_some(reader, pidfd, deadline_ns, &done, ret_failed) > 0)
		continue;
	return MIN(done, most);
}
