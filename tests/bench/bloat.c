/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that bloats as long-lived C programs do: a cache of many small
 * entries, nearly all of which have expired. The few that live on are spread
 * over the whole heap, so free() can hand nothing back.
 *
 * It answers one-line commands on its standard input, and ends when that is
 * closed. Every entry that lives carries a pattern made from its number, so
 * that a byte changed by someone else is noticed.
 *
 *	bloat [blocks=N] [keep=K] [beat=0|1] [spin=0|1] [idle=N]
 *
 * beat: the main thread wakes up 5000 times a second and notes the longest
 *       time for which it couldn't.
 * spin: so does a second thread, without ever sleeping.
 * idle: as many more threads do nothing.
 */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BEAT_NS 200000
#define BLOCK_MIN 64
#define BLOCK_MAX 960
#define IDLE_STACK (64 << 10)

struct bloat {
	unsigned long blocks, keep, beat, spin, idle;
	void **table;
	uint64_t last, longest, beats;
	atomic_ullong spin_longest;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static size_t block_size(unsigned long i)
{
	return BLOCK_MIN + mix(i) % (BLOCK_MAX - BLOCK_MIN + 1);
}

static void block_fill(unsigned char *p, unsigned long i)
{
	size_t size = block_size(i);

	for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
		uint64_t v = mix(i * BLOCK_MAX + at);

		memcpy(p + at, &v, size - at < sizeof(v) ? size - at : sizeof(v));
	}
}

static bool block_intact(const unsigned char *p, unsigned long i)
{
	size_t size = block_size(i);

	for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
		uint64_t v = mix(i * BLOCK_MAX + at);

		if (memcmp(p + at, &v, size - at < sizeof(v) ? size - at : sizeof(v)))
			return false;
	}

	return true;
}

static int cache_fill(struct bloat *b, unsigned long from, unsigned long to)
{
	for (unsigned long i = from; i < to; i++) {
		b->table[i] = malloc(block_size(i));
		if (!b->table[i])
			return -ENOMEM;
		block_fill(b->table[i], i);
	}

	return 0;
}

static void cache_expire(struct bloat *b, unsigned long from, unsigned long to)
{
	for (unsigned long i = from; i < to; i++) {
		if (i % b->keep == b->keep / 2)
			continue;
		free(b->table[i]);
		b->table[i] = NULL;
	}
}

static void cmd_check(struct bloat *b)
{
	unsigned long n = 0, expected = 0;

	for (unsigned long i = 0; i < b->blocks; i++) {
		expected += i % b->keep == b->keep / 2;
		if (!b->table[i])
			continue;
		if (!block_intact(b->table[i], i)) {
			printf("bad entry %lu is damaged\n", i);
			return;
		}
		n++;
	}

	if (n != expected)
		printf("bad %lu entries instead of %lu\n", n, expected);
	else
		printf("ok %lu entries intact\n", n);
}

/* New entries where the expired ones were, checked, and expired again: the heap still works. */
static void cmd_work(struct bloat *b)
{
	unsigned long n = b->blocks < 20000 ? b->blocks : 20000, stored = 0;

	for (unsigned long i = 0; i < n; i++) {
		if (b->table[i])
			continue;
		if (cache_fill(b, i, i + 1) < 0 || !block_intact(b->table[i], i)) {
			printf("bad new entry %lu\n", i);
			return;
		}
		stored++;
	}
	cache_expire(b, 0, n);

	printf("ok %lu new entries stored and dropped\n", stored);
}

static void cmd_trim(struct bloat *b)
{
	uint64_t start = now_ns();
	int r = malloc_trim(0);

	(void)b;
	printf("ok %d %llu\n", r, (unsigned long long)(now_ns() - start) / 1000);
}

/* Longest gaps since the last time, in microseconds: main thread, spinning thread. */
static void cmd_beat(struct bloat *b)
{
	uint64_t spin = atomic_exchange(&b->spin_longest, 0);

	printf("ok %llu %llu %llu\n", (unsigned long long)b->longest / 1000, (unsigned long long)spin / 1000,
	       (unsigned long long)b->beats);
	b->longest = b->beats = 0;
}

