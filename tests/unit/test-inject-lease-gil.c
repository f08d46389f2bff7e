// SPDX-License-Identifier: GPL-2.0-or-later
/* Leases of Python's GIL, on tests/victims/lease.py. */
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
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "inject/trace.h"
#include "lease-driver.h"

#define PYTHON "/usr/bin/python3"
#define MS 1000000ull
#define WAIT_NS (10000 * MS)
#define HALF 4096

/* tests/victims/lease.py knows the first fields by heart */
struct shm {
	_Atomic uint64_t errors, stop, wakes, unused, longest_us;
	uint64_t pad[6];
	_Atomic uint64_t turns[2];
	uint64_t pad2[19];
	char note[256];
	/* ours */
	_Atomic uint32_t rounds, applied, late, timeout;
	uint32_t hold_us[4096], wait_us[4096];
	_Atomic int error;
	char why[128];
};
_Static_assert(offsetof(struct shm, turns) == 24 + 64, "turns");
_Static_assert(offsetof(struct shm, note) == 256, "note");

struct py {
	struct shm *shm;
	char path[64];
	pid_t pid, sleeper;
	struct inject_target target;
	struct lease_code code;
	uint64_t buf, pages;
};

static void sleep_us(unsigned int us)
{
	struct timespec ts = { us / 1000000, (long)(us % 1000000) * 1000 };

	(void)nanosleep(&ts, NULL);
}

static void py_exec(const struct py *p, int out)
{
	char script[sizeof(FIXTURES) + 64];

	(void)snprintf(script, sizeof(script), "%s/../victims/lease.py", FIXTURES);
	(void)dup2(out, 1);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)unsetenv("LD_PRELOAD");
	(void)execl(PYTHON, PYTHON, script, p->path, (char *)NULL);
	_exit(97);
}

static void py_read_addresses(struct py *p, int fd)
{
	_cleanup_fclose_ FILE *f = fdopen(fd, "re");
	unsigned long v[7];

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu %lu %lu %lu %lu %lu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]), 7);
	p->code = (struct lease_code){ v[0], v[1], v[2], v[3], { 0 }, { 0 } };
	p->buf = v[4];
	p->pages = v[5];
	p->sleeper = (pid_t)v[6];
}

static void py_start(struct py *p)
{
	_cleanup_close_ int root = procfs_open_root("/proc"), fd = -1;
	int out[2];

	if (access(PYTHON, X_OK) || (getenv("LD_PRELOAD") && strstr(getenv("LD_PRELOAD"), "valgrind"))) {
		print_message("no %s, or valgrind\n", PYTHON);
		skip();
	}
	memset(p, 0, sizeof(*p));
	(void)snprintf(p->path, sizeof(p->path), "/tmp/test-lease-gil-XXXXXX");
	fd = mkostemp(p->path, O_CLOEXEC);
	assert_true(fd >= 0 && ftruncate(fd, (sizeof(*p->shm) + 4095) & ~4095ul) == 0);
	p->shm = mmap(NULL, sizeof(*p->shm), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p->shm, MAP_FAILED);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (!p->pid)
		py_exec(p, out[1]);
	(void)close(out[1]);
	py_read_addresses(p, out[0]);

	p->target.pid = p->pid;
	p->target.piddir = procfs_open_pid(root, p->pid);
	assert_true(p->target.piddir >= 0);
	p->target.mem_fd = openat(p->target.piddir, "mem", O_RDWR | O_CLOEXEC);
	assert_true(p->target.mem_fd >= 0);
	assert_int_equal(arch_xstate_probe(&p->target.xstate), 0);
	assert_int_equal(trace_peek(p->target.mem_fd, p->code.lock_fn, p->code.lock_bytes, INJECT_CODE_BYTES), 0);
	assert_int_equal(trace_peek(p->target.mem_fd, p->code.unlock_fn, p->code.unlock_bytes, INJECT_CODE_BYTES), 0);
}

static void py_judge(struct py *p, const char *what)
{
	const uint64_t until = clock_ns() + WAIT_NS, wakes = p->shm->wakes,
		       turns[] = { p->shm->turns[0], p->shm->turns[1] };

	while (p->shm->wakes < wakes + 2 || p->shm->turns[0] == turns[0] || p->shm->turns[1] == turns[1]) {
		int status;

		if (waitpid(p->pid, &status, WNOHANG) == p->pid)
			fail_msg("%s: the target has died: %x", what, status);
		if (clock_ns() > until)
			fail_msg("%s: it doesn't go on", what);
		sleep_us(500);
	}
	if (p->shm->errors)
		fail_msg("%s: %llu errors: %s", what, (unsigned long long)p->shm->errors, p->shm->note);
}

static void py_finish(struct py *p)
{
	uint64_t until = clock_ns() + WAIT_NS;
	int status = -1;

	p->shm->stop = 1;
	while (waitpid(p->pid, &status, WNOHANG) == 0 && clock_ns() < until)
		sleep_us(1000);
	if (status == -1)
		(void)kill(p->pid, SIGKILL);
	(void)unlink(p->path);
	assert_int_equal(status, 0);
	(void)close(p->target.mem_fd);
	(void)close(p->target.piddir);
	munmap(p->shm, sizeof(*p->shm));
}

