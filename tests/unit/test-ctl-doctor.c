// SPDX-License-Identifier: GPL-2.0-or-later
/* The checks of "doctor" that read files, on made-up trees. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cmocka.h>

#include "ctl/doctor.h"

#define THP "sys/kernel/mm/transparent_hugepage/"
#define CAPS_ALL "Name:\tx\nCapEff:\t000001ffffffffff\n"
#define CAPS_NONE "Name:\tx\nCapEff:\t0000000000000000\n"

static char tree[64];

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", tree, path);
	for (char *p = full + strlen(tree) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
		*p = '/';
	}
	f = fopen(full, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	strcpy(tree, "/tmp/reclaim-test-XXXXXX");
	return mkdtemp(tree) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(tree, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct check *find(const char *name)
{
	const struct {
		const struct check *v;
		size_t n;
	} tables[] = {
		{ doctor_first_checks, doctor_n_first_checks },	  { doctor_ptrace_checks, doctor_n_ptrace_checks },
		{ doctor_kernel_checks, doctor_n_kernel_checks }, { doctor_module_checks, doctor_n_module_checks },
		{ doctor_system_checks, doctor_n_system_checks },
	};

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (size_t i = 0; i < tables[t].n; i++)
			if (!strcmp(tables[t].v[i].name, name))
				return &tables[t].v[i];
	return NULL;
}

static int (*asks)(char *why, size_t size);

static void expect(const char *name, enum health health, const char *detail, const char *remedy)
{
	struct finding f = { .check = name };
	struct doctor d = { .root = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .ask = asks };
	const struct check *c = find(name);

	assert_non_null(c);
	assert_true(d.root >= 0);
	c->run(&d, &f);
	close(d.root);
	if (f.health != health || !strstr(f.detail, detail) || (remedy ? !strstr(f.remedy, remedy) : f.remedy[0] != 0))
		fail_msg("%s: %d, '%s', '%s'", name, (int)f.health, f.detail, f.remedy);
}

static void test_empty(void **state)
{
	(void)state;
	expect("module", HEALTH_INFO, "not loaded", "install reclaim-dkms");
	expect("sampling", HEALTH_INFO, "not loaded", NULL);
	expect("idle-ages", HEALTH_INFO, "no idle times", NULL);
	expect("psi", HEALTH_INFO, "No such file", "psi=1");
	expect("swap", HEALTH_INFO, "no swap", NULL);
	expect("zswap", HEALTH_INFO, "not in this kernel", NULL);
	expect("thp", HEALTH_OK, "not in this kernel", NULL);
	expect("yama", HEALTH_OK, "not in this kernel", NULL);
	expect("hidepid", HEALTH_WARN, "can't be read", NULL);
}

static void test_thp(void **state)
{
	(void)state;
	put(THP "enabled", "always madvise [never]\n");
	expect("thp", HEALTH_OK, "never", NULL);
	put(THP "enabled", "always [madvise] never\n");
	expect("thp", HEALTH_OK, "only where a program asks", NULL);
	put(THP "enabled", "[always] madvise never\n");
	expect("thp", HEALTH_WARN, "can't be read", NULL);
	put(THP "khugepaged/max_ptes_none", "511\n");
	expect("thp", HEALTH_WARN, "511", "echo 0 > /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none");
	put(THP "khugepaged/max_ptes_none", "0\n");
	expect("thp", HEALTH_OK, "fills no holes", NULL);
}

static void test_yama(void **state)
{
	(void)state;
	put("proc/sys/kernel/yama/ptrace_scope", "0\n");
	put("proc/self/status", CAPS_NONE);
	expect("yama", HEALTH_OK, "ptrace_scope=0", NULL);
	put("proc/sys/kernel/yama/ptrace_scope", "1\n");
	expect("yama", HEALTH_FAIL, "descendants", "sysctl kernel.yama.ptrace_scope=0");
	put("proc/self/status", CAPS_ALL);
	expect("yama", HEALTH_OK, "CAP_SYS_PTRACE", NULL);
	put("proc/sys/kernel/yama/ptrace_scope", "3\n");
	expect("yama", HEALTH_FAIL, "nobody", "reboot");
	put("proc/sys/kernel/yama/ptrace_scope", "what\n");
	expect("yama", HEALTH_WARN, "can't be read", NULL);
	put("proc/self/status", "Name:\tCapEff:\n");
	expect("cap-sys-ptrace", HEALTH_WARN, "no CAP_SYS_PTRACE", "root");
}

static void test_hidepid(void **state)
{
	(void)state;
	put("proc/self/status", CAPS_NONE);
	put("proc/self/mounts", "/dev/sda / ext4 rw 0 0\nproc /proc proc rw,nosuid 0 0\n");
	expect("hidepid", HEALTH_OK, "shows all", NULL);
	put("proc/self/mounts", "proc /proc proc rw,hidepid=invisible 0 0\n");
	expect("hidepid", HEALTH_WARN, "not seen", "remount");
	put("proc/self/mounts", "proc /proc proc rw,hidepid=2,gid=4 0 0\n");
	expect("hidepid", HEALTH_WARN, "not seen", "remount");
	put("proc/self/mounts", "proc /proc proc rw,hidepid=off 0 0\nproc /srv/proc proc rw,hidepid=2 0 0\n");
	expect("hidepid", HEALTH_OK, "shows all", NULL);
	put("proc/self/mounts", "proc /proc proc rw,hidepid=2 0 0\n");
	put("proc/self/status", CAPS_ALL);
	expect("hidepid", HEALTH_OK, "lets us pass", NULL);
}

/* Nobody is sent to modprobe where that would find nothing. */
static void test_module_installed(void **state)
{
	static const struct {
		const char *dep, *remedy;
	} rows[] = {
		{ "", "isn't installed for this kernel: install reclaim-dkms" },
		{ "kernel/fs/reclaim.c/x.ko: kernel/reclaim.ko\n", "install reclaim-dkms" },
		{ "extra/reclaim.koala:\nextra/myreclaim.ko:\nextra/reclaim.ko", "install reclaim-dkms" },
		{ "kernel/a.ko: kernel/b.ko\nextra/reclaim.ko:\nkernel/b.ko:\n", "modprobe reclaim; at each boot" },
		{ "updates/dkms/reclaim.ko.xz: kernel/b.ko\n", "modprobe reclaim; at each boot" },
		{ "reclaim.ko:", "modprobe reclaim; at each boot" },
	};
	struct utsname name;
	char path[160];

	(void)state;
	assert_int_equal(uname(&name), 0);
	snprintf(path, sizeof(path), "lib/modules/%s/modules.dep", name.release);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		put(path, rows[i].dep);
		expect("module", HEALTH_INFO, "not loaded", rows[i].remedy);
	}
	/* Loaded, it needs no advice. */
	put("sys/kernel/reclaim/enabled", "1\n");
	expect("module", HEALTH_OK, "is loaded", NULL);
}

