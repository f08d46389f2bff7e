/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/stat */
#include <string.h>
#include <sys/syscall.h>

#include "base/procfs.h"
#include "base/pstat.h"
#include "base/scan.h"

#define PF_KTHREAD 0x00200000u
#define STAT_MAX 2048 /* 52 numbers of at most 20 digits, and a name */

static bool skip_fields(const char **p, int n)
{
	int64_t ignored_signed;
	uint64_t ignored;

	while (n-- > 0)
		if (!scan_char(p, ' ') || !(scan_u64(p, &ignored) || scan_i64(p, &ignored_signed)))
			return false;

	return true;
}

static bool scan_field(const char **p, uint64_t *ret)
{
	return scan_char(p, ' ') && scan_u64(p, ret);
}

/* Fields 4 to 23, numbered as in the manual page; @p stands behind the state. */
static bool scan_numbers(const char *p, struct pstat *s)
{
	uint64_t flags, minor, major, utime, stime, threads, start_stack, start_brk;

	if (!scan_char(&p, ' ') || !scan_int(&p, &s->ppid))
		return false;
	if (!skip_fields(&p, 4) || !scan_field(&p, &flags) || flags > UINT_MAX) /* 9: flags */
		return false;
	if (!scan_field(&p, &minor) || !skip_fields(&p, 1) || !scan_field(&p, &major)) /* 10, 12 */
		return false;
	if (!skip_fields(&p, 1) || !scan_field(&p, &utime) || !scan_field(&p, &stime)) /* 14, 15 */
		return false;
	if (!skip_fields(&p, 4) || !scan_field(&p, &threads) || threads > INT_MAX) /* 20 */
		return false;
	if (!skip_fields(&p, 1) || !scan_field(&p, &s->start_time) || !scan_field(&p, &s->vsize)) /* 22, 23 */
		return false;
	/* A number that ends with the text may have been cut. */
	if (*p != ' ' && *p != '\n')
		return false;

	/* 28 and 47, where a kernel that hides addresses from us writes 0 */
	if (skip_fields(&p, 4) && scan_field(&p, &start_stack) && skip_fields(&p, 18) && scan_field(&p, &start_brk) &&
	    (*p == ' ' || *p == '\n')) {
		s->start_stack = start_stack;
		s->start_brk = start_brk;
	}
	s->flags = (unsigned int)flags;
	s->minor_faults = minor;
	s->major_faults = major;
	s->utime = utime;
	s->stime = stime;
	s->threads = (long)threads;
	return true;
}

int pstat_parse(const char *text, struct pstat *ret)
{
	struct pstat s = { 0 };
	const char *p = text, *comm, *close;
	size_t len;

	if (!scan_int(&p, &s.pid) || s.pid == 0 || !scan_char(&p, ' ') || !scan_char(&p, '('))
		return -EBADMSG;

	comm = p;
	close = strrchr(p, ')');
	if (!close)
		return -EBADMSG;
	len = (size_t)(close - comm);
	if (len >= sizeof(s.comm))
		return -EBADMSG;
	memcpy(s.comm, comm, len);

	p = close + 1;
	if (!scan_char(&p, ' ') || !((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z')))
		return -EBADMSG;
	s.state = *p++;
	if (!scan_numbers(p, &s))
		return -EBADMSG;

	*ret = s;
	return 0;
}

int pstat_read(int dir, struct pstat *ret)
{
	char text[STAT_MAX];
	ssize_t n = procfs_read_once(dir, "stat", text, sizeof(text));

	if (n < 0)
		return n == -ENOBUFS ? -EBADMSG : (int)n;
	if (strlen(text) != (size_t)n)
		return -EBADMSG;

	return pstat_parse(text, ret);
}

int pstat_pidfd(int piddir, pid_t pid)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pstat st;
	int r;

	if (fd < 0)
		return -errno;
	r = pstat_read(piddir, &st);
	return r < 0 ? r : TAKE_FD(fd);
}

bool pstat_is_kthread(const struct pstat *s)
{
	return s->flags & PF_KTHREAD;
}
