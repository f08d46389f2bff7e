/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rules have a say on a process. */
#ifndef RECLAIM_POLICY_RULES_H
#define RECLAIM_POLICY_RULES_H

#include "policy/policy.h"

bool patterns_match(const struct patterns *p, const char *name);

/* Has it any pattern at all? */
bool rule_matches_something(const struct rule *r);
bool rule_matches(const struct rule *r, const struct subject *p);

/* The limits for a process: the defaults, and over them key by key what rules say. Returns the last rule, or NULL. */
const struct rule *rules_apply(const struct settings *s, const struct subject *p, struct thresholds *ret);

#endif
