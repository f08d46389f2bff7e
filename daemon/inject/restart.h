/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a stop does to a system call that the thread sleeps in, and how to
 * undo it. Three classes, told apart by what the kernel left in rax:
 *
 *  restarted exactly: -ERESTARTSYS, -ERESTARTNOINTR, -ERESTARTNOHAND. The
 *	kernel runs the call again; nobody notices.
 *  restart block: -ERESTART_RESTARTBLOCK (nanosleep, timed poll and futex).
 *	rt_sigreturn forgets the block, so after a chain the call starts again
 *	with its arguments: a relative timeout begins anew.
 *  never restarted: -EINTR although no handler ran (epoll_wait,
 *	rt_sigtimedwait, semtimedop, sockets with a timeout, io_getevents). The
 *	program would see EINTR only because we looked: these are rewound.
 *
 * Measured on Linux 6.18; arch/x86/kernel/signal.c (arch_do_signal_or_restart,
 * handle_signal) and signal(7).
 */
#ifndef RECLAIM_INJECT_RESTART_H
#define RECLAIM_INJECT_RESTART_H

#include <stdbool.h>

#include "inject/arch.h"

enum restart_class {
	RESTART_NONE, /* not in a call, or the call is complete: nothing to do */
	RESTART_EXACT,
	RESTART_BLOCK,
	RESTART_NEVER, /* rewind it, unless a handler is about to run anyway */
	RESTART_FOREIGN, /* -EINTR from a call we know nothing about: leave it as it is */
};

enum restart_class restart_classify(const struct user_regs_struct *regs);

/* Is @nr, of a 64-bit call, one of those that the kernel keeps a restart block for? */
bool restart_has_block(long nr);

/*
 * A thread that was stopped in poll(), nanosleep(), clock_nanosleep() or a
 * timed futex() goes on in restart_syscall(), and stays there until the call
 * ends: from then on the kernel tells that number. @code: what lies in front of
 * where it sleeps. The real number, or -ENOENT when it can't be told.
 */
long restart_original(const uint8_t code[ARCH_SYSCALL_CODE]);

#define RESTART_ARGS 6

/*
 * May a thread that sleeps in @nr with these arguments be hijacked? Then the
 * rank, 1 being the best; 0 when not. Never: clone, exec, exit, memory
 * management, ioctl, anything unknown, and calls that would return early with
 * part of their result because of the stop (MSG_WAITALL, writes).
 */
#define RESTART_RANK_ANEW 3 /* a relative timeout begins anew */
unsigned int restart_rank(long nr, const uint64_t args[RESTART_ARGS]);

/* Name of a known call, else "a system call". */
const char *restart_name(long nr);

#endif
