// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One chain: PyGILState_Ensure(), collect, PyGILState_Release(). A full
 * collection also empties the free lists of the types (gc_collect_main() and
 * clear_freelists(), 3.8 to 3.15), whose objects look alive to pymalloc.
 *
 * Who may run it. Destructors and weakref callbacks are the program's own code
 * and run in the thread that collects, so beyond safepoint_prove() the thread
 *  - sleeps in a system call that may be interrupted, never runs (a running one
 *    may be anywhere in the taking or dropping of the GIL);
 *  - is known to Python and has released the GIL, so that Ensure takes it as
 *    it would when the call returned, and 1 (PyGILState_UNLOCKED) is what
 *    Ensure has returned;
 *  - waits in Python's own code or in plain waiting (poll and its kin), not
 *    in a library that may hold a lock which a destructor needs
 * (cpython_prove()). The call is never taken back: half a Python function
 * can't be undone. Out of time it finishes by itself.
 *
 * What is called. PyGC_Collect() runs no code but the program's destructors,
 * keeps a pending exception, and raises none. It does nothing while the
 * collector is disabled; then, or when that can't be told, it is Python's own
 * gc.collect(), which always works. Enabling and disabling it around the call
 * is no choice: the program may enable it in between, and would find it disabled.
 *
 * A busy interpreter, where no thread sleeps with the GIL released, collects by
 * itself: remedy/collect-queue.c.
 */
#include "remedy/collect.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/maps.h"
#include "base/parse.h"
#include "base/text.h"
#include "inject/restart.h"
#include "remedy/attempt.h"
#include "remedy/collect-queue.h"
#include "remedy/code.h"
#include "remedy/python.h"

#define SEARCH_NS (2 * 1000000000ull)
#define SLEEPER_NS 100000000ull /* how long one is looked for that sleeps, where the queue is another way */
#define TRIES_MAX 20
#define TRIES_PAUSE_NS 5000000
#define COLLECT_STACK_ROOM (256ull << 10) /* destructors are Python code: a C frame of it takes some hundred bytes */
#define STACK_GUARD_GAP (1ull << 20) /* mm/mmap.c: stack_guard_gap, 256 pages */
#define MAPS_MAX 262144
/*
 * A collection walks every container: 0.1 to 0.95 ms of CPU time for each MiB
 * of them were measured (3.11.2; a million empty lists are the worst). An upper
 * estimate over all anonymous memory; what destructors do comes on top, and
 * nobody can know that.
 */
#define COLLECT_NS_PER_MIB 1000000ull
#define COLLECT_NS_BASE 1000000ull
#define COLLECT_NS_PER_SWAPPED_PAGE 100000ull

/*
 * Nothing in it can raise into the program, and it leaves no name behind:
 * names of __main__ may hide those of builtins, hence the bare except. An
 * interrupt that the program's main thread was owed is given back to it.
 */
static const char collect_text[] = "try:\n"
				   " try:\n"
				   "  __import__('gc').collect()\n"
				   " except KeyboardInterrupt:\n"
				   "  __import__('_thread').interrupt_main()\n"
				   "except:\n"
				   " pass\n";

/* Places in remedy_plan.funcs; plan.code is PyGILState_Ensure. */
enum collect_func {
	COLLECT_RUN, /* PyGC_Collect or PyRun_SimpleString */
	COLLECT_RELEASE,
};

enum collect_way {
	COLLECT_C, /* PyGC_Collect() */
	COLLECT_TEXT, /* PyRun_SimpleString(collect_text) */
};

#define plan_refuse(p, ...) text_format((p)->reason, sizeof((p)->reason), __VA_ARGS__)

static int collect_function(const struct remedy_facts *facts, const struct cpython *py, enum cpython_func which,
			    uint64_t *ret_fn, uint8_t ret_bytes[INJECT_CODE_BYTES])
{
	if (!py->func[which])
		return -ENOENT;
	return code_at(facts->target, py->module, py->func[which] - py->module->bias, INJECT_CODE_BYTES, ret_bytes,
		       ret_fn);
}

static enum collect_way collect_way(struct target *t, const struct cpython *py)
{
	int32_t enabled;

	if (!py->gc_enabled_at || remote_read(&t->mem, py->gc_enabled_at, &enabled, sizeof(enabled)) < 0)
		return COLLECT_TEXT;
	return enabled == 1 ? COLLECT_C : COLLECT_TEXT;
}

