// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * No thread sleeps with the GIL released: then the main thread collects by
 * itself, the next time that it is between two instructions of Python. It is told
 * so through Py_AddPendingCall(), which one thread calls for us
 * (cpython_prove_queue() says which may).
 *
 * What is put in must return 0, else an exception is raised in the program, so
 * it can't be PyGC_Collect() itself: that returns how much it has found. Nor
 * a text for PyRun_SimpleString(): whatever that would guard against by itself,
 * it doesn't come so far when the recursion limit is reached, when memory has run
 * out, or when the program's own signal handler raises something as it begins.
 * No code of Python's runs here. It is
 *
 *	PyObject_CallFinalizerFromDealloc(object)
 *
 * which calls the finalizer of the object's type, drops what it returns, notes in the
 * object that it has been called, and returns 0. The object and its type are
 * ours, the finalizer is PyGC_Collect(). With the collector disabled that would
 * do nothing; then the finalizer is PyObject_CallNoArgs(), the object is something that can be
 * called, and what it calls is the function behind gc.collect().
 *
 * So there is one word that says for a fact that the collection has come to its
 * end, and one that says that it is going on (the reference count).
 *
 * Where the object is. It must be there for as long as it may be called, whatever
 * becomes of us. Nothing is allocated for it: between the last variable of
 * libpython, the program or libc and the end of that page there is memory that
 * nobody owns and nobody will (cpython_spare_room()). Its contents never change once
 * they have been written, but for those two words. So it makes no difference
 * who of several wrote it, or that somebody died while he did; it may be put into the
 * queue again, and nothing has ever to be taken away.
 *
 * Dying, then: before the commit the queue doesn't know the object. After it, the
 * thread does the rest.
 */
#include "remedy/collect-queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "base/text.h"
#include "inject/trace.h"
#include "remedy/attempt.h"
#include "remedy/code.h"
#include "remedy/python.h"

#define MAGIC_COLLECT 0x3143474d49414c43ull /* PyGC_Collect() */
#define MAGIC_CALL 0x3243474d49414c43ull /* gc.collect() */
#define TRIES_MAX 20
#define TRIES_PAUSE_NS 5000000
/* Functions that were never called before are looked up first: their arguments and vector registers are saved. */
#define STACK_ROOM (32u << 10)
#define CALLS_MAX 8192 /* bytes: 300 calls of 24 in 3.13 */
#define QUEUE_ENDS (2 * sizeof(uint32_t))
#define WAIT_FIRST_NS 200000
#define WAIT_LAST_NS 10000000
#define LOST_NS 500000000ull /* neither in the queue nor begun for so long: it was not put in */

/*
 * Include/object.h, Include/cpython/object.h; the same from 3.8 to 3.15 without Py_DEBUG.
 * The object is one with a header for the collector, where the finalizer's mark is
 * (PyObject_CallFinalizer()): bit 0 of its second word. The first makes it
 * look tracked, which builds with assertions ask for; it is in none of the lists.
 */
#define TYPE_HAVE_FINALIZE (1ull << 0)
#define TYPE_HAVE_VECTORCALL (1ull << 11)
#define TYPE_HAVE_GC (1ull << 14)
#define HEADER_FINALIZED 1

struct room {
	uint64_t magic;
	uint64_t pad;
	uint64_t gc_next, gc_prev;
	uint64_t refcnt, type; /* the object */
	uint64_t vectorcall;
	uint64_t pad2;
	struct {
		uint64_t refcnt, type, size, name, basicsize, itemsize, dealloc;
		uint64_t vectorcall_offset;
		uint64_t slots[13];
		uint64_t flags;
		uint64_t more[27];
		uint64_t finalize;
		uint64_t vectorcall, last[2];
	} t;
};

_Static_assert(offsetof(struct room, t.vectorcall_offset) - offsetof(struct room, t) == 0x38, "PyTypeObject");
_Static_assert(offsetof(struct room, t.flags) - offsetof(struct room, t) == 0xa8, "PyTypeObject");
_Static_assert(offsetof(struct room, t.finalize) - offsetof(struct room, t) == 0x188, "PyTypeObject");

#define ROOM_OBJECT offsetof(struct room, refcnt)

static int queue_function(const struct remedy_facts *facts, const struct cpython *py, uint64_t addr,
			  struct remedy_func *ret)
{
	if (!addr)
		return -ENOENT;
	return code_at(facts->target, py->module, addr - py->module->bias, INJECT_CODE_BYTES, ret->bytes, &ret->fn);
}

