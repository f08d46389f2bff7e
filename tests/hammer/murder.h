/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An injector in a process of its own, killed at a random moment of its work, or its reader, or both. */
#ifndef TESTS_HAMMER_MURDER_H
#define TESTS_HAMMER_MURDER_H

#include "strike.h"

enum murder_who {
	MURDER_INJECTOR,
	MURDER_READER,
	MURDER_BOTH,
};

struct murder {
	enum murder_who who;
	uint64_t delay_us; /* from when the injector begins with its first strike */
	/* of the outcome: */
	bool at_work; /* somebody was killed between begin and end of a strike */
	bool spent; /* the injector had ended by itself before */
	uint64_t calls; /* that it had completed */
	char why[REMEDY_TEXT_MAX]; /* of one that never began: what it said */
};

/* 0, or -errno when there was no injector to kill: @m says why. */
int murder_once(pid_t pid, enum strike_kind kind, uint64_t timeout_ns, struct murder *m) __must_check;

#endif
