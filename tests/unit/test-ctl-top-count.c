/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What quick looks leave out: how "top" says so, whom it has counted in full, and for how long that holds. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "ctl/top-split.h"
#include "top-world.h"

static const struct top_seed seeds[] = {
	{ 10, "alpha", "root", "web.service", "/system.slice/web.service", 100 * MIB, 90 * MIB, 5 * MIB },
	{ 20, "Beta", "joe", "db.service", "/system.slice/db.service", 300 * MIB, 200 * MIB, 150 * MIB },
	{ 30, "gamma", "root", "web.service", "/system.slice/web.service/child", 50 * MIB, 40 * MIB, 20 * MIB },
	{ 40, "delta", "joe", "", "/", 400 * MIB, 390 * MIB, PROC_UNKNOWN },
};

static struct explain_head head_of(uint64_t in_use, uint64_t unknown)
{
	return (struct explain_head){
		.allocator = EXPLAIN_ALLOC_GLIBC,
		.glibc = { .layer = EXPLAIN_READ, .in_use = in_use, .free_resident = 20, .unknown = unknown },
	};
}

/* What a look has left out is neither in use nor somebody else's. */
static void test_unseen(void **state)
{
	const struct proc p = { .rss = 100, .anon = 100, .idle = 60 };
	struct explain_head h = head_of(10, 70);
	uint64_t parts[TOP_PARTS];
	struct top_inside in;

	(void)state;
	top_inside_fill(&h, &in);
	top_split(&p, &in, parts);
	assert_true(parts[TOP_FREE] == 20 && parts[TOP_UNSEEN] == 70 && parts[TOP_IN_USE] == 10);
	/* Both are said to be more than there is: each has its share. */
	h = head_of(400, 400);
	top_inside_fill(&h, &in);
	top_split(&p, &in, parts);
	assert_true(parts[TOP_UNSEEN] == 40 && parts[TOP_IN_USE] == 40 && !parts[TOP_OTHER]);
	/* It couldn't be read: whatever isn't Python's may be anything. */
	h.glibc.layer = EXPLAIN_UNREADABLE;
	h.python = (struct explain_python){ .layer = EXPLAIN_READ, .resident = 50, .free_resident = 30 };
	top_inside_fill(&h, &in);
	top_split(&p, &in, parts);
	assert_true(parts[TOP_FREE] == 30 && parts[TOP_UNSEEN] > 50 && !parts[TOP_OTHER]);
	/* Of a glance at Python: what isn't free, and may be. */
	h = head_of(0, 0);
	h.python = (struct explain_python){
		.layer = EXPLAIN_READ, .arena_bytes = 80, .free = 16, .free_resident = 16, .unknown = 48
	};
	top_inside_fill(&h, &in);
	assert_true(in.in_use == 16 && in.free == 36 && in.unseen == 48);
	h.python.layer = EXPLAIN_UNREADABLE;
	h.python.flags = EXPLAIN_P_NO_PYMALLOC;
	top_inside_fill(&h, &in);
	assert_true(in.known && in.unseen == 0);
}

/* What a glance tells of @v[@at]. */
static void glance(struct top *t, size_t at, uint64_t free, uint64_t unseen, bool whole, uint64_t now_us)
{
	const struct top_look look = {
		.seen = TOP_SEEN_INSIDE,
		.inside = { .known = true, .in_use = 10 * MIB, .free = free, .unseen = unseen },
	};

	top_model_take_look(t->model.v[at], &look, whole, now_us);
	top_model_recount(&t->model);
}

static pid_t hiding(const struct top *t, uint64_t now_us, uint64_t least)
{
	const struct top_proc *p = top_model_hiding(&t->model, now_us, least, 0);

	return p ? p->p.pid : 0;
}

