/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "top --batch": the same for logs, as text or as one JSON document on each line. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "ctl/json.h"
#include "ctl/top.h"

#define WIDTH 120 /* where there is no terminal that says */
#define FIRST_US 3000000ull /* for looking into all of them, before the first figures are told */
#define FIRST_DEEP_US 30000000ull /* the same, when all are counted */

struct batch {
	struct top *top;
	int signals; /* a signalfd */
	int signo; /* that came, 0 */
	int width;
};

static int signals_open(struct batch *b)
{
	struct sigaction old;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	/* nohup(1) ignores it for us. */
	if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	b->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return b->signals < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- output */

static void json_size(struct json *j, const char *key, uint64_t v)
{
	if (v == UINT64_MAX)
		json_null(j, key);
	else
		json_u64(j, key, v);
}

static void json_stall(struct json *j, const char *key, const struct machine_stall *s)
{
	if (!s->known) {
		json_null(j, key);
		return;
	}
	/* Percent times 100, since there are no fractions here. */
	json_open(j, key, '{');
	json_u64(j, "avg10_percent_x100", s->avg10);
	json_u64(j, "avg60_percent_x100", s->avg60);
	json_u64(j, "avg300_percent_x100", s->avg300);
	json_close(j);
}

static void json_parts(struct json *j, const uint64_t parts[TOP_PARTS])
{
	static const char *const keys[TOP_PARTS] = { "in_use", "cached", "free_resident", "idle", "other", "unseen" };

	json_open(j, "parts", '{');
	for (size_t k = 0; k < TOP_PARTS; k++)
		json_u64(j, keys[k], parts[k]);
	json_close(j);
}

static void json_process(struct json *j, const struct top_line *l)
{
	static const char *const seen[] = { "never", "denied", "nothing", "inside" };
	const struct top_proc *t = l->proc;

	json_open(j, NULL, '{');
	json_i64(j, "pid", t->p.pid);
	json_u64(j, "start_time", t->p.start_time);
	json_text(j, "comm", t->p.comm);
	json_text(j, "user", *t->user ? t->user : NULL);
	json_text(j, "unit", t->p.unit && *t->p.unit ? t->p.unit : NULL);
	json_text(j, "cgroup", t->p.cgroup && *t->p.cgroup ? t->p.cgroup : NULL);
	json_size(j, "rss", l->figures.rss);
	json_size(j, "anon", l->figures.anon);
	json_size(j, "swap", l->figures.swap);
	json_size(j, "idle", l->figures.idle);
	json_size(j, "free_resident", l->figures.free);
	if (l->figures.free == PROC_UNKNOWN)
		json_null(j, "free_at_least");
	else
		json_bool(j, "free_at_least", l->figures.at_least);
	json_parts(j, t->parts);
	json_text(j, "allocator", t->look.allocator);
	json_text(j, "runtime", t->look.runtime);
	json_text(j, "looked", seen[t->look.seen]);
	json_close(j);
}

static int print_json(const struct top *t)
{
	const struct machine *m = &t->model.machine;
	struct json j;

	t->ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_u64(&j, "time_us", clock_us(CLOCK_REALTIME));
	json_open(&j, "memory", '{');
	json_size(&j, "total", m->total);
	json_size(&j, "available", m->available);
	json_size(&j, "swap_total", m->swap_total);
	json_size(&j, "swap_free", m->swap_free);
	json_close(&j);
	json_open(&j, "pressure", '{');
	json_stall(&j, "some", &m->some);
	json_stall(&j, "full", &m->full);
	json_close(&j);
	json_parts(&j, t->model.total.parts);
	json_bool(&j, "free_at_least", t->model.total.at_least);
	json_open(&j, "processes", '[');
	for (size_t i = 0; i < t->view.nlines; i++)
		if (t->view.lines[i].proc)
			json_process(&j, &t->view.lines[i]);
	json_close(&j);
	json_close(&j);
	return json_finish(&j);
}

/* The list as the screen would show it, as long as it is, in pieces of what a canvas holds. */
static int print_text(struct batch *b)
{
	struct top *t = b->top;
	const size_t rows = MIN(t->view.nlines, (size_t)CANVAS_MAX - TOP_HEADER);
	int r = canvas_resize(&t->sheet, b->width, TOP_HEADER + (int)MAX(rows, (size_t)2));

	if (r < 0)
		return r;
	t->view.first = 0;
	top_draw_list(t, &t->sheet, t->sheet.height - TOP_HEADER);
	for (int y = t->ctl->no_legend ? TOP_HEADER : 0; r == 0 && y < t->sheet.height; y++)
		if (y < TOP_HEADER || (size_t)(y - TOP_HEADER) < rows || !rows)
			r = canvas_print(&t->sheet, y, stdout);
	if (r == 0 && t->view.nlines > rows && printf("(and %zu more)\n", t->view.nlines - rows) < 0)
		r = -EIO;
	errno = 0;
	if (r == 0 && (fputc('\n', stdout) == EOF || fflush(stdout) || ferror(stdout)))
		r = errno > 0 ? -errno : -EIO;
	return r;
}

/* ---------------------------------------------------------------- the loop */

/* Until then, doing what there is to do meanwhile; with @idle_ends also when there is nothing left. */
static void wait_until(struct batch *b, uint64_t until_us, bool idle_ends)
{
	struct top *t = b->top;

	for (;;) {
		const uint64_t now_us = clock_us(CLOCK_BOOTTIME);
		struct pollfd fds[] = {
			{ .fd = b->signals, .events = POLLIN },
			{ .fd = t->job->done, .events = POLLIN },
		};
		struct signalfd_siginfo si;

		if (now_us >= until_us || (idle_ends && !top_work_pending(t, now_us)))
			return;
		top_work(t, now_us);
		(void)poll(fds, ARRAY_SIZE(fds), (int)MIN((until_us - now_us + 999) / 1000, 1000000ull));
		if (read(b->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
			b->signo = (int)si.ssi_signo;
			return;
		}
		top_work_take(t, clock_us(CLOCK_BOOTTIME));
	}
}

static int batch_loop(struct batch *b, bool *ret_write)
{
	struct top *t = b->top;
	const uint64_t began_us = clock_us(CLOCK_BOOTTIME);

	t->next_us = began_us;
	for (uint64_t done = 0; !b->signo; done++) {
		int r = top_model_update(&t->model, &t->ctl->source);

		*ret_write = false;
		if (r < 0)
			return r;
		/* Somebody waits for these: they are not of what looks may cost later. */
		t->unlimited = !done || t->deep;
		if (!done)
			wait_until(b, began_us + (t->deep ? FIRST_DEEP_US : FIRST_US), true);
		t->unlimited = t->deep;
		if (b->signo)
			break;
		r = top_view_build(&t->view, &t->model);
		if (r < 0)
			return r;
		*ret_write = true;
		r = t->ctl->json ? print_json(t) : print_text(b);
		if (r < 0 || (t->count && done + 1 >= t->count))
			return r;
		t->next_us = MAX(t->next_us + t->delay_us, clock_us(CLOCK_BOOTTIME));
		wait_until(b, t->next_us, false);
	}
	return 0;
}

int top_run_batch(struct top *t)
{
	struct batch b = { .top = t, .signals = -1, .width = WIDTH };
	struct winsize ws = { .ws_col = 0 };
	const char *columns = getenv("COLUMNS");
	uint64_t n;
	bool writing = false;
	int r = signals_open(&b);

	if (r < 0)
		return ctl_fail(t->ctl, CTL_FAILED, "top: failed to catch signals: %s", strerror(-r));
	if (columns && parse_u64(columns, 10, &n) == 0 && n)
		b.width = (int)MIN(n, (uint64_t)CANVAS_MAX);
	else if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col)
		b.width = ws.ws_col;
	r = batch_loop(&b, &writing);
	closep(&b.signals);
	if (r < 0 && !writing)
		return ctl_fail(t->ctl, CTL_FAILED, "top: failed to read processes: %s%s%s", strerror(-r),
				*source_words(&t->ctl->source) ? ": " : "", source_words(&t->ctl->source));
	return ctl_output_done(b.signo ? 128 + b.signo : CTL_DONE, r);
}
