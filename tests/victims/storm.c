/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that is never still, or in somebody's hands: storm --how=NAME. It
 * checks itself all the time, and ends with 0 when nothing about it was harmed.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "victim.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#define SMALL_STACK 65536

static struct block *keep[16];
static char **args;
static uint64_t seed;

static void own_heap(void)
{
	struct block *b[64];

	for (unsigned int i = 0; i < 64; i++) {
		b[i] = malloc(512 + i * 64);
		if (!b[i])
			die("malloc");
		block_fill(b[i], 512 + i * 64, i + 1);
	}
	for (unsigned int i = 0; i < 64; i++) {
		if (block_bad(b[i]))
			complain("block %u damaged", i);
		free(b[i]);
	}
	vs->rounds++;
}

static pthread_t thread(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, SMALL_STACK);
	while (pthread_create(&t, &attr, fn, arg))
		usleep(1000);
	pthread_attr_destroy(&attr);
	return t;
}

static void *short_life(void *arg)
{
	(void)arg;
	own_heap();
	return NULL;
}

static void how_threads(void)
{
	vs->ready = 1;
	while (!vs->stop) {
		pthread_t t[8];

		for (unsigned int i = 0; i < 8; i++)
			t[i] = thread(short_life, NULL);
		for (unsigned int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
		usleep(2000);
	}
}

static void *long_life(void *arg)
{
	struct self self;

	(void)arg;
	self_save(&self);
	while (!vs->stop) {
		usleep(200000);
		errno = ERRNO_CANARY;
		self_check(&self, "one of many");
	}
	return NULL;
}

static void how_many(void)
{
	static pthread_t t[5000];

	for (unsigned int i = 0; i < 5000; i++)
		t[i] = thread(long_life, NULL);
	vs->ready = 1;
	for (unsigned int i = 0; i < 5000; i++)
		pthread_join(t[i], NULL);
}

static void how_idle(void)
{
	/* A stop of the whole job by the terminal's key is the same stop. */
	vs->ready = 1;
	idle_until_stop();
}

static void again(void)
{
	vs->rounds++;
	if (!vs->stop)
		execv("/proc/self/exe", args);
}

static void on_queued(int sig)
{
	(void)sig;
	vs->handler_runs++;
}

/* Somebody outside sends real-time signals by the hundred, each of which is queued, and has to be handled. */
static void how_queued(void)
{
	struct sigaction sa = { .sa_handler = on_queued, .sa_flags = SA_RESTART };

	if (sigaction(SIGRTMIN, &sa, NULL))
		die("sigaction");
	vs->ready = 1;
	idle_until_stop();
}

static void how_execs(void)
{
	vs->ready = 1;
	usleep(2000 + (useconds_t)(now_us() % 20000));
	again();
}

static void *exec_thread(void *arg)
{
	(void)arg;
	usleep(2000 + (useconds_t)(now_us() % 20000));
	again();
	exit(vstat_finish());
	return NULL;
}

static void how_exec_thread(void)
{
	vs->ready = 1;
	thread(exec_thread, NULL);
	for (;;)
		pause();
}

static void how_forks(void)
{
	vs->ready = 1;
	while (!vs->stop) {
		pid_t pid = fork();

		if (!pid) {
			own_heap();
			_exit(0);
		}
		own_heap();
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
}

/* @pid is stopped and let go, again and again; whoever else has it at the moment comes first. */
static void trace_on_and_off(pid_t pid)
{
	while (!vs->stop) {
		int st;

		if (!ptrace(PTRACE_SEIZE, pid, NULL, NULL)) {
			if (!ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
				waitpid(pid, &st, __WALL);
			ptrace(PTRACE_DETACH, pid, NULL, NULL);
			vs->rounds++;
		}
		/* Others have their chance too. */
		usleep(1000 + (useconds_t)(now_us() % 30000));
	}
}

static void how_traced(void)
{
	pid_t pid;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		trace_on_and_off(getppid());
		_exit(0);
	}
	vs->ready = 1;
	while (!vs->stop)
		own_heap();
	waitpid(pid, NULL, 0);
}

static void how_tracer(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	vs->ready = 1;
	trace_on_and_off(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A thread of its own that attaches to its tracer, if the kernel lets it: whom it may, it stops and holds for good. */
static void *strike(void *arg)
{
	const bool may = geteuid() == 0;

	(void)arg;
	while (!vs->stop) {
		char text[4096], *at;
		int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC), pid = 0;
		ssize_t n = read(fd, text, sizeof(text) - 1);

		close(fd);
		text[n > 0 ? n : 0] = 0;
		at = strstr(text, "TracerPid:");
		if (at)
			pid = atoi(at + 10);
		/* For a moment the parent passes for the tracer (__ptrace_unlink(), ptrace not 0 yet). */
		if (pid == getppid())
			continue;
		if (pid > 0 && !ptrace(PTRACE_SEIZE, pid, NULL, NULL)) {
			ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
			vs->result++;
			if (!may)
				complain("it could attach to %d", pid);
		}
		if (pid > 0)
			vs->handler_runs++;
		vs->rounds++;
	}
	return NULL;
}

static void how_strike_back(void)
{
	thread(strike, NULL);
	how_idle();
}

static void *change(void *arg)
{
	uint64_t s = seed;

	(void)arg;
	while (!vs->stop) {
		char name[16] = "\x1b[2J\n\"\\\xff";

		name[rnd(&s) % 12] = (char)rnd(&s);
		prctl(PR_SET_NAME, name);
		prctl(PR_SET_DUMPABLE, (unsigned long)(rnd(&s) % 2));
		prctl(PR_SET_KEEPCAPS, (unsigned long)(rnd(&s) % 2));
		prctl(PR_SET_TIMERSLACK, (unsigned long)(rnd(&s) % 100000 + 1));
		prctl(PR_SET_PTRACER, (unsigned long)(rnd(&s) % 2 ? PR_SET_PTRACER_ANY : 0));
		own_heap();
	}
	return NULL;
}

static void how_prctl(void)
{
	thread(change, NULL);
	how_idle();
}

static void how_mdwe(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	/* Before 6.3 the kernel knows nothing of it. */
	if (!prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0L, 0L, 0L)) {
		if (!mprotect(p, 4096, PROT_READ | PROT_EXEC))
			die("memory became executable");
	} else if (errno != EINVAL) {
		die("PR_SET_MDWE");
	} else {
		vs->err = EINVAL;
	}
	how_idle();
}

static void *change_user(void *arg)
{
	(void)arg;
	while (!vs->stop) {
		/* glibc signals each thread, and waits for all of them. */
		if (seteuid(65534) || seteuid(0))
			complain("seteuid: errno %d", errno);
		vs->rounds++;
		usleep(500);
	}
	return NULL;
}

static void how_setuid(void)
{
	thread(change_user, NULL);
	thread(long_life, NULL);
	how_idle();
}

static void how_names(void)
{
	static const char evil[] = "\x1b]0;evil\x07\n\"}],[{\xff";
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create(evil, MFD_CLOEXEC);

	if (p == MAP_FAILED || fd < 0 || ftruncate(fd, 4096) ||
	    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		die("mmap");
	memset(p, 1, 1 << 20);
	(void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, 1 << 20, "evil \"}],");
	prctl(PR_SET_NAME, evil);
	how_idle();
}

static void how_seccomp(void)
{
	static const struct {
		const char *name;
		uint32_t answer;
	} answers[] = {
		{ "allow", SECCOMP_RET_ALLOW },	      { "errno", SECCOMP_RET_ERRNO | EPERM },
		{ "kill", SECCOMP_RET_KILL_PROCESS }, { "trap", SECCOMP_RET_TRAP },
		{ "notify", SECCOMP_RET_USER_NOTIF }, { "trace", SECCOMP_RET_TRACE },
		{ "log", SECCOMP_RET_LOG },
	};
	const char *name = args[0];
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_brk, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(f) / sizeof(f[0]), .filter = f };

	for (unsigned int i = 0; args[i]; i++)
		if (!strncmp(args[i], "--answer=", 9))
			name = args[i] + 9;
	for (unsigned int i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (!strcmp(answers[i].name, name))
			f[3].k = answers[i].answer;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, f[3].k == SECCOMP_RET_USER_NOTIF ? 8 : 0, &prog) < 0)
		die("seccomp");
	how_idle();
}

/* Pid 1 of a namespace: one process after another with the same number, half of them programs of another kind. */
static void reuse_child(unsigned int i)
{
	struct epoll_event ev;
	int ep = epoll_create1(0);
	const uint64_t end = now_us() + 1000 + rnd(&seed) % 15000;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, i % 2 ? "odd" : "even");
	while (now_us() < end) {
		int n = epoll_wait(ep, &ev, 1, 2);

		if (n < 0 && errno == EINTR)
			complain("EINTR");
		own_heap();
	}
	bloat_check(keep, 16);
	_exit(0);
}

