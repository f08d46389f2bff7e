// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/cpython-queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "inspect/cpython-data.h"

/*
 * Up to 3.12 (struct _pending_calls, from its lock on): PyThread_type_lock, which
 * points to a sem_t; two ints; 32 calls; the first and the last of those that
 * wait. Behind the values of a semaphore is whether it is shared with other processes: 0.
 */
#define OLD_CALLS 16
#define OLD_NCALLS 32
#define OLD_STRIDE 16
#define OLD_FIRST (OLD_CALLS + OLD_NCALLS * OLD_STRIDE)
#define OLD_BYTES (OLD_FIRST + 8)
#define SEM_WAITERS_MAX 4096

/* Offsets of the lock and of tstate_current. Proven by 3.8.18, 3.9.2, 3.9.18, 3.10.13, 3.11.2, 3.11.7, 3.12.1. */
static const struct {
	uint16_t minor;
	bool in_interp; /* else in _PyRuntime */
	uint16_t lock, current;
} old_queues[] = {
	{ 0x0308, false, 0x260, 0x558 }, { 0x0309, true, 0x50, 0x238 }, { 0x030a, true, 0x50, 0x238 },
	{ 0x030b, true, 0x70, 0x240 },	 { 0x030c, false, 0x7e8, 0 },
};

/*
 * From 3.13 on, pycore_ceval_state.h: the thread that makes the calls, a mutex of one byte,
 * how many wait, how many may; how many at once, 0 for all; the calls; the first, the next
 * free. In _PyRuntime, wherever two words say that it is the main thread's: 32 may wait, 0.
 */
#define NEW_MUTEX 8
#define NEW_WAITING 12
#define NEW_MAX 16
#define NEW_CALLS 24
#define NEW_NCALLS 300
#define NEW_STRIDE 24
#define NEW_FIRST (NEW_CALLS + NEW_NCALLS * NEW_STRIDE)
#define NEW_BYTES (NEW_FIRST + 8)
#define NEW_WINDOW (16u << 10) /* from the start of _PyRuntime; 0xa50 in 3.13.0 */
#define MAX_MAIN 32

#define ROOM_ALIGN 16ull

static uint64_t u64_at(const unsigned char *b, size_t at)
{
	uint64_t v;

	memcpy(&v, b + at, sizeof(v));
	return v;
}

static uint32_t u32_at(const unsigned char *b, size_t at)
{
	uint32_t v;

	memcpy(&v, b + at, sizeof(v));
	return v;
}

/* Longer than a page. */
static int queue_peek(struct target *t, uint64_t addr, unsigned char *buf, size_t len)
{
	int r = 0;

	for (size_t at = 0; at < len && r == 0; at += REMOTE_PAGE)
		r = cpython_peek(t, addr + at, buf + at, MIN(len - at, (size_t)REMOTE_PAGE));
	return r;
}

static bool queue_is_code(const struct target *t, uint64_t addr)
{
	const struct map *map = maps_find(&t->maps, addr);

	return map && (map->flags & MAP_F_EXEC);
}

/* Those that have been called may have left their traces. */
static bool queue_calls_fit(const struct target *t, const unsigned char *calls, size_t n, size_t stride)
{
	for (size_t i = 0; i < n; i++) {
		const uint64_t func = u64_at(calls, i * stride);

		if (func && !queue_is_code(t, func))
			return false;
	}
	return true;
}

static int queue_find_old(struct target *t, const struct cpython *py, size_t at, struct cpython_queue *ret)
{
	const uint64_t base = (old_queues[at].in_interp ? py->interp : py->runtime) + old_queues[at].lock;
	unsigned char b[OLD_BYTES], sem[16];
	uint64_t lock, slot;
	int r = cpython_peek(t, base, b, sizeof(b));

	if (r < 0)
		return r;
	/* Where there were no semaphores (Python/thread_pthread.h) a 1 would mean the opposite: taken. */
	if (object_import_slot(&py->module->object, "sem_wait", &slot) < 0)
		return -EBADMSG;
	lock = u64_at(b, 0);
	if (!lock || lock % 8 || lock >> 47 || !cpython_is_heap(t, lock))
		return -EBADMSG;
	r = cpython_peek(t, lock, sem, sizeof(sem));
	if (r < 0)
		return r;
	if (u32_at(sem, 0) > 1 || u32_at(sem, 4) > SEM_WAITERS_MAX || u32_at(sem, 8) || u32_at(b, 8) > 1 ||
	    u32_at(b, 12) > 1 || u32_at(b, OLD_FIRST) >= OLD_NCALLS || u32_at(b, OLD_FIRST + 4) >= OLD_NCALLS ||
	    !queue_calls_fit(t, b + OLD_CALLS, OLD_NCALLS, OLD_STRIDE))
		return -EBADMSG;
	*ret = (struct cpython_queue){
		.lock = lock,
		.current_at = old_queues[at].current ? py->runtime + old_queues[at].current : 0,
		.calls = base + OLD_CALLS,
		.stride = OLD_STRIDE,
		.ncalls = OLD_NCALLS,
	};
	return 0;
}

