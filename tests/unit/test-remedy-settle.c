// SPDX-License-Identifier: GPL-2.0-or-later
/* How a purge is fitted to what its target may use, and has locked. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remedy/purge.h"

struct folder {
	char top[64], pid[80];
	int fd;
};

static void put(const char *folder, const char *name, const char *text)
{
	char path[160];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int open_folder(void **state)
{
	static struct folder f;
	char path[160];

	(void)snprintf(f.top, sizeof(f.top), "/tmp/reclaim-limits-XXXXXX");
	assert_non_null(mkdtemp(f.top));
	(void)snprintf(path, sizeof(path), "%s/sys", f.top);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/sys/vm", f.top);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(f.pid, sizeof(f.pid), "%s/1", f.top);
	assert_int_equal(mkdir(f.pid, 0755), 0);
	f.fd = open(f.pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f.fd >= 0);
	*state = &f;
	return 0;
}

static int close_folder(void **state)
{
	static const char *const files[] = { "1/limits", "sys/vm/overcommit_memory" };
	static const char *const folders[] = { "1", "sys/vm", "sys", "." };
	const struct folder *f = *state;
	char path[160];

	(void)close(f->fd);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->top, files[i]);
		(void)unlink(path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(folders) - 1; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->top, folders[i]);
		(void)rmdir(path);
	}
	return rmdir(f->top);
}

#define HEAD "Limit                     Soft Limit           Hard Limit           Units     \n"
#define DATA(v) "Max data size             " v "            unlimited            bytes     \n"
#define SPACE(v) "Max address space         " v "            unlimited            bytes     \n"

/* Is the deep part planned? */
static bool deep(const struct folder *f, enum remedy_depth depth, uint32_t parts)
{
	const struct inject_target target = { .piddir = f->fd };
	const struct remedy_site site = { .target = &target, .depth = depth, .anon = 1 << 20 };
	struct remedy_plan plan = {
		.possible = 1, .parts = parts, .predicted = 100, .lower = 50, .upper = 200, .deep = 1000
	};

	remedy_purge.settle(&site, &plan);
	assert_true(plan.possible);
	assert_int_equal(plan.parts & ~(uint32_t)PURGE_DEEP, parts & ~(uint32_t)PURGE_DEEP);
	if (plan.parts & PURGE_DEEP)
		assert_true(plan.predicted == 1100 && plan.lower == 1050 && plan.upper == 1200);
	else
		assert_true(plan.predicted == 100 && plan.lower == 50 && plan.upper == 200);
	return plan.parts & PURGE_DEEP;
}

/* Address space is what it costs: only where there is enough of it, and where it was asked for or nobody is at work. */
static void test_deep(void **state)
{
	const uint32_t python = PURGE_PYMALLOC | PURGE_DEEP;
	const struct folder *f = *state;
	char sys[100];

	(void)snprintf(sys, sizeof(sys), "%s/sys/vm", f->top);
	put(sys, "overcommit_memory", "0\n");
	put(f->pid, "limits", HEAD DATA("unlimited") SPACE("unlimited"));
	assert_true(deep(f, REMEDY_DEPTH_AUTO, python));
	assert_true(deep(f, REMEDY_DEPTH_DEEP, python | PURGE_BUSY));
	assert_false(deep(f, REMEDY_DEPTH_AUTO, python | PURGE_BUSY));
	assert_false(deep(f, REMEDY_DEPTH_NORMAL, python));
	assert_false(deep(f, REMEDY_DEPTH_DEEP, PURGE_PYMALLOC));
	put(f->pid, "limits", HEAD DATA("unlimited") SPACE("1048576  "));
	assert_false(deep(f, REMEDY_DEPTH_DEEP, python));
	put(f->pid, "limits", HEAD DATA("1048576  ") SPACE("unlimited"));
	assert_false(deep(f, REMEDY_DEPTH_DEEP, python));
	put(f->pid, "limits", HEAD DATA("unlimited"));
	assert_false(deep(f, REMEDY_DEPTH_DEEP, python));
	put(f->pid, "limits", "");
	assert_false(deep(f, REMEDY_DEPTH_DEEP, python));
	put(f->pid, "limits", HEAD DATA("unlimited") SPACE("unlimited"));
	put(sys, "overcommit_memory", "2\n");
	assert_false(deep(f, REMEDY_DEPTH_DEEP, python));
	put(sys, "overcommit_memory", "");
	assert_false(deep(f, REMEDY_DEPTH_DEEP, python));
}

static void test_locked(void **state)
{
	const struct folder *f = *state;
	const struct inject_target target = { .piddir = f->fd };
	struct remedy_site site = { .target = &target, .anon = 1000, .locked = 501 };
	struct remedy_plan plan = { .possible = 1, .parts = PURGE_GLIBC, .predicted = 900, .lower = 400, .upper = 900 };
	struct remedy_plan part = plan, noted = plan;

	remedy_purge.settle(&site, &plan);
	assert_int_equal(plan.possible, 0);
	assert_non_null(strstr(plan.reason, "locked (mlock)"));
	site.locked = 300;
	remedy_purge.settle(&site, &part);
	assert_true(part.possible && part.lower == 100 && part.predicted == 900);
	assert_string_equal(part.note, "part of its memory is locked (mlock) and stays");
	(void)snprintf(noted.note, sizeof(noted.note), "one thing");
	site.locked = 500;
	remedy_purge.settle(&site, &noted);
	assert_true(noted.possible && noted.lower == 0);
	assert_string_equal(noted.note, "one thing; part of its memory is locked (mlock) and stays");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deep, open_folder, close_folder),
		cmocka_unit_test_setup_teardown(test_locked, open_folder, close_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
