/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The live view's loop. It waits for keys, signals, the end of a job and the
 * next interval, and for nothing else: whatever takes time is done by a job.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "ctl/top-keys.h"
#include "ctl/top-screen.h"

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH };

struct live {
	struct top *top;
	int signals; /* a signalfd */
	int signo; /* that ended it, 0 */
	bool gone; /* the terminal */
	bool all; /* draw what should be there too */
	bool mouse; /* as the terminal was told */
};

/* ---------------------------------------------------------------- signals */

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(set, signals[i]);
}

/* Blocked and read from a file, so that none comes while the screen is half drawn. Jobs' threads inherit that. */
static int signals_open(struct live *l)
{
	sigset_t set;

	signal_set(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return l->signals < 0 ? -errno : 0;
}

/* The terminal as the shell gave it to us, then to sleep by the signal itself, as the shell wants to see. */
static void stop(struct live *l)
{
	sigset_t one;

	screen_mouse(false);
	screen_leave();
	sigemptyset(&one);
	sigaddset(&one, SIGTSTP);
	(void)raise(SIGTSTP);
	(void)sigprocmask(SIG_UNBLOCK, &one, NULL);
	(void)sigprocmask(SIG_BLOCK, &one, NULL);
	screen_return();
	screen_mouse(l->mouse);
	l->all = l->top->redraw = true;
	l->top->next_us = 0;
}

static void take_signals(struct live *l)
{
	struct signalfd_siginfo si;

	while (read(l->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		const int signo = (int)si.ssi_signo;

		if (signo == SIGTSTP) {
			stop(l);
		} else if (signo == SIGCONT || signo == SIGWINCH) {
			l->all |= signo == SIGCONT;
			l->top->redraw = true;
		} else {
			l->signo = signo;
			l->top->quit = true;
		}
	}
}

/* ---------------------------------------------------------------- keys */

static void take_input(struct live *l)
{
	struct screen_input in;

	while (!l->top->quit && screen_read(&in)) {
		if (in.event == SCREEN_KEY) {
			l->all |= in.key == ('L' & 0x1f);
			top_key(l->top, in.key);
		} else if (in.event == SCREEN_CLICK) {
			top_click(l->top, in.y, in.x);
		} else if (in.event == SCREEN_WHEEL) {
			top_move(l->top, in.y);
			l->top->redraw = true;
		}
	}
	if (l->mouse != l->top->mouse)
		screen_mouse(l->mouse = l->top->mouse);
}

/* ---------------------------------------------------------------- intervals */

static int interval(struct live *l, uint64_t now_us)
{
	struct top *t = l->top;
	int r;

	if (t->count && --t->count == 0) {
		t->quit = true;
		return 0;
	}
	/* From now, not from when it was due: nothing is caught up on after a sleep. */
	t->next_us = now_us + t->delay_us;
	if (t->paused)
		return 0;
	t->redraw = true;
	r = top_model_update(&t->model, &t->ctl->source);
	return r < 0 ? r : top_view_build(&t->view, &t->model);
}

static int draw(struct live *l)
{
	struct top *t = l->top;
	int width, height, r = 0;

	/* What is known since may change the order. */
	if (t->redraw_at_us)
		r = top_view_build(&t->view, &t->model);
	t->redraw_at_us = 0;
	screen_size(&width, &height);
	if (r == 0 && (!t->canvas.v || width != t->canvas.width || height != t->canvas.height))
		r = canvas_resize(&t->canvas, width, height);
	if (r == 0)
		r = top_draw(t);
	if (r == 0)
		screen_show(&t->canvas, l->all);
	t->redraw = l->all = false;
	return r;
}

/* Not beyond the next interval, nor what stands on the screen for a time only. */
static int timeout_ms(const struct top *t, uint64_t now_us)
{
	uint64_t until = t->next_us;

	if (t->message_until_us > now_us)
		until = MIN(until, t->message_until_us);
	if (t->redraw_at_us)
		until = MIN(until, t->redraw_at_us);
	return until > now_us ? (int)MIN((until - now_us + 999) / 1000, 1000000ull) : 0;
}

static void wait_for_something(struct live *l)
{
	struct top *t = l->top;
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = l->signals, .events = POLLIN },
		{ .fd = t->job->done, .events = POLLIN },
	};

	if (poll(fds, ARRAY_SIZE(fds), timeout_ms(t, clock_us(CLOCK_BOOTTIME))) < 0)
		return;
	if (fds[1].revents)
		take_signals(l);
	if (fds[0].revents & POLLIN)
		take_input(l);
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		l->gone = t->quit = true;
	if (fds[2].revents)
		top_work_take(t, clock_us(CLOCK_BOOTTIME));
}

static int loop(struct live *l)
{
	struct top *t = l->top;
	int r = 0;

	while (r == 0 && !t->quit) {
		uint64_t now_us = clock_us(CLOCK_BOOTTIME);

		if (now_us >= t->next_us)
			r = interval(l, now_us);
		if (t->message_until_us && t->message_until_us <= now_us) {
			t->message_until_us = 0;
			t->redraw = true;
		}
		t->redraw |= t->redraw_at_us && t->redraw_at_us <= now_us;
		if (r == 0 && t->redraw && !t->quit)
			r = draw(l);
		top_work(t, now_us);
		/* A trim that has just begun is to be seen. */
		if (r == 0 && t->redraw && !t->quit)
			r = draw(l);
		if (!t->quit && r == 0)
			wait_for_something(l);
	}
	return r;
}

int top_run_live(struct top *t)
{
	struct live l = { .top = t, .signals = -1 };
	char why[256];
	int r;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return ctl_fail(t->ctl, CTL_USAGE, "top: %s is no terminal: use --batch",
				isatty(STDOUT_FILENO) ? "standard input" : "standard output");
	if (!ctl_terminal(STDOUT_FILENO))
		return ctl_fail(t->ctl, CTL_USAGE,
				"top: a terminal of type '%s' can't be drawn on: set TERM, or use --batch",
				getenv("TERM") ? "dumb" : "");
	r = signals_open(&l);
	if (r < 0)
		return ctl_fail(t->ctl, CTL_FAILED, "top: failed to catch signals: %s", strerror(-r));
	r = screen_open(t->ctl->colors, why, sizeof(why));
	if (r < 0) {
		closep(&l.signals);
		return ctl_fail(t->ctl, CTL_USAGE, "top: %s", why);
	}
	if (t->mouse)
		screen_mouse(l.mouse = true);
	r = loop(&l);
	screen_close();
	closep(&l.signals);
	if (r < 0)
		return ctl_fail(t->ctl, CTL_FAILED, "top: %s%s%s", strerror(-r),
				*source_words(&t->ctl->source) ? ": " : "", source_words(&t->ctl->source));
	/* ^C is a way to quit like any other. */
	return l.signo && l.signo != SIGINT ? 128 + l.signo : l.gone ? CTL_FAILED : CTL_DONE;
}
