/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A manager that does nothing but answer: core/manager.h for tests of the bus. */
#ifndef RECLAIM_TESTS_FAKE_MANAGER_H
#define RECLAIM_TESTS_FAKE_MANAGER_H

#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "core/ledger.h"
#include "core/manager.h"
#include "core/worker-client.h"

/* Users that every system has (daemon and bin): dbus-daemon lets in whom it knows. */
#define FAKE_ALICE 1u
#define FAKE_BOB 2u

/* Processes by pid; what happens to who asks about them. */
enum fake_pid {
	FAKE_ROOTS = 100,
	FAKE_ALICES = 1001, /* answered at once */
	FAKE_SLOW, /* of Alice too: answered after FAKE_SLOW_US */
	FAKE_NEVER, /* of Alice too */
	FAKE_BUSY, /* of Alice too: -EBUSY, with words */
	FAKE_CHANGED, /* of Alice when it is asked about, Bob's by the time of the answer */
	FAKE_BOBS = 2001,
	FAKE_GONE = 4000, /* no such process */
};

#define FAKE_SLOW_US 50000ull
#define FAKE_START 4711ull

/* What the fake has seen; in memory that a test shares with it. */
struct fake_seen {
	uint32_t trims, explains, forgotten, reloads, pending;
	struct manager_request last;
	uint32_t reload_fails; /* set by the test */
	uint32_t announce; /* set by the test: announces a process and a record of this pid soon */
};

int fake_manager_new(sd_event *event, const char *state_dir, struct fake_seen *seen, struct manager **ret);
void fake_manager_free(struct manager *m);
uint32_t fake_manager_pending(const struct manager *m); /* requests that have had no answer */

/* What it answers to a trim and to an explain. */
void fake_result(pid_t pid, struct worker_result *ret);
void fake_answer(pid_t pid, struct explain_answer *ret);

#endif
