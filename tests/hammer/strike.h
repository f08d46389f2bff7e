/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Acts on one target again and again as the worker does once: the same
 * sandboxed reader plans and proves, the same remedies run. Only what the
 * worker pays for its start is saved: the process, and a reader that has
 * parsed the files already.
 */
#ifndef TESTS_HAMMER_STRIKE_H
#define TESTS_HAMMER_STRIKE_H

#include "remedy/remedy.h"
#include "worker/precheck.h"
#include "worker/reader.h"

enum strike_kind {
	STRIKE_TRIM,
	STRIKE_PURGE,
	STRIKE_COLLECT,
	STRIKE_NKINDS,
};

extern const char *const strike_names[STRIKE_NKINDS];

struct strike {
	pid_t pid;
	uint64_t timeout_ns;
	struct worker_request req;
	struct subject subject;
	struct idle idle;
	struct reader reader;
	struct inject_target target;
	struct remedy_plan plan;
	enum strike_kind kind; /* that the plan is for */
	unsigned int used; /* calls by this reader */
	uint64_t readers; /* how many there have been */
};

#define STRIKE_NONE                                                                                         \
	{                                                                                                   \
		.subject = { .root = -1, .piddir = -1 }, .reader = READER_NONE, .target = { .mem_fd = -1 }, \
	}

struct strike_result {
	enum remedy_outcome outcome;
	uint64_t calls; /* chains of signal frames that the target has entered and come back from */
	uint64_t stopped_ns; /* longest of its stops */
	char reason[REMEDY_TEXT_MAX]; /* unless done */
};

/* Once for a target, whose @ret stays where it is until strike_close(). 0 or -errno. */
int strike_open(pid_t pid, uint64_t timeout_ns, struct strike *ret) __must_check;
void strike_close(struct strike *s);

/* A reader that has planned @kind: strike_once() does that by itself. false: @ret says why not. */
bool strike_warm(struct strike *s, enum strike_kind kind, struct strike_result *ret);

/* Always fills @ret. */
void strike_once(struct strike *s, enum strike_kind kind, struct strike_result *ret);

#endif
