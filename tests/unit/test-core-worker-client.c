// SPDX-License-Identifier: GPL-2.0-or-later
/* The worker client against its own fakes: started with FAKE_WORKER set, this program is a worker. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "core/worker-client.h"
#include "fake-worker.h"
#include "open-fds.h"

#define START_TIME 4711
#define MS 1000000ull

static char self[4096];

/* valgrind makes a plain fork of what should share memory, so the error of exec stays in the child. */
static bool emulated(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/* ---------------------------------------------------------------- the tests */

static int run_any(const char *name, uint64_t timeout_us, int cancel_fd, struct worker_result *ret)
{
	const struct worker_request req = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = 12345,
		.start_time = START_TIME,
		.remedies = WORKER_REMEDY_TRIM,
		.timeout_us = timeout_us,
	};
	int before = count_fds(), r;

	assert_int_equal(setenv("FAKE_WORKER", name, 1), 0);
	r = worker_client_run_cancel(self, &req, cancel_fd, ret);
	unsetenv("FAKE_WORKER");
	assert_int_equal(count_fds(), before);
	return r;
}

static int run_fake(const char *name, uint64_t timeout_us, int cancel_fd, struct worker_result *ret)
{
	int r = run_any(name, timeout_us, cancel_fd, ret);

	/* Nothing is left to wait for. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return r;
}

static void check_result_of(const struct worker_result *res, pid_t pid, const char *name, uint32_t outcome,
			    const char *reason)
{
	if (res->outcome != outcome || (reason ? !strstr(res->reason, reason) : res->reason[0] != 0))
		fail_msg("%s: outcome %u, reason '%s'", name, res->outcome, res->reason);
	assert_int_equal(res->pid, pid);
	assert_int_equal(res->magic, WORKER_MAGIC);
}

static void check_result(const struct worker_result *res, const char *name, uint32_t outcome, const char *reason)
{
	check_result_of(res, 12345, name, outcome, reason);
}

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < nfakes; i++) {
		struct worker_result res;

		if (!fakes[i].outcome)
			continue;
		assert_int_equal(run_fake(fakes[i].name, 5000000, -1, &res), 0);
		check_result(&res, fakes[i].name, fakes[i].outcome, fakes[i].reason);
		if (fakes[i].outcome == WORKER_RECLAIMED)
			assert_int_equal(res.freed, 2 << 20);
		else if (fakes[i].outcome == WORKER_FAILED)
			assert_int_equal(res.start_time, START_TIME);
	}
}

static void test_blocked_signals(void **state)
{
	struct worker_result res;
	sigset_t all, old;

	(void)state;
	sigfillset(&all);
	assert_int_equal(sigprocmask(SIG_BLOCK, &all, &old), 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	assert_int_equal(run_fake("look-around", 5000000, -1, &res), 0);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	check_result(&res, "look-around", WORKER_RECLAIMED, NULL);
}

static void check_text(const char *text, char c)
{
	assert_int_equal(text[WORKER_TEXT_MAX - 1], 0);
	assert_int_equal(text[WORKER_TEXT_MAX - 2], c);
}

static void test_endless_texts(void **state)
{
	struct worker_result res;

	(void)state;
	assert_int_equal(run_fake("endless", 5000000, -1, &res), 0);
	assert_int_equal(res.outcome, WORKER_RECLAIMED);
	assert_int_equal(res.nsteps, WORKER_STEPS_MAX);
	check_text(res.comm, 'c');
	check_text(res.reason, 'r');
	for (size_t i = 0; i < WORKER_STEPS_MAX; i++)
		check_text(res.steps[i].detail, 'd');
}

/* Runs it and returns how long that took, in ms. */
static uint64_t timed(const char *name, uint64_t timeout_us, int cancel_fd, struct worker_result *ret)
{
	uint64_t start = clock_ns();

	assert_int_equal(run_fake(name, timeout_us, cancel_fd, ret), 0);
	return (clock_ns() - start) / MS;
}

static void test_deadline(void **state)
{
	struct worker_result res;
	uint64_t ms;

	(void)state;
	ms = timed("hang", 100000, -1, &res);
	check_result(&res, "hang", WORKER_TIMEOUT, "killed");
	assert_in_range(ms, 1100, 3000);
}

/* It ignores everything, as one does that sleeps on a file system that hangs. */
static void test_stopped(void **state)
{
	struct worker_result res;
	uint64_t ms;

	(void)state;
	ms = timed("stopped", 100000, -1, &res);
	check_result(&res, "stopped", WORKER_TIMEOUT, "killed and the target let go");
	assert_in_range(ms, 1100, 3000);
}

static pid_t tracer_of(pid_t pid)
{
	char path[64], line[256];
	int tracer = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "TracerPid: %d", &tracer);
	fclose(f);
	return tracer;
}

