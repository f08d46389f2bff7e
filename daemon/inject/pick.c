// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/pick.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/procfs.h"
#include "base/pstat.h"
#include "inject/beside.h"
#include "inject/partial.h"
#include "inject/restart.h"
#include "inject/session.h"

#define PICK_THREADS_MAX 1024 /* looked at per round; more threads than that don't make the choice better */
#define PICK_CANDIDATES 16
#define PICK_STOP_NS (20 * 1000000ull) /* a thread that doesn't stop in 20 ms is in a bad state */
#define PICK_PAUSE_FIRST_NS 500000ul
#define PICK_PAUSE_LAST_NS 20000000ul

#define PICK_VETOES 64
#define CALL_LEN 192 /* "running", or nine numbers of 64 bits */
#define PF_IO_WORKER 0x10 /* include/linux/sched.h */
#define PF_USER_WORKER 0x4000 /* since Linux 6.4 */

struct candidate {
	pid_t tid;
	unsigned int rank; /* 1.. asleep; 0 running */
	long nr;
	uint64_t sp, pc;
	bool parent; /* it has children, see pick_order() */
	char call[CALL_LEN]; /* what /proc says of it: number, arguments, sp, pc */
};

struct pick {
	const struct inject_target *target;
	const struct inject_prover *prover;
	const struct inject_search *search;
	struct candidate sleeping[PICK_CANDIDATES], running[PICK_CANDIDATES];
	size_t nsleeping, nrunning;
	struct candidate vetoed[PICK_VETOES]; /* stopped in vain where they sleep: not again as long as they do */
	size_t nvetoed;
	pid_t beside; /* the pause has ended on its processor; 0: on any */
	size_t nskip, nseen; /* sleepers that earlier rounds have tried in vain; all seen in this one */
	struct inject_found found;
	unsigned long pause_ns;
	unsigned int seed;
};

/* Nobody is stopped meanwhile, so it may take its time. */
static long pick_original_call(const struct pick *p, uint64_t pc)
{
	return inject_original_call(p->target, pc, MAX(p->search->deadline_ns, clock_ns() + INJECT_LOOK_NS));
}

/* What pick_read_call() has read. -EAGAIN, -EBADMSG: not this thread; -ETIME, -EPIPE end the search. */
static int pick_parse_call(const struct pick *p, struct candidate *ret, uint64_t args[RESTART_ARGS])
{
	const char *text = ret->call;
	uint64_t v[9];
	char *end;
	long nr;

	if (!strncmp(text, "running", 7)) {
		ret->rank = 0;
		ret->nr = -1;
		return 0;
	}
	errno = 0;
	nr = strtol(text, &end, 10);
	if (errno || end == text || nr < 0)
		return -EAGAIN; /* asleep in a page fault or the like */
	for (size_t i = 1; i < ARRAY_SIZE(v); i++) {
		const char *start = end;

		v[i] = strtoull(start, &end, 16);
		if (end == start)
			return -EBADMSG;
	}
	memcpy(args, v + 1, RESTART_ARGS * sizeof(v[0]));
	ret->nr = nr;
	ret->sp = v[7];
	ret->pc = v[8];
	if (nr == SYS_restart_syscall)
		ret->nr = nr = pick_original_call(p, ret->pc);
	if (nr == -ETIME || nr == -EPIPE)
		return (int)nr;
	ret->rank = restart_rank(nr, args);
	return ret->rank ? 0 : -EAGAIN;
}

/*
 * Its SIGCHLD goes to whoever has forked. Ignored by default it is dropped where it is sent, but not for a thread that
 * is traced, or has it blocked, as in a chain: then the kernel wakes another, whose call may return EINTR.
 */
static bool pick_is_parent(const struct pick *p, pid_t tid)
{
	char path[sizeof("task/-2147483648/children")], text[16];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "task/%d/children", tid);
	n = procfs_read(p->target->piddir, path, text, sizeof(text));
	return n > 0 || n == -ENOBUFS;
}

static unsigned int pick_order(const struct candidate *c)
{
	return c->rank + (c->parent ? RESTART_RANK_ANEW : 0);
}

