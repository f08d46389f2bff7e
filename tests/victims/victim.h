/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all victims share: a status page that a judge reads from outside
 * without signals or output, and checks of things that are per thread and
 * that nobody outside can see.
 */
#ifndef TESTS_VICTIM_H
#define TESTS_VICTIM_H

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define VSTAT_MAGIC 0x6d69746369760001ull
#define VSTAT_THREADS 16
#define VSTAT_SIZE 4096
#define UNUSED __attribute__((unused))

/* tests/judge.py knows this layout by heart */
struct vstat {
	_Atomic uint64_t magic, pid, ready, stop;
	_Atomic uint64_t errors, rounds;
	_Atomic int64_t result, err;
	_Atomic uint64_t elapsed_us, t0_us, eintr, handler_runs;
	_Atomic uint64_t progress[VSTAT_THREADS];
	_Atomic uint64_t done, helper_ready, sleeper_tid, futex;
	char note[256];
};

static struct vstat *vs;

static UNUSED const char *opt(int argc, char **argv, const char *name, const char *fallback)
{
	size_t n = strlen(name);

	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "--", 2) && !strncmp(argv[i] + 2, name, n)) {
			if (argv[i][2 + n] == '=')
				return argv[i] + 3 + n;
			if (!argv[i][2 + n])
				return "1";
		}
	return fallback;
}

static UNUSED unsigned long opt_num(int argc, char **argv, const char *name, unsigned long fallback)
{
	const char *s = opt(argc, argv, name, NULL);

	return s ? strtoul(s, NULL, 0) : fallback;
}

static UNUSED uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static UNUSED void die(const char *what)
{
	perror(what);
	_exit(99);
}

/* The first complaint is kept as text, all are counted. */
static UNUSED __attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...)
{
	int keep = errno;

	if (!atomic_fetch_add(&vs->errors, 1)) {
		va_list ap;

		va_start(ap, fmt);
		vsnprintf(vs->note, sizeof(vs->note), fmt, ap);
		va_end(ap);
	}
	errno = keep;
}

/* Not an error by itself: a tracer that died at the wrong moment may cause it. The judge decides. */
static UNUSED void count_eintr(const char *where)
{
	if (!atomic_fetch_add(&vs->eintr, 1) && !vs->errors)
		snprintf(vs->note, sizeof(vs->note), "EINTR from %s", where);
}

/* A victim must not outlive the test that started it. */
static UNUSED void die_with_parent(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		die("PR_SET_PDEATHSIG");
}

static UNUSED void vstat_open(int argc, char **argv)
{
	const char *path = opt(argc, argv, "shm", NULL);
	int fd = -1;

	if (path) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0 || ftruncate(fd, VSTAT_SIZE))
			die(path);
	}
	vs = mmap(NULL, VSTAT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
	if (vs == MAP_FAILED)
		die("mmap of the status page");
	if (fd >= 0)
		close(fd);
	die_with_parent();
	vs->pid = getpid();
	vs->magic = VSTAT_MAGIC;
}

/* Until each of @n threads has begun: a thread at its very start has all signals blocked. */
static UNUSED void threads_await(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		while (!vs->progress[i])
			usleep(500);
}

static UNUSED int vstat_finish(void)
{
	vs->done = 1;
	if (vs->errors)
		fprintf(stderr, "victim: %llu errors, first: %s\n", (unsigned long long)vs->errors, vs->note);
	return vs->errors ? 1 : 0;
}

/* --- what only the thread itself can see ------------------------------------------------------ */

struct self {
	uint64_t mask;
	stack_t alt;
	int err;
	int policy;
	char name[16];
};

#define ERRNO_CANARY 0x5e1f

static UNUSED void self_save(struct self *s)
{
	memset(s, 0, sizeof(*s));
	if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &s->mask, 8) || sigaltstack(NULL, &s->alt))
		die("self_save");
	prctl(PR_GET_NAME, s->name);
	errno = ERRNO_CANARY;
}