/* In os.read() a thread has given up the GIL; that is the proof here. */
static int py_begin(struct py *p, const struct lease_request *req, struct lease **ret)
{
	_cleanup_inject_ struct inject *inj = NULL;
	struct inject_stop stop;
	struct inject_stack stack;
	const char *why = "";
	int r = inject_open(&p->target, p->sleeper, clock_ns() + 20 * MS, &inj);

	if (r < 0)
		return r;
	inject_where(inj, &stop);
	if (!stop.in_syscall || stop.nr != SYS_read)
		return -EBUSY;
	/* Python's threads have stacks of 8 MiB; a quarter of one is surely there. */
	stack = (struct inject_stack){ stop.regs.r[CPU_RSP] - (1 << 20), stop.regs.r[CPU_RSP] + 4096 };
	r = lease_begin(inj, &p->code, &stack, req, ret, &why);
	if (r < 0)
		(void)snprintf(p->shm->why, sizeof(p->shm->why), "%s", why);
	return r;
}

static int py_round(struct py *p, enum lease_drop drop, unsigned int seed)
{
	static unsigned char bytes[2][HALF];
	const struct lease_write writes[] = { { p->buf, HALF, bytes[0] }, { p->buf + HALF, HALF, bytes[1] } };
	const struct lease_range range = { p->pages + seed % 16 * 4096ull, 4096 };
	const struct lease_request req = { .kind = LEASE_GIL,
					   .drop = drop,
					   .advice = MADV_DONTNEED,
					   .want_ranges = 20,
					   .want_writes = 2,
					   .want_write_bytes = sizeof(bytes) };
	_cleanup_lease_ struct lease *l = NULL;
	struct lease_times t;
	bool applied;
	uint32_t i;
	int r = py_begin(p, &req, &l), c;

	if (r == 0)
		r = lease_wait_held(l, clock_ns() + 2000 * MS);
	if (r < 0)
		return r;
	memset(bytes, (int)(seed % 251), sizeof(bytes));
	c = lease_commit(l, writes, 2, &range, 1);
	r = lease_end(l, clock_ns() + 2000 * MS, &t, &applied);
	if (r < 0)
		return r;
	if (applied != (c == 0))
		return -EPROTO;
	i = p->shm->rounds++;
	p->shm->applied += applied;
	p->shm->late += c == -ETIME;
	if (i < ARRAY_SIZE(p->shm->hold_us)) {
		p->shm->hold_us[i] = (uint32_t)(t.hold_ns / 1000);
		p->shm->wait_us[i] = (uint32_t)(t.lock_wait_ns / 1000);
	}
	return c == -ETIME ? 0 : c;
}

static pid_t py_fork(struct py *p, enum lease_drop drop, unsigned int n, unsigned int seed)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (trace_init() < 0)
		_exit(96);
	/* Its sleeper is often awake, waiting for the GIL. */
	for (unsigned int i = 0; p->shm->rounds < n && i < 200 * n; i++) {
		int r = py_round(p, drop, seed + i);

		if (r < 0 && r != -EBUSY && r != -EAGAIN && r != -EALREADY) {
			p->shm->error = r;
			_exit(95);
		}
		sleep_us(500);
	}
	_exit(0);
}

static void py_report(struct py *p, const char *what)
{
	size_t n = MIN(p->shm->rounds, ARRAY_SIZE(p->shm->hold_us));

	print_message(
		"%s: %u rounds, %u applied, %u late; hold us p50 %u p99 %u max %u; wait for the GIL us p50 %u p99 %u "
		"max %u; longest turn %llu us\n",
		what, p->shm->rounds, p->shm->applied, p->shm->late, driver_percentile(p->shm->hold_us, n, 50),
		driver_percentile(p->shm->hold_us, n, 99), driver_percentile(p->shm->hold_us, n, 100),
		driver_percentile(p->shm->wait_us, n, 50), driver_percentile(p->shm->wait_us, n, 99),
		driver_percentile(p->shm->wait_us, n, 100), (unsigned long long)p->shm->longest_us);
}

static void rounds(const char *what, enum lease_drop drop)
{
	struct py p;
	int status;
	pid_t pid;

	py_start(&p);
	pid = py_fork(&p, drop, 100, 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status %x, error %d, %s", status, p.shm->error, p.shm->why);
	py_judge(&p, what);
	py_report(&p, what);
	assert_true(p.shm->applied > 50);
	py_finish(&p);
}

static void test_gil(void **state)
{
	(void)state;
	rounds("GIL, singles", LEASE_DROP_SINGLE);
	if (lease_vector_possible())
		rounds("GIL, vector", LEASE_DROP_VECTOR);
}

static void test_gil_kills(void **state)
{
	const char *more = getenv("RECLAIM_LEASE_KILLS");
	unsigned long n = more ? strtoul(more, NULL, 10) : 30;
	unsigned int seed = 3;
	struct py p;

	(void)state;
	py_start(&p);
	for (unsigned long i = 0; i < n; i++) {
		pid_t pid = py_fork(&p, lease_vector_possible() && i % 2 ? LEASE_DROP_VECTOR : LEASE_DROP_SINGLE,
				    100000, (unsigned int)i * 17);

		sleep_us(5000 + (unsigned int)rand_r(&seed) % 50000);
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		if (i % 3 == 2 || i + 1 == n)
			py_judge(&p, "GIL, killed");
	}
	py_report(&p, "GIL, killed");
	print_message("    %lu kills\n", n);
	assert_true(p.shm->rounds > n / 8);
	py_finish(&p);
}

/* An argument chooses tests by a pattern of their names. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gil),
		cmocka_unit_test(test_gil_kills),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