static int answer;

static int ask(char *why, size_t size)
{
	(void)why;
	(void)size;
	return answer;
}

static void expect_asked(int r, enum health health, const char *detail, const char *remedy)
{
	asks = ask;
	answer = r;
	expect("module", health, detail, remedy);
	asks = NULL;
}

static void test_module(void **state)
{
	(void)state;
	put("sys/kernel/reclaim/enabled", "1\n");
	expect("sampling", HEALTH_WARN, "can't be read", NULL);
	expect_asked(0, HEALTH_OK, "unknown version", NULL);
	put("sys/module/reclaim/version", "9.8.7\n");
	expect_asked(0, HEALTH_OK, "loaded (9.8.7) and answers us", NULL);
	expect_asked(-EPERM, HEALTH_WARN, "not for us", "CAP_SYS_PTRACE");
	expect_asked(-ENOENT, HEALTH_WARN, "network namespace", "outside of the container");
	put("sys/kernel/reclaim/scan_interval_ms", "5000\n");
	put("sys/kernel/reclaim/scan_cpu_permille", "15\n");
	put("sys/kernel/reclaim/min_anon_kb", "65536\n");
	expect("sampling", HEALTH_WARN, "can't be read", NULL);
	put("sys/kernel/reclaim/idle_after_ms", "60000\n");
	expect("sampling", HEALTH_OK, "every 5.0s, in processes with 64.0MiB or more, at up to 1.5 %", NULL);
	put("sys/kernel/reclaim/no_young_flag", "off\n");
	expect("sampling", HEALTH_WARN, "told not to", "echo activate");
	put("sys/kernel/reclaim/enabled", "0\n");
	expect("sampling", HEALTH_WARN, "switched off", "echo 1 > /sys/kernel/reclaim/enabled");
	put("sys/kernel/reclaim/enabled", "many\n");
	expect("sampling", HEALTH_WARN, "can't be read", NULL);

	expect("idle-ages", HEALTH_OK, "upper bounds", NULL);
	put("sys/kernel/mm/lru_gen/enabled", "0x0000\n");
	expect("idle-ages", HEALTH_OK, "upper bounds", NULL);
	put("sys/kernel/mm/lru_gen/enabled", "0x0007\n");
	expect("idle-ages", HEALTH_INFO, "multi-generational", NULL);
	put("sys/module/damon_stat/parameters/enabled", "N\n");
	expect("idle-ages", HEALTH_INFO, "multi-generational", NULL);
	put("sys/module/damon_stat/parameters/enabled", "Y\n");
	expect("idle-ages", HEALTH_WARN, "damon_stat clears accessed bits all the time, and multi", "echo N");
}

