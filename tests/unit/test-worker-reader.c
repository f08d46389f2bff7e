// SPDX-License-Identifier: GPL-2.0-or-later
/* What the injector makes of answers of a reader that somebody else has captured. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/reader.h"

#define LONG_NS (10 * 1000000000ull)
#define SOON_NS 50000ull
#define MANY 100000 /* more than a socket holds */
#define PLAIN 'x' /* all of an answer, but for its head */

/* Answers one request. */
static void captured(int fd)
{
	static struct reader_reply reply;
	struct reader_request req;

	if (recv(fd, &req, sizeof(req), 0) != sizeof(req))
		_exit(1);
	memset(&reply, PLAIN, sizeof(reply));
	reply.magic = READER_MAGIC;
	reply.op = req.op;
	reply.seq = req.seq;
	reply.error = 0;
	_exit(send(fd, &reply, sizeof(reply), 0) != sizeof(reply));
}

static void ask(uint32_t op, struct reader_reply *ret)
{
	const struct reader_request req = { .magic = READER_MAGIC, .op = op };
	struct reader rd = READER_NONE;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		captured(fds[1]);
	close(fds[1]);
	rd.fd = fds[0];
	assert_int_equal(reader_ask(&rd, &req, clock_ns() + LONG_NS, ret), 0);
	reader_close(&rd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A text without an end would go on into whatever comes behind it. */
static void test_texts_end(void **state)
{
	static struct reader_reply reply;

	(void)state;
	ask(READER_PLAN, &reply);
	assert_int_equal(reply.plan.pad, 0x01010101u * PLAIN);
	assert_int_equal(strnlen(reply.plan.reason, REMEDY_TEXT_MAX), REMEDY_TEXT_MAX - 1);
	assert_int_equal(strnlen(reply.plan.note, REMEDY_TEXT_MAX), REMEDY_TEXT_MAX - 1);
	assert_int_equal(strnlen(reply.plan.queue.reason, REMEDY_TEXT_MAX), REMEDY_TEXT_MAX - 1);
	ask(READER_PROVE, &reply);
	assert_int_equal(strnlen(reply.verdict.why, sizeof(reply.verdict.why)), sizeof(reply.verdict.why) - 1);
}

/* Whoever answers ahead, and never reads, fills the socket; somebody may stand still meanwhile. */
static void test_reader_that_never_reads(void **state)
{
	const struct reader_request req = { .magic = READER_MAGIC, .op = READER_PROVE };
	struct reader rd = READER_NONE;
	struct reader_reply reply;
	int fds[2], r = -ETIMEDOUT;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	rd.fd = fds[0];
	(void)alarm(20); /* it hangs */
	for (int i = 0; i < MANY && r == -ETIMEDOUT; i++)
		r = reader_ask(&rd, &req, clock_ns() + SOON_NS, &reply);
	(void)alarm(0);
	assert_int_equal(r, -EPIPE);
	reader_close(&rd);
	(void)close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts_end),
		cmocka_unit_test(test_reader_that_never_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
