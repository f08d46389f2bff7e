/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader's half of purge for Python's own allocator: under the GIL. */
#ifndef RECLAIM_REMEDY_PURGE_PYTHON_H
#define RECLAIM_REMEDY_PURGE_PYTHON_H

#include "inspect/pypurge.h"
#include "remedy/purge.h"

struct purge_python {
	struct target *target;
	struct cpython *python;
	struct pypurge *pools;
	struct pypurge_prediction prediction;
	bool busy; /* somebody held the GIL when we looked */
	bool given_up;
	bool offered; /* lists of the last check wait for what became of them */
	struct pypurge_lists lists;
};

/* 0, or -errno with the reason in @why. The caller calls purge_python_done(). */
int purge_python_init(struct purge_python *p, struct remedy_facts *facts, char *why, size_t why_size) __must_check;
void purge_python_done(struct purge_python *p); /* accepts zeroed ones */

/* Where the functions are that take and release the GIL. 0 or -errno. */
int purge_python_code(const struct purge_python *p, const struct remedy_facts *facts, struct lease_code *ret)
	__must_check;

int purge_python_scan(struct purge_python *p, const struct purge_ask *ask, struct purge_round *ret, bool *ret_done)
	__must_check;
int purge_python_check(struct purge_python *p, const struct purge_ask *ask, struct purge_lists *ret) __must_check;

#endif
