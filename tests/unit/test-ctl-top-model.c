/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "top" knows and in which order it shows it, without a terminal. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "base/text.h"
#include "ctl/top-split.h"
#include "top-world.h"

#define NOBODY PROC_UNKNOWN

static const struct top_seed seeds[] = {
	{ 10, "alpha", "root", "web.service", "/system.slice/web.service", 100 * MIB, 90 * MIB, 5 * MIB },
	{ 20, "Beta", "joe", "db.service", "/system.slice/db.service", 300 * MIB, 200 * MIB, 150 * MIB },
	{ 30, "gamma", "root", "web.service", "/system.slice/web.service/child", 50 * MIB, 40 * MIB, 20 * MIB },
	{ 40, "delta", "joe", "", "/", 400 * MIB, 390 * MIB, NOBODY },
	{ 50, "small", "root", "", "/", 5 * MIB, 2 * MIB, NOBODY },
};

/* The pids of the lines, groups as 0. */
static void assert_order(const struct top_view *v, const pid_t *want, size_t n)
{
	assert_int_equal(v->nlines, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(v->lines[i].proc ? v->lines[i].proc->p.pid : 0, want[i]);
}

#define ORDER(v, ...)                                         \
	do {                                                  \
		static const pid_t want_[] = { __VA_ARGS__ }; \
		assert_order(v, want_, ARRAY_SIZE(want_));    \
	} while (0)

static void build(struct top *t)
{
	assert_int_equal(top_view_build(&t->view, &t->model), 0);
}

static void test_parts_add_up(void **state)
{
	static const uint64_t v[] = { 0, 1, 4096, 3 * MIB, 10 * MIB, 1ull << 40, PROC_UNKNOWN };
	uint64_t parts[TOP_PARTS], sum;
	const size_t n = ARRAY_SIZE(v);

	(void)state;
	for (size_t i = 0; i < n * n * n * n * n; i++) {
		const struct proc p = { .rss = v[i % n], .anon = v[i / n % n], .idle = v[i / n / n % n] };
		const struct top_inside in = {
			.known = i & 1,
			.in_use = v[i / n / n / n % n],
			.cached = v[i % 5],
			.free = v[i / n / n / n / n],
			.unseen = v[i / 2 % n],
		};

		top_split(&p, &in, parts);
		sum = 0;
		for (size_t k = 0; k < TOP_PARTS; k++)
			sum += parts[k];
		assert_true(sum == (p.rss == PROC_UNKNOWN ? 0 : p.rss));
		assert_true(in.known ? in.unseen >= parts[TOP_UNSEEN] : !parts[TOP_FREE] && !parts[TOP_IN_USE]);
	}
}

/* What is free is idle as well, and is told once. */
static void test_idle_is_of_what_is_in_use(void **state)
{
	const struct proc p = { .rss = 100, .anon = 80, .idle = 50 };
	const struct top_inside in = { .known = true, .in_use = 45, .cached = 5, .free = 30 };
	uint64_t parts[TOP_PARTS];

	(void)state;
	top_split(&p, &in, parts);
	assert_int_equal(parts[TOP_FREE], 30);
	assert_int_equal(parts[TOP_CACHED], 5);
	assert_int_equal(parts[TOP_IDLE], 15);
	assert_int_equal(parts[TOP_IN_USE], 30);
	assert_int_equal(parts[TOP_OTHER], 20);
}

static void test_bars(void **state)
{
	uint64_t parts[TOP_PARTS] = { [TOP_IN_USE] = 50, [TOP_FREE] = 25, [TOP_OTHER] = 25 };
	uint8_t bar[64];

	(void)state;
	top_bar(parts, 100, 20, bar);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(bar[i], i < 10 ? TOP_IN_USE : i < 15 ? TOP_FREE : TOP_OTHER);
	top_bar(parts, 200, 20, bar);
	assert_int_equal(bar[9], TOP_OTHER);
	assert_int_equal(bar[10], TOP_PARTS);
	/* Next to nothing is something, and more than the whole is no more than it. */
	top_bar(parts, 1ull << 60, 20, bar);
	assert_int_equal(bar[0], TOP_IN_USE);
	assert_int_equal(bar[1], TOP_PARTS);
	top_bar(parts, 10, 20, bar);
	assert_int_equal(bar[19], TOP_IN_USE);
	memset(parts, 0, sizeof(parts));
	top_bar(parts, 0, 20, bar);
	assert_int_equal(bar[0], TOP_PARTS);
	top_bar(parts, 0, 0, bar);
}

static void test_sort(void **state)
{
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	/* The small one isn't there, and whom nobody looked into is last, whatever the direction. */
	ORDER(&t.view, 20, 30, 10, 40);
	t.view.reversed = true;
	build(&t);
	ORDER(&t.view, 10, 30, 20, 40);
	t.view.reversed = false;
	t.view.sort = TOP_SORT_RSS;
	build(&t);
	ORDER(&t.view, 40, 20, 10, 30);
	t.view.sort = TOP_SORT_PID;
	build(&t);
	ORDER(&t.view, 10, 20, 30, 40);
	t.view.sort = TOP_SORT_COMM;
	build(&t);
	ORDER(&t.view, 20, 10, 40, 30);
	t.view.sort = TOP_SORT_USER;
	build(&t);
	ORDER(&t.view, 40, 20, 10, 30);
	/* Nobody has anything: by anonymous memory. */
	t.view.sort = TOP_SORT_SWAP;
	build(&t);
	ORDER(&t.view, 40, 20, 10, 30);
	t.view.all = true;
	build(&t);
	ORDER(&t.view, 40, 20, 10, 30, 50);
	top_world_end(&t);
}

static void test_filter(void **state)
{
	static const struct {
		const char *filter;
		size_t n;
	} rows[] = { { "", 4 },		 { "ALPHA", 1 },   { "joe", 2 },    { "web", 2 },
		     { "web gamma", 1 }, { "  ", 4 },	   { "web db", 0 }, { "40", 1 },
		     { "slice/", 3 },	 { "nothing", 0 }, { "small", 0 } };
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		text_format(t.view.filter, sizeof(t.view.filter), "%s", rows[i].filter);
		build(&t);
		if (t.view.nlines != rows[i].n)
			fail_msg("'%s': %zu", rows[i].filter, t.view.nlines);
	}
	top_world_end(&t);
}

