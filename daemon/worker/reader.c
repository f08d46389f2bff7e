// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/text.h"
#include "inspect/huge.h"
#include "inspect/trouble.h"
#include "remedy/places.h"
#include "remedy/purge-plan.h"
#include "remedy/python.h"
#include "worker/explain.h"
#include "worker/message.h"
#include "worker/sandbox.h"
#include "worker/unopened.h"

#define READER_FDS 8192
#define READER_END_NS 50000000ull /* a killed one takes a thousandth */
#define READER_END_STEP_NS 200000

/* ---- the reader's own side ---- */

struct reader_state {
	struct target target;
	struct remedy_facts facts;
	struct remedy_plan plan; /* the last, which is carried out next */
	int open_error; /* of target_open() or the sandbox */
	char refusal[REMEDY_TEXT_MAX]; /* why nothing can be done with this target, "" when something can */
	bool detected, inspected;
	bool outside, whole; /* WORKER_F_OUTSIDE, WORKER_F_WHOLE */
	struct purge_lists *lists; /* shared with the injector */
	struct huge huge;
	struct swap swap;
	struct idle idle;
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

static void reader_detect(struct reader_state *st)
{
	int r;

	if (st->detected)
		return;
	st->detected = true;
	st->facts.target = &st->target;
	r = allocator_detect(&st->target, &st->facts.allocator);
	if (r < 0)
		reader_describe(st, r);
}

/* The expensive part: once, after the sandbox is on. */
static void reader_inspect(struct reader_state *st)
{
	if (st->inspected)
		return;
	st->inspected = true;
	reader_detect(st);
	if (*st->refusal || st->facts.allocator.kind != ALLOCATOR_GLIBC)
		return; /* the remedies say what that means for them */
	if (safepoint_init(&st->target, &st->facts.allocator, &st->facts.safepoint) < 0)
		text_format(st->refusal, sizeof(st->refusal), "the bounds of its allocator's code can't be told");
}

static int reader_plan(struct reader_state *st, uint32_t arg, struct remedy_plan *ret)
{
	const struct remedy *remedy = NULL;

	for (uint32_t i = 0; remedies[i]; i++)
		if (i == arg)
			remedy = remedies[i];
	if (!remedy || !remedy->outside)
		reader_inspect(st);
	st->facts.target = &st->target;
	if (!remedy)
		text_format(ret->reason, sizeof(ret->reason), "no such remedy");
	else if (*st->refusal && !remedy->outside)
		text_format(ret->reason, sizeof(ret->reason), "%s", st->refusal);
	else
		remedy->plan(&st->facts, ret);
	st->plan = *ret;
	/* That it can't be done may be our own fault, and not what was said of the target. */
	return ret->possible ? 0 : trouble();
}

/* What makes no sense, or keeps changing, may have been read badly. */
static int reader_scan(struct reader_state *st, const struct purge_ask *ask, struct purge_round *ret)
{
	int r = purge_scan(st->facts.purge, ask, ret);

	return (r == -EBADMSG || r == -EAGAIN) && trouble() ? trouble() : r;
}

/*
 * The injector compares the code next, and must not hang. Its file is read, not the target's memory: whoever waits for
 * a page there holds the lock that the target needs for a mmap() (__access_remote_vm() lets nobody in meanwhile).
 */
static void reader_go_first(const struct reader_state *st)
{
	uint64_t places[REMEDY_PLACES_MAX];
	size_t n = remedy_places(&st->plan, places);
	unsigned char code[INJECT_CODE_BYTES];

	for (size_t i = 0; i < n; i++) {
		const struct module *mod = modules_find(&st->target.mods, places[i]);

		/* What can't be read the injector finds out. */
		if (mod && mod->fd >= 0)
			(void)!pread(mod->fd, code, sizeof(code), (off_t)(places[i] - mod->start + mod->offset));
	}
}

/* A thread that is to take Python's global lock must pass more than one that calls malloc_trim. */
static void reader_prove(struct reader_state *st, const struct reader_request *req, struct safepoint_verdict *ret)
{
	safepoint_prove(&st->facts.safepoint, &req->regs, ret);
	if (ret->safe && req->arg == READER_PROVE_PYTHON)
		remedy_prove_python(&st->facts, &req->regs, ret);
	else if (ret->safe && (req->arg == READER_PROVE_QUEUE || req->arg == READER_PROVE_QUEUE_ALONE))
		remedy_prove_queue(&st->facts, &req->regs, req->arg == READER_PROVE_QUEUE_ALONE, ret);
	if (ret->safe)
		reader_go_first(st);
}

static int reader_huge(struct reader_state *st, uint32_t what)
{
	uint64_t pages[PURGE_RANGES_MAX];
	int n;

	st->lists->nranges = 0;
	if (what == READER_HUGE_NOTE) {
		huge_done(&st->huge);
		n = huge_note(&st->target, &st->huge);
		if (n == 0 && st->huge.n)
			st->lists->nranges = st->huge.guess ? READER_HUGE_GUESSED : READER_HUGE_SEEN;
		return n;
	}
	n = huge_torn(&st->target, &st->huge, pages, ARRAY_SIZE(pages));
	for (int i = 0; i < n; i++)
		st->lists->ranges[i] = (struct purge_range){ .addr = pages[i], .len = REMOTE_PAGE };
	st->lists->nranges = n < 0 ? 0 : (uint32_t)n;
	return n < 0 ? n : 0;
}

static int reader_touch(struct reader_state *st, uint64_t addr, uint64_t len)
{
	unsigned char bytes[REMOTE_PAGE];

	if (len > sizeof(bytes))
		return -EINVAL;
	/* As it is now. */
	remote_forget(&st->target.mem);
	return remote_read(&st->target.mem, addr, bytes, len);
}

static void reader_answer(struct reader_state *st, const struct reader_request *req, struct reader_reply *reply)
{
	*reply =
		(struct reader_reply){ .magic = READER_MAGIC, .op = req->op, .seq = req->seq, .error = st->open_error };
	if (st->open_error)
		return;
	if (req->op == READER_PLAN)
		reply->error = reader_plan(st, req->arg, &reply->plan);
	else if (req->op == READER_EXPLAIN && req->arg != WORKER_OP_RECLAIM && req->arg <= READER_EXPLAIN_MAP)
		return; /* the facts come behind the reply */
	else if (req->op == READER_PROVE && st->facts.safepoint.target)
		reader_prove(st, req, &reply->verdict);
	else if (req->op == READER_SCAN)
		reply->error = reader_scan(st, &req->ask, &reply->round);
	else if (req->op == READER_CHECK)
		reply->error = purge_check(st->facts.purge, &req->ask, st->lists);
	else if (req->op == READER_HUGE)
		reply->error = reader_huge(st, req->arg);
	else if (req->op == READER_ADVISE)
		advise_next(&st->facts, &reply->advise);
	else if (req->op == READER_LOOK)
		reply->error = reader_touch(st, req->look.addr, req->look.len);
	else
		reply->error = -EINVAL;
}

/* Behind the reply, which has said that the target is open. */
static int reader_explain(struct reader_state *st, uint32_t arg, int fd)
{
	const struct explain_source src = {
		.facts = &st->facts,
		.refusal = st->refusal,
		.op = arg == READER_EXPLAIN_MAP ? WORKER_OP_EXPLAIN : arg,
		.map = arg == READER_EXPLAIN_MAP,
		.outside = st->outside,
		.whole = st->whole,
	};

	/* Only remedies need to know the bounds of code. */
	if (src.op == WORKER_OP_GLANCE)
		reader_detect(st);
	else
		reader_inspect(st);
	return explain_answer(&src, fd);
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

/* Of the machine, not of the target: what remedies plan with, as of now. */
static void reader_know(struct reader_state *st, const struct worker_request *req)
{
	_cleanup_close_ int proc = procfs_open_root("/proc");

	if (proc >= 0 && swap_read(proc, &st->swap) == 0)
		st->facts.swap = &st->swap;
	st->outside = req->flags & WORKER_F_OUTSIDE;
	st->whole = req->flags & WORKER_F_WHOLE;
	idle_take(req, &st->idle);
	st->facts.idle = &st->idle.remedy;
}

static void reader_main(int fd, int piddir, const struct worker_request *request, struct purge_lists *lists,
			pid_t injector)
{
	struct reader_state st = { .target = TARGET_CLOSED, .lists = lists };

	/* It may have died before that. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != injector)
		_exit(1);
	(void)prctl(PR_SET_NAME, "reclaim-reader");
	if (reader_keep_two(&fd, &piddir) < 0)
		_exit(1);
	reader_raise_fds();
	reader_know(&st, request);
	st.open_error = target_open(piddir, &st.target);
	closep(&piddir);
	/* Whatever it says is about us, and must not be taken for a fault or a wish of the target's. */
	if (st.open_error == 0 && sandbox_enter() < 0)
		st.open_error = -UNOPENED_UNCONFINED;
	for (;;) {
		struct reader_request req;
		struct reader_reply reply;
		ssize_t n = recv(fd, &req, sizeof(req), MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(req) || req.magic != READER_MAGIC)
			_exit(n == 0 ? 0 : 1);
		reader_answer(&st, &req, &reply);
		if (message_send(fd, &reply, sizeof(reply)) < 0)
			_exit(1);
		if (req.op == READER_EXPLAIN && !reply.error && reader_explain(&st, req.arg, fd) < 0)
			_exit(1);
	}
}

/* ---- the injector's side ---- */

static int reader_fork(int piddir, const struct worker_request *req, struct purge_lists *lists, struct reader *ret)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	const pid_t injector = getpid();
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		closep(&ours);
		reader_main(theirs, piddir, req, lists, injector);
		_exit(1);
	}
	ret->fd = TAKE_FD(ours);
	ret->pid = pid;
	return 0;
}