/* In order; among equals the main thread comes last: Python, for one, runs signal handlers only there. */
static void pick_insert(struct candidate *v, size_t *n, const struct candidate *c, pid_t leader)
{
	const unsigned int order = pick_order(c);
	size_t at = *n;

	while (at > 0 &&
	       (pick_order(&v[at - 1]) > order || (pick_order(&v[at - 1]) == order && v[at - 1].tid == leader)))
		at--;
	/* The leader keeps a place: it may be the only one of many that can be used. */
	if (at >= PICK_CANDIDATES && c->tid != leader)
		return;
	at = MIN(at, (size_t)PICK_CANDIDATES - 1);
	if (*n < PICK_CANDIDATES)
		(*n)++;
	memmove(&v[at + 1], &v[at], (*n - at - 1) * sizeof(*v));
	v[at] = *c;
}

static bool pick_is_vetoed(const struct pick *p, const struct candidate *c)
{
	for (size_t i = 0; i < MIN(p->nvetoed, (size_t)PICK_VETOES); i++)
		if (p->vetoed[i].tid == c->tid && p->vetoed[i].sp == c->sp && p->vetoed[i].pc == c->pc)
			return true;
	return false;
}

/* The kernel's own workers for a process (io_uring) look like its threads; a stop would abort their work. */
static bool pick_is_kernels(const struct pick *p, pid_t tid)
{
	_cleanup_close_ int dir = inject_open_thread(p->target, tid);
	struct pstat st;

	return dir < 0 || pstat_read(dir, &st) < 0 || (st.flags & (PF_IO_WORKER | PF_USER_WORKER));
}

/* "NR A0 A1 A2 A3 A4 A5 SP PC", "-1 SP PC" or "running": fs/proc/base.c, proc_pid_syscall(). */
static ssize_t pick_read_call(const struct pick *p, pid_t tid, char ret[CALL_LEN])
{
	char path[64];

	(void)snprintf(path, sizeof(path), "task/%d/syscall", tid);
	return procfs_read(p->target->piddir, path, ret, CALL_LEN);
}

/*
 * In the very call in which it was seen, or still at work? To look through all threads, and to prove, takes a while;
 * by now it may be in a write() that a stop would cut short.
 */
static bool pick_is_unchanged(const struct pick *p, const struct candidate *c)
{
	char call[CALL_LEN];

	return pick_read_call(p, c->tid, call) > 0 && !strcmp(call, c->call);
}

static bool pick_is_avoided(const struct pick *p, pid_t tid)
{
	if (p->search->only && tid != p->search->only)
		return true;
	for (size_t i = 0; i < p->search->navoid; i++)
		if (p->search->avoid[i] == tid)
			return true;
	return false;
}

static bool pick_reads_several(const struct pick *p, long nr, uint64_t fd)
{
	return (nr == SYS_read || nr == SYS_readv || nr == SYS_recvfrom || nr == SYS_recvmsg) &&
	       partial_read(p->target, fd);
}

/* It waits for a lock of the library's own. */
static bool pick_is_libcs(const struct pick *p, long nr, const uint64_t args[RESTART_ARGS])
{
	return nr == SYS_futex && args[0] >= p->search->data_lo && args[0] < p->search->data_hi;
}

static int pick_look(struct pick *p, pid_t tid)
{
	struct candidate c = { .tid = tid };
	uint64_t args[RESTART_ARGS] = { 0 };
	ssize_t n = pick_read_call(p, tid, c.call);
	int r;

	if (n < 0)
		return n == -ESRCH ? 0 : (int)n;
	r = pick_parse_call(p, &c, args);
	if (r < 0)
		return r == -ETIME || r == -EPIPE ? r : 0;
	if (c.rank ? !c.sp || !c.pc || pick_is_vetoed(p, &c) : pick_is_kernels(p, tid))
		return 0;
	if (pick_is_libcs(p, c.nr, args))
		return 0;
	if (c.rank && tid != p->target->pid && p->nseen++ < p->nskip)
		return 0;
	if (c.rank && pick_reads_several(p, c.nr, args[0]))
		return 0;
	c.parent = pick_is_parent(p, tid);
	if (c.rank)
		pick_insert(p->sleeping, &p->nsleeping, &c, p->target->pid);
	else
		pick_insert(p->running, &p->nrunning, &c, p->target->pid);
	return 0;
}

