// SPDX-License-Identifier: GPL-2.0-or-later
/* Pageout's half in the injector: a real process, and a machine that is said to have swap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "remedy/advise.h"
#include "remedy/pageout.h"
#include "need-pidfd.h"

#define BYTES (8ull << 20)
#define PROCESS_MADVISE 440

struct world {
	char dir[64];
	int proc, piddir;
	pid_t pid;
	uint64_t memory;
	unsigned int rounds;
	int error;
	struct remedy_idle idle;
	struct inject_target target;
	struct advise_reader reader;
	struct remedy_site site;
};

static struct world w;

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void swap_is(unsigned long total_kib, unsigned long free_kib)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "SwapTotal:  %lu kB\nSwapFree:   %lu kB\n", total_kib, free_kib);
	put("meminfo", text);
	put("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
		     "/dev/sda2                               partition\t8388604\t\t0\t\t-2\n");
}

static int next_round(void *ctx, struct advise_round *ret)
{
	(void)ctx;
	if (w.error)
		return w.error;
	*ret = (struct advise_round){ .n = 0 };
	if (w.rounds) {
		w.rounds--;
		ret->n = 1;
		ret->v[0] = (struct pageable_span){ w.memory, w.memory + BYTES };
		ret->bytes = BYTES;
	}
	return 0;
}

static int setup(void **state)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char path[64];

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	memset(p, 1, BYTES);
	w = (struct world){ .dir = "/tmp/reclaim-pageout-XXXXXX", .memory = (uintptr_t)p, .rounds = 2 };
	assert_non_null(mkdtemp(w.dir));
	w.pid = fork();
	if (w.pid == 0) {
		(void)pause();
		_exit(0);
	}
	(void)munmap(p, BYTES);
	(void)snprintf(path, sizeof(path), "/proc/%d", w.pid);
	w.piddir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w.proc = open(w.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w.pid > 0 && w.piddir >= 0 && w.proc >= 0);
	w.idle = (struct remedy_idle){ .kind = REMEDY_IDLE_QUIET, .idle_us = 1000000, .cpu_ticks = 100000 };
	w.target = (struct inject_target){ .pid = w.pid, .piddir = w.piddir, .mem_fd = -1 };
	w.reader = (struct advise_reader){ .next = next_round };
	w.site = (struct remedy_site){
		.target = &w.target,
		.advise = &w.reader,
		.idle = &w.idle,
		.proc = w.proc,
		.groups = -1,
		.deadline_ns = clock_ns() + 60000000000ull,
	};
	swap_is(8 << 20, 4 << 20);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "meminfo", "swaps", "stat" };
	char path[128];

	(void)state;
	(void)kill(w.pid, SIGKILL);
	(void)waitpid(w.pid, NULL, 0);
	(void)close(w.piddir);
	(void)close(w.proc);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w.dir, names[i]);
		(void)unlink(path);
	}
	return rmdir(w.dir);
}

static bool settles(struct remedy_plan *plan)
{
	*plan = (struct remedy_plan){ .possible = 1, .has_predicted = 1, .predicted = 1ull << 40, .upper = 1ull << 40 };
	remedy_pageout.settle(&w.site, plan);
	assert_true(plan->possible || *plan->reason);
	return plan->possible;
}

static void test_settle(void **state)
{
	struct remedy_plan plan;

	(void)state;
	assert_true(settles(&plan));
	assert_int_equal(plan.predicted, 4ull << 30);
	w.site.swap_keep = 3ull << 30;
	w.site.max_bytes = 64 << 20;
	assert_true(settles(&plan));
	assert_int_equal(plan.predicted, 64 << 20);
	w.site.swap_keep = 4ull << 30;
	assert_false(settles(&plan));
	assert_non_null(strstr(plan.reason, "of swap is free, of which"));
	swap_is(0, 0);
	assert_false(settles(&plan));
	assert_string_equal(plan.reason, "there is no swap that its memory could be moved to");
	put("meminfo", "nothing\n");
	assert_false(settles(&plan));
	assert_string_equal(plan.reason, "how much swap is free can't be told");
	w.idle.cpu_ticks = 0;
	w.idle.idle_us = 0;
	assert_false(settles(&plan));
	assert_string_equal(plan.reason, "nobody can tell for how long its memory has been idle");
}

static void run(enum remedy_outcome want, const char *what)
{
	struct remedy_result result = { .outcome = REMEDY_FAILED };
	const struct remedy_plan plan = { .possible = 1 };
	const char *said;

	remedy_pageout.run(&w.site, &plan, &result);
	said = *result.detail ? result.detail : result.reason;
	if (result.outcome != want || !strstr(said, what))
		print_error("%d: %s\n", result.outcome, said);
	assert_int_equal(result.outcome, want);
	assert_non_null(strstr(said, what));
}

/* This machine may really have swap, or none: how much is moved is its business. */
static void test_run(void **state)
{
	(void)state;
	need_pidfd();
	run(REMEDY_DONE, "moved to swap, not freed");
	assert_int_equal(w.rounds, 0);
	run(REMEDY_DONE, "swap is /dev/sda2");
}

static void test_run_ends(void **state)
{
	(void)state;
	need_pidfd();
	w.rounds = 100;
	run(REMEDY_DONE, "");
	w.rounds = 1;
	w.site.deadline_ns = 0;
	run(REMEDY_REFUSED, "the deadline came");
	w.site.deadline_ns = clock_ns() + 60000000000ull;
	w.error = -EPIPE;
	run(REMEDY_REFUSED, "the reader failed");
	w.error = -ETIME;
	run(REMEDY_REFUSED, "looking for more took too long");
	w.error = 0;
	swap_is(0, 0);
	run(REMEDY_REFUSED, "no swap");
}

