// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/maps: recorded, crafted, and our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/maps.h"
#include "base/procfs.h"
#include "recorded.h"

static void test_maps_kinds(void **state)
{
	static const struct {
		enum map_kind kind;
		bool deleted;
		const char *name;
	} rows[] = {
		{ MAP_KIND_FILE, false, "/srv/a file  with blanks" },
		{ MAP_KIND_FILE, false, "/tmp/two\\012lines" },
		{ MAP_KIND_FILE, false, "/tmp/[heap]" },
		{ MAP_KIND_HEAP, false, "[heap]" },
		{ MAP_KIND_ANON, false, "[anon:glibc: malloc]" },
		{ MAP_KIND_SHMEM, false, "[anon_shmem:pool]" },
		{ MAP_KIND_SHMEM, true, "/memfd:x (deleted)" },
		{ MAP_KIND_FILE, false, "/memfd:not-one" },
		{ MAP_KIND_SHMEM, true, "/SYSV0000002a" },
		{ MAP_KIND_SHMEM, true, "/dev/zero" },
		{ MAP_KIND_ANON, false, "/dev/zero" },
		{ MAP_KIND_ANON, true, "/anon_hugepage" },
		{ MAP_KIND_ANON, false, "" },
		{ MAP_KIND_SHMEM, false, "" },
		{ MAP_KIND_FILE, false, "anon_inode:[perf_event]" },
		{ MAP_KIND_SPECIAL, false, "[uprobes]" },
		{ MAP_KIND_FILE, true, "/usr/bin/\x1b[31mred\xff" },
		{ MAP_KIND_STACK, false, "[stack]" },
		{ MAP_KIND_SPECIAL, false, "[vvar]" },
		{ MAP_KIND_SPECIAL, false, "[vvar_vclock]" },
		{ MAP_KIND_SPECIAL, false, "[vdso]" },
		{ MAP_KIND_SPECIAL, false, "[vsyscall]" },
	};
	_cleanup_close_ int dir = recorded_process("hostile", 207);
	_cleanup_(maps_done) struct maps m = { 0 };

	(void)state;
	assert_int_equal(maps_read(dir, ARRAY_SIZE(rows), &m), 0);
	assert_int_equal(m.n, ARRAY_SIZE(rows));
	for (size_t i = 0; i < m.n; i++) {
		assert_string_equal(m.v[i].name, rows[i].name);
		assert_int_equal(m.v[i].kind, rows[i].kind);
		assert_int_equal(!!(m.v[i].flags & MAP_F_DELETED), rows[i].deleted);
	}
}

static void test_maps_line(void **state)
{
	static const char *const refused[] = {
		"",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 rw-p",
		"2000-1000 rw-p 0 00:00 0",
		"1000-1000 rw-p 0 00:00 0",
		"1000-2000 rw-p 0 00:00",
		"1000-2000 rw-p 0 0000 0",
		"1000-2000 xw-p 0 00:00 0",
		"1000-2000 rw- 0 00:00 0",
		"1000-2000 rw-x 0 00:00 0",
		"1000-2000 rw-p z 00:00 0",
		"1000-2000 rw-p 0 00:00 x",
		"1000-2000 rw-p 0 00:00 0x",
		"1000-10000000000000000 rw-p 0 00:00 0",
		"1000-2000 rw-p 0 100000000:00 0",
		"1000-2000 rw-p 0 00:00 18446744073709551616",
		"-1000 rw-p 0 00:00 0",
		" 1000-2000 rw-p 0 00:00 0",
	};
	char line[] = "7f00a000-7f00b000 r-xs 00123000 fe:1f 4711                       /lib/a b.so (deleted)\n";
	struct map m, before;

	(void)state;
	memset(&m, 0x5a, sizeof(m));
	before = m;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		char copy[128];

		snprintf(copy, sizeof(copy), "%s", refused[i]);
		if (maps_parse_line(copy, &m) != -EBADMSG)
			fail_msg("accepted: '%s'", refused[i]);
		assert_memory_equal(&m, &before, sizeof(m));
	}

	assert_int_equal(maps_parse_line(line, &m), 0);
	assert_true(m.start == 0x7f00a000 && m.end == 0x7f00b000 && m.offset == 0x123000 && m.inode == 4711);
	assert_true(m.dev_major == 0xfe && m.dev_minor == 0x1f);
	assert_int_equal(m.flags, MAP_F_READ | MAP_F_EXEC | MAP_F_SHARED | MAP_F_DELETED);
	assert_string_equal(m.name, "/lib/a b.so");
}

