// SPDX-License-Identifier: GPL-2.0-or-later
/* LDLIBS: -ldl */
/*
 * For leases: threads that allocate and free in one or several arenas, every
 * block with canaries, and sleepers to be borrowed, which use a lot of their
 * stack whenever they wake. It says in a second page where things are, so that
 * a test needs no reader.
 */
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "victim.h"

/* tests/unit/lease-driver.h knows this by heart */
#define LEASE_ARENAS 8
#define LEASE_WORDS 64
#define LEASE_PAGES 64 /* filled with 0xa5 */
#define LEASE_SLEEPERS 3 /* the first is the main thread, in epoll_wait; the others are in read */

struct lease_info {
	uint64_t restorer, syscall_insn, lock_fn, main_arena;
	_Atomic uint64_t arena[LEASE_ARENAS];
	_Atomic uint32_t narenas;
	_Atomic int32_t sleeper[LEASE_SLEEPERS];
	_Atomic uint64_t wakes[LEASE_SLEEPERS];
	_Atomic uint64_t max_gap_us[16];
	/* Its own addresses of things for leases to write to and to drop. */
	uint64_t words_at, pages_at, wait_fn;
	_Atomic uint64_t words[LEASE_WORDS];
};

#define SLOTS 768
#define DEPTH 48 /* times 1 KiB */

static struct lease_info *info;
static unsigned long throttle_us, wake_us;
static unsigned int denied;
static int wake_pipe[LEASE_SLEEPERS], wake_event;

/* glibc 2.27 and later: a freed chunk's list head is in its arena, the first one 96 bytes into it. */
static uint64_t main_arena(void)
{
	void *volatile p = malloc(2000), *volatile keep = malloc(24); /* clang would leave them out */
	volatile uintptr_t freed = (uintptr_t)p;
	uint64_t head;

	if (!p || !keep)
		die("malloc");
	free(p);
	head = *(uint64_t *)freed; /* what the allocator has written there */
	free(keep);
	return head - 96;
}

static uint64_t arena_of(void *block)
{
	char *brk_end = sbrk(0);
	uintptr_t heap = (uintptr_t)block & ~((64ul << 20) - 1);

	if ((char *)block < brk_end && (char *)block > brk_end - (4ul << 30))
		return info->main_arena;
	return *(uint64_t *)heap; /* heap_info.ar_ptr */
}

static void arena_tell(void *block)
{
	uint64_t a = arena_of(block);
	unsigned int n = info->narenas;

	for (unsigned int i = 0; i < n; i++)
		if (info->arena[i] == a)
			return;
	n = atomic_fetch_add(&info->narenas, 1);
	if (n < LEASE_ARENAS)
		info->arena[n] = a;
}

static void find_code(void)
{
	static const uint8_t restorer[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 },
			     gadget[] = { 0x0f, 0x05, 0xc3 };
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long lo, hi;
		char perm[5];
		void *at;

		if (sscanf(line, "%lx-%lx %4s", &lo, &hi, perm) != 3 || perm[2] != 'x' || !strstr(line, "libc"))
			continue;
		at = memmem((void *)lo, hi - lo, restorer, sizeof(restorer));
		info->restorer = (uintptr_t)at;
		at = memmem((void *)lo, hi - lo, gadget, sizeof(gadget));
		info->syscall_insn = (uintptr_t)at;
	}
	if (f)
		fclose(f);
	info->lock_fn = (uintptr_t)dlsym(RTLD_DEFAULT, "__lll_lock_wait_private");
	info->wait_fn = (uintptr_t)dlsym(RTLD_DEFAULT, "sem_wait");
	info->main_arena = main_arena();
}

static void slots_empty(struct block **slot, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (slot[i] && block_bad(slot[i]))
			complain("block %p damaged", (void *)slot[i]);
		free(slot[i]);
		slot[i] = NULL;
	}
}

static void *worker(void *arg)
{
	struct block *slot[SLOTS] = { NULL };
	uintptr_t id = (uintptr_t)arg;
	uint64_t s = id * 104729 + 17, before = now_us();
	struct self self;

	self_save(&self);
	while (!vs->stop) {
		uint64_t now;

		for (int i = 0; i < 20; i++) {
			uint64_t r = rnd(&s);
			size_t size = BLOCK_MIN + (r >> 20) % (r % 8 ? 2000 : 40000);

			slot_renew(&slot[(r >> 8) % SLOTS], &s, size);
			if (vs->progress[id] < 4)
				arena_tell(slot[(r >> 8) % SLOTS]);
		}
		if (!(vs->progress[id] % 128))
			slots_empty(slot, SLOTS / 2);
		if (errno != ERRNO_CANARY)
			complain("worker: errno is %d", errno);
		now = now_us();
		if (now - before > info->max_gap_us[id])
			info->max_gap_us[id] = now - before;
		vs->progress[id]++;
		if (throttle_us)
			usleep(throttle_us);
		errno = ERRNO_CANARY;
		before = now_us();
	}
	slots_empty(slot, SLOTS);
	return NULL;
}

/* What lies below its stack pointer while it sleeps belongs to nobody; now it is its own. */
static __attribute__((noinline)) uint64_t deep(unsigned int depth, uint64_t seed)
{
	volatile uint64_t a[128];
	uint64_t sum = 0;

	for (unsigned int i = 0; i < 128; i++)
		a[i] = seed + i;
	if (depth)
		sum = deep(depth - 1, seed * 31 + 7);
	for (unsigned int i = 0; i < 128; i++)
		if (a[i] != seed + i)
			complain("stack damaged at depth %u: %llx", depth, (unsigned long long)a[i]);
	return sum + a[5];
}

