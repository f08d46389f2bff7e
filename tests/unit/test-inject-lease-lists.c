// SPDX-License-Identifier: GPL-2.0-or-later
/* What a lease is given to do, and what is refused, on a live process. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "inject/trace.h"
#include "lease-driver.h"

#define MANY_NS 2000000000ull
#define MS 1000000ull

static void begin(struct driver *d, const char *arg)
{
	const char *const args[] = { arg, NULL };

	driver_start(d, args);
}

static bool page_is(const struct driver *d, unsigned int i, unsigned char value)
{
	unsigned char page[4096];

	if (trace_peek(d->target.mem_fd, d->info->pages_at + i * 4096ul, page, sizeof(page)) < 0)
		return false;
	for (size_t k = 0; k < sizeof(page); k++)
		if (page[k] != value)
			return false;
	return true;
}

static int commit_and_end(struct lease *l, const struct lease_write *w, size_t nw, const struct lease_range *ranges,
			  size_t nranges, bool *ret_applied)
{
	struct lease_times t;
	int c = lease_commit(l, w, nw, ranges, nranges), r = lease_end(l, clock_ns() + MANY_NS, &t, ret_applied);

	lease_close(l);
	return r < 0 ? r : c;
}

/* Two words, a long run of bytes, two ranges: all of it. */
static int writes_apart(struct driver *d, enum lease_drop drop)
{
	static unsigned char run_of_bytes[3000];
	const uint64_t one = 1, two = 2, at = d->info->words_at, pages = d->info->pages_at;
	const struct lease_write w[] = { { at, 8, &one },
					 { at + 8, 8, &two },
					 { pages + 4096 * 9, sizeof(run_of_bytes), run_of_bytes } };
	const struct lease_range ranges[] = { { pages, 4096 }, { pages + 4096 * 3, 8192 } };
	const struct lease_request req = driver_request(d, drop);
	struct lease *l = driver_held(d, &req);
	bool applied = false;

	MUST(l);
	MUST(lease_room(l)->ranges == 20 && lease_room(l)->writes == 4);
	memset(run_of_bytes, 7, sizeof(run_of_bytes));
	MUST(commit_and_end(l, w, 3, ranges, 2, &applied) == 0);
	MUST(applied);
	MUST(d->info->words[0] == 1 && d->info->words[1] == 2);
	for (unsigned int i = 0; i < 9; i++)
		MUST(page_is(d, i, i == 0 || i == 3 || i == 4 ? 0 : 0xa5));
	MUST(trace_peek(d->target.mem_fd, pages + 4096 * 9, run_of_bytes, 3000) == 0 && run_of_bytes[2999] == 7);
	return 0;
}

/* The second write would fault: none of them happens, the drops don't. */
static int fault_apart(struct driver *d, enum lease_drop drop)
{
	const uint64_t v = 77, at = d->info->words_at, pages = d->info->pages_at;
	const struct lease_write w[] = { { at + 80, 8, &v }, { 0x1000, 8, &v }, { at + 88, 8, &v } };
	const struct lease_range range = { pages + 4096 * 20, 4096 };
	const struct lease_request req = driver_request(d, drop);
	struct lease *l = driver_held(d, &req);
	bool applied = true;

	MUST(l);
	MUST(commit_and_end(l, w, 3, &range, 1, &applied) == 0);
	MUST(!applied);
	MUST(d->info->words[10] == 0 && d->info->words[11] == 0);
	MUST(page_is(d, 20, 0xa5));
	return 0;
}

/* Memory that can't be written to, here somebody else's, isn't taken for a fault of the thread. */
static int no_memory(struct driver *d)
{
	const uint64_t v = 1;
	const struct lease_write w = { d->info->words_at + 80, 8, &v };
	const struct lease_request req = driver_request(d, LEASE_DROP_SINGLE);
	int ours = open("/proc/self/mem", O_RDWR | O_CLOEXEC), theirs = dup(d->target.mem_fd), r;
	struct lease *l = driver_held(d, &req);
	struct lease_times t;
	bool applied = true;

	MUST(l && ours >= 0 && theirs >= 0);
	MUST(dup2(ours, d->target.mem_fd) == d->target.mem_fd);
	r = lease_commit(l, &w, 1, NULL, 0);
	MUST(dup2(theirs, d->target.mem_fd) == d->target.mem_fd);
	MUST(r == -ENOSPC);
	MUST(lease_end(l, clock_ns() + MANY_NS, &t, &applied) == 0 && !applied);
	lease_close(l);
	(void)close(ours);
	(void)close(theirs);
	MUST(d->info->words[10] == 0);
	return 0;
}

