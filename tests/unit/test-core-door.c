// SPDX-License-Identifier: GPL-2.0-or-later
/* What may stand behind a worker's door: this program is the client, and a child of it everybody who answers. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "core/task.h"
#include "core/worker-client.h"
#include "need-pidfd.h"

#define MS 1000000ull
#define PID 12345
#define START_TIME 4711

enum greeting { HELLO, HANG_UP, SILENT, NO_FD, TWO_FDS, BAD_MAGIC, BAD_VERSION, BAD_PID, SHORT, LONG, EMPTY };
enum deed { ANSWER, DIE, DIE_LATE, HANG, DEAF };

struct keeper {
	const char *name;
	enum greeting greeting;
	enum deed deed;
	uint64_t timeout_us;
	uint32_t outcome;
	const char *reason;
	unsigned int most_ms;
};

#define NOBODY WORKER_FAILED, "no worker came"

static const struct keeper keepers[] = {
	{ "well", HELLO, ANSWER, 5000000, WORKER_RECLAIMED, NULL, 4000 },
	{ "two descriptors", TWO_FDS, ANSWER, 5000000, NOBODY, 4000 },
	{ "hangs up", HANG_UP, DIE, 5000000, NOBODY, 4000 },
	{ "no descriptor", NO_FD, ANSWER, 5000000, NOBODY, 4000 },
	{ "magic", BAD_MAGIC, ANSWER, 5000000, NOBODY, 4000 },
	{ "version", BAD_VERSION, ANSWER, 5000000, NOBODY, 4000 },
	{ "pid", BAD_PID, ANSWER, 5000000, NOBODY, 4000 },
	{ "short", SHORT, ANSWER, 5000000, NOBODY, 4000 },
	{ "long", LONG, ANSWER, 5000000, NOBODY, 4000 },
	{ "empty", EMPTY, DIE, 5000000, NOBODY, 4000 },
	{ "dies", HELLO, DIE, 5000000, WORKER_FAILED, "without an answer", 4000 },
	{ "dies at its deadline", HELLO, DIE_LATE, 100000, WORKER_TIMEOUT, "too busy", 4000 },
	{ "hangs", HELLO, HANG, 100000, WORKER_TIMEOUT, "killed and the target let go", 5000 },
	{ "deaf", HELLO, DEAF, 5000000, WORKER_FAILED, "without an answer", 5000 },
	{ "silent", SILENT, HANG, 100000, WORKER_TIMEOUT, "no worker came", 5000 },
};

static char folder[] = "/tmp/reclaim-door-XXXXXX", door[64];

static void nap(uint64_t ns)
{
	const struct timespec t = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	(void)nanosleep(&t, NULL);
}

static void greet(int sock, enum greeting how)
{
	struct {
		struct worker_hello hello;
		char more;
	} text = { .hello = { .magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = getpid() } };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = { 0 };
	const size_t n = how == TWO_FDS ? 2 : 1;
	int fds[2] = { pidfd_open(getpid(), 0), dup(STDIN_FILENO) };
	struct iovec iov = { .iov_base = &text, .iov_len = sizeof(text.hello) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)control;

	text.hello.magic += how == BAD_MAGIC;
	text.hello.version += how == BAD_VERSION;
	text.hello.pid = how == BAD_PID ? -1 : text.hello.pid;
	iov.iov_len += how == LONG ? 1 : how == SHORT ? -1ul : 0;
	if (how != NO_FD) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(n * sizeof(int)) };
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	iov.iov_len = how == EMPTY ? 0 : iov.iov_len;
	if (how != SILENT && how != HANG_UP)
		(void)sendmsg(sock, &msg, MSG_NOSIGNAL);
}

/* Until the client has hung up, so that a test that went wrong leaves nobody behind. */
static void hang(int sock)
{
	struct pollfd fd = { .fd = sock };

	(void)poll(&fd, 1, 20000);
}

static void serve_one(int sock, const struct keeper *k)
{
	struct worker_request req;
	struct worker_result res = { .magic = WORKER_MAGIC, .version = WORKER_VERSION, .outcome = WORKER_RECLAIMED };

	greet(sock, k->greeting);
	if (k->greeting == HANG_UP || recv(sock, &req, sizeof(req), 0) != sizeof(req))
		return;
	res.pid = req.pid;
	res.start_time = req.start_time;
	if (k->deed == ANSWER)
		(void)send(sock, &res, sizeof(res), MSG_NOSIGNAL);
	else if (k->deed == DIE_LATE)
		nap(req.timeout_us * 1000 + 700 * MS);
	else if (k->deed == HANG)
		hang(sock);
	else if (k->deed == DEAF) {
		(void)close(sock);
		nap(20000 * MS);
	}
}

/* A child that answers one client as @k says, and ends; without @k nobody ever answers. */
static pid_t open_door(const struct keeper *k)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t pid;

	strcpy(addr.sun_path, door);
	(void)unlink(door);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	pid = fork();
	if (!pid) {
		if (k)
			serve_one(accept(listener, NULL, NULL), k);
		else
			nap(20000 * MS);
		_exit(0);
	}
	(void)close(listener);
	return pid;
}