/* The last sleeper may live under a filter that kills for one call. */
static void deny(unsigned int nr)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = f };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		die("seccomp");
}

static void on_caught(int sig)
{
	(void)sig;
	vs->handler_runs++;
}

/* SIGUSR1 is handled by the second sleeper and by nobody else: before there are threads, and in that one. */
static void catch (int how)
{
	const struct sigaction sa = { .sa_handler = on_caught, .sa_flags = SA_RESTART };
	sigset_t s;

	if (sigemptyset(&s) || sigaddset(&s, SIGUSR1) || pthread_sigmask(how, &s, NULL) ||
	    sigaction(SIGUSR1, &sa, NULL))
		die("sigaction");
}

static void *read_sleeper(void *arg)
{
	uintptr_t id = (uintptr_t)arg;
	uint64_t n = 0;
	struct self self;
	char c;

	if (denied && id == LEASE_SLEEPERS - 1)
		deny(denied);
	if (id == 1)
		catch (SIG_UNBLOCK);
	self_save(&self);
	info->sleeper[id] = gettid();
	while (!vs->stop) {
		ssize_t r = read(wake_pipe[id], &c, 1);

		if (r != 1)
			complain("read: %zd, errno %d", r, errno);
		errno = ERRNO_CANARY;
		self_check(&self, "read sleeper");
		info->wakes[id]++;
		(void)deep(DEPTH, ++n);
	}
	return NULL;
}

static void epoll_sleeper(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	uint64_t v, n = 0;

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, wake_event, &ev))
		die("epoll");
	info->sleeper[0] = gettid();
	while (!vs->stop) {
		struct self self;
		int r, e;

		self_save(&self);
		r = epoll_wait(ep, &ev, 1, -1);
		e = errno;
		if (r < 0 && e == EINTR) {
			count_eintr("epoll_wait");
			continue;
		}
		if (r != 1 || read(wake_event, &v, 8) != 8)
			complain("epoll_wait: %d, errno %d", r, e);
		errno = ERRNO_CANARY;
		self_check(&self, "epoll sleeper");
		info->wakes[0]++;
		(void)deep(DEPTH, ++n);
	}
}

static void *ticker(void *arg)
{
	const int *ends = arg;
	uint64_t one = 1;
	bool last = false;

	while (!last) {
		struct timespec ts = { .tv_nsec = (long)wake_us * 1000 };

		(void)nanosleep(&ts, NULL);
		last = vs->stop;
		if (write(wake_event, &one, 8) != 8)
			complain("write eventfd: errno %d", errno);
		for (int i = 1; i < LEASE_SLEEPERS; i++)
			if (write(ends[i], "x", 1) != 1)
				complain("write: errno %d", errno);
	}
	return NULL;
}

static void find_places(void)
{
	void *pages = mmap(NULL, LEASE_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		die("mmap");
	memset(pages, 0xa5, LEASE_PAGES * 4096);
	info->pages_at = (uintptr_t)pages;
	info->words_at = (uintptr_t)info->words;
}

static void start(unsigned long n, pthread_t *t, int *ends)
{
	for (uintptr_t i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, worker, (void *)i))
			die("pthread_create");
	for (uintptr_t i = 1; i < LEASE_SLEEPERS; i++) {
		int fd[2];

		if (pipe2(fd, O_CLOEXEC))
			die("pipe");
		wake_pipe[i] = fd[0];
		ends[i] = fd[1];
		if (pthread_create(&t[n++], NULL, read_sleeper, (void *)i))
			die("pthread_create");
	}
	if (pthread_create(&t[n], NULL, ticker, ends))
		die("pthread_create");
}

int main(int argc, char **argv)
{
	unsigned long n = opt_num(argc, argv, "threads", 4);
	int fd = open(opt(argc, argv, "info", ""), O_RDWR | O_CLOEXEC), ends[LEASE_SLEEPERS];
	pthread_t t[VSTAT_THREADS + LEASE_SLEEPERS + 1];

	vstat_open(argc, argv);
	info = mmap(NULL, sizeof(*info), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	wake_event = eventfd(0, EFD_CLOEXEC);
	throttle_us = opt_num(argc, argv, "throttle-us", 0);
	wake_us = opt_num(argc, argv, "wake-us", 3000);
	if (fd < 0 || info == MAP_FAILED || n > VSTAT_THREADS || wake_event < 0)
		die("start");
	mallopt(M_ARENA_MAX, (int)opt_num(argc, argv, "arenas", 1));
	mallopt(M_MMAP_THRESHOLD, 1 << 25);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	denied = (unsigned int)opt_num(argc, argv, "deny", 0);
	catch (SIG_BLOCK);
	find_code();
	find_places();
	if (!info->restorer || !info->syscall_insn || !info->lock_fn)
		die("code not found");
	start(n, t, ends);
	threads_await(n);
	vs->ready = 1;
	epoll_sleeper();
	for (unsigned long i = 0; i < n + LEASE_SLEEPERS; i++)
		pthread_join(t[i], NULL);
	return vstat_finish();
}
