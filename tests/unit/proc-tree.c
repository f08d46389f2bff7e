// SPDX-License-Identifier: GPL-2.0-or-later
#include "proc-tree.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/text.h"

static void __printf_like(4, 5) put(struct conf_tree *t, pid_t pid, const char *file, const char *format, ...)
{
	char name[64], text[1024];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	text_format(name, sizeof(name), "proc/%d/%s", pid, file);
	conf_tree_put(t, name, text);
}

void proc_tree_init(struct conf_tree *t, const char *boot_id)
{
	conf_tree_put(t, "proc/sys/kernel/random/boot_id", boot_id);
}

void proc_tree_put(struct conf_tree *t, const struct proc_tree_process *p)
{
	_cleanup_free_ char *exe = NULL;
	char name[64];

	put(t, p->pid, "stat",
	    "%d (%s) S 1 1 1 0 -1 4194304 0 0 0 0 %" PRIu64 " 0 0 0 20 0 1 0 %" PRIu64
	    " 94507008 3479 0 0 0 0 0 0 0 0 0 0 "
	    "0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
	    p->pid, p->comm, p->ticks, p->start_time);
	put(t, p->pid, "status",
	    "Name:\t%s\nState:\tS (sleeping)\nTgid:\t%d\nPid:\t%d\nPPid:\t1\nTracerPid:\t%d\n"
	    "Uid:\t%u\t%u\t%u\t%u\nGid:\t0\t0\t0\t0\nVmSize:\t%" PRIu64 " kB\nVmRSS:\t%" PRIu64 " kB\n"
	    "RssAnon:\t%" PRIu64 " kB\nRssFile:\t0 kB\nRssShmem:\t0 kB\nThreads:\t1\n",
	    p->comm, p->pid, p->pid, p->tracer, p->uid, p->uid, p->uid, p->uid, p->anon / 1024 + 4096, p->anon / 1024,
	    p->anon / 1024);
	put(t, p->pid, "mem", "%s", "");
	put(t, p->pid, "cgroup", "0::%s\n", p->cgroup);
	/* Of a thread there is no more than its number. */
	text_format(name, sizeof(name), "task/%d/comm", p->pid);
	put(t, p->pid, name, "%s\n", p->comm);
	put(t, p->pid, "fd/0", "%s", "");
	text_format(name, sizeof(name), "proc/%d/exe", p->pid);
	exe = conf_tree_path(t, name);
	(void)unlink(exe);
	conf_tree_link(t, name, p->exe);
}

void proc_tree_end(struct conf_tree *t, pid_t pid)
{
	_cleanup_free_ char *from = NULL, *to = NULL;
	char name[64];

	/* Away in one step, as it is in /proc. */
	text_format(name, sizeof(name), "proc/%d", pid);
	from = conf_tree_path(t, name);
	text_format(name, sizeof(name), "ended/%d", pid);
	to = conf_tree_path(t, name);
	assert_int_equal(rename(from, to), 0);
}