/* In between it is another process's turn, or nobody's. */
static void test_run_gone(void **state)
{
	(void)state;
	(void)kill(w.pid, SIGKILL);
	(void)waitpid(w.pid, NULL, 0);
	run(REMEDY_GONE, "it has exited");
}

/* From now on process_madvise(2) fails with @error in this process. */
static int forbid(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROCESS_MADVISE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* What the kernel says of advice, and what people are told then. */
static void test_kernel_says(void **state)
{
	static const struct {
		int error;
		enum remedy_outcome outcome;
		const char *what;
	} rows[] = {
		{ EPERM, REMEDY_DENIED, "needs root (CAP_SYS_NICE)" },
		{ ESRCH, REMEDY_GONE, "it has exited" },
		{ ENOSYS, REMEDY_REFUSED, "since Linux 5.10" },
		{ EIO, REMEDY_FAILED, "process_madvise failed: Input/output error" },
		{ ENOMEM, REMEDY_DONE, "ranges had changed" },
		{ EINVAL, REMEDY_DONE, "ranges had changed" },
		{ EAGAIN, REMEDY_DONE, "ranges had changed" },
	};

	(void)state;
	need_pidfd();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct remedy_result result = { .outcome = REMEDY_FAILED };
		const struct remedy_plan plan = { .possible = 1 };
		int status = -1;
		pid_t pid = fork();

		if (!pid) {
			if (forbid(rows[i].error))
				_exit(2);
			remedy_pageout.run(&w.site, &plan, &result);
			_exit(result.outcome != rows[i].outcome ||
			      !(strstr(result.reason, rows[i].what) || strstr(result.detail, rows[i].what)));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status)
			fail_msg("%s: status %x", strerror(rows[i].error), status);
	}
}

static const char *note_advised(void *ctx, uint64_t advised, uint64_t *ret_moved)
{
	*(uint64_t *)ctx = advised;
	*ret_moved = 0;
	return NULL;
}

/* What was advised of the @n spans of idle memory when the reader says that all of it may be. */
static uint64_t advised(const struct pageable_span *spans, size_t n)
{
	uint64_t bytes = 0;
	const struct advise a = { .advice = MADV_COLD, .moved = "deactivated", .watch = note_advised, .ctx = &bytes };
	struct remedy_result result = { .outcome = REMEDY_FAILED };

	w.rounds = 1;
	w.idle = (struct remedy_idle){ .kind = REMEDY_IDLE_AGES, .idle_us = 1, .spans = spans, .nspans = n };
	advise_run(&w.site, &a, &result);
	assert_int_equal(result.outcome, REMEDY_DONE);
	return bytes;
}

/* The reader parses what the target has made: it isn't believed that more is idle than the kernel has said. */
static void test_only_idle_memory(void **state)
{
	const uint64_t at = w.memory, mib = 1 << 20;
	const struct pageable_span all = { at, at + BYTES }, part = { at + mib, at + 3 * mib };
	const struct pageable_span other = { at + 64 * BYTES, at + 65 * BYTES }, before = { 4096, 8192 };
	const struct pageable_span several[] = { before, part, other };

	(void)state;
	need_pidfd();
	assert_int_equal(advised(&all, 1), BYTES);
	assert_int_equal(advised(&part, 1), 2 * mib);
	assert_int_equal(advised(several, ARRAY_SIZE(several)), 2 * mib);
	assert_int_equal(advised(&other, 1), 0);
	assert_int_equal(advised(NULL, 0), 0);
}

static void test_as_much_as_may_be(void **state)
{
	const struct advise a = { .advice = MADV_COLD, .moved = "deactivated", .max_bytes = BYTES };
	struct remedy_result result = { .outcome = REMEDY_FAILED };

	(void)state;
	need_pidfd();
	w.rounds = 3;
	advise_run(&w.site, &a, &result);
	assert_int_equal(result.outcome, REMEDY_DONE);
	assert_non_null(strstr(result.detail, "; not all: that is as much as may be moved at a time"));
	assert_int_equal(w.rounds, 2);
}

/* It isn't asleep any more, or can't be looked at, which is not the same as having exited. */
static void test_woken_up(void **state)
{
	const struct advise a = { .advice = MADV_COLD, .moved = "deactivated" };
	struct remedy_result result = { .outcome = REMEDY_FAILED };
	struct remedy_plan plan;
	const uint64_t end = clock_ns() + 20000000000ull;
	_cleanup_close_ int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	need_pidfd();
	assert_true(self >= 0);
	w.target = (struct inject_target){ .pid = getpid(), .piddir = self, .mem_fd = -1 };
	w.idle.cpu_ticks = 0;
	/* As soon as this process has used a tick of a CPU. */
	while (settles(&plan))
		assert_true(clock_ns() < end);
	assert_string_equal(plan.reason, "it has woken up");
	advise_run(&w.site, &a, &result);
	assert_int_equal(result.outcome, REMEDY_REFUSED);
	assert_string_equal(result.reason, "it has woken up");
	put("stat", "nonsense\n");
	w.target.piddir = w.proc;
	assert_false(settles(&plan));
	assert_non_null(strstr(plan.reason, "can't be told"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_says, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_idle_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_as_much_as_may_be, setup, teardown),
		cmocka_unit_test_setup_teardown(test_woken_up, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
