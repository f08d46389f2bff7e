// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/text.h"
#include "worker/sandbox.h"

#define READER_FDS 8192

/* ---- the reader's own side ---- */

struct reader_state {
	struct target target;
	struct remedy_facts facts;
	int open_error; /* of target_open() or the sandbox */
	char refusal[REMEDY_TEXT_MAX]; /* why nothing can be done with this target, "" when something can */
	bool inspected;
};

static void reader_describe(struct reader_state *st, int r)
{
	struct module *program = target_program(&st->target);

	/* Its own auxiliary vector is of 32-bit words, so nothing else is known about such a program. */
	if (st->target.exe_fd >= 0 && object_is_32bit(st->target.exe_fd))
		text_format(st->refusal, sizeof(st->refusal), "it is a 32-bit (or x32) program");
	else if (!program || program->fd < 0)
		text_format(st->refusal, sizeof(st->refusal), "its program file can't be read");
	else if (r == -ENOTSUP && !st->target.at_base && program && module_is_linker(program))
		text_format(st->refusal, sizeof(st->refusal), "it was started through the dynamic linker by name");
	else if (r == -ENOTSUP && !st->target.at_base)
		text_format(st->refusal, sizeof(st->refusal),
			    "it is statically linked and has no symbols that name its malloc");
	else if (r == -ENOTSUP)
		text_format(st->refusal, sizeof(st->refusal), "it has no C library that is known here");
	else
		text_format(st->refusal, sizeof(st->refusal), "which malloc it uses can't be told for sure");
}

/* The expensive part: once, after the sandbox is on. */
static void reader_inspect(struct reader_state *st)
{
	int r;

	if (st->inspected)
		return;
	st->inspected = true;
	st->facts.target = &st->target;
	r = allocator_detect(&st->target, &st->facts.allocator);
	if (r < 0) {
		reader_describe(st, r);
		return;
	}
	if (st->facts.allocator.kind != ALLOCATOR_GLIBC)
		return; /* the remedies say what that means for them */
	if (safepoint_init(&st->target, &st->facts.allocator, &st->facts.safepoint) < 0)
		text_format(st->refusal, sizeof(st->refusal), "the bounds of its allocator's code can't be told");
}

static void reader_plan(struct reader_state *st, uint32_t arg, struct remedy_plan *ret)
{
	const struct remedy *remedy = NULL;

	reader_inspect(st);
	for (uint32_t i = 0; remedies[i]; i++)
		if (i == arg)
			remedy = remedies[i];
	if (!remedy)
		text_format(ret->reason, sizeof(ret->reason), "no such remedy");
	else if (*st->refusal)
		text_format(ret->reason, sizeof(ret->reason), "%s", st->refusal);
	else
		remedy->plan(&st->facts, ret);
}

static void reader_answer(struct reader_state *st, const struct reader_request *req, struct reader_reply *reply)
{
	*reply = (struct reader_reply){ .magic = READER_MAGIC, .op = req->op, .error = st->open_error };
	if (st->open_error)
		return;
	if (req->op == READER_PLAN)
		reader_plan(st, req->arg, &reply->plan);
	else if (req->op == READER_PROVE && st->facts.safepoint.target)
		safepoint_prove(&st->facts.safepoint, &req->regs, &reply->verdict);
	else
		reply->error = -EINVAL;
}

/* One fd for each library of the target; a limit that stays too low only makes us refuse. */
static void reader_raise_fds(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur >= READER_FDS)
		return;
	rl.rlim_cur = MIN(rl.rlim_max, (rlim_t)READER_FDS);
	(void)setrlimit(RLIMIT_NOFILE, &rl);
}

/*
 * Nothing that the injector or its starter had open comes along: the reader
 * has its socket, the target's directory, and what it opens itself.
 */
static int reader_keep_two(int *fd, int *piddir)
{
#ifdef __SANITIZE_ADDRESS__
	const unsigned int first = 3; /* reports go to stderr */
#else
	const unsigned int first = 2;
#endif
	int high_fd = fcntl(*fd, F_DUPFD_CLOEXEC, 16), high_dir = fcntl(*piddir, F_DUPFD_CLOEXEC, 16);

	if (high_fd < 0 || high_dir < 0 || dup3(high_fd, 0, O_CLOEXEC) < 0 || dup3(high_dir, 1, O_CLOEXEC) < 0)
		return -errno;
	*fd = 0;
	*piddir = 1;
	return close_range(first, UINT_MAX, 0) < 0 ? -errno : 0;
}

static void reader_main(int fd, int piddir)
{
	struct reader_state st = { .target = TARGET_CLOSED };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "reclaim-reader");
	if (reader_keep_two(&fd, &piddir) < 0)
		_exit(1);
	reader_raise_fds();
	st.open_error = target_open(piddir, &st.target);
	closep(&piddir);
	if (st.open_error == 0)
		st.open_error = sandbox_enter();
	for (;;) {
		struct reader_request req;
		struct reader_reply reply;
		ssize_t n = recv(fd, &req, sizeof(req), MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(req) || req.magic != READER_MAGIC)
			_exit(n == 0 ? 0 : 1);
		reader_answer(&st, &req, &reply);
		if (send(fd, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
			_exit(1);
	}
}

/* ---- the injector's side ---- */

int reader_start(int piddir, struct reader *ret)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		closep(&fds[0]);
		closep(&fds[1]);
		return r;
	}
	if (pid == 0) {
		closep(&fds[0]);
		reader_main(fds[1], piddir);
		_exit(1);
	}
	closep(&fds[1]);
	*ret = (struct reader){ .fd = fds[0] };
	return 0;
}

static int reader_receive(int fd, uint64_t deadline_ns, struct reader_reply *ret)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	ssize_t n;

	for (;;) {
		struct timespec left = clock_remaining(deadline_ns);
		int r = ppoll(&pfd, 1, &left, NULL);

		if (r > 0)
			break;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
	n = recv(fd, ret, sizeof(*ret), MSG_TRUNC | MSG_DONTWAIT);
	if (n <= 0)
		return -EPIPE;
	return n == sizeof(*ret) && ret->magic == READER_MAGIC ? 0 : -EBADMSG;
}

int reader_ask(const struct reader *rd, const struct reader_request *req, uint64_t deadline_ns,
	       struct reader_reply *ret)
{
	struct reader_reply reply = { .magic = 0 };
	int r;

	if (send(rd->fd, req, sizeof(*req), MSG_NOSIGNAL) != sizeof(*req))
		return -EPIPE;
	r = reader_receive(rd->fd, deadline_ns, &reply);
	if (r < 0)
		return r;
	if (reply.op != req->op)
		return -EBADMSG;
	if (reply.op == READER_PLAN) {
		reply.plan.reason[sizeof(reply.plan.reason) - 1] = '\0';
		reply.plan.note[sizeof(reply.plan.note) - 1] = '\0';
	} else if (reply.op == READER_PROVE) {
		reply.verdict.why[sizeof(reply.verdict.why) - 1] = '\0';
	}
	*ret = reply;
	return 0;
}