static int queue_functions(struct remedy_facts *facts, const struct cpython *py, bool enabled, struct remedy_queue *q)
{
	const enum cpython_func finalizer = enabled ? CPYTHON_GC_COLLECT : CPYTHON_CALL_NO_ARGS;
	uint64_t collect = 0;
	int r = queue_function(facts, py, py->func[CPYTHON_ADD_PENDING_CALL], &q->add);

	if (r == 0)
		r = queue_function(facts, py, py->func[CPYTHON_CALL_FINALIZER], &q->call);
	if (r == 0)
		r = queue_function(facts, py, py->func[finalizer], &q->finalizer);
	if (r == 0 && !enabled)
		r = cpython_find_gc_collect(facts->target, py, &collect);
	if (r == 0 && !enabled)
		r = queue_function(facts, py, collect, &q->vector);
	return r;
}

#define queue_refuse(q, ...) text_format((q)->reason, sizeof((q)->reason), __VA_ARGS__)

void collect_queue_plan(struct remedy_facts *facts, const struct cpython *py, bool enabled, struct remedy_queue *ret)
{
	const uint64_t magic = enabled ? MAGIC_COLLECT : MAGIC_CALL;
	const struct cpython_queue *q = NULL;

	if (py->debug) {
		queue_refuse(ret, "a debug build of Python counts every reference");
		return;
	}
	if (remedy_python_queue(facts, py, &q) < 0) {
		queue_refuse(ret, "its queue of pending calls is not laid out as in any known build");
		return;
	}
	if ((uint64_t)q->ncalls * q->stride > CALLS_MAX || queue_functions(facts, py, enabled, ret) < 0) {
		queue_refuse(ret, "%s",
			     enabled ? "its Python lacks a function that is needed" :
				       "its collector is disabled, and the function behind gc.collect() was not found");
		return;
	}
	if (cpython_spare_room(&facts->safepoint, py, magic, sizeof(struct room), &ret->room) < 0) {
		queue_refuse(ret, "there is no spare room behind its variables");
		return;
	}
	ret->mutex = q->mutex;
	ret->calls = q->calls;
	ret->stride = q->stride;
	ret->ncalls = q->ncalls;
	ret->possible = 1;
}

/* ---- in the injector ---- */

#define result_set(res, code, ...) \
	((res)->outcome = (code), text_format((res)->reason, sizeof((res)->reason), __VA_ARGS__))

enum queue_state {
	QUEUE_EMPTY, /* the room is not, or not wholly, filled */
	QUEUE_IDLE,
	QUEUE_WAITING, /* in the queue */
	QUEUE_RUNNING,
	QUEUE_DONE,
	QUEUE_FOREIGN, /* somebody else's data is in our room */
};

static size_t queue_len(const struct remedy_queue *q)
{
	return (size_t)q->ncalls * q->stride;
}

static void queue_fill(const struct remedy_queue *q, struct room *ret)
{
	*ret = (struct room){
		.magic = q->vector.fn ? MAGIC_CALL : MAGIC_COLLECT,
		.gc_next = q->room + offsetof(struct room, gc_next),
		.type = q->room + offsetof(struct room, t),
		.vectorcall = q->vector.fn,
		.t = {
			.refcnt = 1,
			.vectorcall_offset = offsetof(struct room, vectorcall) - ROOM_OBJECT,
			.flags = TYPE_HAVE_GC | TYPE_HAVE_FINALIZE | (q->vector.fn ? TYPE_HAVE_VECTORCALL : 0),
			.finalize = q->finalizer.fn,
		},
	};
}

/* Whoever wrote it before may have died half-way: each word is what it should be, or still 0. */
static enum queue_state queue_judge(const struct room *is, const struct room *want)
{
	struct room now = *is;
	const uint64_t *a = (const uint64_t *)&now, *b = (const uint64_t *)want;
	bool whole = true;

	now.refcnt = now.gc_prev = 0;
	for (size_t i = 0; i < sizeof(now) / sizeof(*a); i++) {
		whole &= a[i] == b[i];
		if (a[i] != b[i] && a[i])
			return QUEUE_FOREIGN;
	}
	if (is->refcnt > 1 || (is->gc_prev & ~(uint64_t)HEADER_FINALIZED) || (!whole && (is->refcnt || is->gc_prev)))
		return QUEUE_FOREIGN;
	if (!whole)
		return QUEUE_EMPTY;
	if (is->refcnt)
		return QUEUE_RUNNING;
	return is->gc_prev ? QUEUE_DONE : QUEUE_IDLE;
}

/* Behind the places stand two ints: that of the first call, and of the next. What is elsewhere has been called. */
static bool queue_holds(const struct remedy_queue *q, const unsigned char *calls)
{
	const uint64_t want[2] = { q->call.fn, q->room + ROOM_OBJECT };
	uint32_t ends[2];

	memcpy(ends, calls + queue_len(q), sizeof(ends));
	if (ends[0] >= q->ncalls || ends[1] >= q->ncalls)
		return false;
	for (uint32_t i = ends[0]; i != ends[1]; i = (i + 1) % q->ncalls)
		if (!memcmp(calls + (size_t)i * q->stride, want, sizeof(want)))
			return true;
	return false;
}

