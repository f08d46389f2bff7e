// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/trim.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "inject/restart.h"

#define SEARCH_NS (2 * 1000000000ull) /* looking for a safe point costs the target a little each time */
/*
 * malloc_trim walks every free chunk and drops every free page: measured 80 to
 * 120 us per MiB (glibc 2.36, blocks of 16 KiB, every second one free). Used
 * as an upper estimate over all anonymous memory.
 */
#define TRIM_NS_PER_MIB 125000ull
#define TRIM_NS_BASE 200000ull
#define TRIM_NS_PER_SWAPPED_PAGE 100000ull /* the headers of swapped free chunks are read back in, one by one */
#define RESTORER_WINDOW 8192
#define TRIES_MAX 20 /* threads that were found and then could not be used */
#define TRIES_PAUSE_NS 5000000

/* __restore_rt has no symbol; it lies beside sigaction(), else somewhere in the text. */
static int trim_find_restorer(const struct object *o, uint64_t *ret)
{
	struct object_sym near;
	uint64_t lo, hi, from, to;

	if (object_text(o, &lo, &hi) < 0)
		return -ENOENT;
	from = lo;
	to = hi;
	if (object_func(o, false, "__sigaction", &near) == 0 || object_func(o, true, "sigaction", &near) == 0) {
		from = MAX(lo, near.value > RESTORER_WINDOW ? near.value - RESTORER_WINDOW : 0);
		to = MIN(hi, near.value + RESTORER_WINDOW);
	}
	for (unsigned int pass = 0; pass < 2; pass++, from = lo, to = hi) {
		const uint8_t *bytes, *hit;
		const void *text;

		if (to <= from || object_bytes(o, from, to - from, &text) < 0)
			continue;
		bytes = text;
		hit = memmem(bytes, to - from, arch_restorer, ARCH_RESTORER_LEN);
		if (!hit)
			continue;
		*ret = from + (uint64_t)(hit - bytes);
		return 0;
	}
	return -ENOENT;
}

/* What is in the file must be what is in memory, or we have the wrong file. */
static int trim_verify(struct target *t, const struct module *libc, uint64_t vaddr, size_t len)
{
	uint8_t mapped[INJECT_CODE_BYTES];
	const void *bytes;
	int r = object_bytes(&libc->object, vaddr, len, &bytes);

	if (r == 0)
		r = remote_read(&t->mem, libc->bias + vaddr, mapped, len);
	if (r < 0)
		return r;
	return memcmp(mapped, bytes, len) ? -ESTALE : 0;
}

static int trim_locate(const struct remedy_facts *facts, struct remedy_plan *ret)
{
	struct module *libc = facts->allocator.libc;
	const struct object *o = &libc->object;
	struct object_sym fn;
	uint64_t restorer = 0;
	int r = object_func(o, facts->allocator.is_static, "malloc_trim", &fn);

	if (r == 0)
		r = trim_find_restorer(o, &restorer);
	if (r == 0)
		r = module_verify(libc, &facts->target->mem);
	if (r == 0)
		r = trim_verify(facts->target, libc, fn.value, INJECT_CODE_BYTES);
	if (r == 0)
		r = trim_verify(facts->target, libc, restorer, ARCH_RESTORER_LEN);
	if (r == 0)
		r = remote_read(&facts->target->mem, libc->bias + fn.value, ret->code.fn_bytes, INJECT_CODE_BYTES);
	if (r == 0)
		r = object_data(o, &ret->data_lo, &ret->data_hi);
	if (r < 0)
		return r;
	ret->code.fn = libc->bias + fn.value;
	ret->code.restorer = libc->bias + restorer;
	ret->data_lo += libc->bias;
	ret->data_hi += libc->bias;
	return 0;
}

static void trim_plan(struct remedy_facts *facts, struct remedy_plan *ret)
{
	const struct allocator_info *a = &facts->allocator;

	if (a->kind != ALLOCATOR_GLIBC && a->provider) {
		text_format(ret->reason, sizeof(ret->reason),
			    "its malloc is %s's (%s), which malloc_trim knows nothing of", allocator_name(a->kind),
			    module_basename(a->provider));
		return;
	}
	if (a->kind != ALLOCATOR_GLIBC) {
		text_format(ret->reason, sizeof(ret->reason), "its memory is managed by %s, which has no malloc_trim",
			    allocator_name(a->kind));
		return;
	}
	if (trim_locate(facts, ret) < 0) {
		text_format(ret->reason, sizeof(ret->reason),
			    "its C library is not what its file says (or has no malloc_trim)");
		return;
	}
	if (a->also)
		text_format(ret->note, sizeof(ret->note), "%s (%s) is in it too and is not trimmed",
			    allocator_name(a->also_kind), module_basename(a->also));
	ret->possible = 1;
}

#define result_set(res, code, ...) \
	((res)->outcome = (code), text_format((res)->reason, sizeof((res)->reason), __VA_ARGS__))

struct failure {
	int error;
	enum remedy_outcome outcome;
	const char *text;
};

/* Of inject_pick(). */
static const struct failure pick_failures[] = {
	{ -EBUSY, REMEDY_REFUSED, "it is stopped by a signal" },
	{ -EALREADY, REMEDY_REFUSED, "one of its threads is being traced by somebody else" },
	{ -ETIMEDOUT, REMEDY_REFUSED, "a thread of it would not stop (uninterruptible sleep)" },
	{ -ETIME, REMEDY_REFUSED, "the proof of a safe point took too long: the machine is too busy" },
	{ -EPIPE, REMEDY_FAILED, "the reader failed on its stack" },
	{ -EPERM, REMEDY_DENIED, "tracing it needs root, or the same user and a process that allows it" },
	{ -EACCES, REMEDY_DENIED, "tracing it needs root, or the same user and a process that allows it" },
	{ -ESRCH, REMEDY_GONE, "it has exited" },
};

