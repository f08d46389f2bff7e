// SPDX-License-Identifier: GPL-2.0-or-later
/* The injector's half of a purge, on a live process, with a reader of our own that errs, lies and is late. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "inject/trace.h"
#include "lease-driver.h"
#include "remedy/purge.h"

#define PAGE 4096ull
#define USER_TOP (1ull << 47)
#define WORD 5
#define TRIES 20

static struct driver driver;

/* What the reader says, and what it was asked. */
struct world {
	struct driver *d;
	int scan_error, check_error;
	int end_error; /* of the scan that finds nothing any more */
	uint32_t passed; /* what that one says */
	bool many; /* locks: behind one that was given up there is another */
	uint32_t kind;
	unsigned int scans, checks, rounds; /* after so many checks there is nothing left */
	uint32_t applied, again, skipped; /* as it was told */
	uint64_t lie; /* see lies[] */
	uint64_t late_ns;
	struct purge_lists last;
	struct inject_target other; /* without a driver */
};

static int scan(void *ctx, const struct purge_ask *ask, struct purge_round *ret)
{
	struct world *w = ctx;

	w->scans++;
	w->applied += ask->applied;
	w->again += ask->again;
	w->skipped += ask->skip;
	*ret = (struct purge_round){ .kind = w->kind };
	if (w->checks >= w->rounds || (ask->skip && !w->many))
		*ret = (struct purge_round){ .kind = PURGE_DONE, .passed = w->passed };
	if (ret->kind == PURGE_DONE && w->end_error)
		return w->end_error;
	if (w->d)
		ret->lock = w->d->info->main_arena;
	ret->ranges = ret->writes = 4;
	ret->values = 64;
	return w->scan_error;
}

/* Each is wrong in one way, and what it would do can be seen. */
static void lie(const struct world *w, struct purge_lists *l)
{
	switch (w->lie) {
	case 1:
		l->nranges = PURGE_RANGES_MAX + 1;
		break;
	case 2:
		l->nwrites = PURGE_WRITES_MAX + 1;
		break;
	case 3:
		l->nvalues = PURGE_VALUES_MAX + 1;
		break;
	case 4:
		l->ranges[0].addr += 8;
		break;
	case 5:
		l->ranges[0].len = 0;
		break;
	case 6:
		l->ranges[0].len += 8;
		break;
	case 7:
		l->ranges[0].addr = 0;
		break;
	case 8:
		l->ranges[0].addr = USER_TOP;
		break;
	case 9:
		l->ranges[0].len = USER_TOP;
		break;
	case 10:
		l->writes[0].len = 0;
		break;
	case 11:
		l->writes[0].offset = l->nvalues + 1;
		break;
	case 12:
		l->writes[0].len = l->nvalues + 1;
		break;
	case 13:
		l->writes[0].addr = USER_TOP - 8;
		break;
	}
}
#define LIES 13

static int check(void *ctx, const struct purge_ask *ask, struct purge_lists *ret)
{
	struct world *w = ctx;
	const struct timespec late = { .tv_nsec = (long)w->late_ns };
	const uint64_t value = 7;

	w->checks++;
	if (ask->max_ranges < 1 || ask->max_writes < 1 || ask->max_values < sizeof(value))
		return -ENOSPC;
	(void)nanosleep(&late, NULL);
	*ret = (struct purge_lists){ .nranges = 1, .nwrites = 1, .nvalues = sizeof(value) };
	ret->ranges[0] = (struct purge_range){ w->d->info->pages_at, PAGE };
	ret->writes[0] = (struct purge_write){ w->d->info->words_at + 8 * WORD, 0, sizeof(value) };
	memcpy(ret->values, &value, sizeof(value));
	lie(w, ret);
	return w->check_error;
}

static int prepare(void *ctx, const struct cpu_regs *regs)
{
	(void)ctx;
	(void)regs;
	return 0;
}

/* Where its sleepers sleep is known. */
static int prove(void *ctx, const struct cpu_regs *regs, struct inject_stack *ret)
{
	const struct world *w = ctx;

	for (unsigned int i = 0; i < LEASE_SLEEPERS; i++)
		if (regs->r[CPU_RSP] >= w->d->stack[i].lo && regs->r[CPU_RSP] < w->d->stack[i].hi) {
			*ret = w->d->stack[i];
			return 0;
		}
	return -EAGAIN;
}

