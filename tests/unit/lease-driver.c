// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease-driver.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/maps.h"
#include "base/procfs.h"
#include "base/pstatus.h"
#include "inject/trace.h"
#include "under-valgrind.h"

#define WAIT_NS 10000000000ull
#define ROUND_NS 2000000000ull

static void pause_us(unsigned int us)
{
	struct timespec ts = { .tv_nsec = (long)us * 1000 };

	(void)nanosleep(&ts, NULL);
}

static void *shared(size_t len, int fd)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void *shared_file(char path[64], const char *what, size_t len)
{
	_cleanup_close_ int fd = -1;

	(void)snprintf(path, 64, "/tmp/test-lease-%s-XXXXXX", what);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	return shared(len, fd);
}

/* victims/ beside the folder of this program. */
static void exec_victim(const struct driver *d, const char *const *args)
{
	char exe[4096], shm[96], info[96];
	const char *argv[16] = { "lease", shm, info };
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 32);
	char *slash;

	if (n < 0)
		_exit(98);
	exe[n] = '\0';
	for (int i = 0; i < 2; i++) {
		slash = strrchr(exe, '/');
		if (!slash)
			_exit(98);
		*slash = '\0';
	}
	(void)strcat(exe, "/victims/lease");
	(void)snprintf(shm, sizeof(shm), "--shm=%s", d->shm);
	(void)snprintf(info, sizeof(info), "--info=%s", d->info_path);
	for (size_t i = 0; args[i] && i < 12; i++)
		argv[3 + i] = args[i];
	(void)execv(exe, (char **)argv);
	_exit(97);
}

