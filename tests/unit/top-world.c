/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "top-world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "base/text.h"

static struct top_proc *proc_of(const struct top_seed *s)
{
	struct top_proc *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->p = (struct proc){
		.pid = s->pid,
		.start_time = (uint64_t)s->pid * 10,
		.threads = 1,
		.rss = s->rss,
		.anon = s->anon,
		.file = s->rss - s->anon,
		.swap = 0,
		.idle = PROC_UNKNOWN,
		.exe = strdup("/usr/bin/x"),
		.cgroup = strdup(s->cgroup ? s->cgroup : ""),
		.unit = strdup(s->unit ? s->unit : ""),
	};
	text_format(p->p.comm, sizeof(p->p.comm), "%s", s->comm);
	text_format(p->user, sizeof(p->user), "%s", s->user ? s->user : "root");
	p->named = 1;
	if (s->free == PROC_UNKNOWN)
		return p;
	p->look = (struct top_look){
		.seen = TOP_SEEN_INSIDE,
		.at_us = 1,
		.rss = s->rss,
		.inside = { .known = true, .in_use = s->anon - s->free, .free = s->free },
		.allocator = "glibc",
	};
	return p;
}

void top_world_begin(struct top *t, const struct top_seed *seeds, size_t n)
{
	static struct ctl ctl;
	static struct top_job job;

	*t = (struct top){ .ctl = &ctl, .job = &job, .delay_us = 1000000, .blocks = true };
	job = (struct top_job){ .done = eventfd(0, EFD_CLOEXEC), .cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	t->model.min = 10 * MIB;
	t->model.v = calloc(n + 1, sizeof(*t->model.v));
	assert_non_null(t->model.v);
	for (size_t i = 0; i < n; i++)
		t->model.v[t->model.n++] = proc_of(&seeds[i]);
	top_model_recount(&t->model);
	assert_int_equal(top_view_build(&t->view, &t->model), 0);
}

void top_world_end(struct top *t)
{
	closep(&t->job->done);
	closep(&t->job->cancel);
	top_done(t);
}

const char *top_world_line(const struct canvas *c, int y, char *buf)
{
	FILE *f = fmemopen(buf, TOP_LINE, "w");

	assert_non_null(f);
	assert_int_equal(canvas_print(c, y, f), 0);
	assert_int_equal(fclose(f), 0);
	return buf;
}
