/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes in a state in which a tool should refuse, or must be careful.
 * targets --mode=NAME; all end with 0 when nothing about them was harmed.
 */
#include <limits.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "victim.h"

static struct block *keep[16];
static char **args;

static void ready(void)
{
	vs->ready = 1;
}

static void simple(void)
{
	ready();
	idle_until_stop();
}

/* --- who shares our memory -------------------------------------------------------------------- */

static void sleep_child(void)
{
	char c;

	/* the parent's memory is ours too: nothing but system calls here */
	while (syscall(SYS_read, 0, &c, 1) < 0)
		;
	syscall(SYS_exit_group, 0);
}

static void mode_vfork(void)
{
	pid_t pid;

	ready();
	/* The point is a parent that waits for a child which uses its memory. */
	pid = (pid_t)syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0)
		die("vfork");
	if (!pid)
		sleep_child();
	waitpid(pid, NULL, 0);
}

/* --- seccomp and friends ---------------------------------------------------------------------- */

static void mode_strict(void)
{
	char c;
	long n;

	ready();
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		die("seccomp");
	n = syscall(SYS_read, 0, &c, 1);
	bloat_check(keep, 16);
	vs->done = 1;
	syscall(SYS_exit, n == 1 && !vs->errors ? 0 : 1);
}

static void mode_sud(void)
{
	static char selector; /* 0: allow */

	if (prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, 0, 0, &selector))
		die("PR_SET_SYSCALL_USER_DISPATCH");
	simple();
}

/* --- signals ---------------------------------------------------------------------------------- */

static void count_handler(int sig)
{
	(void)sig;
	vs->handler_runs++;
}

static void mode_all_caught(void)
{
	struct sigaction sa = { .sa_handler = count_handler };

	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP && s != 32 && s != 33 && sigaction(s, &sa, NULL))
			die("sigaction");
	simple();
	if (vs->handler_runs)
		complain("%llu signals arrived", (unsigned long long)vs->handler_runs);
}

static void mode_all_blocked(void)
{
	sigset_t s, pending;

	sigfillset(&s);
	if (sigprocmask(SIG_SETMASK, &s, NULL))
		die("sigprocmask");
	simple();
	if (sigpending(&pending))
		die("sigpending");
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&pending, i) == 1)
			complain("signal %d is pending", i);
}

/* What the kernel forces upon somebody who ignores or blocks it makes that the default, and unblocked. */
static void mode_trap_ignored(void)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	if (sigaction(SIGTRAP, &sa, NULL))
		die("sigaction");
	simple();
	if (sigaction(SIGTRAP, NULL, &sa) || sa.sa_handler != SIG_IGN)
		complain("SIGTRAP is no longer ignored");
}

static void mode_trap_blocked(void)
{
	sigset_t s, pending;

	if (sigemptyset(&s) || sigaddset(&s, SIGTRAP) || sigprocmask(SIG_BLOCK, &s, NULL))
		die("sigprocmask");
	simple();
	if (sigprocmask(SIG_BLOCK, NULL, &s) || !sigismember(&s, SIGTRAP))
		complain("SIGTRAP is no longer blocked");
	if (sigpending(&pending) || !sigisemptyset(&pending))
		complain("a signal is pending");
}

/* Which of its user ids changes is for whoever signals to say; it sleeps on where it slept. */
static void change_user(int sig)
{
	if (setresuid(sig == SIGUSR1 ? 1 : -1, sig == SIGUSR2 ? 1 : -1, sig == SIGALRM ? 1 : -1))
		complain("setresuid: errno %d", errno);
}

static void mode_newuser(void)
{
	struct sigaction sa = { .sa_handler = change_user, .sa_flags = SA_RESTART };

	if (sigaction(SIGUSR1, &sa, NULL) || sigaction(SIGUSR2, &sa, NULL) || sigaction(SIGALRM, &sa, NULL))
		die("sigaction");
	simple();
}

static void sleep_in_handler(int sig)
{
	(void)sig;
	simple();
}

static void mode_altstack(void)
{
	struct sigaction sa = { .sa_handler = sleep_in_handler, .sa_flags = SA_ONSTACK };
	stack_t ss = { .ss_size = 256 << 10 };

	ss.ss_sp = mmap(NULL, ss.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ss.ss_sp == MAP_FAILED || sigaltstack(&ss, NULL) || sigaction(SIGUSR1, &sa, NULL))
		die("sigaltstack");
	raise(SIGUSR1);
}

/* --- stacks ----------------------------------------------------------------------------------- */

static ucontext_t back, there;

static void coroutine(void)
{
	simple();
	swapcontext(&there, &back);
}

static void mode_coroutine(void)
{
	size_t size = 128 << 10;

	if (getcontext(&there))
		die("getcontext");
	there.uc_stack.ss_sp = malloc(size);
	there.uc_stack.ss_size = size;
	there.uc_link = &back;
	makecontext(&there, coroutine, 0);
	if (swapcontext(&back, &there))
		die("swapcontext");
}

static void *lonely(void *arg)
{
	(void)arg;
	/* the leader must be a zombie before anybody looks */
	for (;;) {
		char buf[256] = "";
		int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, buf, sizeof(buf) - 1);

		close(fd);
		if (n > 0 && strstr(buf, ") Z "))
			break;
		usleep(1000);
	}
	simple();
	bloat_check(keep, 16);
	exit(vstat_finish());
}