static void how_reuse(void)
{
	const pid_t number = 300;
	unsigned int i = 0;

	vs->result = number;
	vs->ready = 1;
	while (!vs->stop) {
		int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
		pid_t pid;
		int st;

		if (fd < 0 || write(fd, "299", 3) != 3)
			die("ns_last_pid");
		close(fd);
		pid = fork();
		seed += 0x9e3779b97f4a7c15ull;
		if (!pid)
			reuse_child(i);
		if (waitpid(pid, &st, 0) != pid || st)
			complain("child %u ended with %x", i, (unsigned int)st);
		i++;
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} hows[] = {
		{ "threads", how_threads },
		{ "many", how_many },
		{ "idle", how_idle },
		{ "queued", how_queued },
		{ "execs", how_execs },
		{ "exec-thread", how_exec_thread },
		{ "forks", how_forks },
		{ "traced", how_traced },
		{ "tracer", how_tracer },
		{ "strike-back", how_strike_back },
		{ "prctl", how_prctl },
		{ "mdwe", how_mdwe },
		{ "setuid", how_setuid },
		{ "names", how_names },
		{ "seccomp", how_seccomp },
		{ "reuse", how_reuse },
	};
	const char *how = opt(argc, argv, "how", "idle");

	args = argv;
	seed = opt_num(argc, argv, "seed", 1) * 0x9e3779b97f4a7c15ull + 1;
	vstat_open(argc, argv);
	bloat_make(4096, keep, 16);
	for (unsigned int i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		if (strcmp(hows[i].name, how))
			continue;
		hows[i].fn();
		bloat_check(keep, 16);
		return vstat_finish();
	}
	fprintf(stderr, "no such storm: %s\n", how);
	return 2;
}
