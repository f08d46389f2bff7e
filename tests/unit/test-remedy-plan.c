// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is planned for a Python whose memory is not what its files say, that is being
 * finalized, or that the remedies know too little of: each refusal tells why, and what can be done
 * all the same is planned. The target is a Python of the machine's own, which sleeps meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/procfs.h"
#include "inject/trace.h"
#include "remedy/collect.h"
#include "remedy/purge-plan.h"
#include "remedy/python.h"
#include "remedy/trim.h"

/* Two of three of its pools are empty, and in each arena one is not. */
static const char program[] = "import os, time\n"
			      "kept = [object() for i in range(300000)]\n"
			      "kept = kept[::3000]\n"
			      "os.write(1, b'.')\n"
			      "time.sleep(1000)\n";

struct fixture {
	pid_t pid;
	int piddir, mem_fd;
	struct target target;
	struct remedy_facts facts;
	struct cpython *py;
};

/* ---- its life ---- */

static void child(const int out[2], pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || dup2(out[1], 1) < 0)
		_exit(1);
	(void)execlp("python3", "python3", "-I", "-S", "-c", program, NULL);
	_exit(1);
}

static int start(void **state)
{
	static struct fixture f;
	_cleanup_close_ int root = procfs_open_root("/proc");
	const pid_t parent = getpid();
	int out[2];
	char c = 0;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	f.pid = fork();
	assert_true(f.pid >= 0);
	if (!f.pid)
		child(out, parent);
	(void)close(out[1]);
	assert_int_equal(read(out[0], &c, 1), 1);
	(void)close(out[0]);
	f.piddir = procfs_open_pid(root, f.pid);
	f.mem_fd = openat(f.piddir, "mem", O_RDWR | O_CLOEXEC);
	assert_true(f.piddir >= 0 && f.mem_fd >= 0);
	*state = &f;
	return 0;
}

static int stop(void **state)
{
	struct fixture *f = *state;
	int status;

	(void)kill(f->pid, SIGKILL);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	/* Nothing that was planned has done it any harm until then. */
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	(void)close(f->mem_fd);
	(void)close(f->piddir);
	return 0;
}

/* As a reader does who has just begun. */
static int look(void **state)
{
	struct fixture *f = *state;
	const char *why = "";

	f->facts = (struct remedy_facts){ .target = &f->target };
	f->target = (struct target)TARGET_CLOSED;
	assert_int_equal(target_open(f->piddir, &f->target), 0);
	assert_int_equal(allocator_detect(&f->target, &f->facts.allocator), 0);
	assert_int_equal(safepoint_init(&f->target, &f->facts.allocator, &f->facts.safepoint), 0);
	f->py = remedy_python(&f->facts, &why);
	assert_string_equal(why, "");
	assert_non_null(f->py);
	return 0;
}

static int forget(void **state)
{
	struct fixture *f = *state;
	struct remedy_plan none = { .possible = 0 };

	/* A reader lives as long as its facts; here another plan would let go of what this one has. */
	f->facts.allocator.kind = ALLOCATOR_GO;
	f->py->gil = 0;
	if (f->facts.purge)
		purge_plan(&f->facts, &none);
	free(f->facts.purge);
	free(f->facts.interpreter);
	target_close(&f->target);
	return 0;
}

/* ---- its memory ---- */

static void peek(const struct fixture *f, uint64_t addr, void *buf, size_t len)
{
	assert_int_equal(trace_peek(f->mem_fd, addr, buf, len), 0);
}

static void poke(const struct fixture *f, uint64_t addr, const void *buf, size_t len)
{
	assert_int_equal(trace_write(f->mem_fd, addr, buf, len), 0);
}

static struct remedy_plan plan(struct fixture *f, const struct remedy *remedy)
{
	struct remedy_plan ret = { .possible = 0 };

	remedy->plan(&f->facts, &ret);
	assert_true(ret.possible || *ret.reason);
	return ret;
}

static void says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("\"%s\" has no \"%s\"", text, words);
}

/* Of a program that has one byte of code changed, at @addr. */
static struct remedy_plan plan_changed(struct fixture *f, const struct remedy *remedy, uint64_t addr)
{
	struct remedy_plan ret;
	uint8_t was, other;

	assert_true(addr);
	peek(f, addr, &was, 1);
	other = was ^ 1;
	poke(f, addr, &other, 1);
	ret = plan(f, remedy);
	poke(f, addr, &was, 1);
	return ret;
}

