/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that have freed all they had, after a large block has taught malloc
 * to keep much: each one's arena ends in a top of many MiB, which malloc_trim
 * never touches. Obeys commands on stdin like bloat.
 */
#include <pthread.h>

#include "oldsyms.h"
#include "victim.h"

#define BLOCK 4000
#define LESSON (30 << 20)

static unsigned long mib;
static pthread_barrier_t go, done;
static unsigned long bad;

static unsigned char **take(unsigned long n, uintptr_t id)
{
	unsigned char **v = calloc(n, sizeof(*v));

	if (!v)
		die("calloc");
	for (unsigned long i = 0; i < n; i++) {
		v[i] = malloc(BLOCK);
		if (!v[i])
			die("malloc");
		memset(v[i], (int)(i * 31 + id), BLOCK);
	}
	return v;
}

/* In reverse, so that each block joins the top. */
static void give(unsigned char **v, unsigned long n, uintptr_t id)
{
	while (n--) {
		for (size_t k = 0; k < BLOCK; k++)
			if (v[n][k] != (unsigned char)(n * 31 + id)) {
				__atomic_add_fetch(&bad, 1, __ATOMIC_RELAXED);
				break;
			}
		free(v[n]);
	}
	free(v);
}

static void *keep_top(void *arg)
{
	const unsigned long n = (mib << 20) / BLOCK;
	uintptr_t id = (uintptr_t)arg;

	for (;;) {
		give(take(n, id), n, id);
		pthread_barrier_wait(&done);
		pthread_barrier_wait(&go);
	}
	return NULL;
}

/* A mapped block is freed: the thresholds rise. In the main thread: since 2.43 a first heap may have room for it. */
static void teach(void)
{
	void *lesson = malloc(LESSON);

	if (!lesson)
		die("malloc");
	memset(lesson, 1, LESSON);
	free(lesson);
}

static unsigned long rss_kib(void)
{
	unsigned long size, rss = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%lu %lu", &size, &rss) != 2)
		die("/proc/self/statm");
	fclose(f);
	return rss * 4;
}

int main(int argc, char **argv)
{
	unsigned long threads = opt_num(argc, argv, "threads", 2);
	char line[64];

	vstat_open(argc, argv);
	mib = opt_num(argc, argv, "mib", 39);
	teach();
	pthread_barrier_init(&go, NULL, threads + 1);
	pthread_barrier_init(&done, NULL, threads + 1);
	for (unsigned long i = 1; i <= threads; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, keep_top, (void *)i))
			die("pthread_create");
	}
	pthread_barrier_wait(&done);
	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("cmd=ready pid=%d rss_kib=%lu\n", getpid(), rss_kib());
	vs->ready = 1;
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, "refill")) {
			pthread_barrier_wait(&go);
			pthread_barrier_wait(&done);
		} else if (!strcmp(line, "self-trim")) {
			malloc_trim(0);
		} else if (strcmp(line, "verify") && strcmp(line, "rss") && strcmp(line, "quit")) {
			printf("error=unknown\n");
			continue;
		}
		printf("cmd=%s rss_kib=%lu bad=%lu errors=%llu\n", line, rss_kib(), bad,
		       (unsigned long long)vs->errors);
		if (!strcmp(line, "quit"))
			break;
	}
	if (bad)
		complain("%lu blocks damaged", bad);
	return vstat_finish();
}
