// SPDX-License-Identifier: GPL-2.0-or-later
/* Units, control groups and word sizes, from the texts that name them. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "sense/names.h"

static void test_unit(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "/", "" },
		{ "/init.scope", "init.scope" },
		{ "/system.slice", "" },
		{ "/system.slice/cron.service", "cron.service" },
		{ "/system.slice/cron.service/sub/group", "cron.service" },
		{ "/system.slice/cron.service (deleted)", "cron.service" },
		{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service" },
		{ "/user.slice/user-1000.slice/session-2.scope", "session-2.scope" },
		{ "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "user@1000.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service" },
		{ "/system.slice/_cpu.service", "cpu.service" },
		{ "/_system.slice/_a.service", "a.service" },
		{ "/system.slice/__x.service", "_x.service" },
		{ "/system.slice/a@.service", "" },
		{ "/system.slice/@a.service", "" },
		{ "/system.slice/.service", "" },
		{ "/system.slice/a.unknown", "" },
		{ "/system.slice/a b.service", "" },
		{ "/system.slice/a\x1b.service", "" },
		{ "/docker/0a1b", "" },
		{ "/docker/x/cron.service", "" },
		{ "/a@b.slice/c.service", "" },
		{ "//system.slice//dbus-org.x\\x2dy.service/", "dbus-org.x\\x2dy.service" },
		{ "/machine.slice/machine-a.scope/system.slice/b.service", "machine-a.scope" },
		{ "/a.slice/b.slice/", "" },
		{ "/..", "" },
		{ "/_", "" },
		{ "/proc-sys-fs-binfmt_misc.mount", "proc-sys-fs-binfmt_misc.mount" },
	};
	char long_name[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *unit = NULL;

		assert_int_equal(proc_unit_of_cgroup(rows[i][0], &unit), 0);
		if (strcmp(unit, rows[i][1]))
			fail_msg("'%s' gives '%s'", rows[i][0], unit);
	}

	/* systemd's limit is 255 bytes. */
	for (size_t len = 255; len <= 256; len++) {
		_cleanup_free_ char *unit = NULL;

		memset(long_name, 'a', len);
		memcpy(long_name + len - strlen(".service"), ".service", sizeof(".service"));
		assert_int_equal(proc_unit_of_cgroup(long_name, &unit), 0);
		assert_int_equal(strlen(unit), len == 255 ? 255 : 0);
	}
}

static void test_cgroup_text(void **state)
{
	static const char *const rows[][2] = {
		{ "0::/a/b\n", "/a/b" },
		{ "0::/\n", "/" },
		{ "", "" },
		{ "0::/a", "/a" },
		{ "nonsense\n0::/a\n", "/a" },
		{ "2:cpu:/x\n1:name=systemd:/s\n0::/v2\n", "/v2" },
		{ "2:cpu:/x\n1:name=systemd:/s\n0::/\n", "/s" },
		{ "2:cpu:/x\n13:name=systemd:/s:t\n", "/s:t" },
		{ "2:cpu:/x\n1:name=other:/s\n", "" },
		{ "10::/no\n", "" },
		{ "1:name=systemd:/\n0::/\n", "/" },
		{ "0::/0::/x\n", "/0::/x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *path = NULL;

		assert_int_equal(proc_cgroup_of_text(rows[i][0], &path), 0);
		assert_string_equal(path, rows[i][1]);
	}
}

static void test_bits(void **state)
{
	static const uint64_t v64[] = { 33, 0x7ffc12345000, 16, 0xbfebfbff, 6, 4096, 0, 0 };
	static const uint32_t v32[] = { 32, 0xf7f75550, 33, 0xf7f75000, 6, 4096, 7, 0, 0, 0 };
	static const uint64_t no_page_size[] = { 33, 6, 16, 4096, 0, 0 };

	(void)state;
	assert_int_equal(proc_bits_of_auxv((const char *)v64, sizeof(v64)), 64);
	assert_int_equal(proc_bits_of_auxv((const char *)v32, sizeof(v32)), 32);
	assert_int_equal(proc_bits_of_auxv((const char *)no_page_size, sizeof(no_page_size)), 0);
	assert_int_equal(proc_bits_of_auxv((const char *)v64, 47), 0);
	assert_int_equal(proc_bits_of_auxv("", 0), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit),
		cmocka_unit_test(test_cgroup_text),
		cmocka_unit_test(test_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