/* ---- collect ---- */

static void test_collect(void **state)
{
	struct fixture *f = *state;
	struct remedy_plan p = plan(f, &remedy_collect);

	assert_true(p.possible && p.queue.possible);
	assert_int_equal(p.code.fn, f->py->func[CPYTHON_GILSTATE_ENSURE]);
	assert_int_equal(p.queue.call.fn, f->py->func[CPYTHON_CALL_FINALIZER]);
	assert_int_equal(p.queue.finalizer.fn, f->py->func[CPYTHON_GC_COLLECT]);
	assert_int_equal(p.queue.vector.fn, 0);
	assert_string_equal(p.note, "");
}

static void test_collect_disabled(void **state)
{
	struct fixture *f = *state;
	const int32_t off = 0, on = 1;
	struct remedy_plan p;
	uint64_t at = f->py->gc_enabled_at;

	if (!at)
		skip();
	poke(f, at, &off, sizeof(off));
	p = plan(f, &remedy_collect);
	assert_true(p.possible && p.queue.possible && p.queue.vector.fn);
	assert_int_equal(p.queue.finalizer.fn, f->py->func[CPYTHON_CALL_NO_ARGS]);
	says(p.note, "its collector is disabled");
	/* The function behind gc.collect() is found by what stands in its table. */
	f->py->func[CPYTHON_CALL_NO_ARGS] = 0;
	p = plan(f, &remedy_collect);
	assert_true(p.possible && !p.queue.possible);
	says(p.queue.reason, "its collector is disabled");
	poke(f, at, &on, sizeof(on));
	/* Whether it is can't be told: as if it were. */
	f->py->gc_enabled_at = 8;
	assert_int_equal(plan(f, &remedy_collect).parts, p.parts);
	f->py->gc_enabled_at = 0;
	assert_int_equal(plan(f, &remedy_collect).parts, p.parts);
	f->py->gc_enabled_at = at;
	assert_int_not_equal(plan(f, &remedy_collect).parts, p.parts);
}

/* The one who would be called isn't there, or isn't what its file says. */
static void test_collect_code(void **state)
{
	static const enum cpython_func needed[] = { CPYTHON_GILSTATE_ENSURE, CPYTHON_GILSTATE_RELEASE,
						    CPYTHON_GC_COLLECT },
				       queued[] = { CPYTHON_ADD_PENDING_CALL, CPYTHON_CALL_FINALIZER };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		uint64_t fn = f->py->func[needed[i]];
		struct remedy_plan p = plan_changed(f, &remedy_collect, fn + INJECT_CODE_BYTES - 1);

		assert_false(p.possible);
		says(p.reason, "its Python is not what its file says");
		f->py->func[needed[i]] = 0;
		assert_false(plan(f, &remedy_collect).possible);
		f->py->func[needed[i]] = fn;
	}
	for (size_t i = 0; i < ARRAY_SIZE(queued); i++) {
		uint64_t fn = f->py->func[queued[i]];
		struct remedy_plan p = plan_changed(f, &remedy_collect, fn);

		assert_true(p.possible && !p.queue.possible);
		says(p.queue.reason, "its Python lacks a function that is needed");
		f->py->func[queued[i]] = 0;
		p = plan(f, &remedy_collect);
		assert_true(p.possible && !p.queue.possible);
		f->py->func[queued[i]] = fn;
	}
	assert_true(plan(f, &remedy_collect).queue.possible);
}

static void test_collect_finalizing(void **state)
{
	struct fixture *f = *state;
	const uint64_t at = f->py->finalizing_at;
	uint64_t was, some;
	struct remedy_plan p;

	peek(f, at, &was, sizeof(was));
	peek(f, f->py->interp + f->py->threads_head, &some, sizeof(some));
	poke(f, at, &some, sizeof(some));
	p = plan(f, &remedy_collect);
	poke(f, at, &was, sizeof(was));
	assert_false(p.possible);
	says(p.reason, "its interpreter is being finalized");
	f->py->finalizing_at = 8;
	p = plan(f, &remedy_collect);
	assert_false(p.possible);
	says(p.reason, "its interpreter can't be read");
}

