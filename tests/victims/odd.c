/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LDLIBS: -lpthread */
/*
 * Programs that a naive injection hurts. Each prints a line again and again
 * as long as it gets on.
 *
 *	filter	a thread has a seccomp filter of its own that kills madvise()
 *	info	one thread that calls malloc_info() without a pause
 *	stw	stops its other threads by signals, also in the middle of malloc
 *	sent	has a handler for SIGTRAP and waits to be sent one; counts it
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 512

static sem_t acknowledged;
static int never[2];
static volatile sig_atomic_t handled;

static void on(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };

	sigfillset(&sa.sa_mask);
	if (sigaction(sig, &sa, NULL) < 0)
		exit(2);
}

static void tell(void)
{
	puts("on");
	fflush(stdout);
}

static void nap_ms(long ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

static void fragment(int n, size_t size)
{
	void **v = malloc((size_t)n * sizeof(*v));

	for (int i = 0; v && i < n; i++) {
		v[i] = malloc(size + (size_t)(i % 50) * 64);
		if (v[i])
			memset(v[i], 1, size);
	}
	for (int i = 0; v && i < n; i += 2)
		free(v[i]);
}

static void *filtered(void *arg)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, f };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		exit(2);
	for (;;)
		pause();
	return arg;
}

static void run_filter(void)
{
	pthread_t t;

	fragment(20000, 1000);
	if (pthread_create(&t, NULL, filtered, NULL))
		exit(2);
	for (;;) {
		nap_ms(50);
		tell();
	}
}

static void run_info(void)
{
	FILE *f = fopen("/dev/null", "we");

	fragment(20000, 1100);
	if (!f)
		exit(2);
	for (long n = 0;; n++) {
		malloc_info(0, f);
		if (n % 200 == 0)
			tell();
	}
}

static void on_resume(int sig)
{
	(void)sig;
}

static void on_suspend(int sig)
{
	sigset_t mask;

	(void)sig;
	sem_post(&acknowledged);
	sigfillset(&mask);
	sigdelset(&mask, SIGXCPU);
	sigsuspend(&mask);
}

static void *mutator(void *arg)
{
	void *v[SLOTS] = { NULL };
	unsigned int r = 1;

	for (;;) {
		unsigned int i = ((r = r * 1103515245 + 12345) >> 16) % SLOTS;

		free(v[i]);
		v[i] = malloc(2000 + ((r >> 8) & 8191));
	}
	return arg;
}

static void *idler(void *arg)
{
	char c;

	while (read(never[0], &c, 1) != 0)
		;
	return arg;
}

static void run_stw(void)
{
	pthread_t t[2];

	on(SIGPWR, on_suspend);
	on(SIGXCPU, on_resume);
	if (sem_init(&acknowledged, 0, 0) < 0 || pipe(never) < 0 || pthread_create(&t[0], NULL, mutator, NULL) ||
	    pthread_create(&t[1], NULL, idler, NULL))
		exit(2);
	for (long n = 0;; n++) {
		nap_ms(1);
		for (int i = 0; i < 2; i++)
			pthread_kill(t[i], SIGPWR);
		for (int i = 0; i < 2; i++)
			while (sem_wait(&acknowledged) < 0)
				;
		for (int i = 0; i < 2; i++)
			pthread_kill(t[i], SIGXCPU);
		if (n % 20 == 0)
			tell();
	}
}

static void on_sent(int sig)
{
	(void)sig;
	handled = handled + 1;
}

/* Answers each line with how many signals it has handled, after an allocation. */
static void run_sent(void)
{
	char line[16];

	on(SIGTRAP, on_sent);
	fragment(100000, 4000);
	tell();
	while (fgets(line, sizeof(line), stdin)) {
		void *volatile p = malloc(8000);

		free(p);
		printf("%d\n", (int)handled);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = { { "filter", run_filter }, { "info", run_info }, { "stw", run_stw }, { "sent", run_sent } };

	for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(argv[1], modes[i].name))
			modes[i].run();
	return 2;
}