static bool queue_is_new(const struct target *t, const unsigned char *b)
{
	const uint64_t handler = u64_at(b, 0);
	const uint32_t waiting = u32_at(b, NEW_WAITING), first = u32_at(b, NEW_FIRST), next = u32_at(b, NEW_FIRST + 4);

	if (u32_at(b, NEW_MAX) != MAX_MAIN || u32_at(b, NEW_MAX + 4) || b[NEW_MUTEX] > 3 || waiting > MAX_MAIN ||
	    first >= NEW_NCALLS || next >= NEW_NCALLS || handler % 8 || handler >> 47)
		return false;
	/* Racy, like all of it: the count is written at other times than the places. */
	return (next + NEW_NCALLS - first) % NEW_NCALLS <= MAX_MAIN &&
	       queue_calls_fit(t, b + NEW_CALLS, NEW_NCALLS, NEW_STRIDE);
}

static int queue_find_new(struct target *t, const struct cpython *py, struct cpython_queue *ret)
{
	const size_t len = NEW_WINDOW + NEW_BYTES;
	_cleanup_free_ unsigned char *b = malloc(len);
	uint64_t found = 0;
	int r = b ? queue_peek(t, py->runtime, b, len) : -ENOMEM;

	if (r < 0)
		return r;
	for (size_t at = 0; at < NEW_WINDOW; at += 8) {
		if (!queue_is_new(t, b + at))
			continue;
		if (found)
			return -EBADMSG;
		found = py->runtime + at;
	}
	if (!found)
		return -EBADMSG;
	*ret = (struct cpython_queue){
		.lock = found + NEW_MUTEX,
		.mutex = true,
		.calls = found + NEW_CALLS,
		.stride = NEW_STRIDE,
		.ncalls = NEW_NCALLS,
	};
	return 0;
}

int cpython_queue_find(struct target *t, const struct cpython *py, struct cpython_queue *ret)
{
	const uint16_t minor = CPYTHON_MINOR(py->version);

	for (size_t i = 0; i < ARRAY_SIZE(old_queues); i++)
		if (old_queues[i].minor == minor)
			return queue_find_old(t, py, i, ret);
	return minor >= 0x030d ? queue_find_new(t, py, ret) : -ENOTSUP;
}

/* ---- who may put a call in ---- */

#define queue_unsure(why, size, ...) (text_format((why), (size), __VA_ARGS__), -EAGAIN)

static bool queue_is_free(struct target *t, const struct cpython_queue *q)
{
	uint32_t value = 0;
	uint8_t bits = 1;

	if (q->mutex)
		return cpython_peek(t, q->lock, &bits, sizeof(bits)) == 0 && !bits;
	return cpython_peek(t, q->lock, &value, sizeof(value)) == 0 && value == 1;
}

/* Up to 3.12. */
static int queue_prove_holder(const struct safepoint *sp, const struct cpython_queue *q,
			      const struct cpython_thread *th, char *why, size_t size)
{
	uint64_t current = 0;

	if (!th->known || !th->holds)
		return queue_unsure(why, size, "it doesn't hold Python's global lock");
	/* A thread's own state is there from when it has taken the GIL until it gives it back: nobody else's. */
	if (q->current_at &&
	    (cpython_peek(sp->target, q->current_at, &current, sizeof(current)) < 0 || current != th->tstate))
		return queue_unsure(why, size, "it is just taking or releasing Python's global lock");
	return 0;
}