static void test_collect_kinds(void **state)
{
	struct fixture *f = *state;
	struct remedy_plan p;

	f->py->debug = true;
	p = plan(f, &remedy_collect);
	assert_true(p.possible && !p.queue.possible);
	says(p.queue.reason, "a debug build");
	f->py->debug = false;
	f->py->version = 0x03070000;
	p = plan(f, &remedy_collect);
	assert_true(p.possible && !p.queue.possible);
	says(p.queue.reason, "not laid out as in any known build");
	f->py->free_threaded = true;
	p = plan(f, &remedy_collect);
	assert_false(p.possible);
	says(p.reason, "a free-threaded build");
	f->facts.allocator.kind = ALLOCATOR_JEMALLOC;
	p = plan(f, &remedy_collect);
	assert_false(p.possible);
	says(p.reason, "its malloc is jemalloc");
}

/* Behind the variables there is room, but what somebody has written into it is never offered. */
static void test_collect_room(void **state)
{
	struct fixture *f = *state;
	uint64_t rooms[64], was[64], other = 0x1234;
	struct remedy_plan p = plan(f, &remedy_collect);
	size_t n = 0;

	for (; p.queue.possible; n++) {
		assert_true(n < ARRAY_SIZE(rooms));
		rooms[n] = p.queue.room;
		for (size_t i = 0; i < n; i++)
			assert_int_not_equal(rooms[i], rooms[n]);
		peek(f, rooms[n] + 64, &was[n], sizeof(was[n]));
		assert_int_equal(was[n], 0);
		poke(f, rooms[n] + 64, &other, sizeof(other));
		p = plan(f, &remedy_collect);
	}
	assert_true(n > 0 && p.possible);
	says(p.queue.reason, "there is no spare room behind its variables");
	while (n--)
		poke(f, rooms[n] + 64, &was[n], sizeof(was[n]));
	assert_int_equal(plan(f, &remedy_collect).queue.room, rooms[0]);
}

/* Where its queue isn't known: the lock itself is another thing. */
static void test_no_queue(void **state)
{
	struct fixture *f = *state;
	struct cpu_regs regs = { .valid = 0 };
	struct safepoint_verdict v = { .safe = true };

	f->py->version = 0x03070000;
	remedy_prove_queue(&f->facts, &regs, true, &v);
	assert_false(v.safe);
	says(v.why, "not laid out as in any known build");
}

/* ---- trim ---- */

static void test_trim(void **state)
{
	struct fixture *f = *state;
	struct remedy_plan p = plan(f, &remedy_trim);

	assert_true(p.possible);
	assert_string_equal(p.note, "");
	f->facts.allocator.also = f->facts.allocator.libc;
	f->facts.allocator.also_kind = ALLOCATOR_MIMALLOC;
	says(plan(f, &remedy_trim).note, "mimalloc (libc");
	assert_false(plan_changed(f, &remedy_trim, p.code.fn).possible);
	p = plan_changed(f, &remedy_trim, p.code.restorer);
	assert_false(p.possible);
	says(p.reason, "its C library is not what its file says");
}

/* ---- purge ---- */

static void test_purge(void **state)
{
	struct fixture *f = *state;
	struct remedy_plan p = plan(f, &remedy_purge);

	assert_true(p.possible && (p.parts & PURGE_GLIBC) && (p.parts & PURGE_PYMALLOC));
	assert_false(p.parts & PURGE_BUSY);
	assert_true(p.lower <= p.predicted && p.predicted <= p.upper);
	assert_string_equal(p.note, "");
}

/* One part that can't be purged keeps nobody from the other. */
static void test_purge_parts(void **state)
{
	struct fixture *f = *state;
	const uint64_t gil = f->py->gil, pools = f->py->usedpools;
	struct remedy_plan p = plan(f, &remedy_purge);

	p = plan_changed(f, &remedy_purge, p.gil.unlock_fn);
	assert_int_equal(p.parts, PURGE_GLIBC);
	says(p.note, "Python's pools are left alone: its functions are not what its file says");
	p = plan_changed(f, &remedy_purge, f->py->func[CPYTHON_GILSTATE_ENSURE]);
	assert_int_equal(p.parts, PURGE_GLIBC);
	f->py->gil = 0;
	p = plan(f, &remedy_purge);
	assert_int_equal(p.parts, PURGE_GLIBC);
	says(p.note, "runs without a global lock");
	f->py->gil = gil;
	f->py->usedpools = 0;
	(void)strcpy(f->py->pymalloc_why, "it doesn't use them");
	p = plan(f, &remedy_purge);
	assert_int_equal(p.parts, PURGE_GLIBC);
	says(p.note, "Python's pools are left alone: it doesn't use them");
	f->py->usedpools = pools;
	f->py->pool_size = 12345;
	says(plan(f, &remedy_purge).note, "Python's pools could not be read");
}

