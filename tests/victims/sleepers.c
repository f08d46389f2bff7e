/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread asleep in a chosen system call; a helper process lets it go on at
 * a set time, or its own timeout does. It notes result, errno and duration,
 * and checks that nothing else about itself changed.
 *
 *   sleepers --list          name class never-restarts, one per line
 *   sleepers --case=NAME [--ms=N] [--threads=N]
 *   sleepers --case=NAME --storm [--restart]    it calls again and again, until told to stop, and counts
 *                                               the signals that were queued to it, and EINTR
 */
#include <pthread.h>
#include <sys/stat.h>

#include "sleep_ipc.h"
#include "sleep_time.h"

static const struct sleep_case cases[] = {
	{ "nanosleep", REL, NULL, NULL, call_nanosleep, NULL, 0, 0, 0 },
	{ "clock_nanosleep_rel", REL, NULL, NULL, call_clock_rel, NULL, 0, 0, 0 },
	{ "clock_nanosleep_abs", ABS, NULL, NULL, call_clock_abs, NULL, 0, 0, 0 },
	{ "clock_nanosleep_abs_real", ABS, NULL, NULL, call_clock_abs_real, NULL, 0, 0, 0 },
	{ "futex_wait", EVENT, NULL, NULL, call_futex, wake_futex, 0, 0, 0 },
	{ "futex_wait_timed_woken", EVENT, NULL, NULL, call_futex_rel_event, wake_futex, 0, 0, 0 },
	{ "futex_wait_rel", REL, NULL, NULL, call_futex_rel, NULL, -1, ETIMEDOUT, 0 },
	{ "futex_bitset_abs", ABS, NULL, NULL, call_futex_bitset, NULL, -1, ETIMEDOUT, 0 },
	{ "futex_bitset", EVENT, NULL, NULL, call_futex_bitset_event, wake_futex, 0, 0, 0 },
	{ "futex_waitv", EVENT, NULL, NULL, call_futex_waitv, wake_futex, 0, 0, 0 },
	{ "futex_waitv_abs", ABS, NULL, NULL, call_futex_waitv_abs, NULL, -1, ETIMEDOUT, 0 },
	{ "futex_lock_pi", EVENT, NULL, hold_pi, call_futex_pi, wake_pi, 0, 0, 0 },
	{ "pause", EVENT, setup_handler, NULL, call_pause, wake_usr1, -1, EINTR, 0 },
	{ "rt_sigsuspend", EVENT, setup_handler, NULL, call_sigsuspend, wake_usr1, -1, EINTR, 0 },
	{ "rt_sigtimedwait", REL, setup_block_usr1, NULL, call_sigtimedwait, NULL, -1, EAGAIN, 1 },
	{ "sigwaitinfo", EVENT, setup_block_usr1, NULL, call_sigwaitinfo, wake_usr1, SIGUSR1, 0, 1 },
	{ "sigwaitinfo_urg_winch_chld", EVENT, setup_block_three, NULL, call_sigwait_three, wake_usr1, SIGUSR1, 0, 1 },
	{ "signalfd_urg_winch_chld", EVENT, setup_block_three, NULL, call_signalfd, wake_usr1, SIGUSR1, 0, 0 },
	{ "timerfd", ABS, NULL, NULL, call_timerfd, NULL, 1, 0, 0 },
	{ "wait4", EVENT, NULL, NULL, call_wait4, wake_exit, 7, 0, 0 },
	{ "waitid", EVENT, NULL, NULL, call_waitid, wake_exit, 7, 0, 0 },
	{ "waitid_pidfd", EVENT, NULL, NULL, call_waitid_pidfd, wake_exit, 7, 0, 0 },
	{ "poll_timed", REL, NULL, NULL, call_poll_timed, NULL, 0, 0, 0 },
	{ "ppoll_timed", ABS, NULL, NULL, call_ppoll_timed, NULL, 0, 0, 0 },
	{ "select_timed", ABS, NULL, NULL, call_select_timed, NULL, 0, 0, 0 },
	{ "pselect6_timed", ABS, NULL, NULL, call_pselect_timed, NULL, 0, 0, 0 },
	{ "poll", EVENT, setup_pipe, NULL, call_poll, wake_pipe, 1, 0, 0 },
	{ "poll_timed_woken", EVENT, setup_pipe, NULL, call_poll_long, wake_pipe, 1, 0, 0 },
	{ "ppoll", EVENT, setup_pipe, NULL, call_ppoll, wake_pipe, 1, 0, 0 },
	{ "select", EVENT, setup_pipe, NULL, call_select, wake_pipe, 1, 0, 0 },
	{ "epoll_wait", EVENT, setup_epoll, NULL, call_epoll, wake_pipe, 1, 0, 1 },
	{ "epoll_wait_timed_woken", EVENT, setup_epoll, NULL, call_epoll_long, wake_pipe, 1, 0, 1 },
	{ "epoll_wait_timed", REL, setup_epoll, NULL, call_epoll_timed, NULL, 0, 0, 1 },
	{ "epoll_pwait", EVENT, setup_epoll, NULL, call_epoll_pwait, wake_pipe, 1, 0, 1 },
	{ "epoll_pwait2", EVENT, setup_epoll, NULL, call_epoll_pwait2, wake_pipe, 1, 0, 1 },
	{ "read_pipe", EVENT, setup_pipe, NULL, call_read, wake_pipe, 4, 0, 0 },
	{ "read_socket", EVENT, setup_socket, NULL, call_read, wake_pipe, 4, 0, 0 },
	{ "read_tty", EVENT, setup_tty, NULL, call_read, wake_pipe, 4, 0, 0 },
	{ "read_eventfd", EVENT, setup_eventfd, NULL, call_eventfd, wake_eventfd, 5, 0, 0 },
	{ "read_inotify", EVENT, setup_inotify, NULL, call_inotify, wake_file, 0, 0, 0 },
	{ "write_full_pipe", EVENT, setup_full_pipe, NULL, call_write_full, wake_drain, 4, 0, 0 },
	{ "sendmsg_full_socket", EVENT, setup_full_socket, NULL, call_sendmsg_full, wake_drain, 4, 0, 0 },
	{ "recv", EVENT, setup_socket, NULL, call_recv, wake_pipe, 4, 0, 0 },
	{ "recvmsg", EVENT, setup_socket, NULL, call_recvmsg, wake_pipe, 4, 0, 0 },
	{ "recv_rcvtimeo", REL, setup_rcvtimeo, NULL, call_recv_timeo, NULL, -1, EAGAIN, 1 },
	{ "recv_rcvtimeo_woken", EVENT, setup_rcvtimeo_long, NULL, call_recv, wake_pipe, 4, 0, 1 },
	{ "recvmsg_rcvtimeo_woken", EVENT, setup_rcvtimeo_long, NULL, call_recvmsg, wake_pipe, 4, 0, 1 },
	{ "read_rcvtimeo_woken", EVENT, setup_rcvtimeo_long, NULL, call_read, wake_pipe, 4, 0, 1 },
	{ "accept4", EVENT, setup_listen, NULL, call_accept4, wake_connect, 0, 0, 0 },
	{ "accept4_rcvtimeo", EVENT, setup_listen_timeo, NULL, call_accept4, wake_connect, 0, 0, 1 },
	{ "connect", EVENT, setup_backlog, NULL, call_connect, wake_accept, 0, 0, 0 },
	{ "open_fifo", EVENT, setup_fifo, NULL, call_fifo, wake_fifo, 0, 0, 0 },
	{ "splice", EVENT, setup_two_pipes, NULL, call_splice, wake_pipe, 4, 0, 0 },
	{ "tee", EVENT, setup_two_pipes, NULL, call_tee, wake_pipe, 4, 0, 0 },
	{ "sendfile", EVENT, setup_sendfile, NULL, call_sendfile, wake_drain, 4, 0, 0 },
	{ "semop", EVENT, setup_sem, NULL, call_semop, wake_sem, 0, 0, 1 },
	{ "semtimedop", REL, setup_sem, NULL, call_semtimedop, NULL, -1, EAGAIN, 1 },
	{ "semtimedop_woken", EVENT, setup_sem, NULL, call_semtimedop_long, wake_sem, 0, 0, 1 },
	{ "msgrcv", EVENT, setup_msg, NULL, call_msgrcv, wake_msg, 4, 0, 0 },
	{ "mq_receive", EVENT, setup_mq, NULL, call_mq, wake_mq, 4, 0, 0 },
	{ "mq_timedreceive", ABS, setup_mq, NULL, call_mq_timed, NULL, -1, ETIMEDOUT, 0 },
	{ "flock", EVENT, make_tmp, hold_flock, call_flock, wake_flock, 0, 0, 0 },
	{ "fcntl_setlkw", EVENT, make_tmp, hold_posix, call_posix, wake_posix, 0, 0, 0 },
	{ "fcntl_ofd_setlkw", EVENT, make_tmp, hold_ofd, call_ofd, wake_ofd, 0, 0, 0 },
	{ "io_getevents", EVENT, setup_aio, NULL, call_aio, wake_pipe, 1, 0, 1 },
	{ "io_getevents_timed", REL, setup_aio, NULL, call_aio_timed, NULL, 0, 0, 1 },
	{ "io_pgetevents", EVENT, setup_aio, NULL, call_aio_pgetevents, wake_pipe, 1, 0, 0 },
	{ "io_uring_enter", EVENT, setup_uring_submitted, NULL, call_uring, wake_pipe, 0, 0, 1 },
	{ "io_uring_submit_and_wait", EVENT, setup_uring, NULL, call_uring_submit, wake_pipe, 1, 0, 1 },
};