static void test_maps_read(void **state)
{
	_cleanup_close_ int python = recorded_process("real", 101), kthread = recorded_process("real", 2);
	_cleanup_close_ int cut = recorded_process("broken", 305), overlap = recorded_process("broken", 306);
	_cleanup_close_ int compat = recorded_process("real", 103), gone = recorded_process("hostile", 206);
	struct maps m = { 0 };

	(void)state;
	assert_int_equal(maps_read(cut, 1000, &m), -EBADMSG);
	assert_int_equal(maps_read(overlap, 1000, &m), -EBADMSG);
	assert_int_equal(maps_read(python, 3, &m), -E2BIG);
	assert_int_equal(maps_read(python, SIZE_MAX, &m), -EINVAL);
	assert_int_equal(maps_read(gone, 1000, &m), -ESRCH);
	assert_true(!m.v && !m.text && m.n == 0);

	assert_int_equal(maps_read(kthread, 1000, &m), 0);
	assert_int_equal(m.n, 0);
	assert_null(maps_find(&m, 0));
	maps_done(&m);
	assert_int_equal(maps_read(compat, 1000, &m), 0);
	assert_int_equal(m.v[0].start, 0x08048000);
	maps_done(&m);

	assert_int_equal(maps_read(python, 1000, &m), 0);
	assert_true(m.n > 10);
	for (size_t i = 0; i < m.n; i++) {
		assert_ptr_equal(maps_find(&m, m.v[i].start), &m.v[i]);
		assert_ptr_equal(maps_find(&m, m.v[i].end - 1), &m.v[i]);
		assert_ptr_not_equal(maps_find(&m, m.v[i].end), &m.v[i]);
	}
	assert_null(maps_find(&m, 0));
	assert_null(maps_find(&m, UINT64_MAX));
	maps_done(&m);
	maps_done(&m);
}

/* What we map ourselves must show, with the right kinds. */
static void test_maps_live(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc"), dir = procfs_open_pid(root, getpid());
	_cleanup_close_ int memfd = memfd_create("a (deleted)", MFD_CLOEXEC);
	void *anon = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *shared = mmap(NULL, 8192, PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *file = mmap(NULL, 4096, PROT_NONE, MAP_SHARED, memfd, 0);
	_cleanup_(maps_done) struct maps m = { 0 };
	const struct map *found;

	(void)state;
	assert_int_equal(maps_read(dir, 1 << 16, &m), 0);
	found = maps_find(&m, (uintptr_t)anon);
	assert_true(found && found->kind == MAP_KIND_ANON && !(found->flags & MAP_F_WRITE));
	found = maps_find(&m, (uintptr_t)shared);
	assert_true(found && found->kind == MAP_KIND_SHMEM && found->flags & MAP_F_SHARED);
	found = maps_find(&m, (uintptr_t)file);
	assert_true(found && found->kind == MAP_KIND_SHMEM);
	assert_string_equal(found->name, "/memfd:a (deleted)");
	found = maps_find(&m, (uintptr_t)test_maps_live);
	assert_true(found && found->kind == MAP_KIND_FILE);
	assert_true(found->flags & MAP_F_EXEC);
	found = maps_find(&m, (uintptr_t)&m);
	assert_true(found && (found->kind == MAP_KIND_STACK || found->kind == MAP_KIND_ANON));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps_kinds),
		cmocka_unit_test(test_maps_line),
		cmocka_unit_test(test_maps_read),
		cmocka_unit_test(test_maps_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