/* What is in swap can't be counted, nor is it resident: no lower bound of what is. */
static void test_swapped_out(void **state)
{
	const struct proc p = { .rss = 500, .anon = 500, .swap = 1000, .idle = PROC_UNKNOWN };
	struct explain_head h = head_of(480, 1000);
	uint64_t parts[TOP_PARTS];
	struct top_inside in;

	(void)state;
	top_inside_fill(&h, &in);
	top_split(&p, &in, parts);
	assert_true(parts[TOP_UNSEEN] > 0);
	in.whole = true;
	top_split(&p, &in, parts);
	assert_true(!parts[TOP_UNSEEN] && parts[TOP_IN_USE] == 480 && parts[TOP_FREE] == 20);
}

static void test_who_is_counted_next(void **state)
{
	const uint64_t minute = 60000000;
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	assert_int_equal(hiding(&t, 2, 1), 0);
	assert_false(t.model.total.at_least);
	glance(&t, 0, 5 * MIB, 50 * MIB, false, 2);
	glance(&t, 1, 5 * MIB, 150 * MIB, false, 2);
	glance(&t, 2, 5 * MIB, 2 * MIB, false, 2);
	assert_true(t.model.total.at_least && top_proc_at_least(t.model.v[2]));
	assert_int_equal(hiding(&t, 2, TOP_HIDDEN_MIN), 20);
	assert_null(top_model_hiding(&t.model, 2, 1, 1));
	/* It is growing: what a count would find holds no more. */
	t.model.v[1]->p.rss += 50 * MIB;
	assert_int_equal(hiding(&t, 2, TOP_HIDDEN_MIN), 10);
	t.model.v[1]->p.rss -= 50 * MIB;
	/* One that couldn't be counted keeps what is known, and lets others come first, then is left alone. */
	top_model_take_look(t.model.v[1], &(struct top_look){ .seen = TOP_SEEN_NOTHING }, true, 3);
	assert_true(t.model.v[1]->look.inside.unseen == 150 * MIB && !t.model.v[1]->look.whole);
	assert_int_equal(hiding(&t, 4, TOP_HIDDEN_MIN), 10);
	assert_int_equal(hiding(&t, 11 * minute, TOP_HIDDEN_MIN), 10);
	glance(&t, 0, 55 * MIB, 0, true, 4);
	assert_true(t.model.v[0]->look.whole && !top_proc_at_least(t.model.v[0]));
	assert_int_equal(hiding(&t, 5, TOP_HIDDEN_MIN), 0);
	assert_int_equal(hiding(&t, 5, 1), 30);
	assert_int_equal(hiding(&t, 11 * minute, TOP_HIDDEN_MIN), 20);
	top_world_end(&t);
}

/* A count isn't thrown away by the next glance, unless that knows better. */
static void test_counted_stays(void **state)
{
	const uint64_t minute = 60000000;
	struct top_proc *p;
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	p = t.model.v[1];
	p->visible = true;
	glance(&t, 1, 20 * MIB, 170 * MIB, false, 1);
	glance(&t, 1, 150 * MIB, 0, true, 2);
	assert_true(p->parts[TOP_FREE] == 150 * MIB && !p->parts[TOP_UNSEEN]);
	assert_ptr_equal(top_model_due(&t.model, minute + 3), t.model.v[3]);
	t.model.v[3]->look = (struct top_look){ .seen = TOP_SEEN_DENIED, .at_us = minute, .rss = 400 * MIB };
	/* Looked into again, since it can be seen: the same. */
	assert_ptr_equal(top_model_due(&t.model, minute + 3), p);
	glance(&t, 1, 20 * MIB, 170 * MIB, false, minute + 3);
	assert_true(p->look.whole && p->parts[TOP_FREE] == 150 * MIB && !top_proc_at_least(p));
	assert_null(top_model_due(&t.model, minute + 4));
	assert_int_equal(hiding(&t, 2 * minute, 1), 0);
	/* Long ago, and much could be free by now. */
	p->p.anon = p->p.rss;
	glance(&t, 1, 20 * MIB, 170 * MIB, false, 5 * minute);
	assert_int_equal(hiding(&t, 11 * minute, 1), 20);
	/* More is free, less is, and it has another size. */
	for (int i = 0; i < 3; i++) {
		glance(&t, 1, 150 * MIB, 0, true, 12 * minute);
		p->p.rss -= i == 2 ? 100 * MIB : 0;
		glance(&t, 1, i == 0 ? 190 * MIB : 20 * MIB, i == 1 ? 30 * MIB : 170 * MIB, false, 12 * minute + 5);
		assert_true(!p->look.whole && top_proc_at_least(p));
		assert_int_equal(hiding(&t, 12 * minute + 6, 1), 0);
		assert_int_equal(hiding(&t, 13 * minute, 1), 20);
	}
	top_world_end(&t);
}