static UNUSED void self_check(const struct self *s, const char *where)
{
	struct self n;
	int keep = errno;

	memset(&n, 0, sizeof(n));
	if (keep != ERRNO_CANARY)
		complain("%s: errno is %d", where, keep);
	if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &n.mask, 8) || sigaltstack(NULL, &n.alt))
		die("self_check");
	prctl(PR_GET_NAME, n.name);
	if (n.mask != s->mask)
		complain("%s: signal mask is %llx, was %llx", where, (unsigned long long)n.mask,
			 (unsigned long long)s->mask);
	if (n.alt.ss_sp != s->alt.ss_sp || n.alt.ss_size != s->alt.ss_size || n.alt.ss_flags != s->alt.ss_flags)
		complain("%s: sigaltstack is %p+%zx flags %x", where, n.alt.ss_sp, n.alt.ss_size, n.alt.ss_flags);
	if (memcmp(n.name, s->name, sizeof(n.name)))
		complain("%s: thread name changed", where);
	errno = ERRNO_CANARY;
}

/* --- heap with canaries ----------------------------------------------------------------------- */

#define CANARY_HEAD 0xfeedfacecafe0001ull
#define CANARY_TAIL 0x0badc0ffee0ddf00ull

struct block {
	uint64_t head, size, seed;
	unsigned char body[];
};

static UNUSED uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static UNUSED void block_fill(struct block *b, size_t size, uint64_t seed)
{
	size_t n = size - sizeof(*b) - 8;
	uint64_t tail = CANARY_TAIL ^ seed;

	b->head = CANARY_HEAD;
	b->size = size;
	b->seed = seed;
	memset(b->body, (int)(seed & 0xff), n);
	memcpy(b->body + n, &tail, 8);
}

static UNUSED int block_bad(const struct block *b)
{
	uint64_t tail;
	size_t n;

	if (b->head != CANARY_HEAD)
		return 1;
	n = b->size - sizeof(*b) - 8;
	memcpy(&tail, b->body + n, 8);
	if (tail != (CANARY_TAIL ^ b->seed))
		return 2;
	for (size_t i = 0; i < n; i++)
		if (b->body[i] != (unsigned char)b->seed)
			return 3;
	return 0;
}

/* What is there is judged, and gives way to another one. */
static UNUSED void slot_renew(struct block **slot, uint64_t *s, size_t size)
{
	int bad = *slot ? block_bad(*slot) : 0;

	if (bad)
		complain("block %p damaged (%d)", (void *)*slot, bad);
	free(*slot);
	*slot = malloc(size);
	if (!*slot)
		die("malloc");
	block_fill(*slot, size, rnd(s));
}

#define BLOCK_MIN (sizeof(struct block) + 16)

/* Leaves about @kib of free, resident, trimmable memory between kept blocks. */
static UNUSED void bloat_make(unsigned long kib, struct block **keep, unsigned int nkeep)
{
	unsigned long n = kib / 4;
	void **all = mmap(NULL, n * sizeof(*all) + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int k = 0;

	if (all == MAP_FAILED)
		die("mmap");
	for (unsigned long i = 0; i < n; i++) {
		all[i] = malloc(4080);
		if (!all[i])
			die("malloc");
		block_fill(all[i], 4080, i * 2654435761u + 1);
	}
	for (unsigned long i = 0; i < n; i++) {
		if (k < nkeep && (i % 50 == 49 || i == n - 1))
			keep[k++] = all[i];
		else
			free(all[i]);
	}
	while (k < nkeep)
		keep[k++] = NULL;
	munmap(all, n * sizeof(*all) + 4096);
}

static UNUSED void bloat_check(struct block **keep, unsigned int nkeep)
{
	for (unsigned int i = 0; i < nkeep; i++)
		if (keep[i] && block_bad(keep[i]))
			complain("kept block %u damaged", i);
}

/* Sleeps in read() on stdin until the judge says stop there and in the status page. */
static UNUSED void idle_until_stop(void)
{
	struct self self;
	char c;

	self_save(&self);
	do {
		ssize_t n = read(0, &c, 1);

		if (n < 0) {
			complain("read: errno %d", errno);
		} else if (!n) {
			break;
		}
		errno = ERRNO_CANARY;
		self_check(&self, "idle");
		vs->rounds++;
	} while (!vs->stop);
}

#endif