static void test_memory(void **state)
{
	(void)state;
	put("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
	expect("psi", HEALTH_OK, "can be read", NULL);
	put("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	expect("swap", HEALTH_INFO, "no swap", NULL);
	put("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
			  "/dev/sda2 partition\t1048576\t0\t-2\n/swap\\040file\\012 file\t1048576\t12\t-3\n");
	expect("swap", HEALTH_OK, "2.0GiB", NULL);
	put("sys/module/zswap/parameters/enabled", "Y\n");
	expect("zswap", HEALTH_INFO, "on", NULL);
	put("sys/module/zswap/parameters/enabled", "N\n");
	expect("zswap", HEALTH_INFO, "off", NULL);
}

/* The child is ours: whatever the machine, we can stop it or are told why not; it is gone afterwards. */
static void test_child(void **state)
{
	struct doctor d = { .root = -1 };
	pid_t pid;

	(void)state;
	assert_int_equal(doctor_child_start(&d, false), 0);
	pid = d.child;
	assert_int_equal(kill(pid, 0), 0);
	doctor_child_end(&d);
	assert_int_equal(d.child, 0);
	assert_int_equal(kill(pid, 0), -1);
	doctor_child_end(&d);
}

/* A directory that is called proc and is none: everything else would be nonsense there. */
static void test_proc(void **state)
{
	(void)state;
	expect("proc", HEALTH_FAIL, "not mounted", "mount -t proc proc /proc");
	put("proc/1/stat", "1 (init) S 0\n");
	expect("proc", HEALTH_FAIL, "not a procfs", "mount -t proc proc /proc");
}

/* Nobody is sent to a sysctl that isn't there. */
static void test_no_yama(void **state)
{
	struct doctor d = { .root = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	struct finding f = { .check = "yama" };

	(void)state;
	assert_true(d.root >= 0);
	find("yama")->run(&d, &f);
	close(d.root);
	assert_int_equal(f.health, HEALTH_OK);
	assert_null(strstr(f.detail, "ptrace_scope"));
	assert_string_equal(f.remedy, "");
}

static void test_proc_is_there(void **state)
{
	struct doctor d = { .root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	struct finding f = { .check = "proc" };

	(void)state;
	assert_true(d.root >= 0);
	find("proc")->run(&d, &f);
	close(d.root);
	assert_int_equal(f.health, HEALTH_OK);
	assert_string_equal(f.remedy, "");
}

/* The field "Seccomp" of the child: 0 none, 2 filter. */
static int seccomp_of(pid_t pid)
{
	char path[64], line[256];
	int mode = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "Seccomp: %d", &mode);
	fclose(f);
	return mode;
}

/* When it has started, its filter is there: no race with the one who looks. */
static void test_filtered_child(void **state)
{
	int own = seccomp_of(getpid());

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct doctor plain = { .root = -1 }, filtered = { .root = -1 };

		assert_int_equal(doctor_child_start(&plain, false), 0);
		assert_int_equal(doctor_child_start(&filtered, true), 0);
		assert_int_equal(seccomp_of(plain.child), own);
		assert_int_equal(seccomp_of(filtered.child), 2);
		doctor_child_end(&plain);
		doctor_child_end(&filtered);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_yama, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidepid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_module_installed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_module, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_yama, setup, teardown),
		cmocka_unit_test_setup_teardown(test_proc, setup, teardown),
		cmocka_unit_test(test_proc_is_there),
		cmocka_unit_test(test_child),
		cmocka_unit_test(test_filtered_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
