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

/* What an injector does wrong on purpose: would it be noticed? */
enum murder_spoil {
	SPOIL_NOT,
	SPOIL_ABORT, /* it ends by itself in mid-strike */
	SPOIL_FAIL, /* it gives up though nobody was killed */
	SPOIL_HANG, /* its first strike never ends, not even without its reader */
	MURDER_NSPOILS,
};

extern const char *const murder_spoils[MURDER_NSPOILS];

struct murder {
	enum murder_who who; /* is to be killed; then: who was */
	uint64_t delay_us; /* from when the injector begins with its first strike */
	uint64_t end_ns; /* that it may take to end once its reader is dead */
	enum murder_spoil spoil;
	/* of the outcome: */
	bool at_work; /* somebody was killed between begin and end of a strike */
	bool spent; /* the injector had ended by itself, since its reader was killed */
	bool guarded; /* its own guard had ended it: a purge's that held a lock for too long */
	uint64_t calls; /* that it had completed */
	char why[REMEDY_TEXT_MAX]; /* what it said when it gave up */
	char harm[2 * REMEDY_TEXT_MAX]; /* anything but its death by our hand, or that of its reader: "" none */
};

/* 0, or -errno when there was no injector to kill: @m says why. See @m's harm in either case. */
int murder_once(pid_t pid, enum strike_kind kind, uint64_t timeout_ns, struct murder *m) __must_check;

#endif
