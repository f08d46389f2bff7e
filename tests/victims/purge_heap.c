/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that fill malloc's arenas and empty them again to a few blocks, every
 * block with canaries, so that there is always something to purge; beside them
 * threads asleep in calls whose results they know. All count their rounds, so
 * that a judge sees a single stuck one.
 *
 *	--threads=N      that allocate; each has an arena of its own unless
 *	--arenas=N       says how many there are at most
 *	--throttle-us=N  between two bursts
 *	--blocks=N       in a burst
 *	--stack-kib=N    of the sleepers' stacks
 *	--storm=WHAT     one thread more that does nothing else than fork, or threads
 *	--itimer-us=N    SIGALRM, handled
 *	--alt            handlers run on alternate stacks
 *	--lock           mlockall(): nothing can be dropped
 *	--exec-ms=N      becomes itself anew after that time, again and again
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <stdbool.h>

#include "victim.h"

#define KEEP_EVERY 24
#define SLEEPERS 4
#define TICK_US 20000
#define ALT_SIZE 65536

static unsigned long nthreads, nblocks, throttle_us, stack_kib;
static bool signals, alt;
static int tick[2][2];

static size_t size_of(uint64_t r)
{
	/* small ones, some larger than a page, now and then one that is a chunk of its own */
	if (!(r % 4096))
		return BLOCK_MIN + 150000;
	return BLOCK_MIN + (r >> 20) % (r % 16 ? 1200 : 9000);
}

/* In this thread: a handler is a reason for EINTR, and the only one. */
static __thread volatile unsigned int handled;

static void on_signal(int sig)
{
	int keep = errno;

	(void)sig;
	handled++;
	vs->handler_runs++;
	errno = keep;
}

static void use_alt_stack(void)
{
	stack_t ss = { .ss_size = ALT_SIZE };

	if (!alt)
		return;
	ss.ss_sp = mmap(NULL, ALT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ss.ss_sp == MAP_FAILED || sigaltstack(&ss, NULL))
		die("sigaltstack");
}

static void keep(struct block **kept, unsigned long *n, struct block *b)
{
	struct block *old = kept[*n % nblocks];

	if (old && block_bad(old))
		complain("kept block %p damaged (%d)", (void *)old, block_bad(old));
	free(old);
	kept[(*n)++ % nblocks] = b;
}

static void burst(struct block **all, struct block **kept, unsigned long *n, uint64_t *s)
{
	for (unsigned long i = 0; i < nblocks; i++) {
		size_t size = size_of(rnd(s));

		all[i] = malloc(size);
		if (!all[i])
			die("malloc");
		block_fill(all[i], size, rnd(s));
	}
	for (unsigned long i = 0; i < nblocks; i++) {
		if (block_bad(all[i]))
			complain("block %p damaged (%d)", (void *)all[i], block_bad(all[i]));
		if (i % KEEP_EVERY)
			free(all[i]);
		else
			keep(kept, n, all[i]);
	}
}

static void *work(void *arg)
{
	struct block **all = calloc(nblocks, sizeof(*all)), **kept = calloc(nblocks, sizeof(*kept));
	uintptr_t id = (uintptr_t)arg;
	uint64_t s = id * 104729 + 17;
	unsigned long n = 0;
	struct self self;

	use_alt_stack();
	if (!all || !kept)
		die("calloc");
	self_save(&self);
	while (!vs->stop) {
		burst(all, kept, &n, &s);
		self_check(&self, "worker");
		vs->progress[id]++;
		if (throttle_us)
			usleep(throttle_us);
		errno = ERRNO_CANARY;
	}
	for (unsigned long i = 0; i < nblocks; i++)
		if (kept[i] && block_bad(kept[i]))
			complain("kept block %p damaged at last", (void *)kept[i]);
	return NULL;
}

/* --- sleepers --------------------------------------------------------------------------------- */

static void sleep_read(unsigned int n)
{
	uint64_t got = 0;
	ssize_t r = read(tick[0][0], &got, sizeof(got));

	if (r != sizeof(got) || got != n)
		complain("read: %zd, errno %d, tick %llu of %u", r, errno, (unsigned long long)got, n);
}

static void sleep_nano(unsigned int n)
{
	struct timespec ts = { .tv_nsec = 15000000 };

	(void)n;
	while (nanosleep(&ts, &ts)) {
		if (errno != EINTR || !signals) {
			complain("nanosleep: errno %d", errno);
			break;
		}
	}
}

static void sleep_cond(unsigned int n)
{
	static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	struct timespec ts;
	int r;

	(void)n;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 25000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	pthread_mutex_lock(&m);
	do {
		r = pthread_cond_timedwait(&c, &m, &ts);
	} while (!r);
	pthread_mutex_unlock(&m);
	if (r != ETIMEDOUT)
		complain("pthread_cond_timedwait: %d", r);
}

static void sleep_epoll(unsigned int n)
{
	static int ep = -1;
	struct epoll_event ev = { .events = EPOLLIN };
	unsigned int before = handled;
	uint64_t got = 0;
	int r;

	if (ep < 0) {
		ep = epoll_create1(EPOLL_CLOEXEC);
		if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, tick[1][0], &ev))
			die("epoll");
	}
	while ((r = epoll_wait(ep, &ev, 1, -1)) < 0 && errno == EINTR) {
		if (handled == before)
			count_eintr("epoll_wait");
		before = handled;
	}
	if (r != 1)
		complain("epoll_wait: %d, errno %d", r, errno);
	if (read(tick[1][0], &got, sizeof(got)) != sizeof(got) || got != n)
		complain("read: errno %d, tick %llu of %u", errno, (unsigned long long)got, n);
}

