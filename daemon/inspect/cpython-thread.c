// SPDX-License-Identifier: GPL-2.0-or-later
/* Which thread holds the GIL, and whether one may be made to run Python. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "inspect/cpython-data.h"
#include "inspect/unwind.h"

#define THREADS_MAX 65536
#define INTERPRETERS_MAX 256
#define TS_BYTES 512 /* of a thread state: prev, next, interp .. thread_id (136 to 216) */

struct roll {
	struct target *t;
	const struct cpython *py;
	uint64_t tp, holder;
	uint64_t ours; /* thread state with our pthread_t in the main interpreter; 0: none */
	unsigned int nours, nforeign; /* how many; and in other interpreters */
	bool holder_seen; /* the last holder is in a list, and isn't ours */
	size_t threads;
};

#define thread_unsure(ret, ...) (text_format((ret)->why, sizeof((ret)->why), __VA_ARGS__), -EAGAIN)

/* The thread states of one interpreter: each must name its neighbour and its interpreter. */
static int roll_interpreter(struct roll *r, uint64_t interp)
{
	uint64_t at, before = 0;
	int k = cpython_peek(r->t, interp + r->py->threads_head, &at, sizeof(at));

	while (k == 0 && at) {
		unsigned char b[TS_BYTES];
		uint64_t w[3], id;

		if (at % 8 || at >> 47 || ++r->threads > THREADS_MAX || r->py->thread_id + sizeof(id) > sizeof(b))
			return -EBADMSG;
		k = cpython_peek(r->t, at, b, r->py->thread_id + sizeof(id));
		if (k < 0)
			break;
		memcpy(w, b, sizeof(w));
		memcpy(&id, b + r->py->thread_id, sizeof(id));
		if (w[0] != before || w[2] != interp)
			return -EBADMSG;
		if (id == r->tp && interp == r->py->interp) {
			r->nours++;
			r->ours = at;
		} else if (id == r->tp) {
			r->nforeign++;
		} else if (at == r->holder) {
			r->holder_seen = true;
		}
		before = at;
		at = w[1];
	}
	return k;
}

static int roll_call(struct roll *r)
{
	uint64_t at;
	int k = cpython_peek(r->t, r->py->interpreters_head_at, &at, sizeof(at));

	for (size_t i = 0; k == 0 && at; i++) {
		if (i >= INTERPRETERS_MAX || at % 8 || at >> 47)
			return -EBADMSG;
		k = roll_interpreter(r, at);
		if (k == 0)
			k = cpython_peek(r->t, at + r->py->interp_next, &at, sizeof(at));
	}
	return k;
}

static int thread_gil(struct target *t, const struct cpython *py, uint32_t *ret_locked, uint64_t *ret_holder)
{
	uint64_t w[3]; /* interval, last_holder, locked and another int */
	int r = cpython_peek(t, py->gil, w, sizeof(w));

	if (r < 0)
		return r;
	if ((uint32_t)w[2] > 1)
		return -EBADMSG;
	*ret_locked = (uint32_t)w[2];
	*ret_holder = w[1];
	return 0;
}

static int thread_judge(struct roll *r, uint32_t locked, struct cpython_thread *ret)
{
	if (r->nforeign || r->nours > 1)
		return thread_unsure(ret, "it belongs to a sub-interpreter as well");
	ret->absent = !r->nours;
	if (ret->absent)
		return thread_unsure(ret, "it is a thread that Python does not know");
	ret->known = true;
	ret->tstate = r->ours;
	/*
	 * While a thread holds the GIL, locked is 1 and last_holder is its own
	 * thread state: nobody else can have written there since it took it.
	 */
	ret->holds = locked && r->holder == r->ours;
	if (ret->holds)
		return thread_unsure(ret, "it holds the GIL");
	/* A holder that is in no list is not understood: a thread state that is not yet, or no more, in it. */
	if (locked && !r->holder_seen)
		return thread_unsure(ret, "who holds the GIL can't be told");
	ret->released = true;
	return 0;
}

void cpython_thread(struct target *t, const struct cpython *py, uint64_t tp, struct cpython_thread *ret)
{
	struct roll roll = { .t = t, .py = py, .tp = tp };
	struct cpython_thread th = { .known = false };
	uint64_t self = 0;
	uint32_t locked;
	int r;

	/* x86-64 glibc: a pthread_t is the thread pointer, and the word there points to itself. */
	if (!py->gil || !tp || tp % 8 || cpython_peek(t, tp, &self, sizeof(self)) < 0 || self != tp) {
		(void)thread_unsure(&th, "what it is to Python can't be told");
		*ret = th;
		return;
	}
	r = thread_gil(t, py, &locked, &roll.holder);
	if (r == 0)
		r = roll_call(&roll);
	if (r < 0)
		(void)thread_unsure(&th, "Python's list of threads can't be followed");
	else
		(void)thread_judge(&roll, locked, &th);
	*ret = th;
}

/* ---- where it sleeps ---- */

struct place {
	const struct cpython *py;
	const struct safepoint *sp;
	bool inner; /* a frame has been seen */
	bool plain; /* the last frame seen is a call of libc's that owns nothing while it waits */
	bool locks; /* one of them is of lock_names */
	bool python; /* it was called from Python's code */
	bool fine;
	const char *why; /* when not fine */
};

struct inside {
	uint64_t vaddr;
	const char *const *names;
	bool hit;
};

