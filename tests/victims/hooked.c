/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LDLIBS: -ldl */
/*
 * Lies in wait for a trim: its own madvise() is patched, so that malloc_trim
 * runs code of its choice, under a seccomp filter that forbids it mkdir().
 * Prints "free" if mkdir() works while it is trimmed, "confined" if not.
 */
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCKS 40000

static const char *place;
static volatile sig_atomic_t called, escaped;

static int hook(void *addr, size_t len, int advice)
{
	(void)addr;
	(void)len;
	(void)advice;
	if (!called && syscall(SYS_mkdir, place, 0755) == 0)
		escaped = 1;
	called = 1;
	return 0;
}

/* mov $hook,%rax; jmp *%rax */
static int patch(void)
{
	unsigned char jump[12] = { 0x48, 0xb8, [10] = 0xff, [11] = 0xe0 };
	int (*fn)(void *, size_t, int) = hook;
	void *at = dlsym(RTLD_DEFAULT, "madvise");
	uintptr_t page = (uintptr_t)at & ~4095ul;

	memcpy(jump + 2, &fn, sizeof(fn));
	if (!at || mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
		return -1;
	memcpy(at, jump, sizeof(jump));
	return mprotect((void *)page, 8192, PROT_READ | PROT_EXEC);
}

static int confine(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, f };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

int main(int argc, char **argv)
{
	static void *block[BLOCKS];

	if (argc != 2 || patch() < 0 || confine() < 0)
		return 2;
	place = argv[1];
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc(3000);
		if (block[i])
			memset(block[i], 1, 3000);
	}
	for (int i = 0; i < BLOCKS; i++)
		if (i % 50)
			free(block[i]);
	if (syscall(SYS_mkdir, place, 0755) == 0)
		return 2; /* the filter doesn't work: nothing to test */
	puts("ready");
	fflush(stdout);
	getchar();
	puts(!called ? "not called" : escaped ? "free" : "confined");
	return 0;
}