static void (*const sleeps[SLEEPERS])(unsigned int n) = { sleep_read, sleep_nano, sleep_cond, sleep_epoll };

static void *sleeper(void *arg)
{
	uintptr_t kind = (uintptr_t)arg;
	struct self self;

	use_alt_stack();
	self_save(&self);
	for (unsigned int n = 1; !vs->stop; n++) {
		sleeps[kind](n);
		errno = ERRNO_CANARY;
		self_check(&self, "sleeper");
		vs->progress[nthreads + kind]++;
	}
	return NULL;
}

/* --- storms ----------------------------------------------------------------------------------- */

static void *short_lived(void *arg)
{
	struct block *b[50];
	uint64_t s = (uintptr_t)arg;

	for (int i = 0; i < 50; i++) {
		size_t size = size_of(rnd(&s));

		b[i] = malloc(size);
		if (!b[i])
			die("malloc");
		block_fill(b[i], size, s);
	}
	for (int i = 0; i < 50; i++) {
		if (block_bad(b[i]))
			complain("block of a short-lived thread damaged");
		free(b[i]);
	}
	return NULL;
}

/* What the parent had at the time must be whole in the child, whose locks must work. */
static void fork_once(struct block **mine, int n, uint64_t seed)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		for (int i = 0; i < n; i++)
			if (block_bad(mine[i]))
				_exit(3);
		short_lived((void *)(uintptr_t)(seed | 1));
		_exit(0);
	}
	if (pid < 0)
		die("fork");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	if (status)
		complain("a child ended with %x", status);
}

static void storm_once(bool forks, struct block **mine, int n, unsigned int round)
{
	pthread_t t[4];

	if (forks) {
		fork_once(mine, n, round);
		return;
	}
	for (int i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, short_lived, (void *)(uintptr_t)(round * 4 + i + 1)))
			die("pthread_create");
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

static void *storm(void *arg)
{
	enum { MINE = 2000 };
	struct block *mine[MINE];
	const char *what = arg;
	uint64_t s = 4711;

	/* inherited by the threads it starts: nobody must miss one of them */
	if (prctl(PR_SET_NAME, "storm"))
		die("prctl");
	use_alt_stack();
	for (int i = 0; i < MINE; i++) {
		size_t size = size_of(rnd(&s));

		mine[i] = malloc(size);
		if (!mine[i])
			die("malloc");
		block_fill(mine[i], size, s);
	}
	for (unsigned int round = 1; !vs->stop; round++) {
		storm_once(!strcmp(what, "fork"), mine, MINE, round);
		vs->progress[nthreads + SLEEPERS]++;
		usleep(2000);
	}
	bloat_check(mine, MINE);
	return NULL;
}

/* --- all of it -------------------------------------------------------------------------------- */

static void start(void *(*fn)(void *), uintptr_t arg, unsigned long kib, pthread_t *ret)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	if (kib && pthread_attr_setstacksize(&attr, kib << 10))
		die("pthread_attr_setstacksize");
	if (pthread_create(ret, &attr, fn, (void *)arg))
		die("pthread_create");
	pthread_attr_destroy(&attr);
}

static void set_signals(int argc, char **argv)
{
	unsigned long us = opt_num(argc, argv, "itimer-us", 0);
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct itimerval it = { .it_interval.tv_usec = us, .it_value.tv_usec = us };

	alt = opt(argc, argv, "alt", NULL);
	signals = us || opt(argc, argv, "signals", NULL);
	if (alt)
		sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	if (us && setitimer(ITIMER_REAL, &it, NULL))
		die("setitimer");
}

/* The main thread wakes two of the sleepers, and is one most of the time. */
static void ticks(char **argv, unsigned long exec_ms)
{
	const uint64_t end = now_us() + exec_ms * 1000;

	for (uint64_t n = 1; !vs->stop; n++) {
		for (int i = 0; i < 2; i++)
			if (write(tick[i][1], &n, sizeof(n)) != sizeof(n))
				die("write");
		vs->rounds++;
		usleep(TICK_US);
		if (exec_ms && now_us() > end) {
			execv("/proc/self/exe", argv);
			die("execv");
		}
	}
}

int main(int argc, char **argv)
{
	unsigned long arenas = opt_num(argc, argv, "arenas", 0), n = 0;
	const char *what = opt(argc, argv, "storm", NULL);
	pthread_t t[VSTAT_THREADS];

	vstat_open(argc, argv);
	nthreads = opt_num(argc, argv, "threads", 4);
	nblocks = opt_num(argc, argv, "blocks", 3000);
	throttle_us = opt_num(argc, argv, "throttle-us", 3000);
	stack_kib = opt_num(argc, argv, "stack-kib", 0);
	if (nthreads + SLEEPERS + 1 > VSTAT_THREADS || pipe2(tick[0], O_CLOEXEC) || pipe2(tick[1], O_CLOEXEC))
		die("start");
	if (arenas && !mallopt(M_ARENA_MAX, (int)arenas))
		die("mallopt");
	if (opt(argc, argv, "lock", NULL) && mlockall(MCL_CURRENT | MCL_FUTURE))
		die("mlockall");
	set_signals(argc, argv);
	for (uintptr_t i = 0; i < nthreads; i++)
		start(work, i, 0, &t[n++]);
	for (uintptr_t i = 0; i < SLEEPERS; i++)
		start(sleeper, i, stack_kib, &t[n++]);
	if (what)
		start(storm, (uintptr_t)what, 0, &t[n++]);
	vs->ready = 1;
	ticks(argv, opt_num(argc, argv, "exec-ms", 0));
	for (unsigned long i = 0; i < n; i++)
		if (i != nthreads && i != nthreads + 3) /* those that wait for a tick that won't come */
			pthread_join(t[i], NULL);
	return vstat_finish();
}
