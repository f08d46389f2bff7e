/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's manager over made-up processes (proc-tree.h) and a worker that says what the test wants to hear. */
#ifndef TESTS_UNIT_MANAGER_WORLD_H
#define TESTS_UNIT_MANAGER_WORLD_H

#include "core/manager-private.h"
#include "proc-tree.h"

#define MIB (1ull << 20)
#define SECOND 1000000ull
#define MANAGER_WORLD_BOOT "01234567-89ab-cdef-0123-456789abcdef"
#define MANAGER_WORLD_BOOT_ID "0123456789abcdef0123456789abcdef"

struct manager_world {
	struct conf_tree tree;
	sd_event *event;
	struct manager *m;
	char state[80];
	struct ledger_record seen[64]; /* all that was written to the ledger */
	size_t n;
};

/* @more: configuration, behind what makes everything that is large a candidate at once. */
void manager_world_init(struct manager_world *w, const char *more);
void manager_world_configure(struct manager_world *w, const char *more);
void manager_world_open(struct manager_world *w);
void manager_world_close(struct manager_world *w);
void manager_world_done(struct manager_world *w); /* fails the test when a file or a worker is left */

/* A large, idle process with that number behind PROC_TREE_PID. */
struct proc_tree_process manager_world_process(int number, uid_t uid);

/* Runs the loop until there are @n records of that kind, or fails the test; the last of them. */
const struct ledger_record *manager_world_wait(struct manager_world *w, enum ledger_kind kind, size_t n);
size_t manager_world_count(const struct manager_world *w, enum ledger_kind kind);
/* Runs it until nothing happens any more. */
void manager_world_rest(struct manager_world *w);

/* Being the worker: main() does when FAKE_MANAGER_WORKER is in the environment; FAKE_MANAGER_OUTCOME: a number. */
int manager_world_worker(void);

#endif
