/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to the room: the state behind struct inject. */
#ifndef RECLAIM_INJECT_SESSION_H
#define RECLAIM_INJECT_SESSION_H

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "base/pstatus.h"
#include "inject/inject.h"
#include "inject/restart.h"
#include "inject/seccomp.h"

#define STARVED_NS 2000000000ull /* for a thread that only waits for a CPU */
#define EVENT(status) ((status) >> 16) /* PTRACE_EVENT_*, of a wait status */

/* The stop that trace_interrupt() asks for; a SIGCONT to the process makes one more (JOBCTL_TRAP_NOTIFY). */
static inline bool inject_is_our_stop(int status)
{
	return EVENT(status) == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTRAP;
}

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
	bool may_resume; /* RESTART_BLOCK: its filters let it make restart_syscall() */
	long nr; /* of the call it was stopped in: not restart_syscall() where the real one can be told */
	uint64_t stop_ns, commit_ns, done_ns, release_ns;
	uint64_t look_again_ns; /* no sooner, only because it seems to be back */
	uint64_t sigmask;
	uint64_t room; /* free stack asked for; 0: INJECT_STACK_ROOM */
	/* A chain that waits for a lock may be taken back while rsp is below this: see inject_demand(). */
	uint64_t revoke_below;
	int notifier; /* signal that tells us that the chain is done */
	int undone; /* -errno: why the call was left, on the way to the chain's last frame */
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

/*
 * Reads where only the target itself says that there is something: not before target->look() has been there. 0, what
 * that says, or -EFAULT.
 */
int inject_peek(const struct inject_target *target, uint64_t addr, void *buf, size_t len,
		uint64_t deadline_ns) __must_check;
#define INJECT_LOOK_NS (50 * 1000000ull) /* under a stop: far more than a look ever takes */

/* What restart_original() says of a thread that sleeps at @pc. Also -ETIME, -EPIPE. */
long inject_original_call(const struct inject_target *target, uint64_t pc, uint64_t deadline_ns);

/*
 * A thread that slept in nanosleep(), poll() and the like goes on in restart_syscall(). A filter that lists what is
 * allowed may not know that call, and the kernel would kill the program for it. Unsure counts as no.
 */
bool inject_may_resume(const struct inject *inj);

/* An O_PATH fd of /proc/PID/task/TID, or -1. */
int inject_open_thread(const struct inject_target *target, pid_t tid);

/* Code that must be at an address. */
struct inject_bytes {
	uint64_t addr;
	const uint8_t *bytes;
	size_t len; /* <= INJECT_CODE_BYTES */
};

struct inject_check {
	uint64_t restorer;
	const struct inject_bytes *code;
	size_t ncode;
	const struct seccomp_call *calls; /* that the chain makes, besides rt_sigreturn */
	size_t ncalls;
};

/* All checks before a chain but that of the stack's room, and all that it has to put back into inj->cont. */
int inject_prepare(struct inject *inj, const struct inject_check *check, struct pstatus *ret_status,
		   const char **ret_why) __must_check;

/* -ENOSPC unless inj->chain lies in @stack with @room bytes below it. */
int inject_check_room(const struct inject *inj, const struct inject_stack *stack, uint64_t room) __must_check;

/* Sends the thread into inj->chain, which has been written. */
int inject_commit(struct inject *inj) __must_check;

/* Waits for the end of the chain that has been committed, see inject_call(). */
int inject_await(struct inject *inj, uint64_t deadline_ns) __must_check;

/* Its parts. One stop of a thread that runs the chain: 1 to go on waiting, else the result of inject_await(). */
int inject_handle_stop(struct inject *inj, int status) __must_check;

/*
 * Takes the chain back when it only waits for a lock (-EDEADLK), else lets the
 * thread go for good (-EINPROGRESS) when @last, or on (1). 0 when it is back already.
 */
int inject_call_back(struct inject *inj, bool last) __must_check;

/* Of a thread that stands still: has its chain ended, whether or not anybody has told us? */
bool inject_is_back(const struct inject *inj);

/*
 * The registers with which a committed thread goes on from a stop of ours: @buf, or NULL as they are. It may be back in
 * its own code since long, in any call; or what the chain has called (a finalizer of Python's, its lock) sleeps in a
 * call that the kernel doesn't restart, or for a time, and restart_syscall() may not be made: then that begins anew.
 */
const struct user_regs_struct *inject_go_on(struct inject *inj, struct user_regs_struct *buf);

/* Detaches it so: it finishes its chain, or goes on as if we had not stopped it. */
void inject_let_go(struct inject *inj);

/*
 * Nobody of ours has the number of a thread that we let run. One that executes a program becomes the leader, whatever
 * it was, and comes to a stop there (PTRACE_EVENT_EXEC) which only we end. true: from now on @inj is the leader, to be
 * waited for again. If that isn't ours either, the thread has exited.
 */
bool inject_follow(struct inject *inj) __must_check;

/* The chain is over, and the signal that tells of it comes next, if the thread goes on: nothing has run since. */
bool inject_is_about_to_tell(const struct inject *inj, const struct user_regs_struct *regs);

/* Does the thread stand where the chain leaves it? */
bool inject_is_through(const struct inject *inj, const struct user_regs_struct *regs);

/*
 * The thread, which is committed and runs, goes on alone with whatever it does now; it has to be stopped to be let go.
 * @alive is called every 20 ms. 0; -ETIMEDOUT: it got no CPU for two seconds. The stop will come, and then only our end
 * frees it.
 */
int inject_finish(struct inject *inj, void (*alive)(void *ctx), void *ctx) __must_check;

/*
 * Detaches the thread, which stands in a stop of ours, with @sig after making @regs its
 * registers (NULL: as they are). One that has been killed meanwhile is reaped. It counts as
 * released whatever happens: where that takes too long, inject_is_late(). Twice does no harm.
 */
void inject_release(struct inject *inj, const struct user_regs_struct *regs, int sig);

#endif