static void mode_zombieleader(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, lonely, NULL))
		die("pthread_create");
	pthread_exit(NULL);
}

/* --- no safe point: a handler that interrupted malloc sleeps ---------------------------------- */

static volatile sig_atomic_t in_malloc, caught;
static uintptr_t libc_start, libc_end;

static void libc_text(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long a, b;
		char perm[8];

		if (strstr(line, "libc.so") && sscanf(line, "%lx-%lx %7s", &a, &b, perm) == 3 && perm[2] == 'x') {
			libc_start = a;
			libc_end = b;
		}
	}
	if (f)
		fclose(f);
	if (!libc_start)
		die("no libc");
}

static void on_alarm(int sig, siginfo_t *si, void *uc)
{
	uintptr_t rip = (uintptr_t)((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];
	char c;

	(void)sig;
	(void)si;
	if (!in_malloc || caught || rip < libc_start || rip >= libc_end)
		return;
	caught = 1;
	ready();
	while (!vs->stop) {
		ssize_t n = read(0, &c, 1);

		if (n < 0)
			complain("read in handler: errno %d", errno);
		if (!n)
			vs->stop = 1;
	}
}

static void mode_inmalloc(void)
{
	struct sigaction sa = { .sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval it = { { 0, 1013 }, { 0, 1013 } };
	struct block *slot[256] = { NULL };
	uint64_t s = 5;

	libc_text();
	if (sigaction(SIGALRM, &sa, NULL) || setitimer(ITIMER_REAL, &it, NULL))
		die("setitimer");
	while (!vs->stop) {
		unsigned int i = rnd(&s) % 256;
		size_t size = BLOCK_MIN + rnd(&s) % 3000;

		if (slot[i] && block_bad(slot[i]))
			complain("block damaged");
		in_malloc = 1;
		free(slot[i]);
		slot[i] = malloc(size);
		in_malloc = 0;
		block_fill(slot[i], size, rnd(&s));
	}
	bloat_check(slot, 256);
}

/* --- exec while somebody works on us ---------------------------------------------------------- */

static void mode_execloop(void)
{
	struct timespec ts = { .tv_nsec = 3000000 };

	ready();
	vs->rounds++;
	if (nanosleep(&ts, NULL))
		complain("nanosleep: errno %d", errno);
	if (vs->stop)
		return;
	execv("/proc/self/exe", args);
	die("execv");
}

/* --- threads and children that come and go all the time --------------------------------------- */

static void *short_life(void *arg)
{
	uint64_t s = (uintptr_t)arg * 31 + 7;
	struct block *b[20];

	for (int i = 0; i < 20; i++) {
		size_t size = BLOCK_MIN + rnd(&s) % 5000;

		b[i] = malloc(size);
		block_fill(b[i], size, rnd(&s));
	}
	for (int i = 0; i < 20; i++) {
		if (block_bad(b[i]))
			complain("block damaged");
		free(b[i]);
	}
	return NULL;
}

static void mode_threads(void)
{
	ready();
	while (!vs->stop) {
		pthread_t t[4];

		for (uintptr_t i = 0; i < 4; i++)
			if (pthread_create(&t[i], NULL, short_life, (void *)(i + vs->rounds)))
				die("pthread_create");
		for (int i = 0; i < 4; i++)
			if (pthread_join(t[i], NULL))
				complain("pthread_join");
		vs->rounds++;
	}
}

static void *idle_thread(void *arg)
{
	vs->progress[0]++;
	for (;;)
		pause();
	return arg;
}

static void mode_many(void)
{
	pthread_attr_t a;
	pthread_t t;

	if (pthread_attr_init(&a) || pthread_attr_setstacksize(&a, 64 << 10))
		die("pthread_attr");
	for (int i = 0; i < 1000; i++)
		if (pthread_create(&t, &a, idle_thread, NULL))
			die("pthread_create");
	while (vs->progress[0] < 1000)
		usleep(1000);
	simple();
}

static void mode_forks(void)
{
	ready();
	while (!vs->stop) {
		pid_t pid = fork();
		int st;

		if (pid < 0)
			die("fork");
		if (!pid) {
			short_life(NULL);
			bloat_check(keep, 16);
			_exit(42);
		}
		if (waitpid(pid, &st, 0) != pid || !WIFEXITED(st) || WEXITSTATUS(st) != 42)
			complain("child: status %x, errno %d", st, errno);
		vs->rounds++;
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
	{ "threads", mode_threads },
	{ "forks", mode_forks },
	{ "many", mode_many },
	{ "vfork", mode_vfork },
	{ "strict", mode_strict },
	{ "sud", mode_sud },
	{ "all-caught", mode_all_caught },
	{ "all-blocked", mode_all_blocked },
	{ "trap-ignored", mode_trap_ignored },
	{ "trap-blocked", mode_trap_blocked },
	{ "newuser", mode_newuser },
	{ "altstack", mode_altstack },
	{ "coroutine", mode_coroutine },
	{ "zombieleader", mode_zombieleader },
	{ "inmalloc", mode_inmalloc },
	{ "execloop", mode_execloop },
};

int main(int argc, char **argv)
{
	const char *mode = opt(argc, argv, "mode", "");

	vstat_open(argc, argv);
	args = argv;
	bloat_make(4096, keep, 16);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(modes[i].name, mode)) {
			modes[i].run();
			bloat_check(keep, 16);
			return vstat_finish();
		}
	fprintf(stderr, "no such mode: %s\n", mode);
	return 2;
}