/* Where it sleeps: its stack, and the mask it has then. */
static bool find_sleeper(struct driver *d, unsigned int i)
{
	_cleanup_free_ char *maps = NULL;
	char path[64], text[256];
	struct pstatus st;
	uint64_t sp, v[7];
	unsigned long lo, hi;
	long nr;
	_cleanup_close_ int dir = -1;

	(void)snprintf(path, sizeof(path), "task/%d", d->info->sleeper[i]);
	dir = openat(d->target.piddir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || procfs_read(dir, "syscall", text, sizeof(text)) < 0 || pstatus_read(dir, &st) < 0)
		return false;
	if (sscanf(text, "%ld %lx %lx %lx %lx %lx %lx %lx", &nr, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &sp) != 8 ||
	    (nr != SYS_read && nr != SYS_epoll_wait))
		return false;
	if (procfs_read_alloc(d->target.piddir, "maps", 1 << 20, &maps) < 0)
		return false;
	for (char *line = maps; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (sscanf(line, "%lx-%lx", &lo, &hi) == 2 && sp >= lo && sp < hi) {
			d->stack[i] = (struct inject_stack){ lo, hi };
			d->mask[i] = st.sig_blk;
			return true;
		}
	return false;
}

static void driver_attach(struct driver *d)
{
	_cleanup_close_ int root = procfs_open_root("/proc");
	const struct lease_info *in = d->info;

	d->target.pid = d->pid;
	d->target.piddir = procfs_open_pid(root, d->pid);
	assert_true(d->target.piddir >= 0);
	d->target.mem_fd = openat(d->target.piddir, "mem", O_RDWR | O_CLOEXEC);
	assert_true(d->target.mem_fd >= 0);
	assert_int_equal(arch_xstate_probe(&d->target.xstate), 0);
	d->code = (struct lease_code){ in->restorer, in->syscall_insn, in->lock_fn, 0, { 0 }, { 0 } };
	assert_int_equal(trace_peek(d->target.mem_fd, in->lock_fn, d->code.lock_bytes, INJECT_CODE_BYTES), 0);
	for (unsigned int i = 0; i < LEASE_SLEEPERS; i++) {
		uint64_t until = clock_ns() + WAIT_NS;

		while (!find_sleeper(d, i)) {
			assert_true(clock_ns() < until);
			pause_us(200);
		}
	}
}

void driver_start(struct driver *d, const char *const *args)
{
	uint64_t until = clock_ns() + WAIT_NS;

	if (under_valgrind()) {
		print_message("valgrind writes signal frames of its own\n");
		skip();
	}
	memset(d, 0, sizeof(*d));
	d->stats = shared(sizeof(*d->stats), -1);
	d->vs = shared_file(d->shm, "status", VSTAT_SIZE);
	d->info = shared_file(d->info_path, "info", 4096);
	d->pid = fork();
	assert_true(d->pid >= 0);
	if (!d->pid)
		exec_victim(d, args);
	while (!d->vs->ready) {
		assert_int_equal(waitpid(d->pid, NULL, WNOHANG), 0);
		assert_true(clock_ns() < until);
		pause_us(500);
	}
	driver_attach(d);
}

void driver_finish(struct driver *d)
{
	int status = -1;
	uint64_t until = clock_ns() + WAIT_NS;

	d->vs->stop = 1;
	while (waitpid(d->pid, &status, WNOHANG) == 0 && clock_ns() < until)
		pause_us(1000);
	if (status == -1)
		(void)kill(d->pid, SIGKILL);
	(void)unlink(d->shm);
	(void)unlink(d->info_path);
	if (status)
		print_message("status %x, %llu errors: %s\n", status, (unsigned long long)d->vs->errors, d->vs->note);
	assert_int_equal(status, 0);
	(void)close(d->target.mem_fd);
	(void)close(d->target.piddir);
	munmap(d->vs, VSTAT_SIZE);
	munmap(d->info, 4096);
	munmap(d->stats, sizeof(*d->stats));
}

static void driver_count(struct driver *d, const struct lease_times *t, bool applied, const struct driver_walk *w)
{
	struct driver_stats *s = d->stats;
	uint32_t i = s->samples++;

	s->rounds++;
	if (applied) {
		s->applied++;
		s->ranges += w->n;
		s->chunks += w->chunks;
		for (size_t k = 0; k < w->n; k++)
			s->bytes += w->ranges[k].len;
	}
	if (i < DRIVER_SAMPLES) {
		s->hold_us[i] = (uint32_t)(t->hold_ns / 1000);
		s->stop_us[i] = (uint32_t)(t->stopped_ns / 1000);
		s->commit_us[i] = (uint32_t)(t->commit_ns / 1000);
		s->wait_us[i] = (uint32_t)(t->lock_wait_ns / 1000);
	}
}

/* While the lock is held: find, and hand over. */
static int driver_under_lock(struct driver *d, const struct driver_round *round, struct lease *l, uint64_t arena,
			     struct driver_walk *w)
{
	bool inconsistent;
	int r;

	w->max = lease_room(l)->ranges;
	w->deadline_ns = clock_ns() + (round->budget_ns ? round->budget_ns : 1000000);
	inconsistent = driver_walk_arena(d->target.mem_fd, arena, w);
	if (round->dawdle_ns)
		pause_us((unsigned int)(round->dawdle_ns / 1000));
	/* What was found before the lease ended may have been true only then. */
	if (inconsistent)
		w->n = 0;
	r = lease_commit(l, NULL, 0, w->ranges, w->n);
	if (inconsistent && r == 0)
		d->stats->inconsistent++;
	if (r == -ETIME)
		d->stats->late++;
	else if (r == 0 && !w->n)
		d->stats->empty++;
	return r;
}

int driver_open(struct driver *d, int i, struct inject **ret)
{
	_cleanup_inject_ struct inject *inj = NULL;
	struct inject_stop stop;
	int r = inject_open(&d->target, d->info->sleeper[i], clock_ns() + 20000000, &inj);

	if (r < 0)
		return r;
	inject_where(inj, &stop);
	if (!stop.in_syscall || stop.nr != (i ? SYS_read : SYS_epoll_wait))
		return -EBUSY;
	*ret = TAKE_PTR(inj);
	return 0;
}

int driver_round(struct driver *d, const struct driver_round *round)
{
	static struct lease_range ranges[LEASE_RANGES_MAX];
	_cleanup_inject_ struct inject *inj = NULL;
	_cleanup_lease_ struct lease *l = NULL;
	struct driver_walk w = { .ranges = ranges, .seed = round->seed };
	struct lease_request req = round->req;
	int i = round->sleeper >= 0 ? round->sleeper : (int)(round->seed % LEASE_SLEEPERS);
	uint64_t arena = d->info->arena[round->seed / 7 % d->info->narenas];
	struct lease_times times;
	const char *why = NULL;
	bool applied = false;
	int r, c;

	if (!req.lock_addr)
		req.lock_addr = arena;
	r = driver_open(d, i, &inj);
	if (r == 0)
		r = lease_begin(inj, &d->code, &d->stack[i], &req, &l, &why);
	if (r < 0) {
		(*(r == -EBUSY ? &d->stats->busy : &d->stats->refused))++;
		(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "%d %s", r, why ? why : "");
		return r;
	}
	r = lease_wait_held(l, clock_ns() + ROUND_NS);
	if (r < 0) {
		d->stats->unfinished++;
		return r;
	}
	if (round->die)
		(void)kill(getpid(), SIGKILL);
	c = driver_under_lock(d, round, l, arena, &w);
	r = lease_end(l, clock_ns() + ROUND_NS, &times, &applied);
	if (r < 0) {
		d->stats->unfinished++;
		return r;
	}
	if (applied != (c == 0 && w.n))
		d->stats->failed++;
	driver_count(d, &times, applied, &w);
	return c;
}

pid_t driver_fork(struct driver *d, const struct driver_round *round, unsigned int n, int go)
{
	const uint32_t was = d->stats->rounds;
	pid_t pid = fork();
	char c;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (trace_init() < 0 || (go >= 0 && read(go, &c, 1) != 1))
		_exit(96);
	/* Sleepers are awake now and then, locks are taken: then again. But a single round is tried once. */
	for (unsigned int i = 0; i < (n > 1 ? 20 * n : 1) && d->stats->rounds - was < n; i++) {
		struct driver_round one = *round;
		int r;

		one.seed = round->seed + i;
		r = driver_round(d, &one);
		if (r < 0 && r != -EBUSY && r != -EAGAIN && r != -ETIME) {
			d->stats->last_error = r;
			_exit(95);
		}
		if (r < 0)
			pause_us(200);
	}
	_exit(0);
}

/* An undisturbed lease on sleeper 1, held. */
struct lease *driver_held(struct driver *d, const struct lease_request *req)
{
	struct lease *l = NULL;
	const char *why = NULL;
	const uint64_t until = clock_ns() + ROUND_NS;

	for (;;) {
		_cleanup_inject_ struct inject *inj = NULL;
		int r = driver_open(d, 1, &inj);

		if (r == 0)
			r = lease_begin(inj, &d->code, &d->stack[1], req, &l, &why);
		if (r == 0)
			break;
		(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "%d %s", r, why ? why : "");
		if ((r != -EBUSY && r != -EAGAIN) || clock_ns() > until)
			return NULL;
	}
	if (lease_wait_held(l, until) < 0) {
		lease_close(l);
		return NULL;
	}
	return l;
}

struct lease_request driver_request(const struct driver *d, enum lease_drop drop)
{
	return (struct lease_request){
		.kind = LEASE_ARENA,
		.drop = drop,
		.advice = MADV_DONTNEED,
		.lock_addr = d->info->main_arena,
		.lease_ns = 200000000,
		.want_ranges = 20,
		.want_writes = 4,
		.want_write_bytes = 4096,
	};
}

void driver_apart(struct driver *d, int (*fn)(struct driver *d))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(trace_init() < 0 ? 1 : -fn(d));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status %x, last why: %s", status, d->stats->last_why);
}

