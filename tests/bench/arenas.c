/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program with a large fragmented heap in one or many arenas, and threads
 * that go on allocating from it: how long must they wait while somebody gives
 * its memory back?
 *
 *	arenas [mib=N] [arenas=N] [threads=N]
 *
 * It answers one-line commands on its standard input like bloat.c:
 *	waits	how often a thread has waited in malloc() or free() since the last time: count, the
 *		99th percentile and the longest, in microseconds; and the longest it took at all
 *	trim	its own malloc_trim(0): result, microseconds
 *	check	the blocks that live on are as they were
 *
 * A wait is a call in which the thread slept: the kernel counts that as a
 * voluntary switch. Another process that takes the processor isn't one.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_MIN 64
#define BLOCK_MAX 960
#define BLOCK_MEAN 528 /* and what malloc adds */
#define KEEP 500
#define BURST 64 /* calls between two pauses */
#define PAUSE_NS 500000
#define SLOTS 512
/* Too large for the threads' caches: each call takes the arena's lock. */
#define SLOT_MIN 1100
#define SLOT_MAX 4000
#define SUSPECT_NS 20000
#define WAITS_MAX (1u << 20)

struct part {
	pthread_t thread;
	unsigned long n;
	unsigned char **blocks;
};

struct worker {
	pthread_t thread;
	atomic_uint nwaits; /* those in @waits, in ns */
	uint32_t *waits;
	atomic_ullong longest, bursts;
	unsigned char *slots[SLOTS];
	uint64_t random;
};

static unsigned long opt_mib = 1024, opt_arenas = 1, opt_threads = 4;
static struct part *parts;
static struct worker *workers;
static pthread_barrier_t filled;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t block_size(unsigned long i)
{
	uint64_t state = i * 0x9e3779b97f4a7c15 + 1;

	return BLOCK_MIN + next_random(&state) % (BLOCK_MAX - BLOCK_MIN + 1);
}

/* Each of them keeps its arena until all have theirs. */
static void *part_fill(void *arg)
{
	struct part *p = arg;

	for (unsigned long i = 0; i < p->n; i++) {
		p->blocks[i] = malloc(block_size(i));
		if (!p->blocks[i])
			abort();
		memset(p->blocks[i], (int)(i & 0xff), block_size(i));
	}
	pthread_barrier_wait(&filled);
	for (unsigned long i = 0; i < p->n; i++) {
		if (i % KEEP == KEEP / 2)
			continue;
		free(p->blocks[i]);
		p->blocks[i] = NULL;
	}
	return NULL;
}

static bool part_intact(const struct part *p)
{
	for (unsigned long i = KEEP / 2; i < p->n; i += KEEP)
		for (size_t at = 0; at < block_size(i); at++)
			if (p->blocks[i][at] != (unsigned char)(i & 0xff))
				return false;
	return true;
}

static long switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

static void worker_note(struct worker *w, uint64_t ns, long *seen)
{
	long now;

	if (ns > w->longest)
		w->longest = ns;
	if (ns < SUSPECT_NS)
		return;
	now = switches();
	if (now != *seen && w->nwaits < WAITS_MAX)
		w->waits[w->nwaits++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
	*seen = now;
}

static void worker_call(struct worker *w, long *seen)
{
	unsigned char **slot = &w->slots[next_random(&w->random) % SLOTS];
	size_t size = SLOT_MIN + next_random(&w->random) % (SLOT_MAX - SLOT_MIN);
	uint64_t start = now_ns(), end;

	if (*slot) {
		free(*slot);
		*slot = NULL;
	} else {
		*slot = malloc(size);
	}
	end = now_ns();
	worker_note(w, end - start, seen);
	if (*slot)
		memset(*slot, 0x5a, size);
}

static void *worker_main(void *arg)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct worker *w = arg;

	for (;;) {
		long seen = switches();

		for (unsigned int i = 0; i < BURST; i++)
			worker_call(w, &seen);
		w->bursts++;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Until whoever waits now has come through and noted it. */
static void workers_settle(void)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	for (unsigned long t = 0; t < opt_threads; t++)
		for (uint64_t until = workers[t].bursts + 2; workers[t].bursts < until;)
			nanosleep(&pause, NULL);
}

static void cmd_waits(void)
{
	uint32_t *all = malloc(sizeof(*all) * WAITS_MAX);
	uint64_t longest = 0;
	size_t n = 0;

	workers_settle();
	for (unsigned long t = 0; t < opt_threads; t++) {
		unsigned int some = atomic_exchange(&workers[t].nwaits, 0);
		uint64_t most = atomic_exchange(&workers[t].longest, 0);

		longest = most > longest ? most : longest;
		for (unsigned int i = 0; i < some && n < WAITS_MAX; i++)
			all[n++] = workers[t].waits[i];
	}
	qsort(all, n, sizeof(*all), by_size);
	printf("ok %zu %u %u %llu\n", n, n ? all[(n * 99 + 99) / 100 - 1] / 1000 : 0, n ? all[n - 1] / 1000 : 0,
	       (unsigned long long)longest / 1000);
	free(all);
}

static void cmd_trim(void)
{
	uint64_t start = now_ns();
	int r = malloc_trim(0);

	printf("ok %d %llu\n", r, (unsigned long long)(now_ns() - start) / 1000);
}

static void cmd_check(void)
{
	for (unsigned long i = 0; i < opt_arenas; i++) {
		if (!part_intact(&parts[i])) {
			printf("bad blocks of arena %lu are damaged\n", i);
			return;
		}
	}
	printf("ok all intact\n");
}

static void parts_fill(void)
{
	const unsigned long blocks = opt_mib * (1ul << 20) / (BLOCK_MEAN * opt_arenas);

	parts = calloc(opt_arenas, sizeof(*parts));
	pthread_barrier_init(&filled, NULL, (unsigned int)opt_arenas);
	for (unsigned long i = 0; i < opt_arenas; i++) {
		parts[i].n = blocks;
		parts[i].blocks = calloc(blocks, sizeof(*parts[i].blocks));
	}
	/* The main thread has the main arena, each of the others one of its own, as far as there are any. */
	for (unsigned long i = 1; i < opt_arenas; i++)
		if (pthread_create(&parts[i].thread, NULL, part_fill, &parts[i]))
			abort();
	part_fill(&parts[0]);
	for (unsigned long i = 1; i < opt_arenas; i++)
		pthread_join(parts[i].thread, NULL);
}

static void workers_start(void)
{
	workers = calloc(opt_threads, sizeof(*workers));
	for (unsigned long i = 0; i < opt_threads; i++) {
		workers[i].random = i + 1;
		workers[i].waits = malloc(sizeof(uint32_t) * WAITS_MAX);
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]))
			abort();
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: arenas [mib=N] [arenas=N] [threads=N]\n");
	return 2;
}

int main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		void (*run)(void);
	} commands[] = { { "waits\n", cmd_waits }, { "trim\n", cmd_trim }, { "check\n", cmd_check } };
	char line[64];

	for (int i = 1; i < argc; i++)
		if (sscanf(argv[i], "mib=%lu", &opt_mib) != 1 && sscanf(argv[i], "arenas=%lu", &opt_arenas) != 1 &&
		    sscanf(argv[i], "threads=%lu", &opt_threads) != 1)
			return usage();
	if (!opt_mib || !opt_arenas || opt_arenas > 64 || opt_threads > 64)
		return usage();
	mallopt(M_ARENA_MAX, (int)opt_arenas);
	parts_fill();
	workers_start();
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			if (!strcmp(line, commands[i].name))
				commands[i].run();
		fflush(stdout);
	}
	return 0;
}
