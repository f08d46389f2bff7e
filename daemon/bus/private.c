/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The private socket: D-Bus from one end to the other, without a bus between. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/procfs.h"
#include "base/pstat.h"
#include "bus/inlet.h"
#include "bus/request.h"
#include "reclaim/bus.h"

#define BACKLOG 64
#define SEND_BUFFER (128 << 10) /* bytes; the kernel doubles it */
#define ACCEPT_INTERVAL_US 1000000ull /* in which at most ACCEPT_BURST are accepted: the rest waits in the backlog */
#define ACCEPT_BURST 100

/* ---------------------------------------------------------------- who is connected */

static void peer_free(struct peer *p)
{
	struct bus *b = p->bus;

	request_leave_all(b, p);
	if (p->prev)
		p->prev->next = p->next;
	else
		b->peers = p->next;
	if (p->next)
		p->next->prev = p->prev;
	inlet_free(p->inlet);
	sd_bus_close(p->conn);
	sd_bus_unref(p->conn);
	quota_give(&b->quota, p->uid, QUOTA_CONNECTION);
	free(p);
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)m;
	(void)error;
	peer_free(userdata);
	return 0;
}

/* There is no bus here, but tools such as busctl(1) begin as if there were. */
static int on_hello(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)userdata;
	(void)error;
	return sd_bus_reply_method_return(m, "s", ":1.1");
}

static const sd_bus_vtable hello[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Hello", "", "s", on_hello, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

/* For polkit, which wants to be sure of whom it is asked about. 0: has gone. */
static uint64_t start_time_of(pid_t pid)
{
	_cleanup_close_ int proc = procfs_open_root("/proc");
	_cleanup_close_ int dir = proc < 0 ? proc : procfs_open_pid(proc, pid);
	struct pstat st;

	return dir >= 0 && pstat_read(dir, &st) == 0 ? st.start_time : 0;
}

/* @fd is taken, also when it fails. */
static int peer_transport(struct peer *p, int fd)
{
	_cleanup_close_ int output = fd, input = -1;
	int r = sd_bus_new(&p->conn);

	if (r >= 0)
		r = inlet_new(p->bus->event, p->conn, output, p->uid, &p->inlet, &input);
	if (r >= 0)
		r = sd_bus_set_fd(p->conn, input, output);
	if (r < 0)
		return r;
	(void)TAKE_FD(input);
	(void)TAKE_FD(output);
	return 0;
}

/* @fd is taken, also when it fails. */
static int peer_start(struct peer *p, int fd)
{
	static const int buffer = SEND_BUFFER;
	sd_id128_t id;
	int r = peer_transport(p, fd);

	if (r >= 0)
		r = sd_id128_randomize(&id);
	if (r >= 0)
		r = sd_bus_set_server(p->conn, 1, id);
	/* Who it is we know from the kernel, and the inlet that they say the same; sd-bus sees but a pipe. */
	if (r >= 0)
		r = sd_bus_set_anonymous(p->conn, 1);
	if (r >= 0)
		r = sd_bus_negotiate_fds(p->conn, 0);
	if (r >= 0)
		r = sd_bus_set_sender(p->conn, BUS_NAME);
	if (r >= 0)
		r = object_add(p);
	if (r >= 0)
		r = sd_bus_add_object_vtable(p->conn, NULL, "/org/freedesktop/DBus", "org.freedesktop.DBus", hello, p);
	if (r >= 0)
		r = sd_bus_match_signal(p->conn, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
					"org.freedesktop.DBus.Local", "Disconnected", on_disconnected, p);
	if (r >= 0)
		r = sd_bus_start(p->conn);
	/* sd-bus has just made it 8 MiB, which the kernel would keep for whoever doesn't read. */
	if (r >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)) < 0)
		r = -errno;
	return r < 0 ? r : sd_bus_attach_event(p->conn, p->bus->event, SD_EVENT_PRIORITY_NORMAL);
}

int private_admit(struct bus *b, int fd)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);
	struct peer *p;
	int r = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		r = -errno;
	if (r >= 0)
		r = quota_take(&b->quota, cred.uid, QUOTA_CONNECTION);
	if (r < 0) {
		closep(&fd);
		return r;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		quota_give(&b->quota, cred.uid, QUOTA_CONNECTION);
		closep(&fd);
		return -ENOMEM;
	}
	*p = (struct peer){ .bus = b, .known = true, .uid = cred.uid, .pid = cred.pid, .next = b->peers };
	p->start_time = start_time_of(p->pid);
	if (p->next)
		p->next->prev = p;
	b->peers = p;
	r = peer_start(p, fd);
	if (r < 0)
		peer_free(p);
	return r;
}

/* ---------------------------------------------------------------- the socket */

static int on_connect(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)s;
	(void)revents;
	/* Who can't be let in sees a closed connection; the rate limit keeps a full table from becoming a loop. */
	if (conn >= 0)
		(void)private_admit(userdata, conn);
	return 0;
}

/* A socket that a daemon before us has left. Anything else in its place is not ours to remove. */
static int remove_old(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlink(path) < 0 ? -errno : 0;
}

static int listen_at(const char *path, int *ret)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int r;

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path));
	r = remove_old(path);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	/* Nobody gets in before listen(). */
	if (chmod(path, 0666) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		(void)unlink(path);
		return r;
	}
	*ret = TAKE_FD(fd);
	return 0;
}

int private_open(struct bus *b, const char *path)
{
	int r = listen_at(path, &b->listen_fd);

	if (r < 0)
		return r;
	b->path = strdup(path);
	if (!b->path)
		return -ENOMEM;
	r = sd_event_add_io(b->event, &b->listen_source, b->listen_fd, EPOLLIN, on_connect, b);
	if (r >= 0)
		r = sd_event_source_set_ratelimit(b->listen_source, ACCEPT_INTERVAL_US, ACCEPT_BURST);
	return MIN(r, 0);
}

void private_close(struct bus *b)
{
	while (b->peers)
		peer_free(b->peers);
	b->listen_source = sd_event_source_disable_unref(b->listen_source);
	closep(&b->listen_fd);
	if (b->path)
		(void)unlink(b->path);
	free(b->path);
	b->path = NULL;
}