int cpython_prove_queue(const struct safepoint *sp, const struct cpython *py, const struct cpython_queue *q,
			const struct cpu_regs *regs, bool alone, char *why, size_t size)
{
	struct cpython_thread th;
	int r;

	/* With what is known before a stop nothing can be said. */
	if (regs->valid != CPU_REGS_ALL)
		return 0;
	if (!queue_is_free(sp->target, q))
		return queue_unsure(why, size, "it may own the lock of Python's pending calls");
	r = cpython_finalizing(sp->target, py);
	if (r != 0)
		return queue_unsure(why, size, "%s",
				    r > 0 ? "its interpreter is being finalized" : "its state can't be read");
	cpython_thread(sp->target, py, regs->tp, &th);
	if (!q->mutex)
		return queue_prove_holder(sp, q, &th, why, size);
	if (alone)
		return th.known ? 0 : queue_unsure(why, size, "%s", th.why);
	if (!th.released && !th.absent)
		return queue_unsure(why, size, "%s", th.why);
	if (!cpython_is_elsewhere(sp, py, regs))
		return queue_unsure(why, size, "it may be in the middle of Python's own locking");
	return 0;
}

/* ---- room ---- */

static bool room_is_ours(struct target *t, uint64_t addr, uint64_t magic, size_t len)
{
	const struct map *map = maps_find(&t->maps, addr);
	const unsigned int rw = MAP_F_READ | MAP_F_WRITE;
	unsigned char b[REMOTE_PAGE];

	/* Also where its page is swapped out, or just moving: it will be written to. */
	if (!map || (map->flags & (rw | MAP_F_SHARED)) != rw || len > map->end - addr || len > sizeof(b) ||
	    remote_read(&t->mem, addr, b, len) < 0)
		return false;
	if (u64_at(b, 0) == magic)
		return true;
	for (size_t i = 0; i < len; i++)
		if (b[i])
			return false;
	return true;
}

int cpython_spare_room(const struct safepoint *sp, const struct cpython *py, uint64_t magic, size_t len, uint64_t *ret)
{
	/* The dynamic linker's own allocates from the end of its page: not that one. */
	const struct module *const mods[] = { py->module, sp->program, sp->libc };

	for (size_t i = 0; i < ARRAY_SIZE(mods); i++) {
		uint64_t lo, hi, at, end;

		if (!mods[i] || object_data(&mods[i]->object, &lo, &hi) < 0)
			continue;
		at = (mods[i]->bias + hi + ROOM_ALIGN - 1) & ~(ROOM_ALIGN - 1);
		end = (mods[i]->bias + hi + REMOTE_PAGE - 1) & ~(REMOTE_PAGE - 1);
		for (; at < end && end - at >= len; at += (len + ROOM_ALIGN - 1) & ~(ROOM_ALIGN - 1)) {
			if (room_is_ours(sp->target, at, magic, len)) {
				*ret = at;
				return 0;
			}
		}
	}
	return -ENOSPC;
}

/* ---- gc.collect ---- */

#define METH_FASTCALL_KEYWORDS 0x82u /* Include/methodobject.h: METH_FASTCALL | METH_KEYWORDS */

static bool gc_text_is(const struct module *mod, uint64_t addr, const char *want, size_t len)
{
	const void *bytes;

	return addr > mod->bias && object_bytes(&mod->object, addr - mod->bias, len, &bytes) == 0 &&
	       !memcmp(bytes, want, len);
}

int cpython_find_gc_collect(struct target *t, const struct cpython *py, uint64_t *ret)
{
	static const char name[] = "collect", doc[] = "collect($module, /, generation=2)\n--\n";
	_cleanup_(cpython_data_done) struct cpython_data d = { 0 };
	uint64_t found = 0;
	int r = cpython_data_read(t, py->module, &d);

	if (r < 0)
		return r;
	/* struct PyMethodDef: name, function, flags, doc. */
	for (size_t at = 0; at + 32 <= d.len; at += 8) {
		if (cpython_data_u32(&d, at + 16) != METH_FASTCALL_KEYWORDS ||
		    !gc_text_is(py->module, cpython_data_u64(&d, at), name, sizeof(name)) ||
		    !gc_text_is(py->module, cpython_data_u64(&d, at + 24), doc, sizeof(doc) - 1))
			continue;
		if (found)
			return -ENOENT;
		found = cpython_data_u64(&d, at + 8);
	}
	if (!found || !queue_is_code(t, found))
		return -ENOENT;
	*ret = found;
	return 0;
}
