/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "worker/door.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "reclaim/worker.h"

#define FIRST_PASSED 3 /* SD_LISTEN_FDS_START */

/* sd_listen_fds(3): meant for us only when our own pid is in it. fd, out of the way of WORKER_FD, or -errno. */
static int take_listener(void)
{
	const char *pid_text = getenv("LISTEN_PID"), *n_text = getenv("LISTEN_FDS");
	uint64_t pid, n;
	int listening = 0, fd;
	socklen_t len = sizeof(listening);

	if (!pid_text || !n_text || parse_u64(pid_text, 10, &pid) < 0 || parse_u64(n_text, 10, &n) < 0 ||
	    pid != (uint64_t)getpid() || n != 1)
		return -EBADF;
	/* Nobody that we start is meant by these. */
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (getsockopt(FIRST_PASSED, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
		return -EBADF;
	fd = fcntl(FIRST_PASSED, F_DUPFD_CLOEXEC, WORKER_FD + 1);
	if (fd < 0)
		return -errno;
	(void)close(FIRST_PASSED);
	return fd;
}

static bool hung_up(void)
{
	struct pollfd fd = { .fd = WORKER_FD };

	return poll(&fd, 1, 0) == 1 && (fd.revents & (POLLHUP | POLLERR));
}

/*
 * Whatever this process is in the middle of: it may end at any instruction.
 * Nobody waits for a status any more.
 */
static void on_io(int sig)
{
	int saved = errno;

	(void)sig;
	if (hung_up())
		_exit(0);
	errno = saved;
}

/*
 * A parent's death has PR_SET_PDEATHSIG, a client's end has this: the kernel
 * signals the owner of the other end when a UNIX socket is closed or shut down
 * (unix_release_sock(), unix_shutdown(): POLL_HUP), with O_ASYNC. It comes
 * also when something was read or written.
 */
static int watch_client(void)
{
	struct sigaction sa = { .sa_handler = on_io, .sa_flags = SA_RESTART };
	int flags = fcntl(WORKER_FD, F_GETFL);
	sigset_t io;

	sigemptyset(&io);
	sigaddset(&io, SIGIO);
	if (flags < 0 || sigaction(SIGIO, &sa, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &io, NULL) < 0 ||
	    fcntl(WORKER_FD, F_SETOWN, getpid()) < 0 || fcntl(WORKER_FD, F_SETFL, flags | O_ASYNC) < 0)
		return -errno;
	return hung_up() ? -EPIPE : 0;
}

static int check_client(void)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(WORKER_FD, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	return peer.uid == geteuid() ? 0 : -EACCES;
}

static int say_hello(void)
{
	_cleanup_close_ int pidfd = pidfd_open(getpid(), 0);
	struct worker_hello hello = { .magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = getpid() };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = &hello, .iov_len = sizeof(hello) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (pidfd < 0)
		return -errno;
	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(c), &pidfd, sizeof(int));
	return sendmsg(WORKER_FD, &msg, MSG_NOSIGNAL) == sizeof(hello) ? 0 : -errno;
}

/* The child's side: from here on it is like any other worker. */
static int enter(int conn)
{
	sigset_t none;
	int r;

	/* A group of its own, as of a worker that its client started. */
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || setpgid(0, 0) < 0 || dup2(conn, WORKER_FD) < 0 ||
	    close_range(WORKER_FD + 1, ~0u, 0) < 0)
		return -errno;
	r = check_client();
	if (r >= 0)
		r = watch_client();
	return r < 0 ? r : say_hello();
}

/* One that its client killed is nothing to tell of. */
static void tell_end(pid_t pid, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		(void)fprintf(stderr, "reclaim-worker: worker %d was killed by signal %d\n", pid, WTERMSIG(status));
	else if (WIFEXITED(status) && WEXITSTATUS(status))
		(void)fprintf(stderr, "reclaim-worker: worker %d exited with status %d\n", pid, WEXITSTATUS(status));
}

static void reap(int ends)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(ends, &info, sizeof(info)) == sizeof(info))
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		tell_end(pid, status);
}

/* In the parent 1: go on, or -errno: nobody can be served any more; in the child what enter() says. */
static int serve_one(int listener)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	_cleanup_close_ int conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	pid_t pid;

	if (conn < 0) {
		const int error = errno;

		if (error == EBADF || error == EINVAL || error == ENOTSOCK)
			return -error;
		/* Out of files or memory, for now: those at work go on. */
		if (error != EINTR && error != ECONNABORTED && error != EAGAIN)
			(void)nanosleep(&pause, NULL);
		return 1;
	}
	pid = fork();
	if (pid == 0)
		return enter(TAKE_FD(conn));
	/* The client sees that nobody came. */
	if (pid < 0)
		(void)fprintf(stderr, "reclaim-worker: no worker can be started: %s\n", strerror(errno));
	return 1;
}

int door_serve(void)
{
	_cleanup_close_ int listener = take_listener(), ends = -1;
	sigset_t child;
	int r = 1;

	if (listener < 0)
		return TAKE_FD(listener);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &child, NULL) < 0)
		return -errno;
	ends = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (ends < 0)
		return -errno;
	while (r == 1) {
		struct pollfd fds[] = { { .fd = listener, .events = POLLIN }, { .fd = ends, .events = POLLIN } };

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			reap(ends);
		if (fds[0].revents)
			r = serve_one(listener);
	}
	/* The child has closed both, and their numbers may be somebody else's. */
	(void)TAKE_FD(listener);
	(void)TAKE_FD(ends);
	return r;
}
