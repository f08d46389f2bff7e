// SPDX-License-Identifier: GPL-2.0-or-later
/* Regions as sense shows them, on recorded trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "recorded.h"
#include "sense/proc.h"
#include "sense/region.h"

static void test_regions(void **state)
{
	_cleanup_close_ int root = recorded_tree("hostile"), dir = procfs_open_pid(root, 207);
	_cleanup_close_ int real = recorded_tree("real"), python = procfs_open_pid(real, 101),
			    none = procfs_open_pid(real, 2);
	_cleanup_close_ int cut = procfs_open_pid(root, 203), back = procfs_open_pid(root, 204);
	_cleanup_close_ int gone = procfs_open_pid(root, 206), broken = recorded_tree("broken");
	_cleanup_close_ int figure = procfs_open_pid(broken, 307);
	struct region_list l, before;
	uint64_t rss = 0;
	struct proc p;

	(void)state;
	memset(&l, 0x5a, sizeof(l));
	before = l;
	assert_int_equal(region_list_read(cut, 1000, &l), -EBADMSG);
	assert_int_equal(region_list_read(back, 1000, &l), -EBADMSG);
	assert_int_equal(region_list_read(figure, 1000, &l), -EBADMSG);
	assert_int_equal(region_list_read(gone, 1000, &l), -ESRCH);
	assert_int_equal(region_list_read(dir, 21, &l), -E2BIG);
	assert_memory_equal(&l, &before, sizeof(l));

	assert_int_equal(region_list_read(dir, 22, &l), 0);
	assert_int_equal(l.n, 22);
	assert_string_equal(l.v[0].map.name, "/srv/a file  with blanks");
	assert_string_equal(l.v[21].map.name, "[vsyscall]");
	for (size_t i = 0; i < l.n; i++) {
		assert_true(l.v[i].rss == 4096 && l.v[i].anon == 4096 && l.v[i].swap == 8192 &&
			    l.v[i].lazyfree == 4096);
		assert_true(l.v[i].referenced == 4096 && l.v[i].locked == 4096 && l.v[i].huge == 0);
	}
	region_list_done(&l);
	region_list_done(&l);

	assert_int_equal(region_list_read(none, 10, &l), 0);
	assert_int_equal(l.n, 0);
	region_list_done(&l);

	assert_int_equal(region_list_read(python, 1000, &l), 0);
	for (size_t i = 0; i < l.n; i++)
		rss += l.v[i].rss;
	assert_int_equal(proc_read(real, 101, PROC_BASIC, &p), 0);
	assert_int_equal(rss, p.rss);
	proc_done(&p);
	region_list_done(&l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
