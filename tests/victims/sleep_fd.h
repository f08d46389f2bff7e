/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sleeper cases: pipes, sockets, and everything with a descriptor. */
#ifndef TESTS_SLEEP_FD_H
#define TESTS_SLEEP_FD_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include "sleeper.h"

static int fds[2], other[2], efd, one_fd;
static char tmp_path[64];

static void setup_pipe(void)
{
	must(!pipe2(fds, O_CLOEXEC), "pipe");
}

static void wake_pipe(void)
{
	must(write(fds[1], "ping", 4) == 4, "write");
}

static long got_ping(ssize_t n, const char *buf)
{
	return n == 4 && !memcmp(buf, "ping", 4) ? 4 : -1;
}

static long call_read(void)
{
	char buf[16];

	return got_ping(read(fds[0], buf, sizeof(buf)), buf);
}

static void setup_socket(void)
{
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
}

static void fill_up(int fd)
{
	char buf[65536];

	memset(buf, 0, sizeof(buf));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, buf, sizeof(buf)) > 0)
		;
	fcntl(fd, F_SETFL, 0);
}

static void setup_full_pipe(void)
{
	setup_pipe();
	fill_up(fds[1]);
}

static void setup_full_socket(void)
{
	setup_socket();
	fill_up(fds[1]);
}

static void wake_drain(void)
{
	/* a unix socket wakes its writer only when half of the buffer is free */
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 4; i++) {
		static char buf[1 << 20];

		if (read(fds[0], buf, sizeof(buf)) < 0)
			break;
	}
}

static long call_write_full(void)
{
	return write(fds[1], "ping", 4);
}

static long call_sendmsg_full(void)
{
	struct iovec iov = { .iov_base = "ping", .iov_len = 4 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	return sendmsg(fds[1], &mh, 0);
}

static long call_recvmsg(void)
{
	char buf[16];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	return got_ping(recvmsg(fds[0], &mh, 0), buf);
}

static long call_recv(void)
{
	char buf[16];

	return got_ping(recv(fds[0], buf, sizeof(buf), 0), buf);
}

static void setup_rcvtimeo(void)
{
	struct timeval tv = rel_tv(sleep_ms);

	setup_socket();
	must(!setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), "SO_RCVTIMEO");
}

static void setup_rcvtimeo_long(void)
{
	struct timeval tv = rel_tv(sleep_ms * 20);

	setup_socket();
	must(!setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), "SO_RCVTIMEO");
}

static long call_recv_timeo(void)
{
	char buf[16];

	return recv(fds[0], buf, sizeof(buf), 0);
}

/* --- accept, connect -------------------------------------------------------------------------- */

static struct sockaddr_un sun;
static socklen_t sun_len;

static void setup_listen(void)
{
	one_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sun.sun_family = AF_UNIX;
	sun_len = sizeof(sa_family_t) + 1 + snprintf(sun.sun_path + 1, 64, "reclaim-sleeper-%d", getpid());
	must(!bind(one_fd, (struct sockaddr *)&sun, sun_len) && !listen(one_fd, 0), "listen");
}

static void setup_listen_timeo(void)
{
	struct timeval tv = rel_tv(sleep_ms * 20);

	setup_listen();
	must(!setsockopt(one_fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), "SO_RCVTIMEO");
}

static void wake_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(!connect(fd, (struct sockaddr *)&sun, sun_len), "connect");
}

static long call_accept4(void)
{
	return accept4(one_fd, NULL, NULL, SOCK_CLOEXEC) >= 0 ? 0 : -1;
}

static void setup_backlog(void)
{
	setup_listen();
	for (int i = 0; i < 8; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (connect(fd, (struct sockaddr *)&sun, sun_len))
			return;
	}
	must(0, "the backlog never fills");
}

static void wake_accept(void)
{
	must(accept4(one_fd, NULL, NULL, SOCK_CLOEXEC) >= 0, "accept");
	accept4(one_fd, NULL, NULL, SOCK_CLOEXEC);
}

static long call_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&sun, sun_len);
}

/* --- epoll, poll, select ---------------------------------------------------------------------- */

static void setup_epoll(void)
{
	struct epoll_event ev = { .events = EPOLLIN };

	setup_pipe();
	efd = epoll_create1(EPOLL_CLOEXEC);
	must(efd >= 0 && !epoll_ctl(efd, EPOLL_CTL_ADD, fds[0], &ev), "epoll");
}

static long call_epoll(void)
{
	struct epoll_event ev;

	return epoll_wait(efd, &ev, 1, -1);
}