/* Lists that are not acceptable end the lease without effect. */
static int bad_lists(struct driver *d)
{
	const uint64_t v = 1, pages = d->info->pages_at;
	static struct lease_range many[30];
	const struct {
		struct lease_write w;
		size_t nw;
		struct lease_range range;
		size_t nranges;
		int expect;
	} cases[] = {
		{ { 0, 0, NULL }, 0, { pages + 1, 4096 }, 1, -EINVAL },
		{ { 0, 0, NULL }, 0, { pages, 100 }, 1, -EINVAL },
		{ { 0, 0, NULL }, 0, { pages, 0 }, 1, -EINVAL },
		{ { 0, 0, NULL }, 0, { 0x7ffffffff000, 4096 }, 1, -EINVAL },
		{ { 0, 0, NULL }, 0, { pages, UINT64_MAX & ~4095ull }, 1, -EINVAL },
		{ { 0, 0, NULL }, 0, { d->stack[1].lo, d->stack[1].hi - d->stack[1].lo }, 1, -EINVAL },
		{ { pages, 5000, &v }, 1, { 0, 0 }, 0, -ENOSPC },
		{ { UINT64_MAX - 3, 8, &v }, 1, { 0, 0 }, 0, -EINVAL },
		{ { pages, 0, &v }, 1, { 0, 0 }, 0, -EINVAL },
	};

	for (size_t i = 0; i <= ARRAY_SIZE(cases); i++) {
		const struct lease_request req = driver_request(d, LEASE_DROP_SINGLE);
		struct lease *l = driver_held(d, &req);
		bool applied = true;

		MUST(l);
		if (i == ARRAY_SIZE(cases))
			MUST(commit_and_end(l, NULL, 0, many, 30, &applied) == -ENOSPC);
		else
			MUST(commit_and_end(l, &cases[i].w, cases[i].nw, &cases[i].range, cases[i].nranges, &applied) ==
			     cases[i].expect);
		MUST(!applied);
	}
	return 0;
}

static int lists_vector(struct driver *d)
{
	int r = lease_vector_possible() ? writes_apart(d, LEASE_DROP_VECTOR) : 0;

	return r == 0 && lease_vector_possible() ? fault_apart(d, LEASE_DROP_VECTOR) : r;
}

static int lists_singles(struct driver *d)
{
	int r = writes_apart(d, LEASE_DROP_SINGLE);

	return r == 0 ? fault_apart(d, LEASE_DROP_SINGLE) : r;
}

static void test_lists(void **state)
{
	int (*const parts[])(struct driver * d) = { lists_vector, lists_singles, no_memory, bad_lists };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct driver d;

		begin(&d, "--threads=2");
		driver_apart(&d, parts[i]);
		driver_judge(&d, "lists");
		driver_finish(&d);
	}
}

/* ------------------------------------------------------------ refusals */

/* What lease_begin() says of sleeper @i, which must have been asleep. */
static int refused(struct driver *d, int i, const struct lease_code *code, const struct inject_stack *stack,
		   const struct lease_request *req)
{
	for (;;) {
		_cleanup_inject_ struct inject *inj = NULL;
		_cleanup_lease_ struct lease *l = NULL;
		const char *why = "";
		int r = driver_open(d, i, &inj);

		if (r == -EBUSY)
			continue;
		if (r == 0)
			r = lease_begin(inj, code, stack, req, &l, &why);
		(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "%s", why);
		return r;
	}
}

static int refusals(struct driver *d)
{
	struct lease_request req = driver_request(d, LEASE_DROP_SINGLE);
	struct inject_stack small = d->stack[1];
	struct lease_code code = d->code;

	code.lock_bytes[5] ^= 1;
	MUST(refused(d, 1, &code, &d->stack[1], &req) == -ESTALE);
	code = d->code;
	code.syscall_insn++;
	MUST(refused(d, 1, &code, &d->stack[1], &req) == -ESTALE);
	small.lo = small.hi - 16384;
	MUST(refused(d, 1, &d->code, &small, &req) == -ENOSPC);
	req.lock_addr = d->info->restorer & ~3ull; /* not zero: held by somebody, it seems */
	MUST(refused(d, 1, &d->code, &d->stack[1], &req) == -EAGAIN);
	MUST(!strcmp(d->stats->last_why, "the lock was never seen free"));
	req.lock_addr = 0;
	MUST(refused(d, 1, &d->code, &d->stack[1], &req) == -EINVAL);
	req = driver_request(d, LEASE_DROP_SINGLE);
	req.advice = MADV_REMOVE;
	MUST(refused(d, 1, &d->code, &d->stack[1], &req) == -EINVAL);
	req.advice = MADV_DONTNEED;
	req.want_writes = LEASE_WRITES_MAX + 1;
	MUST(refused(d, 1, &d->code, &d->stack[1], &req) == -EINVAL);
	return 0;
}

