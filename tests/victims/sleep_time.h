/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sleeper cases: clocks, futexes, signals, children. */
#ifndef TESTS_SLEEP_TIME_H
#define TESTS_SLEEP_TIME_H

#include <linux/futex.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "sleeper.h"

static long call_nanosleep(void)
{
	struct timespec ts = rel_ts(sleep_ms), rem;

	return nanosleep(&ts, &rem);
}

static long call_clock_rel(void)
{
	struct timespec ts = rel_ts(sleep_ms);

	return clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

static long call_clock_abs(void)
{
	struct timespec ts = abs_ts(CLOCK_MONOTONIC, sleep_ms);

	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static long call_clock_abs_real(void)
{
	struct timespec ts = abs_ts(CLOCK_REALTIME, sleep_ms);

	return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL);
}

/* --- futex: the word lies in the status page, so that the helper can wake it ------------------ */

static uint32_t *fword(void)
{
	return (uint32_t *)(void *)&vs->futex;
}

static uint32_t private_word;

static void wake_futex(void)
{
	syscall(SYS_futex, fword(), FUTEX_WAKE, 1, NULL, NULL, 0);
}

static long call_futex(void)
{
	return syscall(SYS_futex, fword(), FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long call_futex_rel_event(void)
{
	struct timespec ts = rel_ts(sleep_ms * 20);

	return syscall(SYS_futex, fword(), FUTEX_WAIT, 0, &ts, NULL, 0);
}

static long call_futex_rel(void)
{
	struct timespec ts = rel_ts(sleep_ms);

	return syscall(SYS_futex, &private_word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &ts, NULL, 0);
}

static long call_futex_bitset(void)
{
	struct timespec ts = abs_ts(CLOCK_MONOTONIC, sleep_ms);

	return syscall(SYS_futex, &private_word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, &ts, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

static long call_futex_bitset_event(void)
{
	return syscall(SYS_futex, fword(), FUTEX_WAIT_BITSET, 0, NULL, NULL, FUTEX_BITSET_MATCH_ANY);
}

struct waitv {
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

static long call_futex_waitv(void)
{
	struct waitv w = { .uaddr = (uintptr_t)fword(), .flags = 2 /* 32 bit, shared */ };

	return syscall(449 /* futex_waitv */, &w, 1, 0, NULL, CLOCK_MONOTONIC);
}

static long call_futex_waitv_abs(void)
{
	struct waitv w = { .uaddr = (uintptr_t)&private_word, .flags = 2 | FUTEX_PRIVATE_FLAG };
	struct timespec ts = abs_ts(CLOCK_MONOTONIC, sleep_ms);

	return syscall(449, &w, 1, 0, &ts, CLOCK_MONOTONIC);
}

static void hold_pi(void)
{
	must(!syscall(SYS_futex, fword(), FUTEX_LOCK_PI, 0, NULL, NULL, 0), "FUTEX_LOCK_PI");
}

static void wake_pi(void)
{
	must(!syscall(SYS_futex, fword(), FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), "FUTEX_UNLOCK_PI");
}

static long call_futex_pi(void)
{
	return syscall(SYS_futex, fword(), FUTEX_LOCK_PI, 0, NULL, NULL, 0);
}

/* --- signals ---------------------------------------------------------------------------------- */

static sigset_t three; /* every signal that a tool might like to use for itself */

static void setup_block_usr1(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	must(!sigprocmask(SIG_BLOCK, &s, NULL), "sigprocmask");
}

static void setup_block_three(void)
{
	sigemptyset(&three);
	sigaddset(&three, SIGURG);
	sigaddset(&three, SIGWINCH);
	sigaddset(&three, SIGCHLD);
	sigaddset(&three, SIGUSR1);
	must(!sigprocmask(SIG_BLOCK, &three, NULL), "sigprocmask");
}

static long call_pause(void)
{
	return pause();
}

static long call_sigsuspend(void)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	return sigsuspend(&s);
}

static long call_sigtimedwait(void)
{
	struct timespec ts = rel_ts(sleep_ms);
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	return sigtimedwait(&s, NULL, &ts);
}

static long call_sigwaitinfo(void)
{
	siginfo_t si;
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	return sigwaitinfo(&s, &si);
}

static long call_sigwait_three(void)
{
	return sigwaitinfo(&three, NULL);
}

static long call_signalfd(void)
{
	struct signalfd_siginfo si;
	int fd = signalfd(-1, &three, SFD_CLOEXEC);

	must(fd >= 0, "signalfd");
	return read(fd, &si, sizeof(si)) == sizeof(si) ? (long)si.ssi_signo : -1;
}

static long call_timerfd(void)
{
	struct itimerspec it = { .it_value = rel_ts(sleep_ms) };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t n = 0;

	must(fd >= 0 && !timerfd_settime(fd, 0, &it, NULL), "timerfd");
	return read(fd, &n, 8) == 8 ? (long)n : -1;
}

/* --- children: the helper itself ends --------------------------------------------------------- */

static pid_t helper_pid;

static void wake_exit(void)
{
	_exit(7);
}

static long call_wait4(void)
{
	int st;

	return waitpid(helper_pid, &st, 0) == helper_pid && WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

static long call_waitid(void)
{
	siginfo_t si;

	memset(&si, 0, sizeof(si));
	if (waitid(P_PID, helper_pid, &si, WEXITED))
		return -1;
	return si.si_status;
}

static long call_waitid_pidfd(void)
{
	int fd = pidfd_open(helper_pid, 0);
	siginfo_t si;

	memset(&si, 0, sizeof(si));
	must(fd >= 0, "pidfd_open");
	return waitid(P_PIDFD, fd, &si, WEXITED) ? -1 : si.si_status;
}

/* --- timed waits for nothing ------------------------------------------------------------------ */

static long call_poll_timed(void)
{
	return poll(NULL, 0, (int)sleep_ms);
}

static long call_ppoll_timed(void)
{
	struct timespec ts = rel_ts(sleep_ms);
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	return ppoll(NULL, 0, &ts, &s);
}

static long call_select_timed(void)
{
	struct timeval tv = rel_tv(sleep_ms);

	return select(0, NULL, NULL, NULL, &tv);
}

static long call_pselect_timed(void)
{
	struct timespec ts = rel_ts(sleep_ms);
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	return pselect(0, NULL, NULL, NULL, &ts, &s);
}

#endif
