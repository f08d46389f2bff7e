// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/restart.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

/* include/linux/errno.h: seen by tracers only, never by programs */
#define K_ERESTARTSYS 512
#define K_ERESTARTNOINTR 513
#define K_ERESTARTNOHAND 514
#define K_ERESTART_RESTARTBLOCK 516

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/*
 * Ranks: 1 restarts exactly, or waits without a timeout. 3: a relative timeout
 * begins anew. A rule's refine() sees the arguments.
 */
#define RANK_BEST 1
#define RANK_GOOD 2
#define RANK_RESTARTS RESTART_RANK_ANEW

static unsigned int rank_recvfrom(const uint64_t *args)
{
	/* MSG_WAITALL: a stop makes it return what it has so far */
	return args[3] & MSG_WAITALL ? 0 : RANK_BEST;
}

static unsigned int rank_recvmsg(const uint64_t *args)
{
	return args[2] & MSG_WAITALL ? 0 : RANK_BEST;
}

static unsigned int rank_epoll(const uint64_t *args)
{
	return (int)args[3] < 0 ? RANK_GOOD : RANK_RESTARTS;
}

static unsigned int rank_epoll2(const uint64_t *args)
{
	return args[3] ? RANK_RESTARTS : RANK_GOOD;
}

static unsigned int rank_timeout2(const uint64_t *args)
{
	return args[2] ? RANK_RESTARTS : RANK_GOOD;
}

static unsigned int rank_semtimedop(const uint64_t *args)
{
	return args[3] ? RANK_RESTARTS : RANK_GOOD;
}

static unsigned int rank_getevents(const uint64_t *args)
{
	if (args[1] > 1) /* min_nr: would return early with fewer */
		return 0;
	return args[4] ? RANK_RESTARTS : RANK_GOOD;
}

static unsigned int rank_uring(const uint64_t *args)
{
	/*
	 * to_submit: what was submitted is the result, so a stop during the wait
	 * makes it return before anything is complete. min_complete: as above.
	 */
	return args[1] || args[2] > 1 ? 0 : RANK_GOOD;
}

static unsigned int rank_futex(const uint64_t *args)
{
	switch (args[1] & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
		return args[3] ? RANK_RESTARTS : RANK_BEST;
	case FUTEX_WAIT_BITSET: /* absolute timeout */
		return RANK_BEST;
	default: /* the priority-inheriting ones */
		return 0;
	}
}

static unsigned int rank_poll(const uint64_t *args)
{
	return (int)args[2] < 0 ? RANK_GOOD : RANK_RESTARTS;
}

static unsigned int rank_clock_nanosleep(const uint64_t *args)
{
	return args[1] & TIMER_ABSTIME ? RANK_BEST : RANK_RESTARTS;
}

static unsigned int rank_nanosleep(const uint64_t *args)
{
	(void)args;
	return RANK_RESTARTS;
}

static unsigned int rank_best(const uint64_t *args)
{
	(void)args;
	return RANK_BEST;
}

static unsigned int rank_never(const uint64_t *args)
{
	(void)args;
	return 0;
}