static void test_refusals(void **state)
{
	struct driver d;

	(void)state;
	begin(&d, "--threads=2");
	driver_apart(&d, refusals);
	driver_judge(&d, "refusals");
	driver_finish(&d);
}

/* @process: sent to all of them, of which only this one may take it. */
static int signalled(struct driver *d, bool process)
{
	const struct lease_request req = driver_request(d, LEASE_DROP_SINGLE);
	const pid_t tid = d->info->sleeper[1];
	_cleanup_inject_ struct inject *inj = NULL;
	_cleanup_lease_ struct lease *l = NULL;
	const char *why = "";
	int r;

	while ((r = driver_open(d, 1, &inj)) == -EBUSY)
		;
	MUST(r == 0);
	MUST((process ? kill(d->pid, SIGUSR1) : (int)syscall(SYS_tgkill, d->pid, tid, SIGUSR1)) == 0);
	r = lease_begin(inj, &d->code, &d->stack[1], &req, &l, &why);
	(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "%d %s", r, why);
	MUST(r == -EAGAIN && !strcmp(why, "a signal that it handles is on its way"));
	return 0;
}

static int thread_signalled(struct driver *d)
{
	return signalled(d, false);
}

static int process_signalled(struct driver *d)
{
	return signalled(d, true);
}

/* A signal that has come since it was stopped is handled first, once, before anything of ours; then it can be had. */
static void test_signal_on_its_way(void **state)
{
	int (*const parts[])(struct driver * d) = { thread_signalled, process_signalled };
	struct driver d;

	(void)state;
	begin(&d, "--threads=2");
	for (unsigned int i = 0; i < 3 * ARRAY_SIZE(parts); i++) {
		driver_apart(&d, parts[i % ARRAY_SIZE(parts)]);
		driver_judge(&d, "signalled");
		assert_int_equal(d.vs->handler_runs, i + 1);
	}
	driver_apart(&d, lists_singles);
	driver_judge(&d, "after the signals");
	driver_finish(&d);
}

/*
 * A lock that is never let go: sem_wait() at a word that is and stays 0 waits
 * for ever, as the lock function does when somebody keeps the lock.
 */
static int in_vain(struct driver *d)
{
	struct lease_request req = driver_request(d, LEASE_DROP_SINGLE);
	const uint64_t until = clock_ns() + MANY_NS;

	req.lock_addr = d->info->words_at + 20ul * 8;
	d->code.lock_fn = d->info->wait_fn;
	MUST(trace_peek(d->target.mem_fd, d->code.lock_fn, d->code.lock_bytes, INJECT_CODE_BYTES) == 0);
	for (;;) {
		_cleanup_inject_ struct inject *inj = NULL;
		_cleanup_lease_ struct lease *l = NULL;
		const char *why = "";
		int r = driver_open(d, 1, &inj);

		if (r == 0)
			r = lease_begin(inj, &d->code, &d->stack[1], &req, &l, &why);
		if (r == 0) {
			MUST(lease_wait_held(l, clock_ns() + 30 * MS) == -ETIMEDOUT);
			return 0;
		}
		MUST(r == -EBUSY && clock_ns() < until);
	}
}

static void test_lock_is_not_to_be_had(void **state)
{
	struct driver d;

	(void)state;
	begin(&d, "--threads=2");
	driver_apart(&d, in_vain);
	driver_judge(&d, "in vain");
	driver_finish(&d);
}

static int filtered(struct driver *d)
{
	const struct lease_request req = driver_request(d, LEASE_DROP_SINGLE);

	MUST(refused(d, LEASE_SLEEPERS - 1, &d->code, &d->stack[LEASE_SLEEPERS - 1], &req) == -EACCES);
	MUST(strstr(d->stats->last_why, "seccomp filter does not allow"));
	return 0;
}

/* One filter for each call that the chain makes: it must be seen, or the chain would kill the target. */
static void test_seccomp(void **state)
{
	static const int calls[] = { SYS_clock_gettime, SYS_rt_sigtimedwait, SYS_futex, SYS_process_vm_readv,
				     SYS_madvise };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct driver d;
		char arg[32];

		(void)snprintf(arg, sizeof(arg), "--deny=%d", calls[i]);
		begin(&d, arg);
		driver_apart(&d, filtered);
		/* It must not call them itself at its end either. */
		(void)kill(d.pid, SIGKILL);
		(void)waitpid(d.pid, NULL, 0);
		(void)unlink(d.shm);
		(void)unlink(d.info_path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_signal_on_its_way),
		cmocka_unit_test(test_lock_is_not_to_be_had),
		cmocka_unit_test(test_seccomp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
