/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to the room: the state behind struct inject. */
#ifndef RECLAIM_INJECT_SESSION_H
#define RECLAIM_INJECT_SESSION_H

#include <sys/user.h>

#include "inject/inject.h"
#include "inject/restart.h"

enum inject_state {
	INJECT_SEIZED, /* attached and running: can't be detached until it stops */
	INJECT_STOPPED, /* ours, unchanged */
	INJECT_COMMITTED, /* runs the chain, or will when resumed */
	INJECT_RELEASED, /* detached, or dead */
};

struct inject {
	const struct inject_target *target;
	pid_t tid;
	enum inject_state state;
	struct user_regs_struct regs; /* as they were at the stop */
	enum restart_class restart;
	uint64_t stop_ns, commit_ns, done_ns, release_ns;
	uint64_t sigmask;
	int notifier; /* signal that tells us that the chain is done */
	struct chain_state cont; /* what the chain restores */
	ssize_t xraw_len, xframe_len;
	unsigned char xraw[ARCH_XSTATE_MAX]; /* NT_X86_XSTATE as read */
	unsigned char xframe[ARCH_XSTATE_MAX]; /* the same for a signal frame */
	struct chain chain;
};

/*
 * The registers with which the thread goes on as if nobody had stopped it:
 * whether its system call runs again or returns EINTR is for the kernel to
 * decide, by whether a handler runs. @forgotten: a chain has run, so the
 * kernel's restart block is gone.
 */
void inject_own_regs(const struct inject *inj, bool forgotten, struct user_regs_struct *ret);

/* An O_PATH fd of /proc/PID/task/TID, or -1. */
int inject_open_thread(const struct inject_target *target, pid_t tid);

/* Waits for the end of the chain that has been committed, see inject_call(). */
int inject_await(struct inject *inj, uint64_t deadline_ns) __must_check;

/*
 * Detaches with @sig after making @regs the thread's registers (NULL: as they
 * are). The thread counts as released whatever happens: the only failure is
 * that it has been killed meanwhile.
 */
void inject_release(struct inject *inj, const struct user_regs_struct *regs, int sig);

#endif
