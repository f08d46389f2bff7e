/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "ctl/interrupt.h"

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t first_signal;
static volatile sig_atomic_t second_fd = -1;
static volatile sig_atomic_t at_once;

static void on_signal(int signo)
{
	const uint64_t one = 1;
	static const char note[] = "reclaimctl: stopping after the current target; once more to give that up too\n";
	int saved = errno;
	ssize_t r;

	if (!first_signal && !at_once) {
		first_signal = signo;
		r = write(STDERR_FILENO, note, sizeof(note) - 1);
	} else {
		first_signal = first_signal ? first_signal : signo;
		r = write(second_fd, &one, sizeof(one));
	}
	(void)r; /* nothing can be done about either here */
	errno = saved;
}

int interrupt_catch(void)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;

	second_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (second_fd < 0)
		return -errno;
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&sa.sa_mask, signals[i]);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (sigaction(signals[i], NULL, &old) < 0)
			return -errno;
		if (old.sa_handler == SIG_IGN)
			continue;
		if (sigaction(signals[i], &sa, NULL) < 0)
			return -errno;
	}
	return 0;
}

int interrupt_catch_first(void)
{
	at_once = 1;
	return interrupt_catch();
}

void interrupt_at_once(bool first)
{
	at_once = first;
}

void interrupt_forget(void)
{
	struct sigaction sa;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], NULL, &sa) == 0 && sa.sa_handler == on_signal)
			(void)signal(signals[i], SIG_DFL);
}

int interrupt_signal(void)
{
	return first_signal;
}

int interrupt_fd(void)
{
	return second_fd;
}

bool interrupt_given_up(void)
{
	struct pollfd pfd = { .fd = second_fd, .events = POLLIN };

	return second_fd >= 0 && poll(&pfd, 1, 0) > 0;
}