static const struct {
	const char *name;
	void (*run)(struct bloat *b);
} commands[] = {
	{ "check", cmd_check },
	{ "work", cmd_work },
	{ "trim", cmd_trim },
	{ "beat", cmd_beat },
};

static const struct {
	const char *name;
	size_t offset;
} options[] = {
	{ "blocks=", offsetof(struct bloat, blocks) },
	{ "keep=", offsetof(struct bloat, keep) },
	{ "beat=", offsetof(struct bloat, beat) },
	{ "spin=", offsetof(struct bloat, spin) },
	{ "idle=", offsetof(struct bloat, idle) },
};

static int option_set(struct bloat *b, const char *arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		size_t n = strlen(options[i].name);
		unsigned long v;
		char *end;

		if (strncmp(arg, options[i].name, n))
			continue;
		errno = 0;
		v = strtoul(arg + n, &end, 10);
		if (errno || end == arg + n || *end)
			return -EINVAL;
		memcpy((char *)b + options[i].offset, &v, sizeof(v));
		return 0;
	}

	return -EINVAL;
}

static void *spin_main(void *arg)
{
	struct bloat *b = arg;
	uint64_t last = now_ns();

	for (;;) {
		uint64_t now = now_ns();

		if (now - last > atomic_load_explicit(&b->spin_longest, memory_order_relaxed))
			atomic_store_explicit(&b->spin_longest, now - last, memory_order_relaxed);
		last = now;
	}

	return NULL;
}

static void *idle_main(void *arg)
{
	(void)arg;
	for (;;)
		pause();

	return NULL;
}

static int threads_start(struct bloat *b)
{
	pthread_t thread;
	pthread_attr_t attr;

	if (b->spin && pthread_create(&thread, NULL, spin_main, b))
		return -EAGAIN;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, IDLE_STACK);
	for (unsigned long i = 0; i < b->idle; i++)
		if (pthread_create(&thread, &attr, idle_main, NULL))
			return -EAGAIN;

	return 0;
}

static void beat(struct bloat *b)
{
	uint64_t now = now_ns();

	if (now - b->last > b->longest)
		b->longest = now - b->last;
	b->last = now;
	b->beats++;
}

static void command_run(struct bloat *b, const char *line)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(line, commands[i].name)) {
			commands[i].run(b);
			break;
		}
	}
	if (i == ARRAY_SIZE(commands))
		printf("bad unknown command\n");
	fflush(stdout);

	/* The time that a command takes is nobody's pause. */
	b->last = now_ns();
}

/* One command per read: the other side waits for each answer. */
static int serve(struct bloat *b)
{
	const struct timespec period = { .tv_nsec = BEAT_NS };
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[64];

	b->last = now_ns();
	for (;;) {
		ssize_t n;

		if (b->beat) {
			n = ppoll(&in, 1, &period, NULL);
			beat(b);
			if (n < 0)
				return -errno;
			if (!n)
				continue;
		}
		n = read(STDIN_FILENO, line, sizeof(line) - 1);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		command_run(b, line);
	}
}

int main(int argc, char *argv[])
{
	struct bloat b = { .blocks = 2000000, .keep = 500 };
	int r;

	for (int i = 1; i < argc; i++) {
		if (option_set(&b, argv[i]) < 0) {
			fprintf(stderr, "usage: bloat [blocks=N] [keep=K] [beat=0|1] [spin=0|1] [idle=N]\n");
			return 2;
		}
	}
	if (!b.blocks || !b.keep)
		return 2;

	b.table = calloc(b.blocks, sizeof(*b.table));
	if (!b.table || cache_fill(&b, 0, b.blocks) < 0) {
		fprintf(stderr, "bloat: not enough memory\n");
		return 1;
	}
	cache_expire(&b, 0, b.blocks);

	/* The default slack of 50 us would be a quarter of the heartbeat's period. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	if (threads_start(&b) < 0) {
		fprintf(stderr, "bloat: not so many threads\n");
		return 1;
	}

	printf("ready\n");
	fflush(stdout);

	r = serve(&b);
	if (r < 0)
		fprintf(stderr, "bloat: %s\n", strerror(-r));
	return r < 0;
}
