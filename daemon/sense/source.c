/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/source.h"

#include <fcntl.h>
#include <string.h>

#include "base/procfs.h"
#include "base/text.h"
#include "sense/kmod.h"
#include "sense/netlink.h"

void source_close(struct source *s)
{
	if (s->module)
		netlink_close(s->module);
	free(s->module);
	s->module = NULL;
}

static void explain(int r, const char *words, char *why, size_t size)
{
	_cleanup_close_ int top = r == -ENOENT ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	if (r == -ENOENT && kmod_installed(top))
		text_format(why, size, "the kernel module is not loaded: modprobe reclaim, or use --source=procfs");
	else if (r == -ENOENT)
		text_format(why, size,
			    "the kernel module is not loaded, nor installed for this kernel: " KMOD_INSTALL
			    ", or use --source=procfs");
	else if (r == -EPERM || r == -EACCES)
		text_format(why, size, "the kernel module does not answer us: %s; be root, or use --source=procfs",
			    *words ? words : strerror(-r));
	else if (r == -ESRCH)
		text_format(why, size, "the kernel module sees another pid namespace than /proc: use --source=procfs");
	else
		text_format(why, size, "the kernel module can't be asked: %s; use --source=procfs",
			    *words ? words : strerror(-r));
}

static int open_module(struct netlink *n)
{
	int r = netlink_open(n);

	return r < 0 ? r : netlink_probe(n);
}

int source_open(int root, enum source_kind wanted, struct source *ret, char *why, size_t why_size)
{
	_cleanup_(source_close) struct source s = { .root = root, .wanted = wanted };
	int r;

	if (wanted != SOURCE_PROCFS) {
		s.module = calloc(1, sizeof(*s.module));
		if (!s.module)
			return -ENOMEM;
		r = open_module(s.module);
		if (r < 0 && wanted == SOURCE_NETLINK) {
			explain(r, s.module->text, why, why_size);
			return r;
		}
		if (r < 0)
			source_close(&s);
	}
	*ret = s;
	s.module = NULL;
	return 0;
}

bool source_is_module(const struct source *s)
{
	return s->module != NULL;
}

const char *source_words(const struct source *s)
{
	return s->module ? s->module->text : "";
}

/* Was it the module that failed, and is /proc good enough? Then it is /proc from now on. */
static bool falls_back(struct source *s, int r)
{
	if (r >= 0 || !s->module || s->wanted != SOURCE_AUTO || r == -ESRCH || r == -ENOMEM || r == -E2BIG)
		return false;
	source_close(s);
	return true;
}

int source_list(struct source *s, const struct proc_filter *filter, enum proc_depth depth, struct proc_list *ret)
{
	int r = s->module ? netlink_list(s->module, s->root, filter, depth, ret) : -ENODEV;

	if (s->module && !falls_back(s, r))
		return r;
	return proc_list_read(s->root, filter, depth, ret);
}

int source_proc(struct source *s, pid_t pid, enum proc_depth depth, struct proc *ret)
{
	int r = s->module ? netlink_proc(s->module, s->root, pid, depth, ret) : -ENODEV;

	if (s->module && !falls_back(s, r))
		return r;
	return proc_read(s->root, pid, depth, ret);
}

int source_regions(struct source *s, pid_t pid, size_t max_regions, struct region_list *ret)
{
	_cleanup_close_ int dir = -1;
	int r = s->module ? netlink_regions(s->module, s->root, pid, max_regions, ret) : -ENODEV;

	if (s->module && !falls_back(s, r))
		return r;
	dir = procfs_open_pid(s->root, pid);
	return dir < 0 ? dir : region_list_read(dir, max_regions, ret);
}

int source_reset_ages(struct source *s, pid_t pid, uint64_t start_time, const struct source_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ranges[i].start >= ranges[i].end)
			return -ERANGE;
	return s->module ? netlink_reset_ages(s->module, pid, start_time, ranges, n) : 0;
}
