// SPDX-License-Identifier: GPL-2.0-or-later
/* What must not be touched, of real processes and of folders made for it. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "core/traits.h"

static int proc = -1;

static int open_pid(pid_t pid)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", pid);
	return openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A child that sleeps until it is killed. */
static pid_t sleeper(void (*first)(void))
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (first)
			first();
		if (write(ready[1], "", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static struct traits traits_of(pid_t pid)
{
	struct traits t;
	int dir = open_pid(pid);

	assert_true(dir >= 0);
	traits_read(dir, -1, "", &t);
	close(dir);
	return t;
}

static void *wait_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

/* Not the main thread: one of its threads is enough. */
static void become_realtime(void)
{
	const struct sched_param p = { .sched_priority = 1 };
	pthread_t t;

	if (pthread_create(&t, NULL, wait_for_ever, NULL) ||
	    pthread_setschedparam(t, SCHED_RR | SCHED_RESET_ON_FORK, &p))
		_exit(1);
}

static bool may_be_realtime(void)
{
	const struct sched_param p = { .sched_priority = 1 }, old = { .sched_priority = 0 };

	return sched_setscheduler(0, SCHED_RR, &p) == 0 && sched_setscheduler(0, SCHED_OTHER, &old) == 0;
}

static void test_realtime(void **state)
{
	pid_t pid = sleeper(NULL);
	struct traits t = traits_of(pid);

	(void)state;
	assert_false(t.realtime || t.vmm || t.avoid);
	end(pid);
	if (!may_be_realtime()) {
		print_message("no right to real-time threads: not tried\n");
		return;
	}
	pid = sleeper(become_realtime);
	assert_true(traits_of(pid).realtime);
	end(pid);
}

/* A recorded folder stands for a process that has /dev/kvm open, which needs not be there. */
static void test_vmm(void **state)
{
	static const struct {
		const char *link;
		bool vmm;
	} cases[] = { { "/dev/kvm", true },
		      { "anon_inode:kvm-vm", true },
		      { "anon_inode:kvm-vcpu:0", true },
		      { "anon_inode:[eventpoll]", false },
		      { "/dev/kvm2", false },
		      { "/tmp/anon_inode:kvm-vm", false } };
	char dir[] = "/tmp/reclaim-traits-XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fd", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/fd/3", dir);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct traits t;

		assert_int_equal(symlink(cases[i].link, path), 0);
		traits_read(fd, -1, "", &t);
		assert_int_equal(t.vmm, cases[i].vmm);
		close(fd);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/fd", dir);
	rmdir(path);
	rmdir(dir);
}

static void test_avoid(void **state)
{
	char dir[] = "./reclaim-cgroup-XXXXXX", path[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/a.slice", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/a.slice/b.service", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(traits_avoided(fd, "/a.slice/b.service"));
	assert_false(traits_avoided(fd, "/nowhere"));
	assert_false(traits_avoided(fd, ""));
	assert_false(traits_avoided(-1, "/a.slice"));
	snprintf(path, sizeof(path), "%s/a.slice", dir);
	if (setxattr(path, "user.reclaim_avoid", "1", 1, 0) == 0) {
		/* What is said of a slice holds for all in it, and for nobody beside it. */
		assert_true(traits_avoided(fd, "/a.slice"));
		assert_true(traits_avoided(fd, "/a.slice/b.service"));
		assert_true(traits_avoided(fd, "a.slice/gone.service"));
		assert_false(traits_avoided(fd, "/"));
		assert_int_equal(setxattr(path, "user.reclaim_avoid", "0", 1, 0), 0);
		assert_false(traits_avoided(fd, "/a.slice/b.service"));
		assert_int_equal(setxattr(path, "user.reclaim_avoid", "yes, of course, always", 22, 0), 0);
		assert_true(traits_avoided(fd, "/a.slice/b.service"));
	} else {
		print_message("no extended attributes here: not tried\n");
	}
	snprintf(path, sizeof(path), "%s/a.slice/b.service", dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/a.slice", dir);
	rmdir(path);
	rmdir(dir);
	close(fd);
}

/* The thread that traces isn't the one that the process is named after. */
static void *trace(void *arg)
{
	struct {
		pid_t target;
		int ready, done;
	} *t = arg;
	char c;

	if (ptrace((__typeof__(PTRACE_CONT))PTRACE_SEIZE, t->target, 0, 0) == 0 && write(t->ready, "", 1) == 1 &&
	    read(t->done, &c, 1) == 1)
		return NULL;
	return arg;
}

static void test_tracers(void **state)
{
	pid_t target = sleeper(NULL);
	int ready[2], done[2], own = open_pid(getpid()), other = open_pid(target);
	struct {
		pid_t target;
		int ready, done;
	} how;
	struct tracers t;
	pthread_t thread;
	void *failed;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(done), 0);
	how.target = target;
	how.ready = ready[1];
	how.done = done[0];
	assert_int_equal(tracers_read(proc, &t), 0);
	assert_false(tracers_have(&t, own, getpid()));
	tracers_done(&t);
	assert_int_equal(pthread_create(&thread, NULL, trace, &how), 0);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(tracers_read(proc, &t), 0);
	assert_true(tracers_have(&t, own, getpid()));
	assert_false(tracers_have(&t, other, target));
	tracers_done(&t);
	assert_int_equal(write(done[1], "", 1), 1);
	pthread_join(thread, &failed);
	assert_null(failed);
	end(target);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(done[i]);
	}
	close(own);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_realtime),
		cmocka_unit_test(test_vmm),
		cmocka_unit_test(test_avoid),
		cmocka_unit_test(test_tracers),
	};

	proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return proc < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