static const struct restart_rule {
	long nr;
	const char *name;
	unsigned int (*rank)(const uint64_t *args);
	bool rewind; /* -EINTR means that nothing was done: safe to run again */
} restart_rules[] = {
	{ SYS_pause, "pause", rank_best, false },
	{ SYS_rt_sigsuspend, "rt_sigsuspend", rank_best, false },
	{ SYS_wait4, "wait4", rank_best, false },
	{ SYS_waitid, "waitid", rank_best, false },
	/* -EINTR when the timeout lies in read-only memory (fs/select.c, poll_select_finish) */
	{ SYS_select, "select", rank_best, true },
	{ SYS_pselect6, "pselect6", rank_best, true },
	{ SYS_ppoll, "ppoll", rank_best, true },
	{ SYS_flock, "flock", rank_best, false },
	{ SYS_msgrcv, "msgrcv", rank_best, false },
	{ SYS_mq_timedreceive, "mq_timedreceive", rank_best, false },
	{ SYS_futex_waitv, "futex_waitv", rank_best, false },
	/* sockets with a receive timeout return -EINTR (net/core/sock.h, sock_intr_errno) */
	{ SYS_read, "read", rank_best, true },
	{ SYS_readv, "readv", rank_best, true },
	{ SYS_accept, "accept", rank_best, true },
	{ SYS_accept4, "accept4", rank_best, true },
	{ SYS_recvfrom, "recvfrom", rank_recvfrom, true },
	{ SYS_recvmsg, "recvmsg", rank_recvmsg, true },
	{ SYS_recvmmsg, "recvmmsg", rank_never, true },
	{ SYS_epoll_wait, "epoll_wait", rank_epoll, true },
	{ SYS_epoll_pwait, "epoll_pwait", rank_epoll, true },
	{ SYS_epoll_pwait2, "epoll_pwait2", rank_epoll2, true },
	{ SYS_rt_sigtimedwait, "rt_sigtimedwait", rank_timeout2, true },
	{ SYS_semop, "semop", rank_best, true },
	{ SYS_semtimedop, "semtimedop", rank_semtimedop, true },
	{ SYS_io_getevents, "io_getevents", rank_getevents, true },
	{ SYS_io_pgetevents, "io_pgetevents", rank_getevents, true },
	{ SYS_io_uring_enter, "io_uring_enter", rank_uring, true },
	{ SYS_futex, "futex", rank_futex, false },
	{ SYS_poll, "poll", rank_poll, false },
	{ SYS_clock_nanosleep, "clock_nanosleep", rank_clock_nanosleep, false },
	{ SYS_nanosleep, "nanosleep", rank_nanosleep, false },
	{ SYS_connect, "connect", rank_never, true },
	{ SYS_write, "write", rank_never, true },
	{ SYS_writev, "writev", rank_never, true },
	{ SYS_sendto, "sendto", rank_never, true },
	{ SYS_sendmsg, "sendmsg", rank_never, true },
};

static const struct restart_rule *restart_find(long nr)
{
	for (size_t i = 0; i < ARRAY_SIZE(restart_rules); i++)
		if (restart_rules[i].nr == nr)
			return &restart_rules[i];
	return NULL;
}

enum restart_class restart_classify(const struct user_regs_struct *regs)
{
	const struct restart_rule *rule;

	if (!arch_in_syscall(regs))
		return RESTART_NONE;

	switch (-(long long)regs->rax) {
	case K_ERESTARTSYS:
	case K_ERESTARTNOINTR:
	case K_ERESTARTNOHAND:
		return RESTART_EXACT;
	case K_ERESTART_RESTARTBLOCK:
		return RESTART_BLOCK;
	case EINTR:
		rule = restart_find((long)regs->orig_rax);
		return rule && rule->rewind ? RESTART_NEVER : RESTART_FOREIGN;
	default:
		return RESTART_NONE;
	}
}

bool restart_has_block(long nr)
{
	/* fs/select.c, kernel/time/hrtimer.c, kernel/futex/waitwake.c */
	static const long blocks[] = { SYS_poll, SYS_nanosleep, SYS_clock_nanosleep, SYS_futex };

	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		if (blocks[i] == nr)
			return true;
	return false;
}

long restart_original(const uint8_t code[ARCH_SYSCALL_CODE])
{
	const long nr = arch_syscall_loaded(code);

	return restart_has_block(nr) ? nr : -ENOENT;
}

unsigned int restart_rank(long nr, const uint64_t args[RESTART_ARGS])
{
	const struct restart_rule *rule = restart_find(nr);

	return rule ? rule->rank(args) : 0;
}

const char *restart_name(long nr)
{
	const struct restart_rule *rule = restart_find(nr);

	return rule ? rule->name : "a system call";
}