/* The queue is read first: what is taken out of it between the two looks is seen as begun. */
static int queue_look(const struct remedy_site *site, const struct remedy_queue *q, enum queue_state *ret)
{
	unsigned char calls[CALLS_MAX + QUEUE_ENDS];
	struct room is, want;
	int r;

	if (q->stride < 2 * sizeof(uint64_t) || !q->ncalls || queue_len(q) > CALLS_MAX)
		return -EINVAL;
	r = trace_peek(site->target->mem_fd, q->calls, calls, queue_len(q) + QUEUE_ENDS);
	if (r == 0)
		r = trace_peek(site->target->mem_fd, q->room, &is, sizeof(is));
	if (r < 0)
		return r;
	queue_fill(q, &want);
	*ret = queue_judge(&is, &want);
	if (*ret == QUEUE_IDLE && queue_holds(q, calls))
		*ret = QUEUE_WAITING;
	return 0;
}

/*
 * The main thread collects, so a call would wait for as long as it sleeps. In a
 * futex it may be waiting for the GIL. Nothing depends on this but whether it is of any use.
 */
static bool queue_in_vain(const struct remedy_site *site, const struct inject_found *found)
{
	char path[sizeof("task/-2147483648/syscall")], text[256];
	struct inject_stop stop;

	if (found->tid == site->target->pid) {
		inject_where(found->inj, &stop);
		return stop.in_syscall && stop.nr != SYS_futex;
	}
	(void)snprintf(path, sizeof(path), "task/%d/syscall", site->target->pid);
	/* "running", or -1: stopped, or in a page fault. */
	return procfs_read(site->target->piddir, path, text, sizeof(text)) > 0 && *text >= '0' && *text <= '9' &&
	       strtol(text, NULL, 10) != SYS_futex;
}

static int queue_check_code(const struct remedy_site *site, const struct remedy_func *f)
{
	uint8_t bytes[INJECT_CODE_BYTES];
	int r = f->fn ? trace_read(site->target->mem_fd, f->fn, bytes, sizeof(bytes)) : 0;

	if (r < 0)
		return r;
	return f->fn && memcmp(bytes, f->bytes, sizeof(bytes)) ? -ESTALE : 0;
}

/*
 * Makes the object ready, under the stop. The count of references is never
 * written: in the moment in which another thread has begun the call it would be wrong.
 */
static int queue_prepare(const struct remedy_site *site, const struct remedy_queue *q, enum queue_state state)
{
	const size_t head = offsetof(struct room, gc_prev), tail = offsetof(struct room, type);
	struct room want;
	const uint8_t not_yet = 0;
	int r;

	queue_fill(q, &want);
	if (state == QUEUE_EMPTY) {
		/* Another of us may have seen the same, have been faster, and be in the call by now. */
		r = trace_write(site->target->mem_fd, q->room, &want, head);
		if (r == 0)
			r = trace_write(site->target->mem_fd, q->room + tail, (const char *)&want + tail,
					sizeof(want) - tail);
		return r;
	}
	if (state == QUEUE_DONE)
		return trace_write(site->target->mem_fd, q->room + offsetof(struct room, gc_prev), &not_yet,
				   sizeof(not_yet));
	return 0;
}

/* Nothing has been called yet: a place that isn't there is no fault of the thread's, but not what was looked at. */
static int queue_stale(int r)
{
	return r == -EFAULT ? -ESTALE : r;
}

/* 0: it is in the queue; @ret_found: it was already. -EAGAIN: another thread or moment. -EEXIST: not our room. */
static int queue_put(const struct remedy_site *site, const struct remedy_plan *plan, struct inject_found *found,
		     struct inject_times *times, bool *ret_found, const char **ret_why)
{
	const struct remedy_queue *q = &plan->queue;
	const struct chain_call call = {
		.fn = q->add.fn,
		.args = { q->call.fn, q->room + ROOM_OBJECT },
		.nargs = 2,
	};
	struct inject_code code = { .restorer = plan->code.restorer, .fn = q->add.fn };
	enum queue_state state;
	int r = queue_look(site, q, &state);

