/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One process among many: it holds some heap and some mappings, and sleeps
 * until its standard input is closed.
 *
 *	sleeper [heap=KIB] [maps=N] [fork=N]
 *
 * What is held before a fork is shared by all, and counts as each one's own.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK 1024

/* Blocks that nobody can reach any more would be optimised away, malloc() and all. */
static void *volatile held;

static int hold_heap(unsigned long kib)
{
	for (unsigned long i = 0; i < kib; i++) {
		void **p = malloc(BLOCK);

		if (!p)
			return -ENOMEM;
		memset(p, 0xa5, BLOCK);
		*p = held;
		held = p;
	}

	return 0;
}

/* Neighbours differ in their protection, or the kernel would merge them. */
static int hold_maps(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		int prot = i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
		char *p = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return -errno;
		if (prot & PROT_WRITE)
			*p = 1;
	}

	return 0;
}

static bool is_child;

/* N of us in all. */
static int fork_to(unsigned long n)
{
	while (n-- > 1 && !is_child) {
		const pid_t pid = fork();

		if (pid < 0)
			return -errno;
		is_child = !pid;
	}
	return 0;
}

static int option_run(const char *arg)
{
	static const struct {
		const char *name;
		int (*run)(unsigned long n);
	} options[] = {
		{ "heap=", hold_heap },
		{ "maps=", hold_maps },
		{ "fork=", fork_to },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		size_t n = strlen(options[i].name);

		if (!strncmp(arg, options[i].name, n))
			return options[i].run(strtoul(arg + n, NULL, 10));
	}

	return -EINVAL;
}

int main(int argc, char *argv[])
{
	char byte;

	for (int i = 1; i < argc; i++) {
		int r = option_run(argv[i]);

		if (r < 0) {
			fprintf(stderr, "sleeper: %s: %s\n", argv[i], strerror(-r));
			return 1;
		}
	}

	if (!is_child && write(STDOUT_FILENO, "r", 1) != 1)
		return 1;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	while (wait(NULL) > 0)
		;
	return 0;
}
