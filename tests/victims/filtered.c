/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program with a seccomp filter that kills it for some system calls.
 *
 * filtered --kill=NAME[,NAME...] [--timed]: sleeps in read(), or in one poll() after the other, which goes on in
 * restart_syscall() when a stop has interrupted it. 0 when nothing about it was harmed.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>

#include "victim.h"

#define NAP_MS 300

static unsigned int number_of(const char *name)
{
	static const struct {
		const char *name;
		unsigned int nr;
	} calls[] = {
		{ "brk", SYS_brk },
		{ "madvise", SYS_madvise },
		{ "ptrace", SYS_ptrace },
		{ "reboot", SYS_reboot },
		{ "restart_syscall", SYS_restart_syscall },
		{ "rt_sigreturn", SYS_rt_sigreturn },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(calls[i].name, name))
			return calls[i].nr;
	fprintf(stderr, "no such call: %s\n", name);
	exit(2);
}

static void filter_install(char *names)
{
	struct sock_filter f[32] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) };
	struct sock_fprog prog = { .len = 1, .filter = f };

	for (char *save = NULL, *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		f[prog.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number_of(name), 0, 1);
		f[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	f[prog.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		die("seccomp");
}

static void naps_until_stop(void)
{
	do {
		uint64_t t0 = now_us(), took;
		int n = poll(NULL, 0, NAP_MS);

		took = now_us() - t0;
		if (n)
			complain("poll: %d, errno %d", n, errno);
		if (took < NAP_MS * 1000)
			complain("poll: over after %llu us", (unsigned long long)took);
		vs->rounds++;
	} while (!vs->stop);
}

int main(int argc, char **argv)
{
	static struct block *keep[16];
	char names[128];

	vstat_open(argc, argv);
	bloat_make(4096, keep, 16);
	(void)snprintf(names, sizeof(names), "%s", opt(argc, argv, "kill", ""));
	filter_install(names);
	vs->ready = 1;
	if (*opt(argc, argv, "timed", ""))
		naps_until_stop();
	else
		idle_until_stop();
	bloat_check(keep, 16);
	return vstat_finish();
}
