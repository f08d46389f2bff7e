/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all remedies that call into the target have in common: find a thread, call, say what came of it. */
#ifndef RECLAIM_REMEDY_ATTEMPT_H
#define RECLAIM_REMEDY_ATTEMPT_H

#include "remedy/remedy.h"

struct attempt {
	const struct inject_code *code;
	const struct chain_call *calls;
	size_t ncalls;
	uint64_t data_lo, data_hi; /* libc's data */
	const char *what; /* the function, as people know it: "malloc_trim" */
};

/*
 * Finds a thread at a safe point and has it make the calls; tries again where
 * another thread or moment may do. true: done, with a detail. false: @ret says
 * why not. Fills the times in both cases.
 */
bool attempt_calls(const struct remedy_site *site, const struct attempt *a, struct remedy_result *ret);

/* When a search with inject_pick() has failed with @r: says so in @ret. */
void attempt_pick_failed(const struct remedy_site *site, int r, const struct inject_found *found,
			 struct remedy_result *ret);

/* When inject_call() and the like have failed with @r. @why: its own reason, or NULL. */
void attempt_call_failed(int r, const char *why, const char *what, struct remedy_result *ret);

#endif