static void test_purge_malloc(void **state)
{
	struct fixture *f = *state;
	struct remedy_plan p = plan(f, &remedy_purge);

	p = plan_changed(f, &remedy_purge, p.arena.lock_fn);
	assert_false(p.parts & PURGE_GLIBC);
	assert_true(p.possible && (p.parts & PURGE_PYMALLOC));
	says(p.reason, "the function that takes malloc's lock can't be found");
	/* Both need a way back and a way into the kernel. */
	p = plan(f, &remedy_purge);
	assert_false(plan_changed(f, &remedy_purge, p.arena.restorer).possible);
	assert_false(plan_changed(f, &remedy_purge, p.arena.syscall_insn).possible);
	f->facts.allocator.kind = ALLOCATOR_TCMALLOC;
	p = plan(f, &remedy_purge);
	assert_true(p.possible && !(p.parts & PURGE_GLIBC));
	says(p.reason, "its memory is managed by tcmalloc, which can't be purged");
}

static void test_purge_busy(void **state)
{
	struct fixture *f = *state;
	const uint64_t at = f->py->gil + 16;
	int32_t was, taken = 1;

	peek(f, at, &was, sizeof(was));
	assert_int_equal(was, 0);
	poke(f, at, &taken, sizeof(taken));
	assert_true(plan(f, &remedy_purge).parts & PURGE_BUSY);
	poke(f, at, &was, sizeof(was));
	/* What can't be told may well be at work. */
	f->py->gil = 8;
	assert_true(plan(f, &remedy_purge).parts & PURGE_BUSY);
}

/* Nothing is offered that wasn't planned, and nothing proven of what wasn't offered. */
static void test_purge_out_of_turn(void **state)
{
	static struct purge_lists lists;
	struct fixture *f = *state;
	struct purge_ask ask = { .max_ranges = 10, .max_writes = 10, .max_values = 1000 };
	struct purge_round round;

	assert_int_equal(purge_scan(NULL, &ask, &round), -EINVAL);
	assert_int_equal(purge_check(NULL, &ask, &lists), -EINVAL);
	assert_true(plan(f, &remedy_purge).possible);
	assert_int_equal(purge_check(f->facts.purge, &ask, &lists), -EINVAL);
	/* Neither part was asked for. */
	assert_int_equal(purge_scan(f->facts.purge, &ask, &round), 0);
	assert_int_equal(round.kind, PURGE_DONE);
	assert_int_equal(purge_check(f->facts.purge, &ask, &lists), -EINVAL);
}

/* Round after round with a lock that is never had: nothing is proven, nothing was passed over, and there is an end. */
static void test_purge_given_up(void **state)
{
	static struct purge_lists lists;
	struct fixture *f = *state;
	struct purge_ask ask = {
		.parts = PURGE_GLIBC | PURGE_PYMALLOC | PURGE_DEEP,
		.max_ranges = PURGE_RANGES_MAX,
		.max_writes = PURGE_WRITES_MAX,
		.max_values = PURGE_VALUES_MAX,
		.max_bytes = 1 << 20,
		.budget_ns = 1000000000,
	};
	struct purge_round round = { .kind = PURGE_GIL };
	unsigned int kinds = 0;

	assert_true(plan(f, &remedy_purge).possible);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(purge_scan(f->facts.purge, &ask, &round), 0);
		if (round.kind == PURGE_DONE)
			break;
		kinds |= 1u << round.kind;
		/* Under malloc's lock it is seen whether it is held; Python's is the injector's to take. */
		if (round.kind == PURGE_ARENA) {
			assert_int_equal(purge_check(f->facts.purge, &ask, &lists), -EAGAIN);
			assert_int_equal(lists.nranges + lists.nwrites, 0);
		}
		ask.skip = 1;
	}
	assert_int_equal(round.kind, PURGE_DONE);
	assert_int_equal(round.passed, 0);
	assert_true(kinds & (1u << PURGE_GIL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, look, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_collect),
		TEST(test_collect_disabled),
		TEST(test_collect_code),
		TEST(test_collect_finalizing),
		TEST(test_collect_kinds),
		TEST(test_collect_room),
		TEST(test_no_queue),
		TEST(test_trim),
		TEST(test_purge),
		TEST(test_purge_parts),
		TEST(test_purge_malloc),
		TEST(test_purge_busy),
		TEST(test_purge_out_of_turn),
		TEST(test_purge_given_up),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