static void purge(struct world *w, struct remedy_site *site, struct remedy_result *ret)
{
	const struct purge_reader reader = { .scan = scan, .check = check, .ctx = w };
	const struct inject_prover prover = { .prepare = prepare, .prove = prove, .ctx = w };
	struct remedy_plan plan = { .possible = 1, .parts = PURGE_GLIBC, .note = "what the user should know" };
	uint64_t began_ns;

	site->target = &w->other;
	if (w->d) {
		site->target = &w->d->target;
		plan.arena = plan.gil = w->d->code;
	}
	site->purge = &reader;
	site->prover = site->python_prover = &prover;
	site->unsafe_why = "";
	site->advice = MADV_DONTNEED;
	if (!site->deadline_ns)
		site->deadline_ns = clock_ns() + 20000000000ull;
	*ret = (struct remedy_result){ .outcome = REMEDY_FAILED };
	began_ns = clock_ns();
	remedy_purge.run(site, &plan, ret);
	/* One after the other: none is counted twice. */
	if (ret->stops.total_ns > clock_ns() - began_ns)
		*ret = (struct remedy_result){ .outcome = REMEDY_FAILED, .reason = "longer stops than all of it" };
}

/* ---- nobody is touched ---- */

static void test_scan_fails(void **state)
{
	static const struct {
		int error;
		enum remedy_outcome outcome;
		const char *why;
	} rows[] = {
		{ -ETIME, REMEDY_TIMEOUT, "time was up" },
		{ -EDQUOT, REMEDY_TIMEOUT, "takes too long to be read" },
		{ -ESRCH, REMEDY_GONE, "it has exited" },
		{ -EFAULT, REMEDY_REFUSED, "keeps changing" },
		{ -EBADMSG, REMEDY_REFUSED, "keeps changing" },
		{ -EAGAIN, REMEDY_REFUSED, "keeps changing" },
		{ -EPIPE, REMEDY_FAILED, "failed: Broken pipe" },
		{ -EMFILE, REMEDY_FAILED, "Too many open files" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world w = { .scan_error = rows[i].error, .other.mem_fd = -1 };
		struct remedy_site site = { .deadline_ns = 0 };
		struct remedy_result res;

		purge(&w, &site, &res);
		assert_int_equal(res.outcome, rows[i].outcome);
		if (!strstr(res.reason, rows[i].why))
			fail_msg("%d: %s", rows[i].error, res.reason);
		assert_int_equal(w.scans, 1);
	}
}

/* Memory of a program that has ended looks, to the reader, as if it kept changing. */
static void test_it_is_over(void **state)
{
	struct world fails = { .scan_error = -EFAULT }, passes = { .passed = 3 };
	struct remedy_site site = { .deadline_ns = 0 };
	struct remedy_result res;
	char path[64];
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	while (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		(void)pause();
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fails.other.mem_fd = passes.other.mem_fd = open(path, O_RDONLY);
	assert_true(fails.other.mem_fd > 0);
	for (int over = 0; over < 2; over++) {
		purge(&fails, &site, &res);
		assert_int_equal(res.outcome, over ? REMEDY_GONE : REMEDY_REFUSED);
		purge(&passes, &site, &res);
		assert_int_equal(res.outcome, over ? REMEDY_GONE : REMEDY_DONE);
		assert_non_null(strstr(res.reason, over ? "ran another program" : "it keeps changing"));
		assert_true(over || (kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid));
	}
	(void)close(fails.other.mem_fd);
}

static void test_no_time(void **state)
{
	struct world w = { .kind = PURGE_ARENA };
	struct remedy_site site = { .deadline_ns = 1 };
	struct remedy_result res;

	(void)state;
	purge(&w, &site, &res);
	assert_int_equal(res.outcome, REMEDY_TIMEOUT);
	assert_string_equal(res.reason, "time was up before all of it was purged");
	assert_int_equal(w.scans, 0);
}

static void test_nothing_left(void **state)
{
	struct world w = { .kind = PURGE_DONE, .other.mem_fd = -1 };
	struct remedy_site site = { .deadline_ns = 0 };
	struct remedy_result res;

	(void)state;
	purge(&w, &site, &res);
	assert_int_equal(res.outcome, REMEDY_DONE);
	assert_non_null(strstr(res.detail, "0 rounds, 0 ranges"));
	assert_non_null(strstr(res.detail, "; what the user should know"));
	assert_string_equal(res.reason, "");
	/* Where places were passed over it is not all, and that is told. */
	w.passed = 3;
	purge(&w, &site, &res);
	assert_int_equal(res.outcome, REMEDY_DONE);
	assert_non_null(strstr(res.reason, "it keeps changing"));
}

/* No reader to ask. */
static void test_no_reader(void **state)
{
	const struct remedy_site site = { .deadline_ns = clock_ns() + 1000000000 };
	const struct remedy_plan plan = { .possible = 1, .parts = PURGE_GLIBC };
	struct remedy_result res = { .outcome = REMEDY_FAILED };

	(void)state;
	remedy_purge.run(&site, &plan, &res);
	assert_int_equal(res.outcome, REMEDY_FAILED);
	assert_string_equal(res.reason, "out of memory");
}

/* ---- a live process ---- */

static uint64_t word(const struct driver *d)
{
	return d->info->words[WORD];
}

/* 1: dropped, 0: as it was, -1: neither. */
static int page_gone(const struct driver *d)
{
	unsigned char page[PAGE];

	if (trace_peek(d->target.mem_fd, d->info->pages_at, page, sizeof(page)) < 0)
		return -1;
	for (size_t i = 1; i < sizeof(page); i++)
		if (page[i] != page[0])
			return -1;
	return page[0] == 0 ? 1 : page[0] == 0xa5 ? 0 : -1;
}

/*
 * Purges until it comes out as @outcome with @what in its words: on a busy machine the lock may be let go of before
 * the reader is asked, which is told then. Nothing is ever written or dropped.
 */
static int comes_out(struct driver *d, const struct world *start, uint64_t max_stop_ns, enum remedy_outcome outcome,
		     const char *what, struct world *ret)
{
	for (unsigned int i = 0; i < TRIES; i++) {
		struct remedy_site site = { .max_stop_ns = max_stop_ns };
		struct remedy_result res;

		*ret = *start;
		purge(ret, &site, &res);
		(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "%d %d: %.50s: %.50s", (int)start->lie,
			       res.outcome, res.reason, res.detail);
		if (ret->applied)
			return -EPROTO;
		MUST(!word(d) && !page_gone(d));
		if (res.outcome == outcome && (strstr(res.detail, what) || strstr(res.reason, what)))
			return 0;
	}
	return -EPROTO;
}

/* Whatever the reader says that can't be: nothing is written, nothing dropped, the lock is let go, and why is told. */
static int lies_apart(struct driver *d)
{
	struct world w = { .d = d, .kind = PURGE_ARENA, .rounds = 2 }, after;
	int r = 0;

	for (w.lie = 1; w.lie <= LIES && r == 0; w.lie++) {
		r = comes_out(d, &w, 0, REMEDY_DONE, "keeps changing", &after);
		if (r == 0)
			MUST(after.again);
	}
	return r;
}

static int errors_apart(struct driver *d)
{
	static const struct {
		int error;
		const char *why;
	} rows[] = {
		{ -EFAULT, "keeps changing" },
		{ -EBADMSG, "keeps changing" },
		{ -EAGAIN, "what was free had been used again" },
		{ -ETIME, "the machine is too busy" },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && r == 0; i++) {
		const struct world w = { .d = d, .kind = PURGE_ARENA, .rounds = 2, .check_error = rows[i].error };
		struct world after;

		r = comes_out(d, &w, 0, REMEDY_DONE, rows[i].why, &after);
	}
	return r;
}

/* A reader that is gone: no further round, and it is no success. */
static int broken_apart(struct driver *d)
{
	const struct world w = { .d = d, .kind = PURGE_ARENA, .rounds = 5, .check_error = -EPIPE };
	struct world after;
	int r = comes_out(d, &w, 0, REMEDY_FAILED, "the reader failed on its memory", &after);

	MUST(after.checks == 1);
	return r;
}

/* A lock that can't be had again and again is given up, and others are asked for; in the end that is told. */
static int skipped_apart(struct driver *d)
{
	const struct world w = { .d = d, .kind = PURGE_ARENA, .rounds = 1000, .check_error = -EAGAIN };
	struct world after;
	int r = comes_out(d, &w, 1, REMEDY_REFUSED, "1 of its locks could not be had", &after);

	MUST(after.skipped == 1 && after.checks <= 12);
	return r;
}

/* One lock after the other: there is an end to it. */
static int many_apart(struct driver *d)
{
	const struct world w = { .d = d, .kind = PURGE_ARENA, .rounds = 1000, .check_error = -EAGAIN, .many = true };
	struct world after;
	int r = comes_out(d, &w, 1, REMEDY_REFUSED, "5 of its locks could not be had", &after);

	/* Of the fifth nobody is told any more. */
	MUST(after.skipped == 4 && after.checks <= 5 * 12);
	return r;
}

/* The reader dawdles while the lock is held: it has been let go of long ago, and nothing is done. */
static int late_apart(struct driver *d)
{
	const struct world w = { .d = d, .kind = PURGE_ARENA, .rounds = 2, .late_ns = 100000000 };
	struct world after;

	return comes_out(d, &w, 0, REMEDY_DONE, "given up", &after);
}

static int works_apart(struct driver *d)
{
	struct remedy_result res = { .outcome = REMEDY_FAILED };

	for (unsigned int i = 0; i < TRIES && !word(d); i++) {
		struct world w = { .d = d, .kind = PURGE_ARENA, .rounds = 3 };
		struct remedy_site site = { .max_stop_ns = 100000000 };

		purge(&w, &site, &res);
		(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "%d: %.100s", res.outcome, res.detail);
		MUST(!word(d) == !w.applied);
	}
	MUST(word(d) == 7 && page_gone(d) == 1);
	/* Each of its rounds stops somebody. */
	MUST(res.stops.longest_ns && res.stops.total_ns >= res.stops.longest_ns);
	MUST(!strstr(res.detail, "3 rounds") || res.stops.total_ns > res.stops.longest_ns);
	return res.outcome == REMEDY_DONE && strstr(res.detail, "ranges; a lock was held") ? 0 : -EPROTO;
}

/* What was given back before the reader could not go on counts; that it isn't all is told. */
static int early_apart(struct driver *d)
{
	static const struct {
		int error;
		enum remedy_outcome outcome;
		const char *why;
	} rows[] = {
		{ -EBADMSG, REMEDY_DONE, "its allocator could not be told" },
		{ -ETIME, REMEDY_DONE, "time was up" },
		{ -EPIPE, REMEDY_FAILED, "failed: Broken pipe" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct remedy_result res = { .outcome = REMEDY_FAILED };
		bool applied = false;

		for (unsigned int n = 0; n < TRIES && !applied; n++) {
			struct world w = { .d = d, .kind = PURGE_ARENA, .rounds = 1, .end_error = rows[i].error };
			struct remedy_site site = { .max_stop_ns = 100000000 };

			purge(&w, &site, &res);
			applied = w.applied;
			/* Told only of what there was: in a try in which nothing was given back. */
			MUST(applied || res.outcome != REMEDY_DONE);
		}
		(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "%d: %.60s: %.60s", res.outcome,
			       res.reason, res.detail);
		if (!applied || res.outcome != rows[i].outcome || !strstr(res.reason, rows[i].why))
			return -EPROTO;
		/* Behind what was given up on a busy machine there is no room for it. */
		MUST(res.outcome != REMEDY_DONE || strstr(res.detail, "given up") ||
		     strstr(res.detail, "; ended early: "));
		MUST(strstr(res.detail, "1 round, 1 ranges") && word(d) == 7 && page_gone(d) == 1);
	}
	return 0;
}

static void live(int (*fn)(struct driver *d), const char *what)
{
	const char *const args[] = { "--quiet", NULL };

	driver_start(&driver, args);
	driver_apart(&driver, fn);
	driver_judge(&driver, what);
	driver_finish(&driver);
}

#define LIVE(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		live(name##_apart, #name);    \
	}
LIVE(lies)
LIVE(errors)
LIVE(broken)
LIVE(skipped)
LIVE(many)
LIVE(early)
LIVE(works)
LIVE(late)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_fails), cmocka_unit_test(test_no_time), cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_works),	   cmocka_unit_test(test_lies),	   cmocka_unit_test(test_errors),
		cmocka_unit_test(test_no_reader),  cmocka_unit_test(test_many),	   cmocka_unit_test(test_early),
		cmocka_unit_test(test_broken),	   cmocka_unit_test(test_skipped), cmocka_unit_test(test_late),
		cmocka_unit_test(test_it_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