static int collect_locate(const struct remedy_facts *facts, const struct cpython *py, struct remedy_plan *ret)
{
	const enum collect_way way = collect_way(facts->target, py);
	struct remedy_func *run = &ret->funcs[COLLECT_RUN], *release = &ret->funcs[COLLECT_RELEASE];
	int r = code_restorer(facts, &ret->code.restorer);

	if (r == 0)
		r = collect_function(facts, py, CPYTHON_GILSTATE_ENSURE, &ret->code.fn, ret->code.fn_bytes);
	if (r == 0)
		r = collect_function(facts, py, CPYTHON_GILSTATE_RELEASE, &release->fn, release->bytes);
	if (r == 0)
		r = collect_function(facts, py, way == COLLECT_C ? CPYTHON_GC_COLLECT : CPYTHON_RUN_SIMPLE_STRING,
				     &run->fn, run->bytes);
	if (r == 0)
		r = code_data(facts, &ret->data_lo, &ret->data_hi);
	ret->parts = way;
	return r;
}

static void collect_plan(struct remedy_facts *facts, struct remedy_plan *ret)
{
	const char *why = "";
	const struct cpython *py = remedy_python(facts, &why);
	int r;

	if (!py) {
		plan_refuse(ret, "%s", why);
		return;
	}
	if (facts->allocator.kind != ALLOCATOR_GLIBC) {
		plan_refuse(ret, "its malloc is %s, whose code is not known well enough to stay out of it",
			    allocator_name(facts->allocator.kind));
		return;
	}
	/* There is no GIL whose state could tell where a thread is. */
	if (py->free_threaded) {
		plan_refuse(ret, "its Python is a free-threaded build");
		return;
	}
	r = cpython_finalizing(facts->target, py);
	if (r != 0) {
		plan_refuse(ret, "%s", r > 0 ? "its interpreter is being finalized" : "its interpreter can't be read");
		return;
	}
	if (collect_locate(facts, py, ret) < 0) {
		plan_refuse(ret, "its Python is not what its file says");
		return;
	}
	collect_queue_plan(facts, py, ret->parts == COLLECT_C, &ret->queue);
	if (ret->parts == COLLECT_TEXT)
		text_format(ret->note, sizeof(ret->note), "its collector is disabled; gc.collect() works all the same");
	ret->possible = 1;
}

/* ---- in the injector ---- */

/*
 * The main thread's stack grows on its own, down to its limit; what is mapped
 * of it is only what has been used so far.
 */
struct growth {
	const struct inject_prover *prover;
	uint64_t lo, mapped_lo, mapped_hi; /* 0: not known, so it has what is mapped */
};

static void growth_look(const struct inject_target *target, struct growth *g)
{
	_cleanup_(maps_done) struct maps maps = { 0 };
	struct rlimit rl;

	if (maps_read(target->piddir, MAPS_MAX, &maps) < 0 || prlimit(target->pid, RLIMIT_STACK, NULL, &rl) < 0)
		return;
	for (size_t i = 1; i < maps.n; i++) {
		const struct map *m = &maps.v[i];
		const uint64_t below = maps.v[i - 1].end + STACK_GUARD_GAP;

		if (m->kind != MAP_KIND_STACK || below >= m->start)
			continue;
		g->mapped_lo = m->start;
		g->mapped_hi = m->end;
		g->lo = rl.rlim_cur >= m->end ? below : MAX(below, m->end - rl.rlim_cur);
	}
}

static int growth_prepare(void *ctx, const struct cpu_regs *regs)
{
	const struct growth *g = ctx;

	return g->prover->prepare(g->prover->ctx, regs);
}

static int growth_prove(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	const struct growth *g = ctx;
	int r = g->prover->prove(g->prover->ctx, regs, ret);

	if (r == 0 && g->lo && ret->lo == g->mapped_lo && ret->hi == g->mapped_hi && g->lo < ret->lo)
		ret->lo = g->lo;
	return r;
}

#define result_set(res, code, ...) \
	((res)->outcome = (code), text_format((res)->reason, sizeof((res)->reason), __VA_ARGS__))

static bool collect_too_long(const struct remedy_site *site, struct remedy_result *ret)
{
	uint64_t ns = COLLECT_NS_BASE + (site->anon >> 20) * COLLECT_NS_PER_MIB +
		      (site->swap >> 12) * COLLECT_NS_PER_SWAPPED_PAGE;
	char expect[32], limit[32];

	if (!site->max_stop_ns || ns <= site->max_stop_ns)
		return false;
	result_set(ret, REMEDY_REFUSED, "a collection may take up to %s here, the limit is %s",
		   format_time_us(ns / 1000, expect, sizeof(expect)),
		   format_time_us(site->max_stop_ns / 1000, limit, sizeof(limit)));
	return true;
}