/* Killing it is of no use: the client gives up in time all the same, and doesn't claim that the target is free. */
static void test_held_back(void **state)
{
	uint64_t start = clock_ns(), ms;
	struct worker_result res;
	const char *at;
	pid_t tracer;
	int worker = 0;

	(void)state;
	if (emulated())
		skip();
	assert_int_equal(run_any("held-back", 100000, -1, &res), 0);
	ms = (clock_ns() - start) / MS;
	check_result(&res, "held-back", WORKER_TIMEOUT, "has not died yet");
	assert_null(strstr(res.reason, "killed and the target let go"));
	assert_in_range(ms, 1100, 6000);

	at = strstr(res.reason, "worker ");
	assert_true(at && sscanf(at, "worker %d", &worker) == 1);
	tracer = tracer_of(worker);
	assert_true(tracer > 1);
	assert_int_equal(kill(tracer, SIGKILL), 0);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
}

/* It has closed its socket and still runs: that is no reason to wait for the deadline. */
static void test_deaf(void **state)
{
	struct worker_result res;
	uint64_t ms;

	(void)state;
	ms = timed("hang-deaf", 20000000, -1, &res);
	check_result(&res, "hang-deaf", WORKER_FAILED, "signal 9");
	assert_in_range(ms, 0, 5000);
}

static void test_answer_and_hang(void **state)
{
	struct worker_result res;
	uint64_t ms;

	(void)state;
	ms = timed("answer-and-hang", 20000000, -1, &res);
	check_result(&res, "answer-and-hang", WORKER_RECLAIMED, NULL);
	assert_in_range(ms, 0, 5000);
}

/* What the worker leaves behind is killed with it. */
static void test_left_child(void **state)
{
	uint64_t deadline = clock_ns() + 5000 * MS, ms;
	struct worker_result res;

	(void)state;
	ms = timed("leave-child", 20000000, -1, &res);
	check_result(&res, "leave-child", WORKER_RECLAIMED, NULL);
	assert_in_range(ms, 0, 5000);
	assert_true(res.freed > 1);
	/* A zombie until init has waited for it. */
	while (kill((pid_t)res.freed, 0) == 0 && clock_ns() < deadline) {
		char path[64], text[512] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)res.freed);
		f = fopen(path, "re");
		if (!f)
			break;
		if (fgets(text, sizeof(text), f) && strstr(text, ") Z ")) {
			fclose(f);
			break;
		}
		fclose(f);
	}
	assert_true(clock_ns() < deadline);
}

/* The dead worker is noticed although its child holds the other end of the socket. */
static void test_left_child_silently(void **state)
{
	struct worker_result res;
	uint64_t ms;

	(void)state;
	ms = timed("leave-child-silently", 20000000, -1, &res);
	check_result(&res, "leave-child-silently", WORKER_FAILED, "status 3");
	assert_in_range(ms, 0, 5000);
}

static void test_cancel(void **state)
{
	struct worker_result res;
	int fd = eventfd(1, EFD_CLOEXEC);
	uint64_t ms;

	(void)state;
	assert_true(fd >= 0);
	ms = timed("hang", 20000000, fd, &res);
	close(fd);
	check_result(&res, "hang", WORKER_FAILED, "interrupted");
	assert_in_range(ms, 0, 5000);
}

static void on_alarm(int signo)
{
	(void)signo;
}