static long call_epoll_long(void)
{
	struct epoll_event ev;

	return epoll_wait(efd, &ev, 1, (int)sleep_ms * 20);
}

static long call_epoll_timed(void)
{
	struct epoll_event ev;

	return epoll_wait(efd, &ev, 1, (int)sleep_ms);
}

static long call_epoll_pwait(void)
{
	struct epoll_event ev;
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	return epoll_pwait(efd, &ev, 1, -1, &s);
}

static long call_epoll_pwait2(void)
{
	struct timespec ts = rel_ts(sleep_ms * 20);
	struct epoll_event ev;

	return syscall(441 /* epoll_pwait2 */, efd, &ev, 1, &ts, NULL, 8);
}

static long call_poll(void)
{
	struct pollfd p = { .fd = fds[0], .events = POLLIN };

	return poll(&p, 1, -1);
}

static long call_poll_long(void)
{
	struct pollfd p = { .fd = fds[0], .events = POLLIN };

	return poll(&p, 1, (int)sleep_ms * 20);
}

static long call_ppoll(void)
{
	struct pollfd p = { .fd = fds[0], .events = POLLIN };
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	return ppoll(&p, 1, NULL, &s);
}

static long call_select(void)
{
	fd_set r;

	FD_ZERO(&r);
	FD_SET(fds[0], &r);
	return select(fds[0] + 1, &r, NULL, NULL, NULL);
}

/* --- other descriptors ------------------------------------------------------------------------ */

static void setup_eventfd(void)
{
	one_fd = eventfd(0, EFD_CLOEXEC);
}

static void wake_eventfd(void)
{
	uint64_t n = 5;

	must(write(one_fd, &n, 8) == 8, "eventfd");
}

static long call_eventfd(void)
{
	uint64_t n = 0;

	return read(one_fd, &n, 8) == 8 ? (long)n : -1;
}

static void make_tmp(void)
{
	snprintf(tmp_path, sizeof(tmp_path), "/tmp/reclaim-sleeper-XXXXXX");
	must(mkdtemp(tmp_path) != NULL, "mkdtemp");
}

static void in_tmp(char *buf, size_t size, const char *name)
{
	snprintf(buf, size, "%s/%s", tmp_path, name);
}

static void setup_inotify(void)
{
	make_tmp();
	one_fd = inotify_init1(IN_CLOEXEC);
	must(one_fd >= 0 && inotify_add_watch(one_fd, tmp_path, IN_CREATE) >= 0, "inotify");
}

static void wake_file(void)
{
	char p[128];

	in_tmp(p, sizeof(p), "f");
	close(open(p, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static long call_inotify(void)
{
	char buf[4096];

	return read(one_fd, buf, sizeof(buf)) >= (ssize_t)sizeof(struct inotify_event) ? 0 : -1;
}

static void setup_tty(void)
{
	struct termios t;

	fds[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	must(fds[1] >= 0 && !grantpt(fds[1]) && !unlockpt(fds[1]), "posix_openpt");
	fds[0] = open(ptsname(fds[1]), O_RDWR | O_NOCTTY | O_CLOEXEC);
	must(fds[0] >= 0 && !tcgetattr(fds[0], &t), "pts");
	cfmakeraw(&t);
	t.c_cc[VMIN] = 4; /* the whole ping in one read */
	must(!tcsetattr(fds[0], TCSANOW, &t), "tcsetattr");
}

static void setup_fifo(void)
{
	char p[128];

	make_tmp();
	in_tmp(p, sizeof(p), "f");
	must(!mkfifo(p, 0600), "mkfifo");
}

static void wake_fifo(void)
{
	char p[128];

	in_tmp(p, sizeof(p), "f");
	must(open(p, O_WRONLY | O_CLOEXEC) >= 0, "open");
}

static long call_fifo(void)
{
	char p[128];

	in_tmp(p, sizeof(p), "f");
	return open(p, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : -1;
}

static void setup_two_pipes(void)
{
	setup_pipe();
	must(!pipe2(other, O_CLOEXEC), "pipe");
}

static long call_splice(void)
{
	return splice(fds[0], NULL, other[1], NULL, 4, 0);
}

static long call_tee(void)
{
	return tee(fds[0], other[1], 4, 0);
}

static void setup_sendfile(void)
{
	setup_full_pipe();
	one_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	must(one_fd >= 0, "exe");
}

static long call_sendfile(void)
{
	return sendfile(fds[1], one_fd, NULL, 4);
}

#endif
