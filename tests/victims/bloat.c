/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The classic: many small blocks, all but one in five hundred freed. It obeys
 * commands on stdin and answers each with one line of key=value on stdout.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>

#include "victim.h"

static unsigned long count, every;
static unsigned char **kept;
static unsigned long nkept;
static uint64_t seed = 88172645463325252ull;

static size_t kept_size(unsigned long i)
{
	return 64 + (i * 40503u) % 897;
}

static void build(void)
{
	unsigned char **all = malloc(count * sizeof(*all));

	kept = calloc(count / every + 1, sizeof(*kept));
	if (!all || !kept)
		die("malloc");
	for (unsigned long i = 0; i < count; i++) {
		size_t size = i % every ? 64 + rnd(&seed) % 897 : kept_size(i / every);

		all[i] = malloc(size);
		if (!all[i])
			die("malloc");
		memset(all[i], (int)((i / every) * 7 + 1), size);
	}
	for (unsigned long i = 0; i < count; i++) {
		if (i % every)
			free(all[i]);
		else
			kept[nkept++] = all[i];
	}
	free(all);
}

static unsigned long verify(void)
{
	unsigned long bad = 0;

	for (unsigned long i = 0; i < nkept; i++)
		for (size_t j = 0; j < kept_size(i); j++)
			if (kept[i][j] != (unsigned char)(i * 7 + 1)) {
				bad++;
				break;
			}
	if (bad)
		complain("%lu kept blocks damaged", bad);
	return bad;
}

static unsigned long rss_kib(void)
{
	unsigned long kib = 0;
	char buf[4096], *p;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	close(fd);
	if (n <= 0)
		die("/proc/self/status");
	buf[n] = 0;
	p = strstr(buf, "VmRSS:");
	if (p)
		kib = strtoul(p + 6, NULL, 10);
	return kib;
}

/* Uses the heap hard after a trim: it must still hand out and take back memory. */
static void refill(void)
{
	enum { N = 50000 };
	struct block **b = malloc(N * sizeof(*b));

	if (!b)
		die("malloc");
	for (int i = 0; i < N; i++) {
		size_t size = BLOCK_MIN + rnd(&seed) % 900;

		b[i] = malloc(size);
		if (!b[i])
			die("malloc");
		block_fill(b[i], size, i + 1);
	}
	for (int i = 0; i < N; i++) {
		if (block_bad(b[i]))
			complain("refilled block %d damaged", i);
		free(b[i]);
	}
	free(b);
}

/* As big and as full of holes as at the begin; what was kept for that the last time goes. */
static void again(void)
{
	static unsigned char **pins;
	unsigned char **all = malloc(count * sizeof(*all));
	unsigned long npins = count / every + 1;

	if (!all)
		die("malloc");
	for (unsigned long i = 0; pins && i < npins; i++)
		free(pins[i]);
	free(pins);
	pins = calloc(npins, sizeof(*pins));
	if (!pins)
		die("malloc");
	for (unsigned long i = 0; i < count; i++) {
		size_t size = 64 + rnd(&seed) % 897;

		all[i] = malloc(size);
		if (!all[i])
			die("malloc");
		memset(all[i], 1, size);
	}
	for (unsigned long i = 0; i < count; i++) {
		if (i % every)
			free(all[i]);
		else
			pins[i / every] = all[i];
	}
	free(all);
}

static void *churn(void *arg)
{
	uint64_t s = (uintptr_t)arg * 7919 + 1;
	struct block *slot[64] = { NULL };

	while (!vs->stop) {
		unsigned int i = rnd(&s) % 64;
		size_t size = BLOCK_MIN + rnd(&s) % 2000;

		if (slot[i] && block_bad(slot[i]))
			complain("thread block damaged");
		free(slot[i]);
		slot[i] = malloc(size);
		block_fill(slot[i], size, rnd(&s));
		vs->progress[(uintptr_t)arg]++;
	}
	bloat_check(slot, 64);
	return NULL;
}

static int command(const char *line)
{
	unsigned long long us = now_us();
	int r = 0;

	if (!strcmp(line, "self-trim")) {
		r = malloc_trim(0);
	} else if (!strcmp(line, "refill")) {
		refill();
	} else if (!strcmp(line, "again")) {
		again();
	} else if (strcmp(line, "verify") && strcmp(line, "rss") && strcmp(line, "quit")) {
		printf("error=unknown\n");
		return 1;
	}
	us = now_us() - us;
	printf("cmd=%s r=%d us=%llu rss_kib=%lu bad=%lu errors=%llu\n", line, r, us, rss_kib(), verify(),
	       (unsigned long long)vs->errors);
	return strcmp(line, "quit") ? 1 : 0;
}

static void on_usr1(int sig)
{
	(void)sig;
	vs->handler_runs++;
}

/* Notes the longest time for which it could not run, in vs->result; a judge may set that back. */
static void spin_until(struct pollfd *p)
{
	uint64_t last = now_us();

	while (!poll(p, 1, 0)) {
		uint64_t now;

		for (volatile int i = 0; i < 20000; i++)
			;
		now = now_us();
		if ((int64_t)(now - last) > vs->result)
			vs->result = (int64_t)(now - last);
		last = now;
		vs->t0_us = now;
	}
}

static void not_woken(const char *where)
{
	if (errno == EINTR)
		count_eintr(where);
	else
		complain("%s: errno %d", where, errno);
}

/* Sleeps in the way that was asked for until a command may have come. */
static void wait_command(const char *mode)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };

	if (!strcmp(mode, "read"))
		return; /* read(0) below does the sleeping */
	if (!strcmp(mode, "pause")) {
		pause();
	} else if (!strcmp(mode, "nanosleep")) {
		do {
			struct timespec ts = { .tv_nsec = 200000000 };

			if (nanosleep(&ts, NULL))
				complain("nanosleep: errno %d", errno);
		} while (!poll(&p, 1, 0));
	} else if (!strcmp(mode, "epoll")) {
		struct epoll_event ev = { .events = EPOLLIN };
		int fd = epoll_create1(EPOLL_CLOEXEC);

		if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, 0, &ev))
			die("epoll");
		while (epoll_wait(fd, &ev, 1, -1) != 1)
			not_woken("epoll_wait");
		close(fd);
	} else if (!strcmp(mode, "spin")) {
		spin_until(&p);
	} else if (poll(&p, 1, -1) != 1) {
		complain("poll: errno %d", errno);
	}
}

int main(int argc, char **argv)
{
	const char *mode = opt(argc, argv, "sleep", "poll");
	unsigned long threads = opt_num(argc, argv, "threads", 0);
	pthread_t t[VSTAT_THREADS];
	char line[64];

	vstat_open(argc, argv);
	if (threads > VSTAT_THREADS)
		die("too many threads");
	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR1, on_usr1);
	count = opt_num(argc, argv, "count", 2000000);
	every = opt_num(argc, argv, "every", 500);
	build();
	for (unsigned long i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, churn, (void *)i))
			die("pthread_create");
	threads_await(threads);
	printf("cmd=ready pid=%d rss_kib=%lu\n", getpid(), rss_kib());
	vs->ready = 1;
	do {
		wait_command(mode);
		if (!fgets(line, sizeof(line), stdin))
			break;
		line[strcspn(line, "\n")] = 0;
	} while (command(line));
	vs->stop = 1;
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	return vstat_finish();
}