	*ret_why = NULL;
	if (r == 0 && queue_in_vain(site, found)) {
		*ret_why = "its main thread, which would have to collect, sleeps";
		r = -EAGAIN;
	}
	if (r < 0)
		return queue_stale(r);
	if (state == QUEUE_FOREIGN)
		return -EEXIST;
	/* Of somebody who has died, or who waits for it as well: one collection serves both. */
	if (state == QUEUE_WAITING || state == QUEUE_RUNNING) {
		*ret_found = true;
		return 0;
	}
	memcpy(code.fn_bytes, q->add.bytes, sizeof(code.fn_bytes));
	r = queue_check_code(site, &q->call);
	if (r == 0)
		r = queue_check_code(site, &q->finalizer);
	if (r == 0)
		r = queue_check_code(site, &q->vector);
	if (r == 0)
		r = queue_prepare(site, q, state);
	if (r < 0)
		return queue_stale(r);
	inject_demand(found->inj, STACK_ROOM, true);
	return inject_call(found->inj, &code, &found->stack, &call, 1, site->deadline_ns, times, ret_why);
}

static const char *queue_late(enum queue_state state)
{
	if (state == QUEUE_RUNNING)
		return "the collection had not come to its end in time; it ends by itself";
	if (state == QUEUE_WAITING)
		return "the collection is queued and has not begun: its main thread has not come back to Python yet";
	return "whether the collection is queued could not be told in time";
}

/* Until it is known to have come to its end. */
static void queue_await(const struct remedy_site *site, const struct remedy_queue *q, struct remedy_result *ret)
{
	struct timespec pause = { .tv_nsec = WAIT_FIRST_NS };
	uint64_t seen_ns = clock_ns();

	for (;;) {
		enum queue_state state;
		int r = queue_look(site, q, &state);

		if (r == 0 && state == QUEUE_DONE) {
			ret->outcome = REMEDY_DONE;
			return;
		}
		if (r < 0 || state == QUEUE_EMPTY || state == QUEUE_FOREIGN) {
			result_set(ret, REMEDY_GONE, "it exited or ran another program meanwhile");
			return;
		}
		if (state != QUEUE_IDLE)
			seen_ns = clock_ns();
		if (state == QUEUE_IDLE && clock_ns() - seen_ns > LOST_NS) {
			result_set(ret, REMEDY_REFUSED, "its queue of pending calls is full");
			return;
		}
		if (clock_ns() >= site->deadline_ns) {
			result_set(ret, REMEDY_TIMEOUT, "%s", queue_late(state));
			return;
		}
		(void)nanosleep(&pause, NULL);
		pause.tv_nsec = MIN(pause.tv_nsec * 2, WAIT_LAST_NS);
	}
}

static void queue_failed(const struct remedy_site *site, int picked, int put, const struct inject_found *found,
			 const char *why, struct remedy_result *ret)
{
	if (put == -EEXIST)
		result_set(ret, REMEDY_REFUSED, "the spare room behind its variables is in use");
	else if (put < 0)
		attempt_call_failed(put, why, "the call that queues the collection", ret);
	else
		attempt_pick_failed(site, picked, found, ret);
}

void collect_queue_run(const struct remedy_site *site, const struct remedy_plan *plan, uint64_t search_deadline_ns,
		       struct remedy_result *ret)
{
	const struct timespec pause = { .tv_nsec = TRIES_PAUSE_NS };
	struct inject_search search = {
		.deadline_ns = search_deadline_ns,
		.data_lo = plan->data_lo,
		.data_hi = plan->data_hi,
		.stack_room = STACK_ROOM,
	};
	struct inject_found found = { .inj = NULL };
	struct inject_times times = { 0 };
	const char *why = NULL;
	bool already = false;
	int r, put = 0;

	for (unsigned int tries = 0;; tries++) {
		/* Who holds the GIL must be at work, or the call would wait with it; who doesn't, must wait. */
		search.which = plan->queue.mutex && inject_threads(site->target) != 1 ? INJECT_SLEEPING :
											INJECT_RUNNING;
		r = inject_pick(site->target, site->queue_prover, &search, &found);
		inject_stops_join(&ret->stops, &found.stops);
		if (r < 0)
			break;
		put = queue_put(site, plan, &found, &times, &already, &why);
		inject_stops_add(&ret->stops, inject_stopped_ns(found.inj));
		inject_close(found.inj);
		if (put != -EAGAIN || tries >= TRIES_MAX || clock_ns() >= search.deadline_ns)
			break;
		if (found.asleep && search.navoid < INJECT_AVOID_MAX)
			search.avoid[search.navoid++] = found.tid;
		(void)nanosleep(&pause, NULL);
	}
	ret->call_ns = times.call_ns;
	if (r < 0 || put < 0) {
		queue_failed(site, r, put, &found, why, ret);
		return;
	}
	queue_await(site, &plan->queue, ret);
	text_format(ret->detail, sizeof(ret->detail), "%s by thread %d in %s; %llu look%s",
		    already ? "an earlier one, found" : "queued", found.tid, found.where,
		    (unsigned long long)found.looks, found.looks == 1 ? "" : "s");
}