#define NCASES (sizeof(cases) / sizeof(cases[0]))

static const char *const class_name[] = { "event", "abs", "rel" };

static int list(void)
{
	for (size_t i = 0; i < NCASES; i++)
		printf("%s %s %d\n", cases[i].name, class_name[cases[i].class], cases[i].never_restarts);
	return 0;
}

static void helper(const struct sleep_case *c)
{
	struct timespec ts;
	uint64_t at;

	die_with_parent();
	if (c->hold)
		c->hold();
	vs->helper_ready = 1;
	while (!vs->t0_us)
		usleep(200);
	at = vs->t0_us + sleep_ms * 1000;
	ts.tv_sec = (time_t)(at / 1000000);
	ts.tv_nsec = (long)(at % 1000000) * 1000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL))
		;
	if (c->wake)
		c->wake();
	for (;;)
		pause();
}

static void start_helper(const struct sleep_case *c)
{
	helper_pid = fork();
	if (helper_pid < 0)
		die("fork");
	if (!helper_pid)
		helper(c);
	while (!vs->helper_ready)
		usleep(200);
}

static void *churn(void *arg)
{
	uint64_t s = (uintptr_t)arg + 99;
	struct block *b = NULL;

	while (!vs->stop) {
		size_t size = BLOCK_MIN + rnd(&s) % 2000;

		if (b && block_bad(b))
			complain("thread block damaged");
		free(b);
		b = malloc(size);
		block_fill(b, size, rnd(&s));
		vs->progress[(uintptr_t)arg]++;
	}
	bloat_check(&b, 1);
	free(b);
	return NULL;
}

