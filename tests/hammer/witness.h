/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a target looks like from outside, and what it says of itself (tests/victims/victim.h). */
#ifndef TESTS_HAMMER_WITNESS_H
#define TESTS_HAMMER_WITNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define WITNESS_THREADS_MAX 64
#define WITNESS_PROGRESS 16

struct witness_thread {
	pid_t tid;
	uint64_t mask;
};

struct witness {
	pid_t pid;
	int piddir;
	const _Atomic uint64_t *page; /* its status page, or NULL */
	struct witness_thread threads[WITNESS_THREADS_MAX];
	size_t n;
	char why[256]; /* what is wrong with it */
};

/* As it is now, before anything is done to it. @page: path of its status page, or NULL. 0 or -errno. */
int witness_open(pid_t pid, const char *page, struct witness *ret) __must_check;
void witness_close(struct witness *w);

/* At once: alive, not traced, not stopped, nothing found wrong by itself. false: see why. */
bool witness_glance(struct witness *w);

/* All threads, and soon their signal masks are as they were: a call that was abandoned has to end first. */
bool witness_look(struct witness *w);

/* Every thread of it that counts goes on counting. */
bool witness_moves(struct witness *w);

/* How often a call of it has returned EINTR. */
uint64_t witness_eintr(const struct witness *w);

/* Has it been told to end, or ended its work? */
bool witness_is_over(const struct witness *w);

#endif
