/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is remembered of processes, and of programs of one user each, in bounded
 * space: whoever was changed least recently is forgotten, those that were never
 * acted on first, so that nobody is made to be acted on again by very many others. It comes from
 * the ledger when the daemon starts. All space is had at the begin, so that
 * nothing later can fail.
 */
#ifndef RECLAIM_CORE_MEMORY_H
#define RECLAIM_CORE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "policy/policy.h"

#define MEMORY_PROCESSES_MAX 2048
#define MEMORY_PROGRAMS_MAX 512
#define MEMORY_EXE 256

struct memory_process {
	pid_t pid;
	uint64_t start_time;
	uint64_t used;
	struct track track;
	enum reason told; /* why it is left alone, as was written down last */
};

/*
 * A program as one user runs it: what a user's processes do with their memory, perhaps on purpose, says nothing of
 * those of others. It is the real user, who has started them, whatever they have become since.
 */
struct memory_program {
	char exe[MEMORY_EXE];
	uid_t uid;
	uint64_t used;
	struct track track;
};

struct memory {
	struct memory_process *processes; /* malloc'ed */
	struct memory_program *programs; /* malloc'ed */
	size_t nprocesses, nprograms;
	uint64_t uses;
	struct memory_program unknown; /* of processes whose program isn't known: always new */
};

int memory_open(struct memory *ret) __must_check;
void memory_close(struct memory *m); /* accepts zeroed */

/* What is remembered; of those that nothing is remembered of, nothing. */
const struct memory_process *memory_find(const struct memory *m, pid_t pid, uint64_t start_time); /* NULL: nothing */
const struct track *memory_of_process(const struct memory *m, pid_t pid, uint64_t start_time);
const struct track *memory_of_program(const struct memory *m, const char *exe, uid_t uid);

/* Everything that is remembered was by so much earlier; what would be before the clock began, when it began. */
void memory_earlier(struct memory *m, uint64_t by_us);

/* To be changed: made when there is none; each valid until the next call of the same function. */
struct memory_process *memory_process(struct memory *m, pid_t pid, uint64_t start_time);
struct memory_program *memory_program(struct memory *m, const char *exe, uid_t uid);

#endif
