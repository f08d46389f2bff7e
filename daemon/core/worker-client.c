/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/worker-client.h"

#define NS_PER_US 1000ull
#define GRACE_NS 1000000000ull /* for the worker's own deadline to fire first */
#define REAP_NS 1000000000ull /* for a worker that has answered, or was killed, to be gone */
#define SLICE_NS 10000000ull /* how often to look for its exit where pidfds don't work */
#define TIMEOUT_MAX_US 3600000000ull

struct worker {
	pid_t pid; /* 0: none, or waited for already */
	int pidfd, sock; /* pidfd: -1 also where a sandbox or an emulator has none */
};

/* Why waiting ended. */
enum wake { WAKE_READY, WAKE_DEADLINE, WAKE_CANCEL };

static bool worker_exited(const struct worker *w)
{
	siginfo_t si = { .si_pid = 0 };

	return waitid(P_PID, (id_t)w->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == w->pid;
}

/*
 * Until one of @fds is ready, the worker has exited or the deadline has passed,
 * EINTR-safe. @fds[0] is for the pidfd and filled here. 1, 0 at the deadline, -errno.
 */
static int worker_wait(const struct worker *w, struct pollfd *fds, nfds_t n, uint64_t deadline_ns)
{
	fds[0] = (struct pollfd){ .fd = w->pidfd, .events = POLLIN };
	for (;;) {
		uint64_t now = clock_ns(), until = deadline_ns;
		struct timespec left;
		int r;

		if (w->pidfd < 0)
			until = MIN(until, now + SLICE_NS);
		left = clock_remaining(until);
		r = ppoll(fds, n, &left, NULL);
		if (r > 0)
			return 1;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (w->pidfd < 0 && worker_exited(w))
			return 1;
		if (!r && now >= deadline_ns)
			return 0;
	}
}

/*
 * Ends the worker and whatever it started (it leads its own process group) and
 * waits for it, but not for ever: one that sits in an uninterruptible sleep is
 * left to init. @grace_ns: how long it may take to exit by itself.
 * Returns its wait status, -1 when there is none or it is still there.
 */
static int worker_end(struct worker *w, uint64_t grace_ns)
{
	struct pollfd fd;
	int status = -1;
	pid_t r;

	if (w->pid > 0) {
		if (grace_ns)
			(void)worker_wait(w, &fd, 1, clock_ns() + grace_ns);
		/* Not waited for yet, so neither number can belong to anybody else. */
		(void)kill(w->pid, SIGKILL);
		(void)kill(-w->pid, SIGKILL);
		(void)worker_wait(w, &fd, 1, clock_ns() + REAP_NS);
		do
			r = waitpid(w->pid, &status, WNOHANG);
		while (r < 0 && errno == EINTR);
		if (r != w->pid)
			status = -1;
		w->pid = 0;
	}
	closep(&w->pidfd);
	closep(&w->sock);
	return status;
}

static void worker_donep(struct worker *w)
{
	(void)worker_end(w, 0);
}

static int spawn_attr(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(attr, &all);
	/* Its own group: a ^C for us must not kill the worker halfway through. */
	if (!r)
		r = posix_spawnattr_setpgroup(attr, 0);
	if (!r)
		r = posix_spawnattr_setflags(attr,
					     POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	return -r;
}

/*
 * Opened here and not by the child, where its absence would look like that of
 * the worker. Beyond the numbers that the child's own files get. fd or -errno.
 */
static int open_null(void)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
	int high;

	if (fd < 0)
		return -errno;
	high = fcntl(fd, F_DUPFD_CLOEXEC, WORKER_FD + 1);
	return high < 0 ? -errno : high;
}

/* stdout is ours alone: one document and nothing else. */
static int spawn_files(posix_spawn_file_actions_t *files, int sock, int null)
{
	int r;

	r = posix_spawn_file_actions_adddup2(files, sock, WORKER_FD);
	if (!r)
		r = posix_spawn_file_actions_adddup2(files, null, STDIN_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(files, null, STDOUT_FILENO);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(files, WORKER_FD + 1);
	return -r;
}

static int spawn(const char *path, int sock, int null, pid_t *ret)
{
	char *argv[] = { (char *)"reclaim-worker", NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r;

	r = posix_spawnattr_init(&attr);
	if (r)
		return -r;
	r = posix_spawn_file_actions_init(&files);
	if (r) {
		posix_spawnattr_destroy(&attr);
		return -r;
	}
	r = spawn_attr(&attr);
	if (!r)
		r = spawn_files(&files, sock, null);
	if (!r)
		r = -posix_spawn(ret, path, &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return r;
}

static int worker_start(struct worker *w, const char *path, int null)
{
	_cleanup_close_ int theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	w->sock = pair[0];
	theirs = pair[1];
	r = spawn(path, theirs, null, &w->pid);
	if (r < 0) {
		w->pid = 0;
		return r;
	}
	w->pidfd = pidfd_open(w->pid, 0);
	return 0;
}

static int send_request(const struct worker *w, const struct worker_request *req)
{
	ssize_t n;

	/* Not blocking: the buffer is empty and larger than a request. */
	do
		n = send(w->sock, req, sizeof(*req), MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int wait_for_answer(const struct worker *w, int cancel_fd, uint64_t deadline_ns, enum wake *ret)
{
	struct pollfd fds[] = {
		{ .fd = -1 },
		{ .fd = w->sock, .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
	};
	int r = worker_wait(w, fds, ARRAY_SIZE(fds), deadline_ns);

	if (r < 0)
		return r;
	/* An answer counts also when it is cancelled or has died at the same time. */
	if (!r)
		*ret = WAKE_DEADLINE;
	else if (fds[2].revents && !fds[1].revents && !fds[0].revents)
		*ret = WAKE_CANCEL;
	else
		*ret = WAKE_READY;
	return 0;
}

static void fail(const struct worker_request *req, enum worker_outcome outcome, const char *reason,
		 struct worker_result *ret)
{
	*ret = (struct worker_result){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = req->pid,
		.outcome = outcome,
		.start_time = req->start_time,
	};
	snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
}

/* Killing it lets the target go, but a worker in an uninterruptible sleep dies only after that. */
static void fail_given_up(struct worker *w, const struct worker_request *req, enum worker_outcome outcome,
			  const char *what, struct worker_result *ret)
{
	char why[WORKER_TEXT_MAX];
	pid_t pid = w->pid;

	if (worker_end(w, 0) != -1)
		snprintf(why, sizeof(why), "%s: the worker was killed and the target let go", what);
	else
		snprintf(why, sizeof(why),
			 "%s: worker %d was killed but has not died yet: the target may still be held", what, pid);
	fail(req, outcome, why, ret);
}

static void fail_died(const struct worker_request *req, int status, struct worker_result *ret)
{
	char why[WORKER_TEXT_MAX];

	if (status != -1 && WIFSIGNALED(status))
		snprintf(why, sizeof(why), "the worker was killed by signal %d before it answered", WTERMSIG(status));
	else if (status != -1 && WIFEXITED(status))
		snprintf(why, sizeof(why), "the worker exited with status %d without an answer", WEXITSTATUS(status));
	else
		snprintf(why, sizeof(why), "the worker closed its socket without an answer");
	fail(req, WORKER_FAILED, why, ret);
}

/*
 * Takes what is there: an answer, or nothing because the worker has died.
 * MSG_TRUNC makes recv return the real length, so that too long a message is seen as such.
 */
static void receive(struct worker *w, const struct worker_request *req, struct worker_result *ret)
{
	struct worker_result res = { 0 };
	char why[WORKER_TEXT_MAX];
	const char *fault;
	ssize_t n;

	do
		n = recv(w->sock, &res, sizeof(res), MSG_TRUNC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		fail_died(req, worker_end(w, REAP_NS), ret);
		return;
	}
	if (worker_result_check(&res, (size_t)n, req, &fault) < 0) {
		snprintf(why, sizeof(why), "the worker sent %s", fault);
		fail(req, WORKER_FAILED, why, ret);
		return;
	}
	*ret = res;
}

int worker_client_run_cancel(const char *path, const struct worker_request *req, int cancel_fd,
			     struct worker_result *ret)
{
	_cleanup_(worker_donep) struct worker w = { .pidfd = -1, .sock = -1 };
	_cleanup_close_ int null = -1;
	char why[WORKER_TEXT_MAX];
	uint64_t deadline_ns;
	enum wake wake;
	int r;

	if (!req->timeout_us || req->timeout_us > TIMEOUT_MAX_US)
		return -EINVAL;
	null = open_null();
	if (null < 0) {
		snprintf(why, sizeof(why), "the worker was not started: /dev/null can't be opened: %s",
			 strerror(-null));
		fail(req, WORKER_FAILED, why, ret);
		return 0;
	}
	deadline_ns = clock_ns() + req->timeout_us * NS_PER_US + GRACE_NS;
	r = worker_start(&w, path, null);
	if (r < 0)
		return r;
	r = send_request(&w, req);
	/* EPIPE: it has died already, which the wait below sees and explains. */
	if (r < 0 && r != -EPIPE)
		return r;
	r = wait_for_answer(&w, cancel_fd, deadline_ns, &wake);
	if (r < 0)
		return r;
	switch (wake) {
	case WAKE_READY:
		receive(&w, req, ret);
		/* It has let the target go; what is left is its own exit. */
		(void)worker_end(&w, REAP_NS);
		return 0;
	case WAKE_DEADLINE:
		fail_given_up(&w, req, WORKER_TIMEOUT, "no answer in time", ret);
		return 0;
	case WAKE_CANCEL:
		fail_given_up(&w, req, WORKER_FAILED, "interrupted", ret);
		return 0;
	}
	return -EINVAL;
}

int worker_client_run(const char *path, const struct worker_request *req, struct worker_result *ret)
{
	return worker_client_run_cancel(path, req, -1, ret);
}