/* How Python's own code waits: plain system calls, and semaphores. */
static const char *const plain_names[] = {
	"epoll_wait",	 "epoll_pwait", "poll",	     "ppoll",
	"select",	 "pselect",	"nanosleep", "clock_nanosleep",
	"sleep",	 "usleep",	"read",	     "readv",
	"pread",	 "pread64",	"recv",	     "recvfrom",
	"recvmsg",	 "accept",	"accept4",   "wait",
	"wait3",	 "wait4",	"waitpid",   "waitid",
	"pause",	 "sigsuspend",	"sem_wait",  "sem_timedwait",
	"sem_clockwait", "flock",	NULL,
};
/*
 * Python's locks: a semaphore, waited for by a function of libc's that isn't
 * exported and was jumped to from sem_wait() and its kin, so that only the
 * caller shows (Python/thread_pthread.h; 3.13 and later: Python/parking_lot.c).
 */
static const char *const python_wait_names[] = { "PyThread_acquire_lock_timed", "_PyParkingLot_Park",
						 "_PySemaphore_Wait", NULL };

/* In none of these, whoever called it. */
static const char *const lock_names[] = {
	"pthread_cond_wait",
	"pthread_cond_timedwait",
	"pthread_cond_clockwait",
	"pthread_cond_signal",
	"pthread_cond_broadcast",
	"pthread_mutex_lock",
	"pthread_mutex_timedlock",
	"pthread_mutex_clocklock",
	"pthread_mutex_trylock",
	"pthread_mutex_unlock",
	NULL,
};

static int inside_visit(void *ctx, const struct object_sym *sym)
{
	struct inside *in = ctx;

	if (in->vaddr < sym->value || in->vaddr - sym->value >= sym->size)
		return 0;
	for (size_t i = 0; in->names[i]; i++)
		in->hit |= !strcmp(sym->name, in->names[i]);
	return in->hit;
}

static bool inside_of(const struct unwind_frame *f, const char *const *names)
{
	struct inside in = { .vaddr = f->vaddr, .names = names };

	return object_funcs(&f->module->object, false, inside_visit, &in) > 0;
}

/* Extension modules of the standard library: time, select, _socket, _queue ... hold no lock of their own in a call. */
static bool place_is_stdlib(const struct module *mod)
{
	return strstr(mod->name, "/lib-dynload/") != NULL;
}

/* A program that Python was linked into has code and locks of its own in the same module. */
static bool place_is_python(const struct place *p, const struct module *mod)
{
	const char *name = module_basename(mod);

	return module_same(mod, p->py->module) && (!strncmp(name, "python", 6) || !strncmp(name, "libpython", 9));
}

/* libc, or one of the libraries that were parts of it before 2.34. */
static bool place_is_libc(const struct place *p, const struct module *mod)
{
	struct object_sym sym;

	return module_same(mod, p->sp->libc) || (!strncmp(module_basename(mod), "libpthread", 10) &&
						 object_func(&mod->object, false, "pthread_create", &sym) == 0);
}

/*
 * From the system call outwards: libc, then who called it. take_gil() and
 * drop_gil() own the GIL's mutex around what they call, and can sleep in all
 * of it: pthread_mutex_lock(), pthread_cond_timedwait(), but also
 * pthread_cond_signal(), which waits in a futex for an older group of waiters
 * (Python/ceval_gil.c; nptl/pthread_cond_common.c). Whoever took the GIL in
 * such a thread would wait for itself. So only calls that are known to own
 * nothing will do.
 */
static int place_frame(void *ctx, const struct unwind_frame *f)
{
	struct place *p = ctx;
	bool inner = !p->inner;

	p->inner = true;
	if (place_is_python(p, f->module) || place_is_stdlib(f->module)) {
		p->python = true;
		/* Innermost: in a system call of its own, nobody knows which. */
		p->fine = !inner && !p->locks && (p->plain || inside_of(f, python_wait_names));
		p->why = "it may own the mutex of Python's global lock";
		return 1;
	}
	if (!place_is_libc(p, f->module)) {
		/* It may own a mutex there that the GIL's holder waits for: see a shared sqlite connection. */
		p->why = "it waits in a library whose locks it may hold";
		return 1;
	}
	p->plain = inside_of(f, plain_names);
	p->locks |= inside_of(f, lock_names);
	return 0;
}

int cpython_prove(const struct safepoint *sp, const struct cpython *py, const struct cpu_regs *regs, char *why,
		  size_t size)
{
	struct place p = { .py = py, .sp = sp, .why = "it is not in Python code" };
	struct cpython_thread th;
	/* The first pages of the stack have just been read, under this stop. */
	int r = unwind(&sp->target->mods, &sp->target->mem, regs, place_frame, &p);

	if (r < 0 || !p.fine) {
		text_format(why, size, "%s", r < 0 ? "its stack can't be followed" : p.why);
		return -EAGAIN;
	}
	/* With what is known before a stop this is as far as one can see. */
	if (regs->valid != CPU_REGS_ALL)
		return 0;
	r = cpython_finalizing(sp->target, py);
	if (r != 0) {
		text_format(why, size, "%s", r > 0 ? "its interpreter is being finalized" : "its state can't be read");
		return -EAGAIN;
	}
	cpython_thread(sp->target, py, regs->tp, &th);
	if (!th.known || !th.released) {
		text_format(why, size, "%s", th.why);
		return -EAGAIN;
	}
	return 0;
}

bool cpython_is_elsewhere(const struct safepoint *sp, const struct cpython *py, const struct cpu_regs *regs)
{
	struct place p = { .py = py, .sp = sp };
	int r = unwind(&sp->target->mods, &sp->target->mem, regs, place_frame, &p);

	return r >= 0 && (!p.python || p.fine || p.locks);
}
