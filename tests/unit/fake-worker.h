/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A test program that is its own worker: started by the client, it does what one row of the table says. */
#ifndef RECLAIM_TESTS_FAKE_WORKER_H
#define RECLAIM_TESTS_FAKE_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define HELD_BACK_S 60 /* longer than any test waits */

struct fake {
	const char *name;
	void (*run)(void);
	uint32_t outcome; /* that the client must report; 0: has a test of its own */
	const char *reason; /* part of the reason, NULL: none */
};

extern const struct fake fakes[];
extern const size_t nfakes;

/* Being the worker @name; returns an exit status. */
int fake_worker(const char *name);

#endif