static void judge_sleeper(struct driver *d, unsigned int i, uint64_t until, const char *what)
{
	char path[64];
	struct pstatus st = { 0 };
	uint64_t wakes = d->info->wakes[i];

	(void)snprintf(path, sizeof(path), "task/%d", d->info->sleeper[i]);
	for (;;) {
		_cleanup_close_ int dir = openat(d->target.piddir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (dir >= 0 && pstatus_read(dir, &st) == 0 && !st.tracer && st.sig_blk == d->mask[i] &&
		    d->info->wakes[i] > wakes + 1)
			return;
		if (clock_ns() > until)
			fail_msg("%s: sleeper %u: state %c, tracer %d, blocked %llx, %llu wakes", what, i, st.state,
				 st.tracer, (unsigned long long)st.sig_blk,
				 (unsigned long long)(d->info->wakes[i] - wakes));
		pause_us(500);
	}
}

void driver_judge(struct driver *d, const char *what)
{
	uint64_t until = clock_ns() + WAIT_NS, before[VSTAT_THREADS];

	for (int i = 0; i < VSTAT_THREADS; i++)
		before[i] = d->vs->progress[i];
	for (int i = 0; i < VSTAT_THREADS; i++)
		while (before[i] && d->vs->progress[i] == before[i]) {
			int status;

			if (waitpid(d->pid, &status, WNOHANG) == d->pid)
				fail_msg("%s: the target has died: %x", what, status);
			if (clock_ns() > until)
				fail_msg("%s: thread %d doesn't go on", what, i);
			pause_us(200);
		}
	for (unsigned int i = 0; i < LEASE_SLEEPERS; i++)
		judge_sleeper(d, i, until, what);
	if (d->vs->errors || d->stats->inconsistent || d->stats->failed)
		fail_msg("%s: %llu errors (%s), %llu inconsistent, %u failed", what, (unsigned long long)d->vs->errors,
			 d->vs->note, (unsigned long long)d->stats->inconsistent, d->stats->failed);
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

uint32_t driver_percentile(uint32_t *v, size_t n, unsigned int p)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), compare_u32);
	return v[MIN(n - 1, n * p / 100)];
}

void driver_report(struct driver *d, const char *what)
{
	struct driver_stats *s = d->stats;
	size_t n = MIN(s->samples, DRIVER_SAMPLES);
	uint64_t gap = 0;
	const struct {
		const char *name;
		uint32_t *v;
	} rows[] = {
		{ "hold", s->hold_us }, { "stop", s->stop_us }, { "commit", s->commit_us }, { "lock wait", s->wait_us }
	};

	for (int i = 0; i < 16; i++)
		gap = MAX(gap, d->info->max_gap_us[i]);
	print_message(
		"%s: %u rounds, %u applied, %u empty, %u late, %u busy, %u refused (%s), %u unfinished; %llu ranges, "
		"%llu chunks, %llu MiB; longest turn of a worker %llu us, EINTR %llu\n",
		what, s->rounds, s->applied, s->empty, s->late, s->busy, s->refused, s->last_why, s->unfinished,
		(unsigned long long)s->ranges, (unsigned long long)s->chunks, (unsigned long long)s->bytes >> 20,
		(unsigned long long)gap, (unsigned long long)d->vs->eintr);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		print_message("    %s us: p50 %u p90 %u p99 %u max %u\n", rows[i].name,
			      driver_percentile(rows[i].v, n, 50), driver_percentile(rows[i].v, n, 90),
			      driver_percentile(rows[i].v, n, 99), driver_percentile(rows[i].v, n, 100));
}
