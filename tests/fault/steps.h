/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of a worker: whatever it asks of the kernel and of the allocator, through
 * the linker (--wrap), so that also what its libraries ask is counted. The fault build
 * can make the K-th step of the injector or of the reader fail, last, or be its end:
 *
 *   RECLAIM_STEPS=FILE         a file of sizeof(struct steps) bytes: what was done is written there
 *   RECLAIM_STEP=ROLE:K:KIND   injector or reader; KIND is a number, the N-th way in which that
 *                              call can really fail; or die (before it), or delay
 *   RECLAIM_STEP=ROLE:CALL@K:KIND
 *                              the K-th step of that name, whatever came between
 *   RECLAIM_STEP_HOLD=CALL     the injector's first step of that name waits until the test has done
 *                              to the target what it wants, and says so (held)
 *
 * tests/fault/steps.py reads the file. A test's memory and the worker's are one: nothing is
 * written by system calls, which the reader's filter would forbid.
 */
#ifndef TESTS_FAULT_STEPS_H
#define TESTS_FAULT_STEPS_H

#include <stdint.h>

#define STEPS_MAGIC 0x31737065747373ull
#define STEPS_MAX 262144
#define STEPS_NAME 32
#define STEPS_NAMES 64

enum steps_role {
	STEPS_INJECTOR,
	STEPS_READER,
	STEPS_ROLES,
};

struct steps {
	uint64_t magic;
	uint32_t count[STEPS_ROLES]; /* steps of each so far */
	uint32_t fired; /* the one that was to fail was reached */
	uint32_t ways; /* in which it can fail */
	int32_t error; /* what it was told: errno, 0 for a short count */
	uint32_t call; /* which call that was: one of the names */
	_Atomic uint32_t held; /* 1: it waits; 2, by the test: it may go on */
	uint32_t pad;
	uint32_t nth[STEPS_ROLES][STEPS_NAMES]; /* steps so far, of each name */
	uint8_t ways_of[STEPS_NAMES];
	char names[STEPS_NAMES][STEPS_NAME];
	uint8_t calls[STEPS_ROLES][STEPS_MAX]; /* of each step */
};

#endif