/* Of inject_call(). */
static const struct failure call_failures[] = {
	{ -EINPROGRESS, REMEDY_TIMEOUT, "malloc_trim had not returned in time; it finishes by itself" },
	{ -EBUSY, REMEDY_TIMEOUT, "it was stopped by a signal meanwhile; malloc_trim ends when it is continued" },
	{ -EFAULT, REMEDY_FAILED, "malloc_trim faulted; the thread was put back, its heap is damaged" },
	{ -ESRCH, REMEDY_GONE, "it exited or ran another program meanwhile" },
	{ -EAGAIN, REMEDY_REFUSED, "it is in a restartable sequence" },
	{ -EDEADLK, REMEDY_REFUSED, "another of its threads holds a lock of the allocator and does not let go" },
	{ -ENOSPC, REMEDY_REFUSED, "not enough room on the stack of the thread" },
	{ -ESTALE, REMEDY_REFUSED, "its code changed while it was looked at" },
};

static void trim_failed(int r, const struct failure *table, size_t n, struct remedy_result *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (table[i].error == r) {
			result_set(ret, table[i].outcome, "%s", table[i].text);
			return;
		}
	}
	result_set(ret, REMEDY_FAILED, "the injection failed: %s", strerror(-r));
}

static void trim_pick_failed(const struct remedy_site *site, int r, const struct inject_found *found,
			     struct remedy_result *ret)
{
	const char *why = found->why	    ? found->why :
			  *site->unsafe_why ? site->unsafe_why :
					      "no thread sleeps in a call that is known to be safe";

	if (r == -EAGAIN)
		result_set(ret, REMEDY_REFUSED, "no safe point in time (%llu looks): %s",
			   (unsigned long long)found->looks, why);
	else
		trim_failed(r, pick_failures, ARRAY_SIZE(pick_failures), ret);
}

static void trim_call_failed(int r, const char *why, struct remedy_result *ret)
{
	if (why)
		result_set(ret, REMEDY_REFUSED, "%s", why);
	else
		trim_failed(r, call_failures, ARRAY_SIZE(call_failures), ret);
}

static bool trim_too_long(const struct remedy_site *site, struct remedy_result *ret)
{
	uint64_t ns =
		TRIM_NS_BASE + (site->anon >> 20) * TRIM_NS_PER_MIB + (site->swap >> 12) * TRIM_NS_PER_SWAPPED_PAGE;
	char expect[32], limit[32];

	if (!site->max_stop_ns || ns <= site->max_stop_ns)
		return false;
	result_set(ret, REMEDY_REFUSED, "malloc_trim may take up to %s here, the limit is %s",
		   format_time_us(ns / 1000, expect, sizeof(expect)),
		   format_time_us(site->max_stop_ns / 1000, limit, sizeof(limit)));
	return true;
}

static void trim_run(const struct remedy_site *site, const struct remedy_plan *plan, struct remedy_result *ret)
{
	const struct chain_call call = { .fn = plan->code.fn, .nargs = 1 }; /* malloc_trim(0) */
	struct inject_search search = {
		.deadline_ns = MIN(site->deadline_ns, clock_ns() + SEARCH_NS),
		.data_lo = plan->data_lo,
		.data_hi = plan->data_hi,
	};
	struct inject_found found = { .inj = NULL };
	struct inject_times times = { 0 };
	const struct timespec pause = { .tv_nsec = TRIES_PAUSE_NS };
	const char *why = NULL;
	int r, called = 0;

	if (trim_too_long(site, ret))
		return;
	for (unsigned int tries = 0;; tries++) {
		r = inject_pick(site->target, site->prover, &search, &found);
		if (r < 0)
			break;
		why = NULL;
		r = inject_call(found.inj, &plan->code, &found.stack, &call, 1, site->deadline_ns, &times, &why);
		inject_close(found.inj);
		called = r;
		if ((r != -EAGAIN && r != -EDEADLK) || tries >= TRIES_MAX || clock_ns() >= search.deadline_ns)
			break;
		if (r == -EAGAIN && found.asleep && search.navoid < INJECT_AVOID_MAX)
			search.avoid[search.navoid++] = found.tid;
		(void)nanosleep(&pause, NULL);
	}
	ret->stopped_ns = MAX(times.stopped_ns, found.longest_ns);
	ret->call_ns = times.call_ns;
	if (called < 0) {
		trim_call_failed(called, why, ret);
		return;
	}
	if (r < 0) {
		trim_pick_failed(site, r, &found, ret);
		return;
	}
	ret->outcome = REMEDY_DONE;
	text_format(ret->detail, sizeof(ret->detail), "thread %d in %s; %llu look%s; %llu us outside the call",
		    found.tid, found.where, (unsigned long long)found.looks, found.looks == 1 ? "" : "s",
		    (unsigned long long)(times.stopped_ns - times.call_ns) / 1000);
	if (*plan->note)
		text_append(ret->detail, sizeof(ret->detail), "; %s", plan->note);
}

const struct remedy remedy_trim = {
	.name = "trim",
	.plan = trim_plan,
	.run = trim_run,
};