static void test_interrupted_calls(void **state)
{
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa = { .sa_handler = on_alarm }; /* without SA_RESTART */
	struct worker_result res;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	assert_int_equal(run_fake("slow", 20000000, -1, &res), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	/* The last one may still be on its way, under valgrind most of all: ignored, it comes no more. */
	(void)signal(SIGALRM, SIG_IGN);
	(void)signal(SIGALRM, SIG_DFL);
	check_result(&res, "slow", WORKER_RECLAIMED, NULL);
}

/* In a root without /dev: 0 when the answer names what is missing, 77 when we may not change the root. */
static int run_without_dev(const char *dir)
{
	const struct worker_request req = { .magic = WORKER_MAGIC, .pid = 12345, .timeout_us = 1000000 };
	struct worker_result res = { 0 };

	if (geteuid() && unshare(CLONE_NEWUSER) < 0)
		return 77;
	if (chroot(dir) < 0 || chdir("/") < 0)
		return 77;
	if (worker_client_run("/worker", &req, &res) != 0)
		return 1;
	if (res.outcome != WORKER_FAILED || res.pid != 12345)
		return 2;
	return strstr(res.reason, "/dev/null") && strstr(res.reason, "No such file") ? 0 : 3;
}

/* What is missing must not look like a missing worker. */
static void test_no_dev_null(void **state)
{
	char dir[] = "/tmp/reclaim-test-XXXXXX";
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(run_without_dev(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(rmdir(dir), 0);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_not_started(void **state)
{
	const struct worker_request req = { .magic = WORKER_MAGIC, .pid = 1, .timeout_us = 1000000 };
	struct worker_request bad = req;
	struct worker_result res = { .pid = -5 };

	(void)state;
	assert_int_equal(worker_client_run("/nonexistent/worker", &req, &res), -ENOENT);
	assert_int_equal(worker_client_run("/dev/null", &req, &res), -EACCES);
	bad.timeout_us = 0;
	assert_int_equal(worker_client_run(self, &bad, &res), -EINVAL);
	bad.timeout_us = UINT64_MAX;
	assert_int_equal(worker_client_run(self, &bad, &res), -EINVAL);
	assert_int_equal(res.pid, -5);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* ---------------------------------------------------------------- where the worker is */

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	FILE *in = fopen(from, "re"), *out = fopen(to, "we");
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(buf, 1, sizeof(buf), in)))
		assert_int_equal(fwrite(buf, 1, n, out), n);
	fclose(in);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(to, 0755), 0);
}

/* What worker_client_path() says in a program at @path. */
static void path_in(const char *path, char *buf, size_t size)
{
	char command[4200];
	FILE *f;

	snprintf(command, sizeof(command), "SHOW_WORKER_PATH=1 %s", path);
	f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(buf, (int)size, f));
	assert_int_equal(pclose(f), 0);
}

static void test_path(void **state)
{
	char dir[] = "/tmp/reclaim-test-XXXXXX", copy[64], worker[64], got[4200];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(copy, sizeof(copy), "%s/ctl", dir);
	snprintf(worker, sizeof(worker), "%s/reclaim-worker", dir);
	copy_file(self, copy);

	path_in(copy, got, sizeof(got));
	assert_non_null(strstr(got, "/libexec/reclaim/reclaim-worker"));
	copy_file("/dev/null", worker);
	path_in(copy, got, sizeof(got));
	assert_string_equal(got, worker);
	/* One that can't be run is not one. */
	assert_int_equal(chmod(worker, 0644), 0);
	path_in(copy, got, sizeof(got));
	assert_non_null(strstr(got, "/libexec/reclaim/reclaim-worker"));

	assert_int_equal(setenv("RECLAIM_WORKER", "/some/where", 1), 0);
	assert_int_equal(worker_client_path(got, sizeof(got)), 0);
	assert_string_equal(got, "/some/where");
	assert_int_equal(worker_client_path(got, 11), -ENAMETOOLONG);
	unsetenv("RECLAIM_WORKER");
	unlink(worker);
	unlink(copy);
	assert_int_equal(rmdir(dir), 0);
}

static int show_path(void)
{
	char path[4096];

	return worker_client_path(path, sizeof(path)) < 0 || fputs(path, stdout) < 0;
}

int main(void)
{
	const char *fake = getenv("FAKE_WORKER");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_blocked_signals),
		cmocka_unit_test(test_endless_texts),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_no_dev_null),
		cmocka_unit_test(test_deaf),
		cmocka_unit_test(test_answer_and_hang),
		cmocka_unit_test(test_left_child),
		cmocka_unit_test(test_left_child_silently),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_interrupted_calls),
		cmocka_unit_test(test_not_started),
		cmocka_unit_test(test_path),
	};

	if (fake)
		return fake_worker(fake);
	if (getenv("SHOW_WORKER_PATH"))
		return show_path();
	unsetenv("RECLAIM_WORKER");
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
