/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/worker-door.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

bool worker_is_door(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/*
 * Who listens: for a socket that systemd made this is root's, since the
 * kernel keeps the credentials of listen() (unix_listen(), Linux 2.6 on).
 * Whoever answers there is told which processes to touch.
 */
static int door_check(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EACCES;
}

int worker_knock(struct worker *w, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int sock = -1;
	int r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	/* Not blocking: with a full queue it would wait for the service manager, and the daemon with it. */
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return errno == EAGAIN ? -ENOBUFS : -errno;
	r = door_check(sock);
	if (r < 0)
		return r;
	w->sock = TAKE_FD(sock);
	w->stranger = true;
	return 0;
}

/* The one descriptor that came with a message, -1 when there is none or more; those are closed. */
static int take_fd(struct msghdr *msg)
{
	_cleanup_close_ int fd = -1;
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		const unsigned char *data = CMSG_DATA(c);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (const unsigned char *end = (unsigned char *)c + c->cmsg_len; data < end;
		     data += sizeof(int), n++) {
			closep(&fd);
			memcpy(&fd, data, sizeof(int));
		}
	}
	return n == 1 ? TAKE_FD(fd) : -1;
}

int worker_meet(struct worker *w)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
	struct worker_hello hello = { 0 };
	struct iovec iov = { .iov_base = &hello, .iov_len = sizeof(hello) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	_cleanup_close_ int fd = -1;
	ssize_t n;
	int r;

	/* That the other end is gone is said once, and before what lies there is handed out. */
	do
		n = recvmsg(w->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n >= 0)
		fd = take_fd(&msg);
	if (n != sizeof(hello) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || fd < 0 || hello.magic != WORKER_MAGIC ||
	    hello.version != WORKER_VERSION || hello.pid <= 0)
		return -EPIPE;
	w->pidfd = TAKE_FD(fd);
	w->pid = hello.pid;
	/* EPIPE: it has died already, which whoever waits for its answer sees. */
	r = w->unsent ? worker_send_request(w, TAKE_PTR(w->unsent)) : 0;
	return r < 0 && r != -EPIPE ? r : 0;
}
