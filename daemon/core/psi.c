/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/psi.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/text.h"

void psi_close(struct psi *p)
{
	p->source = sd_event_source_disable_unref(p->source);
	closep(&p->fd);
}

static int psi_event(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct psi *p = arg;

	(void)source;
	(void)fd;
	/* EPOLLERR: the file has gone, and would be ready for ever. */
	if (revents & (EPOLLERR | EPOLLHUP))
		psi_close(p);
	else
		p->fn(p->arg);
	return 0;
}

int psi_open(struct psi *p, sd_event *event, int proc, uint64_t stall_us, uint64_t window_us, void (*fn)(void *arg),
	     void *arg)
{
	_cleanup_close_ int fd = openat(proc, "pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	char trigger[64];
	int r;

	if (fd < 0)
		return -errno;
	text_format(trigger, sizeof(trigger), "some %ju %ju", (uintmax_t)stall_us, (uintmax_t)window_us);
	/* With its NUL: kernels before 5.17 cut the last character off. */
	if (write(fd, trigger, strlen(trigger) + 1) < 0)
		return -errno;
	r = sd_event_add_io(event, &p->source, fd, EPOLLPRI, psi_event, p);
	if (r < 0)
		return r;
	(void)sd_event_source_set_description(p->source, "pressure");
	p->fd = TAKE_FD(fd);
	p->fn = fn;
	p->arg = arg;
	return 0;
}