static void test_groups(void **state)
{
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	t.view.by = TOP_BY_UNIT;
	build(&t);
	/* By what is free in them: db 150, web 25, nobody knows. */
	ORDER(&t.view, 0, 20, 0, 30, 10, 0, 40);
	assert_string_equal(t.view.lines[2].group->name, "web.service");
	assert_true(t.view.lines[2].figures.free == 25 * MIB && t.view.lines[2].figures.rss == 150 * MIB);
	assert_int_equal(t.view.lines[2].group->processes, 2);
	assert_int_equal(t.view.lines[3].depth, 1);
	t.view.by = TOP_BY_CGROUP;
	build(&t);
	/* /: 40; in it system.slice with db: 20 and web: 10, and in that child: 30 */
	ORDER(&t.view, 0, 40, 0, 0, 20, 0, 10, 0, 30);
	assert_true(t.view.lines[0].figures.rss == 850 * MIB && t.view.lines[0].figures.free == 175 * MIB);
	assert_string_equal(t.view.lines[7].group->name, "child");
	assert_int_equal(t.view.lines[8].depth, 4);
	top_world_end(&t);
}

static void test_fold(void **state)
{
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	t.view.by = TOP_BY_CGROUP;
	build(&t);
	/* From a process in it. */
	top_view_go(&t.view, 6);
	assert_int_equal(top_view_fold(&t.view, true), 0);
	build(&t);
	ORDER(&t.view, 0, 40, 0, 0, 20, 0);
	assert_int_equal(t.view.cursor, 5);
	assert_true(t.view.lines[5].group->folded && t.view.lines[5].figures.free == 25 * MIB);
	assert_int_equal(top_view_fold(&t.view, false), 0);
	build(&t);
	assert_int_equal(t.view.nlines, 9);
	top_view_go(&t.view, 0);
	assert_int_equal(top_view_fold(&t.view, true), 0);
	build(&t);
	ORDER(&t.view, 0);
	top_world_end(&t);
}

static void test_cursor_stays_on_its_process(void **state)
{
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	top_view_go(&t.view, 2);
	assert_int_equal(top_view_line(&t.view)->proc->p.pid, 10);
	t.view.sort = TOP_SORT_PID;
	t.view.reversed = true;
	build(&t);
	assert_int_equal(top_view_line(&t.view)->proc->p.pid, 10);
	assert_int_equal(t.view.cursor, 3);
	/* It is gone: nearby, and never beyond the end. */
	text_format(t.view.filter, sizeof(t.view.filter), "joe");
	build(&t);
	assert_int_equal(t.view.cursor, 1);
	text_format(t.view.filter, sizeof(t.view.filter), "nobody");
	build(&t);
	assert_null(top_view_line(&t.view));
	top_view_go(&t.view, 7);
	assert_int_equal(t.view.cursor, 0);
	top_world_end(&t);
}

/* The model has let go of it before the lines are made anew: that must not be asked who it was. */
static void test_cursor_on_one_that_has_gone(void **state)
{
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	top_view_go(&t.view, 1);
	assert_int_equal(top_view_line(&t.view)->proc->p.pid, 30);
	proc_done(&t.model.v[2]->p);
	free(t.model.v[2]);
	memmove(&t.model.v[2], &t.model.v[3], (--t.model.n - 2) * sizeof(*t.model.v));
	build(&t);
	assert_int_equal(t.view.pid, 30);
	ORDER(&t.view, 20, 10, 40);
	assert_int_equal(t.view.cursor, 1);
	top_world_end(&t);
}

