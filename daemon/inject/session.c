// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pstat.h"
#include "base/pstatus.h"
#include "inject/seccomp.h"
#include "inject/trace.h"

#define LOOK_AGAIN_NS 20000000ull
#define SEIZE_TRIES 4

int inject_open_thread(const struct inject_target *target, pid_t tid)
{
	char path[sizeof("task/-2147483648")];

	(void)snprintf(path, sizeof(path), "task/%d", tid);
	return openat(target->piddir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Set once in a process: see inject_is_late(). */
static bool late;

void inject_note_late(void)
{
	late = true;
}

bool inject_is_late(void)
{
	return late;
}

/* The thread must be one of the process that we looked at: the directory fd is of that process. */
static int inject_is_member(const struct inject_target *target, pid_t tid)
{
	_cleanup_close_ int dir = inject_open_thread(target, tid);

	return dir < 0 ? -ESRCH : 0;
}

/* -EPERM of PTRACE_SEIZE means "may not", "somebody else does" and "it is exiting". */
static int inject_why_not(const struct inject_target *target, pid_t tid)
{
	_cleanup_close_ int dir = inject_open_thread(target, tid);
	struct pstatus st;

	if (dir < 0 || pstatus_read(dir, &st) < 0 || st.state == 'Z' || st.state == 'X')
		return -ESRCH;
	/* By ourselves, in vain: it never came to a stop, and is let go when we end. */
	if (st.tracer == getpid())
		return -ETIMEDOUT;
	return st.tracer ? -EALREADY : -EPERM;
}

/* Whoever traced it may let go between the two looks, which would look like a lack of permission. */
static int inject_seize(const struct inject_target *target, pid_t tid)
{
	int r = -EPERM;

	for (int i = 0; i < SEIZE_TRIES && r == -EPERM; i++) {
		r = trace_seize(tid);
		if (r == -EPERM)
			r = inject_why_not(target, tid);
	}
	return r;
}

/*
 * A thread that has been woken but gets no CPU is not stuck, and giving it up
 * would show its program the EINTR that our wake-up has caused.
 */
static char session_state(const struct inject *inj)
{
	_cleanup_close_ int dir = inject_open_thread(inj->target, inj->tid);
	struct pstat st;

	return dir >= 0 && pstat_read(dir, &st) == 0 ? st.state : 'X';
}

static int inject_wait_stop(struct inject *inj, uint64_t deadline_ns)
{
	const uint64_t limit_ns = deadline_ns + STARVED_NS;

	for (;;) {
		int status, r = trace_wait(inj->tid, deadline_ns, &status);

		if (r == -ETIMEDOUT && clock_ns() < limit_ns && session_state(inj) != 'D') {
			deadline_ns = clock_ns() + LOOK_AGAIN_NS;
			continue;
		}
		if (r == -ESRCH && inject_follow(inj))
			continue;
		if (r == -ESRCH)
			inj->state = INJECT_RELEASED;
		if (r < 0)
			return r;
		if (inject_is_our_stop(status)) {
			inj->state = INJECT_STOPPED;
			return 0;
		}
		if (EVENT(status) == PTRACE_EVENT_STOP) {
			/* Group-stop: detaching leaves it stopped, as whoever stopped it wants. */
			inj->state = INJECT_STOPPED;
			inject_release(inj, NULL, 0);
			return -EBUSY;
		}
		if (EVENT(status) == PTRACE_EVENT_EXEC) {
			/* What is known is of the program that it was. */
			inject_release(inj, NULL, 0);
			return -ESTALE;
		}
		/*
		 * A signal on its way: it is the program's, pass it on and wait for ours. One that is ignored has woken
		 * it all the same; it comes to our stop before it is told of that.
		 */
		r = trace_interrupt(inj->tid);
		if (r == 0)
			r = trace_cont(inj->tid, EVENT(status) ? 0 : WSTOPSIG(status));
		/* -ESRCH: killed, which the next wait tells, and reaps it. */
		if (r < 0 && r != -ESRCH)
			return r;
	}
}

bool inject_may_resume(const struct inject *inj)
{
	static const struct seccomp_call resume = SECCOMP_CALL(restart_syscall);
	_cleanup_close_ int dir = inject_open_thread(inj->target, inj->tid);
	const char *name;
	struct pstatus st;

	if (dir < 0 || pstatus_read(dir, &st) < 0)
		return false;
	return st.seccomp == SECCOMP_MODE_DISABLED || seccomp_allows(inj->tid, &resume, 1, &name) == 0;
}

int inject_peek(const struct inject_target *target, uint64_t addr, void *buf, size_t len, uint64_t deadline_ns)
{
	int r = target->look ? target->look(target->look_ctx, addr, len, deadline_ns) : 0;

	return r < 0 ? r : trace_peek(target->mem_fd, addr, buf, len);
}

long inject_original_call(const struct inject_target *target, uint64_t pc, uint64_t deadline_ns)
{
	uint8_t code[ARCH_SYSCALL_CODE];
	int r;

	if (pc < sizeof(code))
		return -ENOENT;
	r = inject_peek(target, pc - sizeof(code), code, sizeof(code), deadline_ns);
	if (r == -ETIME || r == -EPIPE)
		return r;
	return r < 0 ? -ENOENT : restart_original(code);
}

/* What inj->regs say of the call that it was stopped in. */
static void session_classify(struct inject *inj)
{
	inj->restart = restart_classify(&inj->regs);
	inj->nr = (long)inj->regs.orig_rax;
	if (inj->restart != RESTART_BLOCK)
		return;
	if (inj->nr == SYS_restart_syscall)
		inj->nr = inject_original_call(inj->target, inj->regs.rip, clock_ns() + INJECT_LOOK_NS);
	/* By int 0x80 other numbers are meant: 0 is restart_syscall() there, which nothing can resume after a chain. */
	if (inj->nr >= 0 && !restart_has_block(inj->nr))
		inj->nr = -ENOENT;
	inj->may_resume = inject_may_resume(inj);
}

void inject_own_regs(const struct inject *inj, bool forgotten, struct user_regs_struct *ret)
{
	*ret = inj->regs;
	if (inj->restart == RESTART_BLOCK && forgotten)
		ret->orig_rax = (unsigned long long)inj->nr;
	if (inj->restart == RESTART_NEVER || (inj->restart == RESTART_BLOCK && forgotten))
		arch_undecide_syscall(ret);
}

/*
 * A thread that we only looked at: calls that the kernel never restarts would show the program our visit, and one that
 * may not be resumed begins anew, as after a chain. Returns the registers with which it goes on: @buf; NULL: as it is.
 */
static const struct user_regs_struct *session_leave(const struct inject *inj, struct user_regs_struct *buf)
{
	bool anew = inj->restart == RESTART_BLOCK && !inj->may_resume && inj->nr >= 0;

	inject_own_regs(inj, anew, buf);
	return anew || inj->restart == RESTART_NEVER ? buf : NULL;
}

int inject_open(const struct inject_target *target, pid_t tid, uint64_t deadline_ns, struct inject **ret)
{
	_cleanup_inject_ struct inject *inj = calloc(1, sizeof(*inj));
	const struct user_regs_struct *leave;
	struct user_regs_struct regs;
	int r;

	if (!inj)
		return -ENOMEM;
	inj->target = target;
	inj->tid = tid;
	inj->state = INJECT_RELEASED;
	inj->revoke_below = UINT64_MAX;
	inj->stop_ns = clock_ns();

	r = inject_seize(target, tid);
	if (r < 0)
		return r;
	inj->state = INJECT_SEIZED;
	r = trace_interrupt(tid);
	if (r == -ESRCH && inject_follow(inj))
		r = 0;
	/* It has exited, and been reaped: no stop of it is to come. */
	if (r == -ESRCH)
		inj->state = INJECT_RELEASED;
	if (r == 0)
		r = inject_wait_stop(inj, deadline_ns);
	if (r == 0)
		r = trace_getregs(tid, &inj->regs);
	if (r < 0)
		return r;
	/* Known before anything else can fail, so that letting go is right for whoever this thread turns out to be. */
	session_classify(inj);
	/* Should we be killed while we look at it, it goes on as if nobody had been here. */
	leave = session_leave(inj, &regs);
	if (leave)
		r = trace_setregs(tid, leave);
	if (r == 0)
		r = inject_is_member(target, tid);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(inj);
	return 0;
}

void inject_where(const struct inject *inj, struct inject_stop *ret)
{
	arch_cpu_regs(&inj->regs, &ret->regs);
	ret->in_syscall = arch_in_syscall(&inj->regs) && inj->restart != RESTART_NONE;
	ret->nr = ret->in_syscall ? inj->nr : -1;
}

void inject_demand(struct inject *inj, uint64_t stack_room, bool keep)
{
	inj->room = stack_room;
	inj->revoke_below = keep ? 0 : UINT64_MAX;
}

uint64_t inject_stopped_ns(const struct inject *inj)
{
	uint64_t end = inj->state == INJECT_RELEASED ? inj->release_ns : clock_ns();

	return end > inj->stop_ns ? end - inj->stop_ns : 0;
}

const struct user_regs_struct *inject_go_on(struct inject *inj, struct user_regs_struct *buf)
{
	if (trace_getregs(inj->tid, buf) < 0)
		return NULL;
	if (inject_is_back(inj)) {
		inj->regs = *buf;
		session_classify(inj);
		return session_leave(inj, buf);
	}
	switch (restart_classify(buf)) {
	case RESTART_BLOCK:
		if (buf->orig_rax == SYS_restart_syscall || inject_may_resume(inj))
			return NULL;
		break;
	case RESTART_NEVER:
		/* A lease's own wait is to end. */
		if (inj->chain.syscall_insn && buf->rip - inj->chain.syscall_insn < ARCH_SYSCALL_LEN)
			return NULL;
		break;
	default:
		return NULL;
	}
	arch_undecide_syscall(buf);
	return buf;
}

/*
 * It couldn't be detached, so it has been killed: nobody but its tracer can make an end of it, and until then wait() of
 * its parent, or an exec of its process, doesn't come back. Its first thread can't be reaped before all others have
 * gone, of which the last gives back the memory.
 */
static void session_reap(const struct inject *inj)
{
	const uint64_t limit = clock_ns() + STARVED_NS;

	do {
		int status, r = trace_wait(inj->tid, clock_ns() + LOOK_AGAIN_NS, &status);

		/* Reaped, or not ours. */
		if (r < 0 && r != -ETIMEDOUT)
			return;
		/* It stands there after all. */
		if (trace_detach(inj->tid, r == 0 && !EVENT(status) ? WSTOPSIG(status) : 0) == 0)
			return;
	} while (clock_ns() < limit);
	inject_note_late();
}

void inject_release(struct inject *inj, const struct user_regs_struct *regs, int sig)
{
	if (inj->state == INJECT_RELEASED)
		return;
	/* Whatever the first says: nobody is to stay stopped. */
	if (regs)
		(void)!trace_setregs(inj->tid, regs);
	if (trace_detach(inj->tid, sig) < 0)
		session_reap(inj);
	inj->state = INJECT_RELEASED;
	inj->release_ns = clock_ns();
}

bool inject_follow(struct inject *inj)
{
	if (inj->state == INJECT_RELEASED || inj->tid == inj->target->pid)
		return false;
	/* If it hasn't executed anything it was killed, and must be reaped before its number is forgotten. */
	session_reap(inj);
	inj->tid = inj->target->pid;
	return true;
}

void inject_let_go(struct inject *inj)
{
	struct user_regs_struct regs;

	inject_release(inj, inject_go_on(inj, &regs), 0);
}

void inject_close(struct inject *inj)
{
	struct user_regs_struct regs;

	if (!inj)
		return;
	switch (inj->state) {
	case INJECT_STOPPED:
		inject_release(inj, session_leave(inj, &regs), 0);
		break;
	case INJECT_COMMITTED:
		/* It finishes the chain by itself: only let go. */
		if (inject_finish(inj, NULL, NULL) == -ETIMEDOUT)
			inject_note_late();
		break;
	case INJECT_SEIZED:
		/*
		 * Never stopped (D state): detaching isn't possible now. When this
		 * process ends the kernel detaches and forgets the request to stop
		 * (__ptrace_unlink).
		 */
		inject_note_late();
		break;
	case INJECT_RELEASED:
		break;
	}
	free(inj);
}
