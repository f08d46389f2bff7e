/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "bus/frame.h"
#include "bus/inlet.h"

#define CHUNK 4096 /* an empty pipe has room for it */
#define UNREAD_MAX 64 /* answers */
#define WINDOW_US 100000ull
#define WINDOW_SLACK_US 20000ull
#define WINDOW_MESSAGES 50 /* in one window: the rest waits for the next one */

struct inlet {
	struct frame frame;
	sd_bus *conn; /* lives longer */
	int socket; /* a duplicate: sd-bus watches the other one, and epoll takes each but once */
	int pipe; /* to sd-bus; -1: it is over */
	sd_event_source *io, *next_window;
	uint64_t window_messages; /* frame.messages when it began */
};

void inlet_free(struct inlet *in)
{
	if (!in)
		return;
	sd_event_source_disable_unref(in->io);
	sd_event_source_disable_unref(in->next_window);
	closep(&in->socket);
	closep(&in->pipe);
	free(in);
}

/* sd-bus reads to the end of what it has got, and sees a connection that has gone. */
static void end(struct inlet *in)
{
	(void)sd_event_source_set_enabled(in->io, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(in->next_window, SD_EVENT_OFF);
	closep(&in->pipe);
}

static int on_window(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct inlet *in = userdata;

	(void)s;
	(void)usec;
	in->window_messages = in->frame.messages;
	(void)sd_event_source_set_io_events(in->io, EPOLLIN);
	return 0;
}

/* Who asks and asks and never reads the answers. */
static bool is_deaf(const struct inlet *in)
{
	uint64_t unread = 0;

	return sd_bus_get_n_queued_write(in->conn, &unread) < 0 || unread > UNREAD_MAX;
}

/* The first message of a window begins it; too many of them end the reading until it is over. */
static void keep_pace(struct inlet *in)
{
	int running = SD_EVENT_OFF;

	(void)sd_event_source_get_enabled(in->next_window, &running);
	if (running == SD_EVENT_OFF && in->frame.messages != in->window_messages) {
		(void)sd_event_source_set_time_relative(in->next_window, WINDOW_US);
		(void)sd_event_source_set_enabled(in->next_window, SD_EVENT_ONESHOT);
	}
	if (in->frame.messages - in->window_messages >= WINDOW_MESSAGES)
		(void)sd_event_source_set_io_events(in->io, 0);
}

static int on_input(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct inlet *in = userdata;
	uint8_t chunk[CHUNK];
	int unread = 0;
	ssize_t n;

	(void)s;
	/* Hung up while it is made to wait. */
	if (!(revents & EPOLLIN)) {
		end(in);
		return 0;
	}
	/* What sd-bus hasn't read yet is read before more is brought. */
	if (ioctl(in->pipe, FIONREAD, &unread) < 0 || unread)
		return 0;
	n = is_deaf(in) ? 0 : read(fd, chunk, sizeof(chunk));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0 || frame_feed(&in->frame, chunk, (size_t)n) < 0 || write(in->pipe, chunk, (size_t)n) != n)
		end(in);
	else
		keep_pace(in);
	return 0;
}

static void inlet_freep(struct inlet **in)
{
	inlet_free(*in);
}

int inlet_new(sd_event *event, sd_bus *conn, int socket, uid_t uid, struct inlet **ret, int *ret_input)
{
	_cleanup_(inlet_freep) struct inlet *in = calloc(1, sizeof(*in));
	_cleanup_close_ int input = -1;
	int fds[2], r;

	if (!in)
		return -ENOMEM;
	frame_init(&in->frame, uid);
	in->conn = conn;
	in->pipe = -1;
	in->socket = fcntl(socket, F_DUPFD_CLOEXEC, 3);
	if (in->socket < 0 || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	input = fds[0];
	in->pipe = fds[1];
	/* The same priority as sd-bus has, so that neither keeps the other from its turn. */
	r = sd_event_add_io(event, &in->io, in->socket, EPOLLIN, on_input, in);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &in->next_window, CLOCK_MONOTONIC, WINDOW_US, WINDOW_SLACK_US,
					       on_window, in);
	if (r >= 0)
		r = sd_event_source_set_enabled(in->next_window, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(in);
	*ret_input = TAKE_FD(input);
	return 0;
}