/* A sum with a lower bound in it, or somebody unseen, is one as well. */
static void test_sums_of_bounds(void **state)
{
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	glance(&t, 0, 5 * MIB, 50 * MIB, false, 2);
	t.view.by = TOP_BY_UNIT;
	assert_int_equal(top_view_build(&t.view, &t.model), 0);
	/* db with 20, web with 30 and 10, nowhere 40 */
	assert_int_equal(t.view.nlines, 7);
	assert_false(t.view.lines[0].figures.at_least);
	assert_true(t.view.lines[2].figures.at_least && t.view.lines[4].figures.at_least);
	assert_false(t.view.lines[3].figures.at_least);
	t.view.by = TOP_BY_CGROUP;
	glance(&t, 0, 5 * MIB, 0, true, 3);
	assert_int_equal(top_view_build(&t.view, &t.model), 0);
	/* In "/", 40 is one that nobody has looked into. */
	assert_true(t.view.lines[0].figures.at_least && !t.view.lines[2].figures.at_least);
	top_world_end(&t);
}

/* A lower bound has a mark wherever it stands, and is no longer than its column. */
static void test_bounds_are_marked(void **state)
{
	char line[TOP_LINE];
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	assert_int_equal(canvas_resize(&t.canvas, 80, 24), 0);
	t.blocks = false;
	assert_int_equal(top_draw(&t), 0);
	assert_non_null(strstr(top_world_line(&t.canvas, 2, line), " seen: 175.0MiB free"));
	t.model.v[3]->look = (struct top_look){
		.seen = TOP_SEEN_INSIDE,
		.inside = { .known = true, .free = 120 * MIB, .unseen = 270 * MIB },
	};
	top_model_recount(&t.model);
	assert_int_equal(top_view_build(&t.view, &t.model), 0);
	assert_int_equal(top_draw(&t), 0);
	assert_non_null(strstr(top_world_line(&t.canvas, 2, line), " seen: >295.0MiB free"));
	assert_non_null(strstr(top_world_line(&t.canvas, 6, line), "  400.0MiB >120.0MiB ......?????"));
	assert_non_null(strstr(top_world_line(&t.canvas, 5, line), "  300.0MiB  150.0MiB "));
	t.model.v[3]->p.rss = t.model.v[3]->p.anon = 2048 * MIB;
	t.model.v[3]->look.inside.free = 1023 * MIB + MIB / 2;
	top_model_recount(&t.model);
	assert_int_equal(top_view_build(&t.view, &t.model), 0);
	assert_int_equal(top_draw(&t), 0);
	assert_non_null(strstr(top_world_line(&t.canvas, 5, line), "    2.0GiB  >1023MiB "));
	top_world_end(&t);
}

/* What is done at @now_us, and its end: nobody may be looked into here. */
static enum top_job_kind work(struct top *t, uint64_t now_us)
{
	struct pollfd done = { .fd = t->job->done, .events = POLLIN };
	enum top_job_kind kind;

