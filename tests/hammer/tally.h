/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has come of all strikes so far, and its line of JSON. */
#ifndef TESTS_HAMMER_TALLY_H
#define TESTS_HAMMER_TALLY_H

#include "strike.h"

#define TALLY_REASONS_MAX 24

struct tally_reason {
	char text[REMEDY_TEXT_MAX];
	uint64_t n;
};

struct tally {
	uint64_t seed, began_ns;
	uint64_t strikes;
	uint64_t calls[STRIKE_NKINDS]; /* chains completed */
	uint64_t idle; /* done, and there was nothing to call for */
	uint64_t refused, timeout, failed;
	uint64_t readers;
	uint64_t stop_max_ns, stop_sum_ns;
	uint64_t kills[3], kills_at_work; /* of enum murder_who */
	uint64_t spent; /* injectors that had ended by themselves, since their readers were killed */
	uint64_t guarded; /* those whose own guard had ended them */
	uint64_t eintr;
	struct tally_reason reasons[TALLY_REASONS_MAX];
	size_t nreasons;
	char harm[512]; /* "": none */
};

uint64_t tally_calls(const struct tally *t);

/* @kind: what was asked for. false: the answer itself is harm, which is noted. */
bool tally_add(struct tally *t, enum strike_kind kind, const struct strike_result *result);

void tally_harm(struct tally *t, const char *what);

void tally_print(const struct tally *t, pid_t pid);

#endif