int reader_start(int piddir, const struct worker_request *req, struct reader *ret)
{
	struct purge_lists *lists =
		mmap(NULL, sizeof(*lists), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct reader rd = { .fd = -1, .lists = lists };
	int r;

	if (lists == MAP_FAILED)
		return -errno;
	r = reader_fork(piddir, req, lists, &rd);
	if (r < 0)
		reader_close(&rd);
	else
		*ret = rd;
	return r;
}

void reader_close(struct reader *rd)
{
	closep(&rd->fd);
	if (rd->lists)
		(void)munmap((void *)(uintptr_t)rd->lists, sizeof(*rd->lists));
	rd->lists = NULL;
}

void reader_end(struct reader *rd)
{
	const struct timespec step = { .tv_nsec = READER_END_STEP_NS };
	const uint64_t until_ns = clock_ns() + READER_END_NS;

	reader_close(rd);
	if (rd->pid <= 0 || kill(rd->pid, SIGKILL) < 0)
		return;
	while (waitpid(rd->pid, NULL, WNOHANG) == 0 && clock_ns() < until_ns)
		(void)nanosleep(&step, NULL);
	rd->pid = 0;
}

static int reader_wait(int fd, uint64_t deadline_ns)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	for (;;) {
		struct timespec left = clock_remaining(deadline_ns);
		int r = ppoll(&pfd, 1, &left, NULL);

		if (r > 0)
			return 0;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

ssize_t reader_next(const struct reader *rd, void *buf, size_t size, uint64_t deadline_ns)
{
	ssize_t n;
	int r = reader_wait(rd->fd, deadline_ns);

	if (r < 0)
		return r;
	do
		n = recv(rd->fd, buf, size, MSG_TRUNC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n <= 0 ? -EPIPE : n;
}

/*
 * The reply to request @seq. One to an earlier request, which nobody waited
 * for any more, is dropped: a verdict must never be taken for that on another
 * thread.
 */
static int reader_receive(const struct reader *rd, uint32_t seq, uint64_t deadline_ns, struct reader_reply *ret)
{
	for (;;) {
		ssize_t n = reader_next(rd, ret, sizeof(*ret), deadline_ns);

		if (n < 0)
			return (int)n;
		if (n != sizeof(*ret) || ret->magic != READER_MAGIC || ret->seq > seq)
			return -EBADMSG;
		if (ret->seq == seq)
			return 0;
		/* Of earlier ones there may be no end. */
		if (clock_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
}

int reader_ask(const struct reader *rd, const struct reader_request *req, uint64_t deadline_ns,
	       struct reader_reply *ret)
{
	static uint32_t seq; /* one process asks, and has one reader */
	struct reader_request numbered = *req;
	struct reader_reply reply = { .magic = 0 };
	int r;

	/* Who answers ahead is never late, and what he says may have no end. */
	if (clock_ns() >= deadline_ns)
		return -ETIMEDOUT;
	numbered.seq = ++seq;
	if (message_try(rd->fd, &numbered, sizeof(numbered)) < 0)
		return -EPIPE;
	r = reader_receive(rd, numbered.seq, deadline_ns, &reply);
	if (r < 0)
		return r;
	if (reply.op != req->op)
		return -EBADMSG;
	if (reply.op == READER_PLAN) {
		reply.plan.reason[sizeof(reply.plan.reason) - 1] = '\0';
		reply.plan.note[sizeof(reply.plan.note) - 1] = '\0';
		reply.plan.queue.reason[sizeof(reply.plan.queue.reason) - 1] = '\0';
	} else if (reply.op == READER_PROVE) {
		reply.verdict.why[sizeof(reply.verdict.why) - 1] = '\0';
	}
	*ret = reply;
	return 0;
}

int reader_look(void *reader, uint64_t addr, size_t len, uint64_t deadline_ns)
{
	const struct reader_request req = { .magic = READER_MAGIC, .op = READER_LOOK, .look = { addr, len } };
	struct reader_reply reply;
	int r = reader_ask(reader, &req, deadline_ns, &reply);

	if (r < 0)
		return r == -ETIMEDOUT ? -ETIME : -EPIPE;
	return reply.error < 0 ? -EFAULT : 0;
}
