/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process, its past and a clock, for tests of the policy: all that a decision is made from. */
#ifndef TESTS_UNIT_POLICY_WORLD_H
#define TESTS_UNIT_POLICY_WORLD_H

#include "policy/policy.h"

#define SEC 1000000ull
#define MIN_US (60 * SEC)
#define HOUR_US (60 * MIN_US)
#define MIB (1ull << 20)

struct world {
	struct settings s;
	struct subject p; /* of a candidate: large, idle, nothing against it */
	struct prospect found; /* a trim of 100 MiB */
	struct track process, program;
	enum urgency urgency;
	uint64_t now;
	struct decision d;
};

void world_init(struct world *w); /* fails the test without memory */
void world_done(struct world *w);

/* One assignment; fails the test when it is wrong. */
void world_set(struct world *w, const char *section, const char *key, const char *value);

void world_screen(struct world *w);
void world_decide(struct world *w);

/* An action now, of so many bytes, after which the process holds @rss. */
void world_act(struct world *w, uint64_t freed, uint64_t rss);
/* @after_us after that, the clock is set to it. */
void world_check(struct world *w, uint64_t after_us, uint64_t rss);

#endif