	top_work(t, now_us);
	kind = t->job->kind;
	if (kind == TOP_JOB_NONE)
		return kind;
	assert_int_equal(poll(&done, 1, 10000), 1);
	top_work_take(t, now_us);
	assert_int_equal(t->job->kind, TOP_JOB_NONE);
	return kind;
}

/* Glances come first, counts have a purse of their own, and who asks isn't kept waiting by either. */
static void test_purses(void **state)
{
	const uint64_t second = 1000000;
	int64_t before;
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	t.ctl->proc = -1;
	t.job->ctl = t.ctl;
	glance(&t, 0, 5 * MIB, 50 * MIB, false, 1);
	glance(&t, 1, 5 * MIB, 150 * MIB, false, 1);
	assert_int_equal(work(&t, second), TOP_JOB_GLANCE);
	assert_int_equal(t.model.v[3]->look.seen, TOP_SEEN_DENIED);
	/* What glances don't need is for counts, but not of what has just been seen. */
	assert_int_equal(work(&t, second), TOP_JOB_NONE);
	assert_true(t.budget_us == 20000 && t.counts_us > 0 && !top_work_pending(&t, second));
	assert_int_equal(work(&t, 5 * second), TOP_JOB_COUNT);
	assert_true(t.model.v[1]->look.count_us && t.model.v[1]->look.inside.unseen == 150 * MIB);
	t.counts_us = -100000;
	assert_int_equal(work(&t, 6 * second), TOP_JOB_NONE);
	assert_true(t.counts_us == -97000 && t.budget_us == 20000);
	/* While one is due, it gets all of it. */
	t.budget_us = -100000;
	t.model.v[3]->look.seen = TOP_SEEN_NEVER;
	assert_int_equal(work(&t, 7 * second), TOP_JOB_NONE);
	assert_true(t.counts_us == -97000 && t.budget_us == -97000);
	t.model.v[3]->look.seen = TOP_SEEN_DENIED;
	t.model.v[2]->wanted = true;
	before = t.counts_us;
	assert_int_equal(work(&t, 7 * second), TOP_JOB_COUNT);
	assert_true(t.model.v[2]->look.count_us && !t.model.v[2]->wanted && !t.model.v[0]->look.count_us);
	assert_true(t.counts_us == before - (int64_t)t.job->cpu_us);
	t.deep = t.unlimited = true;
	assert_int_equal(work(&t, 7 * second), TOP_JOB_COUNT);
	assert_true(t.model.v[0]->look.count_us != 0);
	assert_false(top_work_pending(&t, 7 * second));
	top_world_end(&t);
}

/* A count is given up for what somebody waits for, and is done later. */
static void test_makes_way(void **state)
{
	struct top t;
	eventfd_t n;

	(void)state;
	top_world_begin(&t, seeds, 1);
	t.ctl->proc = -1;
	t.job->ctl = t.ctl;
	t.unlimited = true;
	for (int asked = 0; asked < 2; asked++) {
		glance(&t, 0, 5 * MIB, 50 * MIB, false, 1);
		t.model.v[0]->wanted = asked;
		top_work(&t, 2);
		assert_int_equal(t.job->kind, TOP_JOB_COUNT);
		t.detail.wanted = true;
		top_work(&t, 2);
		assert_int_equal(eventfd_read(t.job->cancel, &n), 0);
		t.detail.wanted = false;
		assert_int_equal(poll(&(struct pollfd){ .fd = t.job->done, .events = POLLIN }, 1, 10000), 1);
		top_work_take(&t, 2);
		assert_true(!t.model.v[0]->look.count_us && t.model.v[0]->wanted == (asked == 1));
	}
	top_world_end(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unseen),
		cmocka_unit_test(test_swapped_out),
		cmocka_unit_test(test_who_is_counted_next),
		cmocka_unit_test(test_counted_stays),
		cmocka_unit_test(test_sums_of_bounds),
		cmocka_unit_test(test_bounds_are_marked),
		cmocka_unit_test(test_purses),
		cmocka_unit_test(test_makes_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