static void shut_door(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static struct worker_request request(uint64_t timeout_us)
{
	return (struct worker_request){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = PID,
		.start_time = START_TIME,
		.remedies = WORKER_REMEDY_TRIM,
		.timeout_us = timeout_us,
	};
}

static int lowest_fd(void)
{
	int fd = dup(STDIN_FILENO);

	(void)close(fd);
	return fd;
}

static void check(const struct keeper *k, const struct worker_result *res, uint64_t began)
{
	const uint64_t ms = (clock_ns() - began) / MS;

	if (res->outcome != k->outcome || (k->reason && !strstr(res->reason, k->reason)))
		fail_msg("%s: outcome %u, reason '%s'", k->name, res->outcome, res->reason);
	assert_int_equal(res->pid, PID);
	if (ms > k->most_ms)
		fail_msg("%s: took %lu ms", k->name, (unsigned long)ms);
}

static void test_waiting_client(void **state)
{
	(void)state;
	need_pidfd();
	for (size_t i = 0; i < ARRAY_SIZE(keepers); i++) {
		const struct keeper *k = &keepers[i];
		const struct worker_request req = request(k->timeout_us);
		const pid_t pid = open_door(k);
		const uint64_t began = clock_ns();
		const int fd = lowest_fd();
		struct worker_result res = { 0 };

		assert_int_equal(worker_client_run(door, &req, &res), 0);
		check(k, &res, began);
		assert_int_equal(lowest_fd(), fd);
		shut_door(pid);
	}
}

static void test_cancelled(void **state)
{
	static const struct keeper slow = { "cancelled", HELLO, HANG, 20000000, 0, NULL, 0 };
	const struct worker_request req = request(slow.timeout_us);
	struct worker_result res = { 0 };
	int cancel = eventfd(1, EFD_CLOEXEC);
	pid_t pid;

	(void)state;
	need_pidfd();
	pid = open_door(&slow);
	assert_int_equal(worker_client_run_cancel(door, &req, cancel, &res), 0);
	assert_int_equal(res.outcome, WORKER_FAILED);
	assert_non_null(strstr(res.reason, "interrupted"));
	(void)close(cancel);
	shut_door(pid);
}

/* Whoever bound it last is gone; or it is no socket at all, and then a program that can't be executed. */
static void test_nobody_listens(void **state)
{
	const struct worker_request req = request(5000000);
	struct worker_result res = { 0 };
	int fd;

	(void)state;
	need_pidfd();
	shut_door(open_door(NULL));
	assert_int_equal(worker_client_run(door, &req, &res), -ECONNREFUSED);
	assert_int_equal(unlink(door), 0);
	assert_int_equal(worker_client_run(door, &req, &res), -ENOENT);
	fd = open(door, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(worker_client_run(door, &req, &res), -EACCES);
}

struct told {
	int calls;
	struct worker_result result;
};

static void on_done(struct task *t, void *arg)
{
	struct told *told = arg;

	told->calls++;
	told->result = t->result;
}

static void test_beside_a_loop(void **state)
{
	struct tasks all = { .path = door };

	(void)state;
	need_pidfd();
	assert_true(sd_event_new(&all.event) >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(keepers); i++) {
		const struct keeper *k = &keepers[i];
		const struct worker_request req = request(k->timeout_us);
		const pid_t pid = open_door(k);
		const uint64_t began = clock_ns();
		struct told told = { 0 };

		assert_int_equal(task_start(&all, &req, TASK_ACT, on_done, &told), 0);
		while (all.first && clock_ns() < began + 20000 * MS)
			assert_true(sd_event_run(all.event, 1000000) >= 0);
		assert_null(all.first);
		assert_int_equal(told.calls, 1);
		check(k, &told.result, began);
		shut_door(pid);
	}
	sd_event_unref(all.event);
}

/* The daemon ends while one is at work, and one hasn't come yet. */
static void test_daemon_stops(void **state)
{
	static const struct keeper slow = { "stopped", HELLO, HANG, 20000000, 0, NULL, 0 };
	const struct keeper *const which[] = { &slow, NULL };
	const struct worker_request req = request(slow.timeout_us);

	(void)state;
	need_pidfd();
	for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
		struct tasks all = { .path = door };
		const pid_t pid = open_door(which[i]);
		const uint64_t began = clock_ns();
		struct told told = { 0 };

		assert_true(sd_event_new(&all.event) >= 0);
		assert_int_equal(task_start(&all, &req, TASK_ACT, on_done, &told), 0);
		for (int n = 0; which[i] && n < 100 && worker_unmet(&all.first->worker); n++)
			assert_true(sd_event_run(all.event, 100000) >= 0);
		tasks_stop(&all);
		assert_int_equal(told.calls, 1);
		assert_int_equal(told.result.outcome, WORKER_FAILED);
		assert_true(clock_ns() - began < 10000 * MS);
		sd_event_unref(all.event);
		shut_door(pid);
	}
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(door, sizeof(door), "%s/door", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(door);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting_client), cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_nobody_listens), cmocka_unit_test(test_beside_a_loop),
		cmocka_unit_test(test_daemon_stops),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