/* 0 or what inject_call() says; -EAGAIN: another thread. */
static int collect_call(const struct remedy_site *site, const struct remedy_plan *plan, struct inject_found *found,
			struct inject_times *times, const char **ret_why)
{
	const struct remedy_func *run = &plan->funcs[COLLECT_RUN], *release = &plan->funcs[COLLECT_RELEASE];
	struct chain_call calls[] = {
		{ .fn = plan->code.fn, .fn_bytes = plan->code.fn_bytes }, /* PyGILState_Ensure() */
		{ .fn = run->fn, .fn_bytes = run->bytes },
		{ .fn = release->fn, .fn_bytes = release->bytes, .args = { 1 }, .nargs = 1 },
	};
	int r;

	if (plan->parts == COLLECT_TEXT) {
		calls[1].nargs = 1;
		calls[1].data = collect_text;
		calls[1].data_len = sizeof(collect_text);
		calls[1].data_arg = 0;
	}
	*ret_why = NULL;
	inject_demand(found->inj, COLLECT_STACK_ROOM, true);
	r = inject_call(found->inj, &plan->code, &found->stack, calls, ARRAY_SIZE(calls), site->deadline_ns, times,
			ret_why);
	times->stopped_ns = inject_stopped_ns(found->inj);
	inject_close(found->inj);
	return r;
}

/* A sleeping thread collects. -EAGAIN: none was found in time, @ret says why. */
static int collect_asleep(const struct remedy_site *site, const struct remedy_plan *plan, uint64_t until_ns,
			  struct remedy_result *ret)
{
	struct growth growth = { .prover = site->python_prover };
	const struct inject_prover prover = { .prepare = growth_prepare, .prove = growth_prove, .ctx = &growth };
	struct inject_search search = {
		.which = INJECT_SLEEPING,
		.deadline_ns = until_ns,
		.data_lo = plan->data_lo,
		.data_hi = plan->data_hi,
		.stack_room = COLLECT_STACK_ROOM,
	};
	const struct timespec pause = { .tv_nsec = TRIES_PAUSE_NS };
	struct inject_found found = { .inj = NULL };
	struct inject_times times = { 0 };
	const char *why = NULL;
	int r, called = 0;

	growth_look(site->target, &growth);
	for (unsigned int tries = 0;; tries++) {
		r = inject_pick(site->target, &prover, &search, &found);
		inject_stops_join(&ret->stops, &found.stops);
		if (r < 0)
			break;
		called = collect_call(site, plan, &found, &times, &why);
		inject_stops_add(&ret->stops, times.stopped_ns);
		if (called != -EAGAIN || tries >= TRIES_MAX || clock_ns() >= search.deadline_ns)
			break;
		if (search.navoid < INJECT_AVOID_MAX)
			search.avoid[search.navoid++] = found.tid;
		(void)nanosleep(&pause, NULL);
	}
	ret->call_ns = times.call_ns;
	if (called < 0) {
		attempt_call_failed(called, why, "the collection", ret);
		return called;
	}
	if (r < 0) {
		attempt_pick_failed(site, r, &found, ret);
		return r;
	}
	ret->outcome = REMEDY_DONE;
	text_format(ret->detail, sizeof(ret->detail), "thread %d in %s; %llu look%s", found.tid, found.where,
		    (unsigned long long)found.looks, found.looks == 1 ? "" : "s");
	return 0;
}

static void collect_run(const struct remedy_site *site, const struct remedy_plan *plan, struct remedy_result *ret)
{
	const uint64_t now = clock_ns(), until = MIN(site->deadline_ns, now + SEARCH_NS);
	int r;

	if (collect_too_long(site, ret))
		return;
	r = collect_asleep(site, plan, plan->queue.possible ? MIN(until, now + SLEEPER_NS) : until, ret);
	if (r == -EAGAIN && plan->queue.possible)
		collect_queue_run(site, plan, until, ret);
	else if (r == -EAGAIN)
		text_append(ret->reason, sizeof(ret->reason), "; and for one that works: %s", plan->queue.reason);
	if (ret->outcome != REMEDY_DONE)
		return;
	ret->reason[0] = '\0'; /* why no sleeper would do */
	if (*plan->note)
		text_append(ret->detail, sizeof(ret->detail), "; %s", plan->note);
}

const struct remedy remedy_collect = {
	.name = "collect",
	.plan = collect_plan,
	.run = collect_run,
};