static void test_who_is_looked_into_next(void **state)
{
	const uint64_t minute = 60000000;
	struct top t;

	(void)state;
	top_world_begin(&t, seeds, ARRAY_SIZE(seeds));
	/* Never looked into, and large: not the small one. */
	assert_int_equal(top_model_due(&t.model, 2)->p.pid, 40);
	t.model.v[3]->look = (struct top_look){ .seen = TOP_SEEN_DENIED, .at_us = 2, .rss = 400 * MIB };
	assert_null(top_model_due(&t.model, 3));
	/* One that has changed, but not at once. */
	t.model.v[1]->p.rss += 100 * MIB;
	assert_null(top_model_due(&t.model, 3));
	assert_int_equal(top_model_due(&t.model, minute / 2)->p.pid, 20);
	t.model.v[1]->p.rss -= 100 * MIB;
	/* What can be seen is looked at once more after a minute, unless it was counted. */
	t.model.v[0]->visible = true;
	assert_null(top_model_due(&t.model, minute));
	assert_int_equal(top_model_due(&t.model, minute + 2)->p.pid, 10);
	top_world_end(&t);
}

static size_t asked; /* of the model, how many it had read in this interval */

static struct top_proc *update(struct top_model *m, struct source *s, pid_t pid)
{
	struct top_proc *found = NULL;

	assert_int_equal(top_model_update(m, s), 0);
	asked = 0;
	for (size_t i = 0; i < m->n; i++) {
		assert_true(!i || m->v[i - 1]->p.pid < m->v[i]->p.pid);
		asked += m->v[i]->asked;
		if (m->v[i]->p.pid == pid)
			found = m->v[i];
	}
	return found;
}

static void test_real_processes(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	_cleanup_(top_model_done) struct top_model m = { .min = 1ull << 50 };
	struct source s = { .root = root };
	struct top_proc *child;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		(void)pause();
		_exit(0);
	}
	child = update(&m, &s, pid);
	assert_non_null(child);
	assert_true(m.machine.total != MACHINE_UNKNOWN && m.total.processes >= 2);
	/* All are small: read in turns, and nobody is forgotten meanwhile. */
	for (int i = 0; i < 8; i++) {
		assert_ptr_equal(update(&m, &s, pid), child);
		assert_true(asked < m.n / 2 + 8);
	}
	assert_null(child->p.unit && *child->p.unit ? child->p.unit : NULL);
	/* A large one has names. */
	m.min = 0;
	m.tick += 100;
	assert_ptr_equal(update(&m, &s, pid), child);
	assert_true(child->p.exe && *child->p.exe);
	assert_ptr_equal(top_model_find(&m, pid, child->p.start_time), child);
	assert_null(top_model_find(&m, pid, child->p.start_time + 1));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_null(update(&m, &s, pid));
}

static void write_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_machine(void **state)
{
	char path[] = "/tmp/reclaim-top-XXXXXX";
	_cleanup_close_ int dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct machine m;

	(void)state;
	assert_true(dir >= 0);
	machine_read(dir, &m);
	assert_true(m.total == MACHINE_UNKNOWN && !m.some.known && !m.full.known);
	assert_int_equal(mkdirat(dir, "pressure", 0700), 0);
	write_file(dir, "meminfo", "MemTotal:  1000 kB\nMemAvailable: 400 kB\nSwapTotalX: 9 kB\nSwapFree: x kB\n");
	write_file(dir, "pressure/memory",
		   "some avg10=1.50 avg60=0.07 avg300=100.00 total=12\nfull avg10=0.00 avg60=-1 avg300=0.00 total=1\n");
	machine_read(dir, &m);
	assert_true(m.total == 1000 * 1024 && m.available == 400 * 1024);
	assert_true(m.swap_total == MACHINE_UNKNOWN && m.swap_free == MACHINE_UNKNOWN);
	assert_true(m.some.known && m.some.avg10 == 150 && m.some.avg60 == 7 && m.some.avg300 == 10000);
	assert_false(m.full.known);
	(void)unlinkat(dir, "pressure/memory", 0);
	(void)unlinkat(dir, "pressure", AT_REMOVEDIR);
	(void)unlinkat(dir, "meminfo", 0);
	(void)rmdir(path);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_add_up),
		cmocka_unit_test(test_idle_is_of_what_is_in_use),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_cursor_stays_on_its_process),
		cmocka_unit_test(test_cursor_on_one_that_has_gone),
		cmocka_unit_test(test_who_is_looked_into_next),
		cmocka_unit_test(test_real_processes),
		cmocka_unit_test(test_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