/* Our timer has met it where it is, as long as we are on its processor. Who is to come last still does. */
static void pick_beside_first(struct pick *p)
{
	for (size_t i = 1; i < p->nrunning; i++) {
		const struct candidate c = p->running[i];

		if (c.tid != p->beside || c.tid == p->target->pid || pick_order(&c) != pick_order(&p->running[0]))
			continue;
		memmove(&p->running[1], &p->running[0], i * sizeof(c));
		p->running[0] = c;
	}
}

static int pick_list(struct pick *p)
{
	_cleanup_close_ int fd = openat(p->target->piddir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *de = NULL;
	size_t seen = 0;

	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	(void)TAKE_FD(fd);
	p->nsleeping = p->nrunning = p->nseen = 0;
	while (seen < PICK_THREADS_MAX && (errno = 0, de = readdir(dir))) {
		pid_t tid;
		int r;

		if (parse_pid(de->d_name, &tid) < 0)
			continue;
		/* One that we avoid is there all the same: the process has not exited. */
		seen++;
		r = pick_is_avoided(p, tid) ? 0 : pick_look(p, tid);
		if (r < 0)
			return r;
	}
	if (!seen && !de && errno)
		return -errno;
	pick_beside_first(p);
	return seen ? 0 : -ESRCH;
}

static int pick_prove(struct pick *p, const struct cpu_regs *regs)
{
	const uint64_t room = p->search->stack_room ? p->search->stack_room : INJECT_STACK_ROOM;
	const uint64_t need = CHAIN_STACK_MIN(p->target->xstate.xstate_size) + room;
	const struct inject_stack *stack = &p->found.stack;
	int r = p->prover->prove(p->prover->ctx, regs, &p->found.stack);

	p->found.why = NULL;
	if (r == 0 && (regs->r[CPU_RSP] < stack->lo || regs->r[CPU_RSP] - stack->lo < need)) {
		p->found.why = "not enough room on its stack";
		r = -EAGAIN;
	}
	return r;
}

static int pick_prove_or_veto(struct pick *p, const struct candidate *c, const struct cpu_regs *regs)
{
	int r = pick_prove(p, regs);

	if (r == -EAGAIN && c->rank)
		p->vetoed[p->nvetoed++ % PICK_VETOES] = *c;
	return r;
}

/*
 * It was at work, and went into a call before our stop came: it stands as one that slept there and was woken by us. One
 * that calls often is never met elsewhere where the kernel's request takes longer to reach its processor than it is
 * between two calls. What was judged from outside for a sleeper is judged here.
 */
static bool pick_enters(const struct pick *p, const struct inject *inj, const struct inject_stop *stop,
			struct candidate *c)
{
	const uint64_t *r = stop->regs.r;
	const uint64_t args[RESTART_ARGS] = { r[CPU_RDI], r[CPU_RSI], r[CPU_RDX], r[CPU_R10], r[CPU_R8], r[CPU_R9] };

	if (p->search->which != INJECT_ANY || stop->nr < 0 || inj->restart == RESTART_FOREIGN)
		return false;
	if (pick_is_libcs(p, stop->nr, args) || pick_reads_several(p, stop->nr, args[0]))
		return false;
	c->nr = stop->nr;
	c->rank = restart_rank(stop->nr, args);
	return c->rank;
}

/* 0: found, stopped. -EAGAIN: not this one, not now. */
static int pick_try(struct pick *p, const struct candidate *c)
{
	_cleanup_inject_ struct inject *inj = NULL;
	struct candidate now = *c;
	struct inject_stop stop;
	/* Its own time to stop, also at the end of the search: a late stop is not a stuck thread. */
	uint64_t deadline = clock_ns() + PICK_STOP_NS;
	int r;

	if (c->rank) {
		struct cpu_regs regs = { .valid = (1u << CPU_RSP) | (1u << CPU_RIP) };

		regs.r[CPU_RSP] = c->sp;
		regs.r[CPU_RIP] = c->pc;
		r = p->prover->prepare(p->prover->ctx, &regs);
		if (r < 0)
			return r;
	}
	if (!pick_is_unchanged(p, c))
		return -EAGAIN;
	r = inject_open(p->target, c->tid, deadline, &inj);
	if (r < 0)
		return r == -ESRCH ? -EAGAIN : r;
	p->found.looks++;
	inject_where(inj, &stop);
	if (c->rank &&
	    (!stop.in_syscall || stop.nr != c->nr || stop.regs.r[CPU_RSP] != c->sp || stop.regs.r[CPU_RIP] != c->pc))
		r = -EAGAIN; /* woke up meanwhile */
	else if (!c->rank && stop.in_syscall && !pick_enters(p, inj, &stop, &now))
		r = -EAGAIN; /* judge it from outside next time */
	else
		r = pick_prove_or_veto(p, c, &stop.regs);
	if (r == 0) {
		p->found.tid = c->tid;
		p->found.asleep = c->rank != 0;
		p->found.restarts = now.rank == RESTART_RANK_ANEW;
		p->found.where = now.rank ? restart_name(now.nr) : "user code";
		p->found.inj = TAKE_PTR(inj);
		return 0;
	}
	inject_stops_add(&p->found.stops, inject_stopped_ns(inj));
	return r;
}

static int pick_try_all(struct pick *p, const struct candidate *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = pick_try(p, &v[i]);

		if (r != -EAGAIN)
			return r;
		if (clock_ns() >= p->search->deadline_ns)
			break;
	}
	return -EAGAIN;
}

