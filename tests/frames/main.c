// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Our unwinder for a debugger that has the process stopped. Obeys lines:
 *
 *	frames FSBASE REGISTER...   17 registers in DWARF order, hexadecimal
 *	    answers "ERROR FRAMES PC:SP:SIGNAL:ROOT ...": 0 or -errno, how many, each of them
 *	kick TID MICROSECONDS       after that time it sends SIGURG to the thread, no answer
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/procfs.h"
#include "inspect/target.h"
#include "inspect/unwind.h"

struct stack {
	struct unwind_frame v[UNWIND_FRAMES_MAX];
	size_t n;
};

static int stack_add(void *ctx, const struct unwind_frame *f)
{
	struct stack *s = ctx;

	s->v[s->n++] = *f;
	return 0;
}

static bool regs_parse(char *text, struct cpu_regs *ret)
{
	*ret = (struct cpu_regs){ .valid = CPU_REGS_ALL };
	errno = 0;
	ret->tp = strtoull(text, &text, 16);
	for (size_t i = 0; i < CPU_NREGS; i++) {
		const char *start = text;

		ret->r[i] = strtoull(text, &text, 16);
		if (text == start)
			return false;
	}
	return !errno;
}

/* As the proof of a safe point does it (inspect/safepoint.c): nothing is remembered from the last time. */
static bool answer_frames(struct target *t, char *text)
{
	static struct stack stack;
	struct cpu_regs regs;
	int r;

	if (!regs_parse(text, &regs))
		return false;
	stack.n = 0;
	remote_forget(&t->mem);
	for (size_t i = 0; i < t->mods.n; i++)
		t->mods.v[i].verified = false;
	r = unwind(&t->mods, &t->mem, &regs, stack_add, &stack);
	(void)printf("%d %zu", r, stack.n);
	for (size_t i = 0; i < stack.n; i++)
		(void)printf(" %" PRIx64 ":%" PRIx64 ":%d:%d", stack.v[i].pc, stack.v[i].sp, stack.v[i].signal,
			     stack.v[i].root);
	return putchar('\n') != EOF && fflush(stdout) == 0;
}

static bool kick(pid_t pid, const char *text)
{
	struct timespec ts = { .tv_sec = 0 };
	long us;
	int tid;

	if (sscanf(text, "%d %ld", &tid, &us) != 2)
		return false;
	ts.tv_sec = us / 1000000;
	ts.tv_nsec = us % 1000000 * 1000;
	(void)nanosleep(&ts, NULL);
	/* It may have ended: then its whole process is kicked instead. */
	if (syscall(SYS_tgkill, pid, tid, SIGURG) < 0)
		return kill(pid, SIGURG) == 0;
	return true;
}

static bool obey(struct target *t, pid_t pid, char *line)
{
	if (!strncmp(line, "frames ", 7))
		return answer_frames(t, line + 7);
	if (!strncmp(line, "kick ", 5))
		return kick(pid, line + 5);
	return false;
}

int main(int argc, char **argv)
{
	const pid_t pid = argc == 2 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
	_cleanup_close_ int root = procfs_open_root("/proc"), piddir = root < 0 ? root : procfs_open_pid(root, pid);
	struct target target = TARGET_CLOSED;
	char line[1024];
	int r = piddir < 0 ? piddir : target_open(piddir, &target);

	if (r < 0) {
		(void)fprintf(stderr, "frames: %d: %s\n", pid, strerror(-r));
		return 2;
	}
	while (fgets(line, sizeof(line), stdin)) {
		if (!obey(&target, pid, line)) {
			(void)fprintf(stderr, "frames: can't do: %s", line);
			return 2;
		}
	}
	target_close(&target);
	return 0;
}