static void judge_result(const struct sleep_case *c, long r, int e)
{
	vs->result = r;
	vs->err = r == -1 ? e : 0;
	if (r != c->want || (c->want == -1 && e != c->want_errno))
		complain("%s: result %ld errno %d (%s), expected %ld errno %d", c->name, r, e, strerror(e), c->want,
			 c->want_errno);
	/* a wait that ended early although nothing happened is as bad as EINTR */
	if (vs->elapsed_us < sleep_ms * 1000)
		complain("%s: came back after %llu us", c->name, (unsigned long long)vs->elapsed_us);
	if (vs->handler_runs != (c->wake == wake_usr1 && c->want == -1))
		complain("%s: handler ran %llu times", c->name, (unsigned long long)vs->handler_runs);
}

static void sleep_once(const struct sleep_case *c)
{
	struct self self;
	uint64_t t;
	long r;
	int e;

	self_save(&self);
	t = now_us();
	vs->t0_us = t;
	r = c->call();
	e = errno;
	vs->elapsed_us = now_us() - t;
	if (r != -1 && e != ERRNO_CANARY)
		complain("%s: errno is %d after success", c->name, e);
	errno = ERRNO_CANARY;
	self_check(&self, c->name);
	judge_result(c, r, e);
}

/* Each exactly once, and in the order in which they were queued: their values count up. */
static void on_queued(int sig, siginfo_t *si, void *context)
{
	(void)context;
	vs->progress[0]++;
	vs->handler_runs++;
	if (!vs->stop && si->si_value.sival_int != (int)vs->handler_runs)
		complain("signal %d: number %d is the %lluth", sig, si->si_value.sival_int,
			 (unsigned long long)vs->handler_runs);
}

/* rounds is EINTR + 1 whenever it is in the call. */
static void storm(const struct sleep_case *c, int flags)
{
	const struct sigaction sa = { .sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | flags };

	must(!sigaction(SIGUSR2, &sa, NULL) && !sigaction(SIGRTMIN + 3, &sa, NULL), "sigaction");
	vs->progress[0] = 1;
	vs->ready = 1;
	while (!vs->stop) {
		struct self self;
		long r;
		int e;

		self_save(&self);
		vs->rounds++;
		r = c->call();
		e = errno;
		errno = ERRNO_CANARY;
		self_check(&self, c->name);
		if (r == -1 && e == EINTR)
			vs->eintr++;
		else if (!vs->stop)
			complain("%s: result %ld, errno %d", c->name, r, e);
	}
}

int main(int argc, char **argv)
{
	const char *name = opt(argc, argv, "case", "");
	unsigned long n = opt_num(argc, argv, "threads", 0);
	const struct sleep_case *c = NULL;
	struct block *keep[16];
	pthread_t t;

	if (opt(argc, argv, "list", NULL))
		return list();
	vstat_open(argc, argv);
	sleep_ms = opt_num(argc, argv, "ms", 2000);
	for (size_t i = 0; i < NCASES; i++)
		if (!strcmp(cases[i].name, name))
			c = &cases[i];
	if (!c)
		die("no such case");
	bloat_make(4096, keep, 16);
	if (c->setup)
		c->setup();
	start_helper(c);
	for (unsigned long i = 0; i < n; i++)
		if (pthread_create(&t, NULL, churn, (void *)i))
			die("pthread_create");
	threads_await(n);
	vs->sleeper_tid = getpid();
	if (opt(argc, argv, "storm", NULL)) {
		storm(c, opt(argc, argv, "restart", NULL) ? SA_RESTART : 0);
	} else {
		vs->ready = 1;
		sleep_once(c);
	}
	vs->stop = 1;
	bloat_check(keep, 16);
	kill(helper_pid, SIGKILL);
	ipc_cleanup();
	return vstat_finish();
}