/* On the processor of one of those that are tried first, if any is at work. */
static void pick_sleep(struct pick *p, unsigned long ns)
{
	const struct timespec ts = { .tv_nsec = (long)ns };
	size_t n = 0;

	while (n < p->nrunning && pick_order(&p->running[n]) == pick_order(&p->running[0]))
		n++;
	if (n > 1 && p->running[n - 1].tid == p->target->pid)
		n--;
	p->beside = 0;
	if (!n || p->search->which == INJECT_SLEEPING) {
		(void)nanosleep(&ts, NULL);
	} else {
		const pid_t tid = p->running[(size_t)rand_r(&p->seed) % n].tid;

		if (beside_sleep(p->target, tid, ns))
			p->beside = tid;
	}
}

/* Irregular, so that we don't run in step with a periodic program; longer and longer, since each look costs it time. */
static void pick_pause(struct pick *p)
{
	const uint64_t now = clock_ns(), left = p->search->deadline_ns > now ? p->search->deadline_ns - now : 0;
	unsigned long ns = p->pause_ns / 2 + (unsigned long)rand_r(&p->seed) % p->pause_ns;

	pick_sleep(p, MIN(ns, left));
	p->pause_ns = MIN(p->pause_ns + p->pause_ns / 8, PICK_PAUSE_LAST_NS);
	/* Other sleepers next time, if there are more than fit. */
	p->nskip = p->nseen > p->nskip + PICK_CANDIDATES ? p->nskip + PICK_CANDIDATES : 0;
}

unsigned long inject_threads(const struct inject_target *target)
{
	struct stat st;

	/* fs/proc/base.c, proc_task_getattr(): a link for each thread, besides its own two. */
	if (fstatat(target->piddir, "task", &st, 0) < 0 || st.st_nlink < 2)
		return 0;
	return (unsigned long)st.st_nlink - 2;
}

int inject_pick(const struct inject_target *target, const struct inject_prover *prover,
		const struct inject_search *search, struct inject_found *ret)
{
	struct pick p = { .target = target,
			  .prover = prover,
			  .search = search,
			  .pause_ns = PICK_PAUSE_FIRST_NS,
			  .seed = (unsigned int)clock_ns() };
	int r;

	for (;;) {
		r = inject_is_late() ? -ETIMEDOUT : pick_list(&p);
		if (r < 0)
			break;
		r = search->which == INJECT_RUNNING ? -EAGAIN : pick_try_all(&p, p.sleeping, p.nsleeping);
		if (r == -EAGAIN && search->which != INJECT_SLEEPING)
			r = pick_try_all(&p, p.running, p.nrunning);
		if (r != -EAGAIN)
			break;
		/* What is left of it waits for its parent. */
		if (inject_is_over(target))
			r = -ESRCH;
		if (r == -ESRCH || clock_ns() >= search->deadline_ns)
			break;
		pick_pause(&p);
		/* Somebody else has kept us from it. */
		if (clock_ns() - BESIDE_LATE_NS >= search->deadline_ns)
			break;
	}
	*ret = p.found;
	return r;
}
