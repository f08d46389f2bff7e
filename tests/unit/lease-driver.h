/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases on tests/victims/lease.c, by a process of their own that may be killed or paused at any time. */
#ifndef TESTS_LEASE_DRIVER_H
#define TESTS_LEASE_DRIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "inject/lease.h"

#define DRIVER_SAMPLES 65536

/* The status page of tests/victims/victim.h. */
#define VSTAT_THREADS 16
#define VSTAT_SIZE 4096
struct vstat {
	_Atomic uint64_t magic, pid, ready, stop;
	_Atomic uint64_t errors, rounds;
	_Atomic int64_t result, err;
	_Atomic uint64_t elapsed_us, t0_us, eintr, handler_runs;
	_Atomic uint64_t progress[VSTAT_THREADS];
	_Atomic uint64_t done, helper_ready, sleeper_tid, futex;
	char note[256];
};

/* The page of tests/victims/lease.c. */
#define LEASE_ARENAS 8
#define LEASE_WORDS 64
#define LEASE_PAGES 64 /* filled with 0xa5 */
#define LEASE_SLEEPERS 3 /* the first is the main thread, in epoll_wait; the others are in read */

struct lease_info {
	uint64_t restorer, syscall_insn, lock_fn, main_arena;
	_Atomic uint64_t arena[LEASE_ARENAS];
	_Atomic uint32_t narenas;
	_Atomic int32_t sleeper[LEASE_SLEEPERS];
	_Atomic uint64_t wakes[LEASE_SLEEPERS];
	_Atomic uint64_t max_gap_us[16];
	/* Its own addresses of things for leases to write to and to drop. */
	uint64_t words_at, pages_at, wait_fn;
	_Atomic uint64_t words[LEASE_WORDS];
};

/* Shared with the processes that do the rounds. */
struct driver_stats {
	_Atomic uint32_t rounds, applied, empty, late, busy, refused, failed, unfinished;
	_Atomic uint64_t ranges, chunks, bytes, inconsistent;
	_Atomic uint32_t samples;
	uint32_t hold_us[DRIVER_SAMPLES], stop_us[DRIVER_SAMPLES], commit_us[DRIVER_SAMPLES], wait_us[DRIVER_SAMPLES];
	int last_error;
	char last_why[128];
};

struct driver {
	pid_t pid;
	struct vstat *vs;
	struct lease_info *info;
	struct driver_stats *stats;
	struct inject_target target;
	struct lease_code code;
	struct inject_stack stack[LEASE_SLEEPERS];
	uint64_t mask[LEASE_SLEEPERS]; /* of blocked signals */
	char shm[64], info_path[64];
};

struct driver_round {
	struct lease_request req;
	int sleeper; /* -1: any */
	uint64_t seed;
	uint64_t dawdle_ns; /* while it holds the lock */
	uint64_t budget_ns; /* for the walk */
	bool die; /* once it holds the lock */
};

/* Starts it with NULL-terminated @args and waits until it is ready. Fails the test otherwise. */
void driver_start(struct driver *d, const char *const *args);
/* Ends it regularly; fails the test when it found anything wrong. */
void driver_finish(struct driver *d);

/* In a process that has called trace_init(). 0, or the engine's error. */
int driver_round(struct driver *d, const struct driver_round *round);

/* Opens sleeper @i where it can be borrowed; -EBUSY when it is awake just now. */
int driver_open(struct driver *d, int i, struct inject **ret);

/* A request for 20 ranges and 4 writes under the main arena's lock; a lease like that on sleeper 1, held, or NULL. */
struct lease_request driver_request(const struct driver *d, enum lease_drop drop);
struct lease *driver_held(struct driver *d, const struct lease_request *req);

#define MUST(cond)                                                                                                   \
	do {                                                                                                         \
		if (!(cond)) {                                                                                       \
			(void)snprintf(d->stats->last_why, sizeof(d->stats->last_why), "line %d: " #cond, __LINE__); \
			return -EPROTO;                                                                              \
		}                                                                                                    \
	} while (0)

/* Runs @fn in a process of its own that may trace; fails the test unless it returns 0. */
void driver_apart(struct driver *d, int (*fn)(struct driver *d));

/* A process that does @n rounds (with changing seeds) and exits. @go >= 0: when a byte can be read there. */
pid_t driver_fork(struct driver *d, const struct driver_round *round, unsigned int n, int go);

/* Alive, nothing damaged, every thread goes on, sleepers as before. Fails the test with @what otherwise. */
void driver_judge(struct driver *d, const char *what);

/* p-th percentile (0..100) of @n samples; sorts them. */
uint32_t driver_percentile(uint32_t *v, size_t n, unsigned int p);
void driver_report(struct driver *d, const char *what);

/* Droppable ranges of the arena at @arena, whose lock the target holds for us: 1 when inconsistent. */
struct driver_walk {
	struct lease_range *ranges;
	size_t max, n, chunks;
	uint64_t deadline_ns, seed;
};
int driver_walk_arena(int mem_fd, uint64_t arena, struct driver_walk *w);

#endif
